"""Binding: `bind(recipe, catalog)` returns a `Plan`, or raises one error with all faults of the recipe."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, cast

from pydantic import BaseModel, ValidationError

from toolbox.config.combination import check_combination
from toolbox.config.component_options import ComponentOptions, RefOptions, options_class
from toolbox.config.messages import explain_validation_error, shown
from toolbox.config.plan import BoundComponent, Plan
from toolbox.config.recipe import Recipe, Tree
from toolbox.config.settings import Settings, Table
from toolbox.config.value_faults import find_value_faults
from toolbox.errors import Fault, RecipeError, UsageError, did_you_mean, named
from toolbox.hooks.catalog import Catalog
from toolbox.hooks.kinds import RECIPE_TABLES, RESTORING_KINDS, Kind, attached_kinds
from toolbox.hooks.params import Params, Ref
from toolbox.hooks.record_names import RESERVED_FIGURES
from toolbox.hooks.specs import NETWORK_FILL, ComponentSpec, LossSpec

# The tables that restoring needs. The others describe a training, and their plugins need not be installed.
RESTORING_TABLES = ("generator", "step")


def bind(recipe: Recipe, catalog: Catalog, *, for_restoring: bool = False) -> Plan:
    """Look up every name of `recipe` in `catalog` and validate every value.

    Args:
        recipe: the recipe.
        catalog: the installed components.
        for_restoring: whether to leave out what only a training needs: losses, optimizers and the like.

    Raises:
        RecipeError: with all faults, each with its key, the choices and the most similar name.
    """
    tree = dict(recipe.tree)
    requires = tree.get("requires")
    binder = _Binder(catalog=catalog, requires=requires if isinstance(requires, dict) else {})
    tables = {table: tree.pop(table, {}) for table in RECIPE_TABLES}
    if for_restoring:
        tables = {table: _without_training(raw) if table in RESTORING_TABLES else {} for table, raw in tables.items()}
    if tree.pop("extends", None) is not None:
        binder.add_fault("extends", "is only read at the top of a recipe file; write it there")
    known = [*Settings.model_fields, *RECIPE_TABLES, "extends"]
    for key in [key for key in tree if key not in Settings.model_fields]:
        binder.add_fault(key, f"is not a key of recipes.{did_you_mean(key, known)} Known: {', '.join(sorted(known))}")
        del tree[key]
    settings = binder.validate(Settings, tree, "", "recipes")
    components = {}
    for table, kind in RECIPE_TABLES.items():
        bind_table = binder.bind_many if kind.holds_many else binder.bind_single
        components[kind.name] = bind_table(kind, tables[table])
    for kind in RESTORING_KINDS:
        components[kind.name] = binder.bind_restoring(kind, settings)
    if not tables["generator"]:
        binder.add_fault("generator", f"is missing. Known: {', '.join(catalog.names('generator'))}")
    elif not components["generator"] and not binder.faults:
        binder.add_fault("generator.enabled", "is false; a recipe needs a generator")
    if not binder.faults and not for_restoring:
        faults, warnings = check_combination(components, settings.validation.choose_by)
        binder.faults += faults
        binder.warnings += warnings
    if binder.faults:
        raise RecipeError(recipe.name, binder.faults)
    return Plan(name=recipe.name, settings=settings, components=components, warnings=tuple(binder.warnings))


def _without_training(table: Any) -> Any:  # noqa: ANN401 - from the file
    """Return the table of a network without its optimizer and its schedule."""
    if not isinstance(table, dict):
        return table
    attached = {kind.name for kind in attached_kinds("generator")}
    return {key: value for key, value in table.items() if key not in attached}


def bind_component(catalog: Catalog, kind: str, name: str, raw: Mapping[str, Any]) -> BoundComponent:
    """Bind a single component, without a recipe, with the params `raw`.

    Raises:
        RecipeError: with all faults of the params and of the components among them.
    """
    binder = _Binder(catalog=catalog, requires={})
    component = binder.bind_component(kind, {**raw, "name": name}, name, name, ComponentOptions)
    if component is None or binder.faults:
        raise RecipeError(f"{kind} {name}", binder.faults)
    return component


# The form of a label, which is part of file names and of keys in the records of a run.
LABEL = re.compile(r"[^\W\d_][\w-]{0,63}")
# By kind, the labels that would hide other values in the records of a run.
RESERVED_LABELS = {
    "metric": RESERVED_FIGURES,
    "loss": ("g", "d", "on_real", "on_fake", "d_accuracy"),
    "penalty": ("g", "d", "on_real", "on_fake", "d_accuracy"),
}


@dataclass(kw_only=True)
class _Binder:
    """Binds tables, and collects their faults and warnings."""

    catalog: Catalog
    requires: Mapping[str, object]
    faults: list[Fault] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def add_fault(self, location: str, message: str) -> None:
        self.faults.append(Fault(location=location, message=message))

    def validate(
        self, model: type[BaseModel], raw: Mapping[str, Any], location: str, owner: str, options: Iterable[str] = ()
    ) -> Any:  # noqa: ANN401
        """Return `raw` as `model`, or None after adding its faults; see `explain_validation_error`.

        Validation goes through JSON, because there pydantic is strict and still accepts a list for a tuple.
        """
        if faults := find_value_faults(raw, location):
            self.faults.extend(faults)
            return None
        try:
            return model.model_validate_json(json.dumps(raw, default=str), strict=True)
        except ValidationError as error:
            self.faults.extend(explain_validation_error(error, model, location, owner, options))
        except (Exception, SystemExit) as error:  # a validator of a plugin may raise anything
            self.add_fault(location, f"the check of the params of {owner} raised {named(error)}")
        return None

    def bind_single(self, kind: Kind, raw: Any) -> tuple[BoundComponent, ...]:  # noqa: ANN401 - from the file
        """Bind a table that holds one component, as ``[generator]``."""
        if kind.default and isinstance(raw, dict):
            raw = {"name": kind.default, **raw}
        if not raw and not kind.default:
            return ()
        if isinstance(raw, dict) and "name" not in raw:
            self.add_fault(kind.table, f"has no name. Known: {', '.join(self.catalog.names(kind.name))}")
            return ()
        component = self.bind_component(kind.name, raw, kind.table, kind.table, options_class(kind.name))
        return () if component is None else (component,)

    def bind_attached(self, owner: str, raw: Tree, location: str) -> dict[str, BoundComponent]:
        """Bind the components that have a table of their own in `raw`, as ``[generator.optimizer]``; remove them.

        Args:
            owner: the kind of the component that `raw` is the table of.
            raw: the table; changed in place.
            location: its dotted key in the recipe.
        """
        attached = {}
        for kind in attached_kinds(owner):
            table = raw.pop(kind.name, {})
            key = f"{location}.{kind.name}"
            component = self.bind_component(kind.name, table, key, kind.default, options_class(kind.name))
            if component is not None:
                attached[kind.name] = replace(component, label=key)
        return attached

    def bind_many(self, kind: Kind, raw: Any) -> tuple[BoundComponent, ...]:  # noqa: ANN401 - from the file
        """Bind a table that holds several components, as ``[losses.LABEL]``."""
        if not isinstance(raw, dict):
            self.add_fault(kind.table, f"is not a table; write [{kind.table}.NAME] for each")
            return ()
        components = [
            self.bind_component(kind.name, table, f"{kind.table}.{label}", label, options_class(kind.name))
            for label, table in raw.items()
            if self._check_label(kind, label)
        ]
        return tuple(component for component in components if component is not None)

    def _check_label(self, kind: Kind, label: str) -> bool:
        """Return whether a label can be used; add a fault if not. Labels become names in records and of files."""
        reserved = RESERVED_LABELS.get(kind.name, ())
        if label in reserved:
            self.add_fault(
                f"{kind.table}.{label}",
                f"is a name that the records of a run use ({', '.join(reserved)}); choose another label, and write "
                f'name = "{label}" below it if the {kind.name} has that name',
            )
            return False
        if not LABEL.fullmatch(label):
            self.add_fault(
                kind.table,
                f"{shown(label)} is not a label; use up to 64 letters, digits, - and _, beginning with a letter",
            )
            return False
        return True

    def bind_restoring(self, kind: Kind, settings: Settings | None) -> tuple[BoundComponent, ...]:
        """Bind what ``[restoring]`` names of a kind."""
        value = None if settings is None else getattr(settings.restoring, kind.restoring_key)
        refs: tuple[Ref, ...] = value if isinstance(value, tuple) else () if value is None else (value,)
        location = f"restoring.{kind.restoring_key}"
        components = [
            self.bind_component(kind.name, ref.model_dump(), location, ref.name, ComponentOptions)
            for ref in refs
            if ref.name != NETWORK_FILL
        ]
        return tuple(component for component in components if component is not None)

    def bind_component(
        self,
        kind: str,
        raw: Any,  # noqa: ANN401 - from the file
        location: str,
        label: str,
        options_type: type[Table],
    ) -> BoundComponent | None:
        """Bind the table of one component; None if it is disabled or has faults.

        Args:
            kind: its kind.
            raw: its table.
            location: the dotted key of the table in the recipe.
            label: its key in the recipe; the name of the component if the table has none.
            options_type: the options that the table may have besides params.
        """
        if not isinstance(raw, dict):
            self.add_fault(location, f"is {shown(raw)}, not a table; write [{location}]")
            return None
        raw = dict(raw)
        name = raw.pop("name", label)
        if raw.get("enabled") is False and "enabled" in options_type.model_fields:
            if name == label and raw.keys() == {"enabled"} and location.endswith(f".{label}"):
                self._require_known(kind, location, label)
            return None
        # A component among the params of another one has no optimizer of its own.
        attached_names = [] if options_type is not options_class(kind) else [it.name for it in attached_kinds(kind)]
        attached = self.bind_attached(kind, raw, location) if attached_names else {}
        owner = f"{kind} '{name}'"
        raw_options = {key: raw.pop(key) for key in options_type.model_fields.keys() & raw.keys()}
        options = self.validate(options_type, raw_options, location, owner)
        try:
            missing = self._missing_plugins()
            entry = self.catalog.find(kind, str(name), hint=not missing)
        except UsageError as error:
            self.add_fault(f"{location}.name" if name != label else location, str(error) + missing)
            return None
        spec = cast(ComponentSpec, entry.spec)
        other_keys = ("name", *options_type.model_fields, *attached_names)
        params = self.validate(spec.params, raw, location, owner, other_keys)
        if params is None or options is None:
            return None
        children = self._bind_children(params, location)
        try:
            line = None if spec.warn is None else spec.warn(params)
        except (Exception, SystemExit) as error:  # a plugin may raise anything
            self.add_fault(location, f"the warn of {owner} raised {named(error)}")
            return None
        if line:
            self.warnings.append(f"{location}: {line}")
        return BoundComponent(
            label=label, entry=entry, params=params, options=options, children=children, attached=attached
        )

    def _require_known(self, kind: str, location: str, label: str) -> None:
        """Add a fault if a disabled component, whose table has nothing else, is not known: its label is misspelt.

        Not where a plugin is missing or not loaded: it may be one of its components.
        """
        if self._missing_plugins() or any(record.status != "ok" for record in self.catalog.plugins):
            return
        try:
            self.catalog.find(kind, label)
        except UsageError as error:
            self.add_fault(location, f"is disabled, and the recipe has none of this label. {error}")

    def _bind_children(self, params: Params, location: str) -> dict[str, BoundComponent]:
        """Bind the components among the params, by the name of the field."""
        children = {}
        for key in type(params).model_fields:
            ref = getattr(params, key)
            if not isinstance(ref, Ref):
                continue
            child = self.bind_component(ref.kind, ref.model_dump(), f"{location}.{key}", ref.name, RefOptions)
            if child is not None and isinstance(child.spec, LossSpec) and child.spec.role == "adversarial":
                self.add_fault(f"{location}.{key}", f"'{child.spec.name}' is adversarial; use a reconstruction loss")
            elif child is not None:
                children[key] = child
        return children

    def _missing_plugins(self) -> str:
        """Return a sentence that names the plugins that the recipe requires and that are not loaded."""
        records = {record.name: record for record in self.catalog.plugins}
        lines = []
        for name, origin in self.requires.items():
            record = records.get(name)
            if record is None or record.status != "ok":
                remedy = _install_remedy(str(origin)) if record is None else record.how_to_load
                lines.append(f" The recipe needs the plugin '{name}'{f' ({origin})' if origin else ''}, {remedy}.")
        return "".join(lines)


def _install_remedy(origin: str) -> str:
    """Return how to get a plugin that is not loaded; `origin` is its distribution and version, empty for a file."""
    if not origin:
        return "a single file that is not here: toolbox plugin add FILE"
    return f"which is not here: pip install {origin.split()[0]}"
