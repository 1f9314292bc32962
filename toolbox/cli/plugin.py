"""`toolbox plugin`: start one, check one, add a file, switch plugins off and on.

Nothing here imports a plugin but `add`, which tries a file before it is registered, and `check`; so that all
the rest works however broken the plugins are.
"""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from toolbox.cli.common import as_json, print_json
from toolbox.errors import UsageError, unknown_name

COMPONENTS = ("loss", "generator", "discriminator", "penalty", "degradation", "metric")


@click.group("plugin")
def command() -> None:
    """Start a plugin, check it, add it, switch it off and on; `toolbox plugins` shows what is there."""


@command.command("new")
@click.argument("name")
@click.option("--kind", type=click.Choice(COMPONENTS), default="loss", show_default=True, help="What it brings.")
@click.option("--out", type=click.Path(path_type=Path), default=Path(), help="Where to write NAME/.  [default: here]")
@as_json
def new(name: str, kind: str, out: Path, as_json: bool) -> None:
    """Write a small package to start from.

    NAME/ is made with a component that works, a recipe that uses it, a test and a README. NAME is lower-case words
    joined by hyphens.
    """
    from toolbox.hooks import scaffold

    folder = scaffold.write_package(name, kind, out)
    if as_json:
        written = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
        print_json({"name": name, "kind": kind, "folder": str(folder), "files": written})
        return
    click.echo(f"Wrote {folder}/: the {kind} '{name}' and a recipe of that name. Next:")
    click.echo(f"  pip install -e {shlex.quote(str(folder))}")
    click.echo(f"  toolbox show {kind} {name}")
    click.echo(f"  toolbox plugin check {name}")
    click.echo(f"  toolbox run --recipe {name}")


@command.command("check")
@click.argument("targets", nargs=-1, metavar="[TARGET]...")
@as_json
@click.pass_context
def check(context: click.Context, targets: tuple[str, ...], as_json: bool) -> None:
    """Put plugins through the conformance kit.

    TARGET is a plugin, a component, KIND/NAME or a Python file; without it every plugin is checked. Exit code 1
    if a contract is not kept.
    """
    from toolbox.cli.plugin_check import check

    context.exit(check(targets, as_json, third_party=context.find_root().obj["third_party"]))


@command.command("add")
@click.argument("target", metavar="FILE|PACKAGE")
@click.option("--name", help="What to call a file's plugin.  [default: the file's name]")
@click.option("--force", is_flag=True, help="Add a file even if it breaks.")
@as_json
@click.pass_context
def add(context: click.Context, target: str, name: str | None, force: bool, as_json: bool) -> None:
    """Add a Python file as a plugin.

    The file is loaded once; if it keeps the contract, it is written into your registry, stays where it is, and is
    loaded by every later command. A PACKAGE's plugins are found by themselves once pip has installed it: it is said
    whether they are, or what to type.
    """
    from toolbox.cli import plugin_add

    if target.endswith(".py"):
        third_party = context.find_root().obj["third_party"]
        added = plugin_add.add_file(Path(target), name, force=force, third_party=third_party)
        if as_json:
            print_json(added)
        else:
            plugin_add.say_file(added)
        return
    if name is not None or force:
        raise UsageError(f"{target}: --name and --force are for Python files alone.")
    found = plugin_add.look_for(target)
    if as_json:
        print_json(found)
        return
    names = ", ".join(f"'{plugin}'" for plugin in found["plugins"])
    click.echo(f"{found['distribution']} {found['version']} is installed and its plugins are found already: {names}.")


@command.command("enable")
@click.argument("name")
@as_json
def enable(name: str, as_json: bool) -> None:
    """Switch a plugin on: any, by its name."""
    _switch(name, as_json, on=True)


@command.command("disable")
@click.argument("name")
@as_json
def disable(name: str, as_json: bool) -> None:
    """Switch a plugin off, so that nothing imports it."""
    _switch(name, as_json, on=False)


def _switch(name: str, as_json: bool, *, on: bool) -> None:
    from toolbox.cli.plugin_add import records, whose
    from toolbox.hooks import registry

    before = registry.read_user()
    registries = registry.read()
    found = records(name)
    # A plugin that was switched off and then uninstalled may still be taken off the list.
    if not found and not (on and name in before.disabled):
        raise UsageError(unknown_name("plugin", name, {record.name for record in records()}, "toolbox plugins"))
    off = any(bundle.name == name and not bundle.enabled for bundle in registries.shipped.bundles)
    after = registry.change_user(lambda user: registry.with_enabled(user, name, enabled=on, ships_disabled=off))
    forced_off = name in registries.disabled_by_environment
    if as_json:
        print_json({"name": name, "enabled": on and not forced_off, "changed": after != before})
        return
    state = "on" if on else "off"
    of = " and ".join(whose(record) for record in found) or "not installed now"
    undo = "To see whether it works: toolbox plugins" if on else f"To undo: toolbox plugin enable {name}"
    click.echo(f"The plugin '{name}' ({of}) is {'' if after != before else 'already '}switched {state}. {undo}")
    if on and forced_off:
        click.echo(f"TOOLBOX_DISABLE names '{name}' too, so that it stays off as long as that is set.", err=True)


@command.command("remove")
@click.argument("name")
@as_json
def remove(name: str, as_json: bool) -> None:
    """Forget a file that was added; the file stays."""
    from toolbox.hooks import registry

    added = next((one for one in registry.read_user().files if one.name == name), None)
    if added is None:
        raise UsageError(_not_removable(name))
    registry.change_user(lambda user: registry.without_file(user, name))
    if as_json:
        print_json({"name": name, "file": str(added.file)})
    else:
        click.echo(f"Forgot the plugin '{name}'. Its file stays: {added.file}")


def _not_removable(name: str) -> str:
    from toolbox.cli.plugin_add import records, whose

    record = next(iter(records(name)), None)
    if record is None:
        return unknown_name("plugin", name, {record.name for record in records()}, "toolbox plugins")
    off = f"To switch it off: toolbox plugin disable {name}"
    if record.origin == "bundle":
        return f"The plugin '{name}' ships with toolbox and can't be removed. {off}"
    return f"The plugin '{name}' comes with {whose(record)}. To remove it: pip uninstall {record.distribution}. {off}"
