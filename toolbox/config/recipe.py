"""Reading recipes: TOML files to names and raw values, with inheritance by `extends` and overrides by `--set`.

Only the syntax is checked here. `toolbox.config.binding` validates every value and reports all faults at once.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import tomli_w

from toolbox.config.python_values import plain_value
from toolbox.errors import UsageError
from toolbox.hooks.params import RESERVED_IN_OPTIMIZERS, RESERVED_IN_SCHEDULES, RESERVED_KEYS
from toolbox.utils import text_files

Tree = dict[str, Any]

# The table that each key of the `sample` table overrides when a run uses the sample photographs.
SAMPLE_KEYS = {"size": "data", "repeat": "data", "epochs": "training", "batch": "training"}
# Old names of settings, by table, and their new names. Old recipes, run folders and weight files are read with the new
# names. The old settings were numbers; any other value is a fault of the key as it is written.
RENAMED_KEYS = {("restoring", "fill"): "network_fill_size"}
# Tables inside a component's table that name a component too, and the keys in them that are not its params.
NAMED_TABLES = {"optimizer": RESERVED_IN_OPTIMIZERS, "schedule": RESERVED_IN_SCHEDULES}


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """A recipe: its tables after `extends`, with the changes of `set` or `--set`; not yet validated.

    Attributes:
        name: the name of the recipe.
        tree: its tables.
        changes: the changes, in their order. They are in `tree` already.
        parent: the recipe that it extends; without one, itself before the changes; None if there are no changes.
    """

    name: str
    tree: Tree
    changes: tuple[Tree, ...] = ()
    parent: Recipe | None = None

    @classmethod
    def load(cls, reference: str | os.PathLike[str]) -> Recipe:
        """Read the recipe with this name (`toolbox list recipes`), or the file at a path that ends in ``.toml``.

        Raises:
            UsageError: as `read`.
            TypeError: it is neither.
        """
        from toolbox.hooks import catalog

        if not isinstance(reference, str | os.PathLike):
            raise TypeError(f"a recipe is a name or a path that ends in .toml, not a {type(reference).__name__}")
        return read(os.fspath(reference), lambda name: catalog.load().recipe(name).path)

    def set(self, key: str, value: object) -> Recipe:
        """Return the recipe with one setting changed: ``recipe.set("generator.optimizer.lr", 2e-4)``.

        Args:
            key: the dotted key of the setting. A table as the value changes several settings at once.
            value: a number (also of NumPy), string, path, boolean, list or dict. Training checks it.

        Raises:
            UsageError: what is no key; TypeError: the key is no string.
        """
        if not isinstance(key, str):
            raise TypeError(f"a key is a string such as 'generator.optimizer.lr', not a {type(key).__name__}")
        keys = key.split(".")
        if not all(part.strip() for part in keys):
            raise UsageError(f"'{key}' is not a key of a recipe; write it as generator.optimizer.lr")
        changes: Any = plain_value(value)
        for part in reversed(keys):
            changes = {part.strip(): changes}
        changes = _with_new_names(changes)
        parent = self.parent or self
        return replace(self, tree=merge(self.tree, changes), changes=(*self.changes, changes), parent=parent)

    def for_sample(self) -> Recipe:
        """Return the recipe for the sample photographs.

        Its `sample` table overrides the other tables, and the changes override both.
        """
        table, tree = self.tree.get("sample"), self.tree
        if not isinstance(table, dict):
            return self
        for key in SAMPLE_KEYS.keys() & table.keys():
            tree = merge(tree, {SAMPLE_KEYS[key]: {key: table[key]}})
        for changes in self.changes:
            tree = merge(tree, changes)
        return replace(self, tree=tree, parent=self.parent.for_sample() if self.parent else None)


def read(reference: str, find: Callable[[str], Path], overrides: Sequence[str] = (), *, sample: bool = False) -> Recipe:
    """Read a recipe and those that it extends, and apply overrides.

    Args:
        reference: the name of a recipe, or a path that ends in ``.toml``.
        find: returns the file of a recipe name; raises UsageError for an unknown name.
        overrides: ``generator.optimizer.lr=2e-4`` and so on. The values are TOML; bare words are strings.
        sample: whether the run uses the sample photographs. If so, the `sample` table overrides other tables, and
            `overrides` override both.

    Raises:
        UsageError: a file that is missing or not TOML, recipes that extend each other in a circle, an override
            without ``=``.
    """
    path = locate(reference, find)
    recipe = with_overrides(_read_with_parents(path, find, ()), overrides)
    return recipe.for_sample() if sample else recipe


def with_overrides(recipe: Recipe, overrides: Sequence[str]) -> Recipe:
    """Return a recipe with overrides ``KEY=VALUE``; UsageError for one without ``=``. See `read`."""
    for text in overrides:
        key, sign, value = text.partition("=")
        if not sign or not all(part.strip() for part in key.split(".")):
            raise UsageError(f"--set {text}: write KEY=VALUE, as in --set generator.optimizer.lr=2e-4")
        recipe = recipe.set(key, _parse_value(value.strip()))
    return recipe


def locate(reference: str, find: Callable[[str], Path], folder: Path | None = None) -> Path:
    """Return the file of a recipe's name or path; UsageError if it does not exist. Paths are relative to `folder`."""
    path = (folder or Path()) / reference
    if not reference.endswith(".toml"):
        try:
            return find(reference)
        except UsageError as error:
            if os.path.isfile(f"{path}.toml"):
                raise UsageError(f"{error} There is a file of this name; write {reference}.toml") from error
            raise
    if not path.is_file():
        raise UsageError(f"There is no recipe file {path}. See `toolbox list recipes` for the names of all recipes.")
    return path


