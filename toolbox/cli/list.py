"""`toolbox list`: the components, recipes and weights that are installed."""

from __future__ import annotations

import click

from toolbox.cli.common import as_json, load_catalog, print_json, print_table
from toolbox.hooks.kinds import find_kind


@click.command("list")
@click.argument("kind", required=False)
@as_json
@click.pass_context
def command(context: click.Context, kind: str | None, as_json: bool) -> None:
    """List the components that recipes can name, recipes, weights, and the commands of plugins.

    KIND is generators, discriminators, losses, penalties, degradations, metrics, sources, detectors, fillers,
    postprocessors, steps, observers, optimizers, schedules, recipes, weights or commands.
    """
    catalog = load_catalog(context)
    kind_name = find_kind(kind).name if kind else None
    entries = [entry for entry in catalog.entries(kind_name) if entry.kind != "weights"]
    if kind_name in (None, "weights"):
        from toolbox.models.published import list_published

        entries += list_published(catalog)
    if as_json:
        print_json(
            [
                {
                    "kind": entry.kind,
                    "name": entry.spec.name,
                    "summary": entry.spec.summary,
                    "plugin": entry.plugin,
                    "distribution": entry.distribution,
                    "version": entry.version,
                }
                for entry in entries
            ]
        )
        return
    rows = [(entry.kind, entry.spec.name, entry.plugin, entry.spec.summary) for entry in entries]
    print_table(rows, ("KIND", "NAME", "PLUGIN", "SUMMARY"))
