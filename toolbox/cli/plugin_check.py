"""`toolbox plugin check`: plugins and components through the conformance kit."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from toolbox.cli.common import print_json
from toolbox.cli.plugin_add import demand_loose, install
from toolbox.errors import UsageError, unknown_name

if TYPE_CHECKING:
    from toolbox.hooks.catalog import Catalog
    from toolbox.hooks.manager import PluginRecord
    from toolbox.testing import Check

    Results = dict[str, list[Check]]


def check(targets: Sequence[str], as_json: bool, *, third_party: bool = True) -> int:
    """Put every target through the conformance kit and print what was found.

    Args:
        targets: names of plugins or components, KIND/NAME, or Python files; every plugin if there is none. A
            name that both a plugin and a component have is the plugin.
        as_json: print JSON in place of the table.
        third_party: whether plugins that do not ship are looked at.

    Returns:
        The exit code: 1 if a check failed.

    Raises:
        UsageError: a target that is not known, or a file that is not there.
    """
    from toolbox.hooks import catalog
    from toolbox.testing import check_plugin
    from toolbox.testing.table import json_rows, table

    loaded = catalog.load(third_party=third_party)
    results: Results = {}
    for target in targets or [record.name for record in loaded.plugins]:
        if target.endswith(".py"):
            demand_loose(Path(target))
            results |= check_plugin(Path(target).resolve())
        else:
            results |= _named(loaded, target)
    if as_json:
        print_json(json_rows(results))
    else:
        # Of many components only what needs a look; of one, all that was found out.
        one = sum(not name.startswith("plugin/") for name in results) == 1
        click.echo(table(results, kept="all" if one else "failed or noted"))
    return int(any(found.status == "failed" for checks in results.values() for found in checks))


def _named(catalog: Catalog, target: str) -> Results:
    from toolbox.hooks.kinds import find_kind
    from toolbox.testing import check_component

    record = next((record for record in catalog.plugins if record.name == target), None)
    if record is not None:
        return _plugin(catalog, record)
    kind, slash, name = target.partition("/")
    if slash:
        entries = [catalog.find(find_kind(kind).name, name)]
    else:
        entries = [entry for entry in catalog.entries() if entry.spec.name == target]
    if not entries and Path(target, "pyproject.toml").is_file():
        raise UsageError(f"'{target}' is a package that is not installed: {install(target)}")
    if not entries:
        known = {record.name for record in catalog.plugins} | {entry.spec.name for entry in catalog.entries()}
        raise UsageError(unknown_name("plugin or component", target, known, "toolbox list"))
    return {f"{entry.kind}/{entry.spec.name}": check_component(entry, None, catalog) for entry in entries}


def _plugin(catalog: Catalog, record: PluginRecord) -> Results:
    from toolbox.testing import check_component
    from toolbox.testing.plugins import check_light_import, check_loading

    results = {f"plugin/{record.name}": [check_loading(record)]}
    if record.status == "ok":
        results[f"plugin/{record.name}"].append(check_light_import(record.source))
    for kind, name in record.components:
        results[f"{kind}/{name}"] = check_component(catalog.find(kind, name), None, catalog)
    return results