def parse(text: str, origin: str) -> Tree:
    """Parse TOML; UsageError with `origin` and the line of the error."""
    try:
        return _with_new_names(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{origin} is not valid TOML: {error}") from error
    except ValueError as error:  # Python reads no integer of more than 4,300 digits
        raise UsageError(f"{origin} is not valid TOML: it has a number with too many digits") from error
    except RecursionError as error:
        raise UsageError(f"{origin} is not valid TOML: its brackets are nested too deeply") from error


def _with_new_names(tree: Tree) -> Tree:
    """Return the tables with old names of settings replaced; if both names are there, the new one counts."""
    for (table, old), new in RENAMED_KEYS.items():
        values = tree.get(table)
        if isinstance(values, dict) and type(values.get(old)) in (int, float):
            renamed = {new: values[old]} | {key: value for key, value in values.items() if key != old}
            tree = {**tree, table: renamed}
    return tree


def dump(tree: Mapping[str, Any]) -> str:
    """Return the tables as TOML."""
    return tomli_w.dumps(tree)


def merge(base: Tree, changes: Mapping[str, Any], label: str = "") -> Tree:
    """Return `base` with `changes` applied, table by table.

    Args:
        base: the inherited tables; not changed.
        changes: the tables that override them. A table that names another component than the inherited one drops the
            inherited params and keeps the options (weight, optimizer, warm-up and so on).
        label: the key of `base` in the table that contains it; it is the component's name if `base` has no `name`.
    """
    name = changes.get("name")
    if name is not None and name != base.get("name", label):
        kept = NAMED_TABLES.get(label, RESERVED_KEYS)
        base = {key: value for key, value in base.items() if key in kept}
    merged = dict(base)
    for key, value in changes.items():
        inherited = merged.get(key)
        are_tables = isinstance(value, dict) and isinstance(inherited, dict)
        merged[key] = merge(inherited, value, key) if are_tables else value  # type: ignore[arg-type]
    return merged


def differences(old: Mapping[str, Any], new: Mapping[str, Any], prefix: str = "") -> dict[str, tuple[Any, Any]]:
    """Return the old and the new value of each setting that differs, by its dotted key; None where it is missing."""
    changed: dict[str, tuple[Any, Any]] = {}
    for key in [*old, *(key for key in new if key not in old)]:
        before, after, dotted = old.get(key), new.get(key), f"{prefix}{key}"
        if isinstance(before, Mapping) and isinstance(after, Mapping):
            changed |= differences(before, after, f"{dotted}.")
        elif before != after:
            changed[dotted] = (before, after)
    return changed


def _read_with_parents(path: Path, find: Callable[[str], Path], children: tuple[Path, ...]) -> Recipe:
    """Return a recipe, its tables merged with those that it extends; `children` are the recipes that extend it."""
    if path in children:
        circle = " -> ".join(p.name for p in (*children, path))
        raise UsageError(f"Recipes extend each other in a circle: {circle}. Remove one `extends`.")
    try:
        text = text_files.read_text(path)
    except (OSError, ValueError) as error:
        raise UsageError(f"Recipe {path} can't be read: {error}") from error
    tree = parse(text, f"Recipe {path}")
    parent = tree.pop("extends", None)
    if parent is None:
        return Recipe(name=path.stem, tree=tree)
    if not isinstance(parent, str):
        raise UsageError(f"Recipe {path}: extends must be a string, the name or the path of one recipe.")
    base = _read_with_parents(locate(parent, find, path.parent), find, (*children, path))
    return Recipe(name=path.stem, tree=merge(base.tree, tree), parent=base)


def _parse_value(text: str) -> Any:  # noqa: ANN401 - any TOML value
    try:
        table = tomllib.loads(f"value = {text}")
        return table["value"] if len(table) == 1 else text  # a second line would be a second setting
    except (ValueError, RecursionError):  # nor are brackets that are nested too deeply, or a number of 4,301 digits
        return text
