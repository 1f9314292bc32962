"""`toolbox plugin add`: test a Python file and register it, or find the plugins of a package."""

from __future__ import annotations

import re
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from toolbox.errors import PluginError, UsageError
from toolbox.utils import files
from toolbox.utils.shell import shell_word

if TYPE_CHECKING:
    from toolbox.hooks.manager import PluginRecord

# No comma, which separates names in TOOLBOX_DISABLE, and no dash in front, which starts an option.
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
FOUND = "toolbox then finds its plugins."
# A requirement for pip: the name of a distribution, then optional extras and a version or URL.
REQUIREMENT = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*?)\s*(?:\[[^\]]*\])?\s*([<>=!~;@(].*)?")


def find_records(name: str | None = None) -> list[PluginRecord]:
    """Return the records of all plugins, or of those called `name`; nothing is imported."""
    from toolbox.hooks import manager, registry

    records = [candidate.record for candidate in manager.find_candidates(registry.read())]
    return [record for record in records if name in (None, record.name)]


def origin(record: PluginRecord) -> str:
    """Return the distribution of a plugin with its version, or its file."""
    return f"{record.distribution} {record.version}".strip() or record.source


def install_command(folder: str) -> str:
    """Return the command that installs a folder; with ./ in front, because pip looks for a bare name on PyPI."""
    path = folder if re.search(r"^[.]|[/\\]", folder) else f"./{folder}"
    return f"pip install -e {shell_word(path)}"


def require_standalone(file: Path) -> None:
    """Raise UsageError if the file does not exist, or is part of a package and can't be imported alone."""
    if not file.is_file():
        raise UsageError(f"{file} is a folder, not a file." if file.is_dir() else f"There is no file {file}.")
    if file.with_name("__init__.py").is_file():
        raise UsageError(f"{file} is part of a package. Install the package; toolbox then finds its plugins.")


def add_file(file: Path, name: str | None, *, force: bool, third_party: bool) -> dict[str, Any]:
    """Load a Python file as a plugin and, if that succeeds, write its path to the user's registry.

    Args:
        file: the Python file.
        name: the plugin's name; None for the file's name.
        force: register the file even if it fails to load.
        third_party: load plugins that don't ship with toolbox too, to find conflicts.

    Returns:
        The output of `toolbox plugin add --json`.

    Raises:
        UsageError: the file does not exist, or the name is invalid or taken.
        PluginError: the file fails to load, or the registry can't be read; nothing was changed.
    """
    from toolbox.hooks import registry

    name = file.stem if name is None else name
    require_standalone(file)
    file = file.resolve()
    try:
        str(file).encode("utf-8")
    except UnicodeEncodeError:
        raise UsageError(
            f"The path of {file.name!r} is not valid Unicode and can't be saved in the registry; rename it."
        ) from None
    _check_name(name, file)
    record = _try_to_load(name, file, third_party)
    if record.status == "failed" and not force:
        raise PluginError(f"{file} was not added: {record.cause}. Correct the file, or add it anyway with --force")
    registry.change_user(lambda user: registry.with_file(user, name, file))
    components = [{"kind": kind, "name": component} for kind, component in record.components]
    result = {"name": name, "file": str(file), "status": record.status, "cause": record.cause, "note": record.note}
    return {**result, "components": components}


def _check_name(name: str, file: Path) -> None:
    """Raise UsageError if the name is invalid or taken, or the file was added before."""
    from toolbox.hooks import registry

    if not NAME.fullmatch(name):
        raise UsageError(
            f"'{name}' is not a valid plugin name. Use only letters, digits, - and _. Choose a name with --name"
        )
    user = registry.read_user()
    for added in user.files:
        if added.file == file:
            is_disabled = added.name in user.disabled
            remedy = f" and disabled: toolbox plugin enable {added.name}" if is_disabled else ". See `toolbox plugins`"
            raise UsageError(f"{file} is already added as '{added.name}'{remedy}")
        if registry.is_same_file(added.file, file):
            raise UsageError(
                f"{file} is the same file as {added.file}, which is already added as '{added.name}'. To use it "
                f"instead: toolbox plugin remove {added.name}, then toolbox plugin add {shell_word(file)}"
            )
    for record in find_records(name):
        raise UsageError(f"The name '{name}' is taken by a plugin of {origin(record)}. Choose another with --name")


def _try_to_load(name: str, file: Path, third_party: bool) -> PluginRecord:
    """Load the file after all other plugins, as later commands do, and return its record."""
    from toolbox.hooks import catalog, manager

    loaded = manager.load(third_party=third_party)
    record = manager.PluginRecord(name=name, origin="file", source=str(file))
    loaded.records.append(record)
    manager.register(loaded, manager.Candidate(record=record, load=manager.file_loader(name, file)))
    catalog.build(loaded)
    return record


def find_package(requirement: str) -> dict[str, Any]:
    """Return the plugins of an installed package.

    Args:
        requirement: the package's name, as in ``pip install``.

    Returns:
        Distribution, version and plugins, as `toolbox plugin add --json` prints them.

    Raises:
        UsageError: the package is not installed, or has no plugin; the message has the command to type.
    """
    from toolbox.hooks import manager

    pip = f"pip install {shell_word(requirement)}"
    if Path(requirement).is_dir():
        raise UsageError(
            f"{requirement} is a folder. To install it as a package: {install_command(requirement)}. {FOUND}"
        )
    if Path(requirement).exists() or re.search(r"[/\\]", requirement.partition("@")[0]):
        raise UsageError(
            f"{requirement} is neither a Python file nor the name of a package. To install a package: {pip}"
        )
    match = REQUIREMENT.fullmatch(requirement.strip())
    if match is None:
        raise UsageError(f"'{files.printable(requirement)}' is neither a Python file nor a requirement for pip.")
    try:
        package = distribution(match[1])
    except PackageNotFoundError:
        raise UsageError(f"{match[1]} is not installed. To install it: {pip}. {FOUND}") from None
    plugins = sorted(point.name for point in package.entry_points.select(group=manager.ENTRY_POINT_GROUP))
    if not plugins:
        raise UsageError(
            f"{package.name} {package.version} is installed but has no plugin: it has no entry point in the group "
            f"{manager.ENTRY_POINT_GROUP}. To get a newer version: {pip} --upgrade"
        )
    return {"distribution": package.name, "version": package.version, "plugins": plugins}


def print_added(added: dict[str, Any]) -> None:
    """Print the result of `add_file`."""
    head = f"Added the plugin '{added['name']}', {added['file']}."
    if added["status"] == "failed":
        click.echo(f"{head} It is not loaded until this is corrected: {added['cause']}")
        return
    components = ", ".join(f"{component['kind']} '{component['name']}'" for component in added["components"])
    click.echo(f"{head} Components: {components or 'none'}.")
    if added["note"]:
        click.echo(f"warning: {added['note']}; remove that from the file.", err=True)
