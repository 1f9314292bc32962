"""`toolbox plugin check`: test plugins and components with the conformance kit."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from toolbox.cli.common import print_json
from toolbox.cli.plugin_add import install_command, require_standalone
from toolbox.errors import UsageError, unknown_name
from toolbox.utils import files

if TYPE_CHECKING:
    from toolbox.hooks.catalog import Catalog
    from toolbox.hooks.manager import PluginRecord
    from toolbox.testing import Check

    Results = dict[str, list[Check]]


def check(targets: Sequence[str], as_json: bool, params: Sequence[str] = (), *, third_party: bool = True) -> int:
    """Test every target with the conformance kit and print the results.

    Args:
        targets: names of plugins or components, KIND/NAME, or Python files; empty for all plugins. If a plugin and a
            component have the same name, the plugin is tested.
        as_json: print JSON instead of a table.
        params: overrides ``KEY=VALUE`` of the params, for a target that is one component.
        third_party: load plugins that don't ship with toolbox too.

    Returns:
        The exit code: 1 if a check failed, 0 otherwise.

    Raises:
        UsageError: a target is not known, or a file does not exist.
    """
    from toolbox.hooks import catalog
    from toolbox.testing import check_plugin
    from toolbox.testing.table import json_rows, table

    loaded = catalog.load(third_party=third_party)
    results: Results = {}
    if params and len(targets) != 1:
        raise UsageError("--set needs one component as the TARGET, as in loss/hole.")
    for target in targets or [record.name for record in loaded.plugins]:
        if target.endswith(".py"):
            require_standalone(Path(target))
            results |= check_plugin(Path(target).resolve())
        else:
            results |= _check_name(loaded, target, read_params(params))
    if as_json:
        print_json(json_rows(results))
    else:
        # For one component, show all checks; for several, only those that need attention.
        single = sum(not name.startswith("plugin/") for name in results) == 1
        click.echo(table(results, kept="all" if single else "failed or noted"))
    return int(any(result.status == "failed" for checks in results.values() for result in checks))


def read_params(overrides: Sequence[str]) -> dict[str, Any]:
    """Return the params that overrides ``KEY=VALUE`` set; the values are TOML, bare words are strings."""
    from toolbox.config.recipe import Recipe, with_overrides

    return with_overrides(Recipe(name="params", tree={}), overrides).tree


def _check_name(catalog: Catalog, target: str, params: dict[str, Any]) -> Results:
    """Test the plugin or the components called `target`."""
    from toolbox.hooks.kinds import find_kind
    from toolbox.testing import check_component

    record = next((record for record in catalog.plugins if record.name == target), None)
    if record is not None and not params:
        return _check_record(catalog, record)
    kind, slash, name = target.partition("/")
    is_package = Path(target, "pyproject.toml").is_file()
    if not is_package and (target.startswith((".", "/", "~")) or target.count("/") > 1):  # a path, and no KIND/NAME
        missing = f"no pyproject.toml in {target}" if os.path.isdir(target) else f"no file or folder {target}"
        raise UsageError(f"There is {files.printable(missing)}; name a plugin, component, Python file or package.")
    if slash and not is_package:
        entries = [catalog.find(find_kind(kind).name, name)]
    else:
        entries = [entry for entry in catalog.entries() if entry.spec.name == target]
    if not entries and is_package:
        raise UsageError(f"'{target}' is a package that is not installed. To install it: {install_command(target)}")
    if not entries:
        known = {record.name for record in catalog.plugins} | {entry.spec.name for entry in catalog.entries()}
        message = unknown_name("plugin or component", target, known, "toolbox list")
        raise UsageError(message + catalog.disabled_plugins())
    return {f"{entry.kind}/{entry.key}": check_component(entry, params, catalog) for entry in entries}


def _check_record(catalog: Catalog, record: PluginRecord) -> Results:
    """Test a plugin and all its components."""
    from toolbox.testing import check_component
    from toolbox.testing.plugins import check_light_import, check_loading

    results = {f"plugin/{record.name}": [check_loading(record)]}
    if record.status == "ok":
        results[f"plugin/{record.name}"].append(check_light_import(record.source))
    for kind, name in record.components:
        results[f"{kind}/{name}"] = check_component(catalog.find(kind, name), None, catalog)
    return results
