"""TOML to `Recipe`: names and raw params, with inheritance by `extends` and overrides by `--set`.

Nothing is validated here but the syntax; `toolbox.config.plan` types every leaf and reports all faults at once.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomli_w

from toolbox.errors import UsageError
from toolbox.hooks.specs import RESERVED

Tree = dict[str, Any]

# Tables that each hold one component, and tables that hold one component a key.
SINGLE = ("generator", "discriminator")
MANY = ("losses", "penalties", "degradations", "metrics")


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """A recipe's name and its tables after `extends` and `--set`, not yet validated."""

    name: str
    tree: Tree


# Where the keys of the `sample` table take effect when a run uses the sample photographs.
SAMPLE = {"size": "data", "repeat": "data", "epochs": "training", "batch": "training"}


def read(reference: str, find: Callable[[str], Path], overrides: Sequence[str] = (), *, sample: bool = False) -> Recipe:
    """Read a recipe, what it extends, and apply overrides.

    Args:
        reference: a recipe's name, or a path that ends in ``.toml``.
        find: gives the file of a recipe's name; raises UsageError if it is not known.
        overrides: ``generator.optimizer.lr=2e-4`` and so on, the values in TOML; bare words are strings.
        sample: whether the run uses the sample photographs, so that the `sample` table takes effect, under
            the overrides.

    Raises:
        UsageError: a file that is missing or not TOML, a circle of `extends`, an override without ``=``.
    """
    path = locate(reference, find)
    tree = _inherit(path, find, ())
    for override in overrides:
        _override(tree, override)
    if sample and isinstance(tree.get("sample"), dict):
        for key in SAMPLE.keys() & tree["sample"].keys():
            tree = merge(tree, {SAMPLE[key]: {key: tree["sample"][key]}})
        for override in overrides:
            _override(tree, override)
    return Recipe(name=path.stem, tree=tree)


def locate(reference: str, find: Callable[[str], Path], beside: Path | None = None) -> Path:
    """Return the file of a recipe's name or path; a relative path is taken from `beside`."""
    if not reference.endswith(".toml"):
        return find(reference)
    path = (beside or Path()) / reference
    if not path.is_file():
        raise UsageError(f"There is no recipe file {path}. See `toolbox list recipes` for the ones by name.")
    return path


def parse(text: str, origin: str) -> Tree:
    """Parse TOML; UsageError with the line where it is wrong."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{origin} is not valid TOML: {error}") from error
    except RecursionError as error:
        raise UsageError(f"{origin} is not valid TOML: its brackets go too deep") from error


def dump(tree: Mapping[str, Any]) -> str:
    """Return the tables as TOML."""
    return tomli_w.dumps(tree)


def _inherit(path: Path, find: Callable[[str], Path], chain: tuple[Path, ...]) -> Tree:
    if path in chain:
        circle = " -> ".join(p.name for p in (*chain, path))
        raise UsageError(f"Recipes extend each other in a circle: {circle}. Take one `extends` out.")
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"Recipe {path} can't be read: {error}") from error
    tree = parse(text, f"Recipe {path}")
    parent = tree.pop("extends", None)
    if parent is None:
        return tree
    if not isinstance(parent, str):
        raise UsageError(f"Recipe {path}: extends is the name or the path of one recipe, a string.")
    base = _inherit(locate(parent, find, path.parent), find, (*chain, path))
    return merge(base, tree)


def merge(base: Tree, change: Mapping[str, Any], label: str = "") -> Tree:
    """Return `base` with `change` on top, table by table.

    A table that names another component than the one it inherits keeps what belongs to its place (weight,
    optimizer, …) and drops the inherited params, which were the other component's. Another optimizer or schedule
    starts anew.
    """
    named = change.get("name")
    if named is not None and named != base.get("name", label):
        place = () if label in ("optimizer", "schedule") else RESERVED
        base = {key: value for key, value in base.items() if key in place}
    merged = dict(base)
    for key, value in change.items():
        below = merged.get(key)
        both = isinstance(value, dict) and isinstance(below, dict)
        merged[key] = merge(below, value, key) if both else value  # type: ignore[arg-type]
    return merged


def _override(tree: Tree, text: str) -> None:
    key, sign, value = text.partition("=")
    places = [place.strip() for place in key.split(".")]
    if not sign or not all(places):
        raise UsageError(f"--set {text}: write KEY=VALUE, as in --set generator.optimizer.lr=2e-4")
    change: Any = _value(value.strip())
    for place in reversed(places):
        change = {place: change}
    merged = merge(tree, change)
    tree.clear()
    tree.update(merged)


def _value(text: str) -> Any:  # noqa: ANN401 - any TOML value
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text
