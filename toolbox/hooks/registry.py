"""The two registries: `registry.toml`, which ships, and the user's own.

The user's registry lists the plugin files that the user added, and the plugins that the user enabled or disabled. It is
in the configuration folder (`toolbox.utils.paths.config_dir`). Code from the working folder is never loaded by itself:
a single file is loaded only after `toolbox plugin add FILE`.
"""

from __future__ import annotations

import os
import tomllib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import tomli_w
from pydantic import BaseModel, ConfigDict, ValidationError, field_validator

from toolbox.errors import InstallationError, OutputError, PluginError, UsageError
from toolbox.utils import files, locks, paths, text_files
from toolbox.utils.shell import shell_word

M = TypeVar("M", bound=BaseModel)

LOCK_SECONDS = 30.0  # a change takes milliseconds, but many commands may wait for each other
HEADER = "# Written by `toolbox plugin add, enable, disable, remove`; comments that you add here are lost.\n\n"


class Bundle(BaseModel):
    """A bundle that ships: its name, the module with its hooks, and whether it is enabled."""

    model_config = ConfigDict(extra="forbid")
    name: str
    module: str
    enabled: bool = True


class Weights(BaseModel):
    """Published weights; see `toolbox.hooks.file_specs.WeightsSpec`. `file` is relative to the package."""

    model_config = ConfigDict(extra="forbid")
    name: str
    file: str
    sha256: str
    licence: str
    recipe: str = ""
    summary: str = ""


class Registry(BaseModel):
    """The content of `registry.toml`; an unknown key is an error."""

    model_config = ConfigDict(extra="forbid")
    bundles: list[Bundle] = []
    weights: list[Weights] = []


class UserFile(BaseModel):
    """A plugin that is a single file, added by the user."""

    model_config = ConfigDict(extra="forbid")
    name: str
    file: Path

    @field_validator("file")
    @classmethod
    def _is_absolute(cls, file: Path) -> Path:
        """Return the path; a relative one would be another file in each working folder."""
        if not file.is_absolute():
            raise ValueError(f"{file} is not an absolute path; write the whole path")
        return file


class UserRegistry(BaseModel):
    """The user's registry: added files, and the names of disabled and enabled plugins."""

    model_config = ConfigDict(extra="forbid")
    files: list[UserFile] = []
    disabled: list[str] = []
    enabled: list[str] = []

    @field_validator("files")
    @classmethod
    def _has_unique_names(cls, added: list[UserFile]) -> list[UserFile]:
        twice = [name for name, count in Counter(entry.name for entry in added).items() if count > 1]
        if twice:
            raise ValueError(f"'{twice[0]}' is the name of two files; rename one of the two")
        return added


@dataclass(frozen=True, kw_only=True)
class Registries:
    """Both registries.

    Attributes:
        shipped: `registry.toml`.
        user: the user's registry; empty if it can't be read.
        user_fault: why the user's registry can't be read; empty if it can. The program continues without it.
        disabled_by_environment: the plugins that TOOLBOX_DISABLE names.
    """

    shipped: Registry
    user: UserRegistry
    user_fault: str = ""
    disabled_by_environment: frozenset[str] = field(default_factory=frozenset)


def shipped_path() -> Path:
    """Return the path of registry.toml: in the installed package, or at the top of an editable checkout."""
    installed = Path(__file__).parents[1] / "registry.toml"
    return installed if installed.is_file() else Path(__file__).parents[2] / "registry.toml"


def user_path() -> Path:
    """Return the path of the user's registry, which may not exist; InstallationError if the user has no home."""
    return paths.config_dir() / "registry.toml"


def read_registry(path: Path, model: type[M]) -> M:
    """Return a registry file as `model`; PluginError if it can't be read or has an invalid key or value."""
    try:
        return model.model_validate(tomllib.loads(text_files.read_text(path)))
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise PluginError(f"{path}: {key}: {first['msg'].removeprefix('Value error, ')}") from error
    except (OSError, ValueError, RecursionError) as error:
        raise PluginError(f"{path} can't be read: {error}") from error


