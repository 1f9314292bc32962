"""The two registries: what ships (`registry.toml`) and what the user added, enabled or disabled.

The user's own lies in the configuration folder (`TOOLBOX_HOME`, or the system's usual place). Code is never
picked up from the working folder unasked: a loose file runs only after `toolbox plugin add FILE`.
"""

from __future__ import annotations

import os
import shlex
import tomllib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import tomli_w
from pydantic import BaseModel, ConfigDict, ValidationError

from toolbox.errors import PluginError
from toolbox.utils import files, paths

M = TypeVar("M", bound=BaseModel)

HEAD = "# Written by `toolbox plugin add, enable, disable, remove`; a comment added here is not kept.\n\n"


class Bundle(BaseModel):
    """A bundle that ships: its name, the module with its hooks, whether it is on."""

    model_config = ConfigDict(extra="forbid")
    name: str
    module: str
    enabled: bool = True


class Weights(BaseModel):
    """Published weights: the file, its hash, its licence, the recipe that they belong to."""

    model_config = ConfigDict(extra="forbid")
    name: str
    file: str
    sha256: str
    licence: str
    recipe: str
    summary: str = ""


class Registry(BaseModel):
    """`registry.toml`, read strictly."""

    model_config = ConfigDict(extra="forbid")
    bundles: list[Bundle] = []
    weights: list[Weights] = []


class UserFile(BaseModel):
    """A loose plugin file that the user added."""

    model_config = ConfigDict(extra="forbid")
    name: str
    file: Path


class UserRegistry(BaseModel):
    """The user's own registry: added files, and names switched off or on."""

    model_config = ConfigDict(extra="forbid")
    files: list[UserFile] = []
    disabled: list[str] = []
    enabled: list[str] = []


@dataclass(frozen=True, kw_only=True)
class Registries:
    """Both registries, and what was wrong with the user's, which never stops the program."""

    shipped: Registry
    user: UserRegistry
    user_fault: str = ""
    disabled_by_environment: frozenset[str] = field(default_factory=frozenset)


def shipped_path() -> Path:
    """Return registry.toml: inside the installed package, or at the top of an editable checkout."""
    inside = Path(__file__).parents[1] / "registry.toml"
    return inside if inside.is_file() else Path(__file__).parents[2] / "registry.toml"


def user_path() -> Path:
    """Return the user's registry file, which need not exist."""
    return paths.config_dir() / "registry.toml"


def _parse(path: Path, model: type[M]) -> M:
    try:
        return model.model_validate(tomllib.loads(path.read_text("utf-8")))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise PluginError(f"{path} can't be read: {error}") from error
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise PluginError(f"{path}: {place}: {first['msg']}") from error


def read_user() -> UserRegistry:
    """Return the user's registry, an empty one if there is none; PluginError if it can't be read."""
    path = user_path()
    if not os.path.lexists(path):
        return UserRegistry()
    try:
        return _parse(path, UserRegistry)
    except PluginError as error:
        aside = f"{shlex.quote(files.printable(path))} {shlex.quote(files.printable(path) + '.broken')}"
        raise PluginError(f"{error}. Mend that file, or start afresh without it: mv {aside}") from error


def change_user(change: Callable[[UserRegistry], UserRegistry]) -> UserRegistry:
    """Replace the user's registry by what `change` makes of it, whole or not at all, and return that.

    Raises:
        PluginError: the registry that is there can't be read; it is left as it is.
        OutputError: it can't be written.
    """
    user = read_user()
    changed = change(user)
    if changed == user:
        return user
    # A link, as people who keep their configuration elsewhere have it, stays a link.
    path = user_path().resolve()
    files.ensure_folder(path.parent)
    files.write_text(path, HEAD + tomli_w.dumps(changed.model_dump(mode="json", exclude_defaults=True)))
    return changed


def with_file(user: UserRegistry, name: str, file: Path) -> UserRegistry:
    """Return the registry with a plugin file more, switched on."""
    added = [*user.files, UserFile(name=name, file=file)]
    return with_switch(user, name, on=True).model_copy(update={"files": added})


def without_file(user: UserRegistry, name: str) -> UserRegistry:
    """Return the registry without the plugin file `name`, and without what was switched for it."""
    others = [one for one in user.files if one.name != name]
    return with_switch(user, name, on=True).model_copy(update={"files": others})


def with_switch(user: UserRegistry, name: str, *, on: bool, shipped_off: bool = False) -> UserRegistry:
    """Return the registry with a plugin switched on or off.

    Args:
        user: the registry as it is.
        name: the plugin.
        on: what to switch it to.
        shipped_off: whether it is a bundle that ships switched off, so that `on` has to be written down.
    """

    def listed(names: list[str], wanted: bool) -> list[str]:
        if wanted == (name in names):
            return names
        return [*names, name] if wanted else [one for one in names if one != name]

    update = {"disabled": listed(user.disabled, not on), "enabled": listed(user.enabled, on and shipped_off)}
    return user.model_copy(update=update)


def read() -> Registries:
    """Return both registries; a broken user's registry is reported in `user_fault` and not used."""
    names = os.environ.get("TOOLBOX_DISABLE", "").split(",")
    try:
        user, fault = read_user(), ""
    except PluginError as error:
        user, fault = UserRegistry(), str(error)
    return Registries(
        shipped=_parse(shipped_path(), Registry),
        user=user,
        user_fault=fault,
        disabled_by_environment=frozenset(name.strip() for name in names if name.strip()),
    )
