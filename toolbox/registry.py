"""The two registries: what ships (`registry.toml`) and what the user added, enabled or disabled.

The user's own lies in the configuration folder (`TOOLBOX_HOME`, or the system's usual place). Code is never
picked up from the working folder unasked: a loose file runs only after `toolbox plugin add FILE`.
"""

from __future__ import annotations

import os
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from toolbox import places
from toolbox.errors import PluginError

M = TypeVar("M", bound=BaseModel)


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
    inside = Path(__file__).with_name("registry.toml")
    return inside if inside.is_file() else Path(__file__).parents[1] / "registry.toml"


def user_path() -> Path:
    """Return the user's registry file, which need not exist."""
    return places.configuration() / "registry.toml"


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
    return _parse(path, UserRegistry) if path.is_file() else UserRegistry()


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