def read_user() -> UserRegistry:
    """Return the user's registry, an empty one if the file does not exist; PluginError if it can't be read."""
    try:
        path = user_path()
    except InstallationError:
        return UserRegistry()  # without a home folder there is none
    if not os.path.lexists(path):
        return UserRegistry()
    try:
        return read_registry(path, UserRegistry)
    except PluginError as error:
        paths_to_move = f"{shell_word(path)} {shell_word(f'{path}.broken')}"
        raise PluginError(f"{error}. Repair that file, or start with an empty registry: mv {paths_to_move}") from error


def change_user(change: Callable[[UserRegistry], UserRegistry]) -> UserRegistry:
    """Replace the user's registry atomically by the result of `change`, and return that.

    `change` may be called twice: the registry is read again after other processes have changed it.

    Raises:
        PluginError: the present registry can't be read; it is not changed.
        OutputError: the registry can't be written, or another process does not finish writing it.
    """
    user = read_user()
    if change(user) == user:
        return user
    # Some users keep their configuration elsewhere and link to it; the link stays.
    path = user_path().resolve()
    try:
        files.ensure_folder(path.parent)
        with locks.hold_lock(path.with_name(f".{path.name}.lock"), wait_seconds=LOCK_SECONDS):
            changed = change(read_user())
            files.write_text(path, HEADER + tomli_w.dumps(changed.model_dump(mode="json", exclude_defaults=True)))
    except locks.BusyError:
        raise OutputError(f"{files.printable(path)} is being changed by another process. Try again later.") from None
    except OutputError as error:
        raise OutputError(f"{error}. The environment variable TOOLBOX_HOME names the folder of the registry") from error
    return changed


def with_file(user: UserRegistry, name: str, file: Path) -> UserRegistry:
    """Return the registry with one more plugin file, enabled; UsageError if the name or the file is there already."""
    for entry in user.files:
        if name == entry.name or file == entry.file:
            raise UsageError(f"{entry.file} is already added as '{entry.name}'. See `toolbox plugins`")
    added = [*user.files, UserFile(name=name, file=file)]
    return with_enabled(user, name, enabled=True).model_copy(update={"files": added})


def is_same_file(first: Path, second: Path) -> bool:
    """Return whether two paths lead to one file, also by links; False if one does not exist."""
    try:
        return first.samefile(second)
    except OSError:
        return False


def without_file(user: UserRegistry, name: str) -> UserRegistry:
    """Return the registry without the plugin file `name`, and without an entry that disables it."""
    remaining = [file for file in user.files if file.name != name]
    return with_enabled(user, name, enabled=True).model_copy(update={"files": remaining})


def with_enabled(user: UserRegistry, name: str, *, enabled: bool, ships_disabled: bool = False) -> UserRegistry:
    """Return the registry with a plugin enabled or disabled.

    Args:
        user: the registry before.
        name: the plugin.
        enabled: whether the plugin is to be enabled.
        ships_disabled: whether it is a bundle that is disabled by default, so that the registry must list it as
            enabled.
    """

    def with_member(names: list[str], is_member: bool) -> list[str]:
        if is_member == (name in names):
            return names
        return [*names, name] if is_member else [other for other in names if other != name]

    update = {
        "disabled": with_member(user.disabled, not enabled),
        "enabled": with_member(user.enabled, enabled and ships_disabled),
    }
    return user.model_copy(update=update)


def read() -> Registries:
    """Return both registries. If the user's can't be read, it is empty and `user_fault` says why."""
    names = os.environ.get("TOOLBOX_DISABLE", "").split(",")
    try:
        user, fault = read_user(), ""
    except PluginError as error:
        user, fault = UserRegistry(), str(error)
    return Registries(
        shipped=read_registry(shipped_path(), Registry),
        user=user,
        user_fault=fault,
        disabled_by_environment=frozenset(name.strip() for name in names if name.strip()),
    )
