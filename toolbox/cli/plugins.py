"""`toolbox plugins`: list all plugins with their status."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from toolbox.cli.common import as_json, print_json, print_table
from toolbox.utils.screen import echo

if TYPE_CHECKING:
    from toolbox.hooks.catalog import Catalog


@click.command("plugins")
@click.option("--strict", is_flag=True, help="Also load the published weights. Exit with code 1 if anything failed.")
@as_json
@click.pass_context
def command(context: click.Context, strict: bool, as_json: bool) -> None:
    """List the plugins with their origin, status, import time and components."""
    from toolbox.hooks import catalog

    loaded = catalog.load(third_party=context.find_root().obj["third_party"])
    records = loaded.plugins
    if as_json:
        print_json(
            [
                {
                    "name": record.name,
                    "origin": record.origin,
                    "source": record.source,
                    "distribution": record.distribution,
                    "version": record.version,
                    "status": record.status,
                    "cause": record.cause,
                    "changed": record.changed,
                    "seconds": round(record.seconds, 4),
                    "components": [{"kind": kind, "name": name} for kind, name in record.components],
                }
                for record in records
            ]
        )
    else:
        rows = []
        for record in records:
            notes = record.cause if record.status != "ok" else ", ".join(name for _, name in record.components)
            if record.status == "failed":
                notes += record.remedy
            if record.note:
                notes += f"; {record.note}"
            if record.is_slow:
                notes += f"; slow import: {record.seconds:.1f} s"
            origin = f"{record.distribution} {record.version}".strip() or record.source
            rows.append((record.name, record.origin, origin, record.status, f"{1000 * record.seconds:.0f} ms", notes))
        print_table(rows, ("NAME", "FROM", "DISTRIBUTION", "STATUS", "TIME", "COMPONENTS OR CAUSE"))
    if strict:
        faults = _weight_faults(loaded)
        for fault in faults:
            echo(f"toolbox: {fault}", err=True)
        if faults or any(record.status == "failed" for record in records):
            context.exit(1)


def _weight_faults(catalog: Catalog) -> list[str]:
    """Return a line for each fault of published weights."""
    from toolbox.models.published import list_published
    from toolbox.testing.weights import check_weights

    return [
        f"weights '{entry.spec.name}' of '{entry.plugin}': {check.name}: {check.detail}"
        for entry in list_published(catalog)
        for check in check_weights(entry, catalog)
        if check.status == "failed"
    ]
