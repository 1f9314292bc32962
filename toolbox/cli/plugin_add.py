"""`toolbox plugin add`: try a Python file and register it; look whether a package's plugins are found."""

from __future__ import annotations

import re
import shlex
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from toolbox.errors import PluginError, UsageError

if TYPE_CHECKING:
    from toolbox.hooks.manager import PluginRecord

# A comma would split it in TOOLBOX_DISABLE; a dash in front would make it an option.
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
# A requirement as pip takes it: a distribution's name, extras, and what else is said of the version.
FOUND = "Its plugins are found then."
REQUIREMENT = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*?)\s*(?:\[[^\]]*\])?\s*([<>=!~;@(].*)?")


def records(name: str | None = None) -> list[PluginRecord]:
    """Return what was found, or only what has that name; nothing is imported."""
    from toolbox.hooks import manager, registry

    found = [candidate.record for candidate in manager.find_candidates(registry.read(), third_party=True)]
    return [record for record in found if name in (None, record.name)]


def whose(record: PluginRecord) -> str:
    """Return what brought a plugin: the distribution with its version, or its file."""
    return f"{record.distribution} {record.version}".strip() or record.source


def install(folder: str) -> str:
    """Return the command that installs a folder; a bare name might be taken for a stranger's package."""
    path = folder if re.search(r"^[.]|[/\\]", folder) else f"./{folder}"
    return f"pip install -e {shlex.quote(path)}"


def demand_loose(file: Path) -> None:
    """Raise UsageError if there is no such file, or it is part of a package and can't be imported by itself."""
    if not file.is_file():
        raise UsageError(f"There is no file {file}.")
    if file.with_name("__init__.py").is_file():
        raise UsageError(f"{file} is part of a package: install that, and its plugins are found by their names.")


def add_file(file: Path, name: str | None, *, force: bool, third_party: bool) -> dict[str, Any]:
    """Load a Python file as a plugin and, if it keeps the contract, write it into the user's registry.

    Args:
        file: the file.
        name: what to call it; the file's own name if None.
        force: register it even if it breaks.
        third_party: whether other people's plugins are loaded beside it.

    Returns:
        What was added, as `toolbox plugin add --json` prints it.

    Raises:
        UsageError: no such file, or a name that can't be had.
        PluginError: it breaks, or the registry can't be read; nothing was changed.
    """
    from toolbox.hooks import registry

    name = file.stem if name is None else name
    demand_loose(file)
    file = file.resolve()
    try:
        str(file).encode("utf-8")
    except UnicodeEncodeError:
        raise UsageError(f"The path of {file.name!r} is no Unicode, so no registry can hold it; rename it.") from None
    _refuse(name, file)
    record = _try(name, file, third_party)
    if record.status == "failed" and not force:
        raise PluginError(f"{file} was not added: {record.cause}. Mend it, or add it all the same with --force")
    registry.change_user(lambda user: registry.with_file(user, name, file))
    components = [{"kind": kind, "name": component} for kind, component in record.components]
    facts = {"name": name, "file": str(file), "status": record.status, "cause": record.cause}
    return {**facts, "components": components}


def _refuse(name: str, file: Path) -> None:
    from toolbox.hooks import registry

    if not NAME.fullmatch(name):
        raise UsageError(f"'{name}' can't be a plugin's name: letters, digits, - and _ alone. Choose one with --name")
    for added in registry.read_user().files:
        if added.file == file:
            raise UsageError(f"{file} was added before, as '{added.name}'. See `toolbox plugins`")
    for record in records(name):
        raise UsageError(f"The name '{name}' is taken by a plugin of {whose(record)}. Choose another with --name")


def _try(name: str, file: Path, third_party: bool) -> PluginRecord:
    """Load the file behind all others, as every later command will, and say what became of it."""
    from toolbox.hooks import catalog, manager

    loaded = manager.load(third_party=third_party)
    record = manager.PluginRecord(name=name, origin="file", source=str(file))
    loaded.records.append(record)
    manager.register(loaded, manager.Candidate(record=record, load=manager.file_loader(name, file)))
    catalog.build(loaded)
    return record


def look_for(requirement: str) -> dict[str, Any]:
    """Return the plugins of an installed package, which are found without being added.

    Args:
        requirement: as pip takes it.

    Returns:
        Distribution, version and plugins, as `toolbox plugin add --json` prints them.

    Raises:
        UsageError: it is not installed, with the command that installs it, or it brings no plugin.
    """
    from toolbox.hooks import manager

    pip = f"pip install {shlex.quote(requirement)}"
    if Path(requirement).is_dir():
        raise UsageError(f"{requirement} is a folder. If it is a package: {install(requirement)}. {FOUND}")
    if Path(requirement).exists() or re.search(r"[/\\]", requirement.partition("@")[0]):
        raise UsageError(f"{requirement} is neither a Python file nor a package's name. To install a package: {pip}")
    match = REQUIREMENT.fullmatch(requirement.strip())
    if match is None:
        raise UsageError(f"'{requirement}' is neither a Python file nor a requirement as pip takes it.")
    try:
        found = distribution(match[1])
    except PackageNotFoundError:
        raise UsageError(f"{match[1]} is not installed. To install it: {pip}. {FOUND}") from None
    plugins = sorted(point.name for point in found.entry_points.select(group=manager.ENTRY_POINT_GROUP))
    if not plugins:
        raise UsageError(
            f"{found.name} {found.version} is installed and brings no plugin: it has no entry point in the group "
            f"{manager.ENTRY_POINT_GROUP}. For another version: {pip} --upgrade"
        )
    return {"distribution": found.name, "version": found.version, "plugins": plugins}


def say_file(added: dict[str, Any]) -> None:
    """Say what was added."""
    head = f"Added the plugin '{added['name']}', {added['file']}."
    if added["status"] == "failed":
        click.echo(f"{head} It breaks and is set aside until it is mended: {added['cause']}")
        return
    brings = ", ".join(f"{one['kind']} '{one['name']}'" for one in added["components"])
    click.echo(f"{head} It brings {brings or 'no component'}.")
