"""`toolbox plugin`: create, check, add, remove, enable and disable plugins.

Only `add`, which tries a file before it registers it, and `check` import plugins. So the other subcommands also work
with broken plugins.
"""

from __future__ import annotations

import os
from pathlib import Path

import click

from toolbox.cli.common import FilePath, as_json, print_json
from toolbox.errors import UsageError, unknown_name
from toolbox.utils.shell import shell_word

COMPONENTS = (
    *("loss", "generator", "discriminator", "penalty", "degradation", "metric"),
    *("detector", "filler", "postprocessor", "source"),
    *("step", "observer", "optimizer", "schedule", "command"),
)


@click.group("plugin")
def command() -> None:
    """Create, check, add, remove, enable and disable plugins; `toolbox plugins` lists them."""


@command.command("new")
@click.argument("name")
@click.option("--kind", type=click.Choice(COMPONENTS), default="loss", show_default=True, help="Kind of its component.")
@click.option("--out", type=FilePath(), default=Path(), help="Folder in which to create NAME/.  [default: .]")
@as_json
def new(name: str, kind: str, out: Path, as_json: bool) -> None:
    """Create a new plugin package.

    The folder NAME/ has a working component, a recipe that uses it (for a command: the command), a test and a README.
    NAME is lower-case words joined by hyphens.
    """
    from toolbox.hooks import scaffold

    folder = scaffold.write_package(name, kind, out)
    if as_json:
        names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
        print_json({"name": name, "kind": kind, "folder": str(folder), "files": names})
        return
    is_command = kind == "command"
    content = "a command" if is_command else f"the {kind} '{name}' and the recipe '{name}'"
    click.echo(f"Created {folder}/ with {content}. Next:")
    click.echo(f"  pip install -e {shell_word(folder)}")
    click.echo(f"  toolbox {name} --help" if is_command else f"  toolbox show {kind} {name}")
    click.echo(f"  toolbox plugin check {name}")
    if not is_command:
        click.echo(f"  toolbox run --recipe {name}")


@command.command("check")
@click.argument("targets", nargs=-1, metavar="[TARGET]...")
@click.option("--set", "params", multiple=True, metavar="K=V", help="Set a param of the component that is tested.")
@as_json
@click.pass_context
def check(context: click.Context, targets: tuple[str, ...], params: tuple[str, ...], as_json: bool) -> None:
    """Test plugins with the conformance kit.

    TARGET is a plugin, a component, KIND/NAME or a Python file. Without a TARGET, all plugins are tested. The exit code
    is 1 if a check fails.

    A component that needs params is tested with --set: toolbox plugin check loss/hole --set inner.name=mse
    """
    from toolbox.cli.plugin_check import check

    context.exit(check(targets, as_json, params, third_party=context.find_root().obj["third_party"]))


@command.command("add")
@click.argument("target", metavar="FILE|PACKAGE")
@click.option("--name", help="Name of the plugin in FILE.  [default: the file's name]")
@click.option("--force", is_flag=True, help="Add a file even if it fails to load.")
@as_json
@click.pass_context
def add(context: click.Context, target: str, name: str | None, force: bool, as_json: bool) -> None:
    """Add a Python file as a plugin.

    The file is loaded once as a test. If this succeeds, its path is written to your registry, and all later commands
    load it from there. The plugins of a PACKAGE need no registration: pip installs them, and toolbox finds them. For a
    PACKAGE, this command says whether its plugins are found, or how to install it.
    """
    from toolbox.cli import plugin_add

    if target.endswith(".py"):
        third_party = context.find_root().obj["third_party"]
        added = plugin_add.add_file(Path(target), name, force=force, third_party=third_party)
        if as_json:
            print_json(added)
        else:
            plugin_add.print_added(added)
        return
    if name is not None or force:
        raise UsageError(f"{target}: --name and --force work only with a Python file.")
    package = plugin_add.find_package(target)
    if as_json:
        print_json(package)
        return
    names = ", ".join(f"'{plugin}'" for plugin in package["plugins"])
    click.echo(f"{package['distribution']} {package['version']} is installed. Its plugins are already found: {names}.")


@command.command("enable")
@click.argument("name")
@as_json
def enable(name: str, as_json: bool) -> None:
    """Enable a plugin."""
    _set_enabled(name, as_json, enabled=True)


@command.command("disable")
@click.argument("name")
@as_json
def disable(name: str, as_json: bool) -> None:
    """Disable a plugin; it is not imported any more."""
    _set_enabled(name, as_json, enabled=False)


def _set_enabled(name: str, as_json: bool, *, enabled: bool) -> None:
    from toolbox.cli.plugin_add import find_records, origin
    from toolbox.hooks import registry

    before = registry.read_user()
    registries = registry.read()
    records = find_records(name)
    # A plugin that was disabled and then uninstalled can still be removed from the list of disabled plugins.
    if not records and not (enabled and name in before.disabled):
        raise UsageError(unknown_name("plugin", name, {record.name for record in find_records()}, "toolbox plugins"))
    ships_disabled = any(bundle.name == name and not bundle.enabled for bundle in registries.shipped.bundles)
    after = registry.change_user(
        lambda user: registry.with_enabled(user, name, enabled=enabled, ships_disabled=ships_disabled)
    )
    disabled_by_environment = name in registries.disabled_by_environment
    if as_json:
        print_json({"name": name, "enabled": enabled and not disabled_by_environment, "changed": after != before})
        return
    status = "enabled" if enabled else "disabled"
    origins = " and ".join(origin(record) for record in records) or "not installed"
    hint = "To see its status: toolbox plugins" if enabled else f"To undo: toolbox plugin enable {name}"
    verb = "is now" if after != before else "was already"
    click.echo(f"The plugin '{name}' ({origins}) {verb} {status}. {hint}")
    if enabled and disabled_by_environment:
        click.echo(f"The environment variable TOOLBOX_DISABLE still disables '{name}'; unset it.", err=True)


@command.command("remove")
@click.argument("name")
@as_json
def remove(name: str, as_json: bool) -> None:
    """Remove an added file from the registry; the file itself is not deleted."""
    from toolbox.hooks import registry

    added = next((entry for entry in registry.read_user().files if entry.name == name), None)
    if added is None:
        raise UsageError(_not_removable(name))
    registry.change_user(lambda user: registry.without_file(user, name))
    if as_json:
        print_json({"name": name, "file": str(added.file)})
    else:
        is_there = os.path.lexists(added.file)
        what = "Its file was not deleted" if is_there else "Its file was moved or deleted before"
        click.echo(f"Removed the plugin '{name}'. {what}: {added.file}")


def _not_removable(name: str) -> str:
    """Return the message for a plugin that is not an added file."""
    from toolbox.cli.plugin_add import find_records, origin

    record = next(iter(find_records(name)), None)
    if record is None:
        return unknown_name("plugin", name, {record.name for record in find_records()}, "toolbox plugins")
    disable = f"To disable it: toolbox plugin disable {name}"
    if record.origin == "bundle":
        return f"The plugin '{name}' ships with toolbox and can't be removed. {disable}"
    uninstall = f"To remove it: pip uninstall {record.distribution}"
    return f"The plugin '{name}' belongs to the package {origin(record)}. {uninstall}. {disable}"
