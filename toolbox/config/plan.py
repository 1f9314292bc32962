"""`bind(recipe, catalog)` gives a frozen `Plan`: every name resolved, every param typed.

Every fault is reported at once, each with its place, the choices and the nearest name. `toolbox.config.messages` does
the wording.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from pydantic import BaseModel, ValidationError

from toolbox.config.messages import explain_validation_error
from toolbox.config.recipe import MANY, SINGLE, Recipe, Tree
from toolbox.config.settings import Generator, LossTerm, Network, PenaltyTerm, Plain, Section, Settings
from toolbox.errors import Fault, RecipeError, UsageError, did_you_mean
from toolbox.hooks.catalog import Catalog, Entry
from toolbox.hooks.specs import GeneratorSpec, LossSpec, Params, Ref, Spec

# What the recipe itself says of the components in a table, and the kind that the table holds.
TABLES: dict[str, tuple[str, type[Section]]] = {
    "generator": ("generator", Generator),
    "discriminator": ("discriminator", Network),
    "losses": ("loss", LossTerm),
    "penalties": ("penalty", PenaltyTerm),
    "degradations": ("degradation", Plain),
    "metrics": ("metric", Plain),
}


@dataclass(frozen=True, kw_only=True)
class Bound:
    """One component of a plan, ready to be built.

    Attributes:
        label: its key in the recipe, unique in its table.
        entry: its spec and where it comes from.
        params: its params, typed.
        section: what the recipe says of it besides its params (weight, optimizer, ...), typed.
        children: the components among its params, by the field's name.
    """

    label: str
    entry: Entry
    params: Params
    section: Section
    children: Mapping[str, Bound] = field(default_factory=dict)

    @property
    def spec(self) -> Spec:
        """The component's spec."""
        return cast(Spec, self.entry.spec)

    def family(self) -> Iterator[Bound]:
        """Yield this component and, below it, those among its params."""
        yield self
        for child in self.children.values():
            yield from child.family()


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Everything that a run needs to know, frozen.

    Attributes:
        name: the recipe's name.
        settings: the tables that hold no component.
        generator: the generator.
        discriminator: the discriminator, or None.
        losses: the losses, in the order of the recipe.
        penalties: the penalties on the discriminator.
        degradations: the degradations, in the order in which they are applied.
        metrics: the figures beside the score.
        warnings: what is allowed but should be known, a line each.
    """

    name: str
    settings: Settings
    generator: Bound
    discriminator: Bound | None
    losses: tuple[Bound, ...]
    penalties: tuple[Bound, ...]
    degradations: tuple[Bound, ...]
    metrics: tuple[Bound, ...]
    warnings: tuple[str, ...]

    def components(self) -> Iterator[Bound]:
        """Yield every component, those among params too."""
        tops = [self.generator, self.discriminator, *self.losses, *self.penalties]
        for top in [*tops, *self.degradations, *self.metrics]:
            if top is not None:
                yield from top.family()

    def check(self) -> None:
        """Run every spec's own check; RecipeError with all that they say. May import torch and more."""
        faults = []
        for bound in self.components():
            if bound.spec.check is not None:
                try:
                    bound.spec.check(bound.params)
                except ValueError as error:
                    faults.append(Fault(location=bound.label, message=" ".join(str(error).split())))
        if faults:
            raise RecipeError(self.name, faults)

    def tree(self, *, initial: bool = True) -> Tree:
        """Return the recipe as bound, every value explicit; `initial` False leaves out which weights it starts from."""
        tree = _plain(self.settings)
        tree["requires"] = {
            bound.entry.plugin: bound.entry.origin for bound in self.components() if bound.entry.plugin != "default"
        }
        for single in SINGLE:
            bound = getattr(self, single)
            if bound is not None:
                tree[single] = _written(bound, initial)
        for many in MANY:
            tree[many] = {bound.label: _written(bound, initial) for bound in getattr(self, many)}
        return {key: value for key, value in tree.items() if value not in ({}, "")}


def _plain(model: BaseModel) -> Tree:
    return model.model_dump(mode="json", exclude_none=True)


def _written(bound: Bound, initial: bool) -> Tree:
    left_out = ("enabled",) if initial else ("enabled", "init", *bound.spec.initial)
    params = {key: value for key, value in _plain(bound.params).items() if key not in left_out}
    place = {key: value for key, value in _plain(bound.section).items() if key not in left_out}
    children = {key: _written(child, initial) for key, child in bound.children.items()}
    return {"name": bound.spec.name} | params | place | children


@dataclass(kw_only=True)
class _Binder:
    """Collects faults and warnings while the tables are bound."""

    catalog: Catalog
    requires: Mapping[str, object]
    faults: list[Fault] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def fault(self, place: str, message: str) -> None:
        self.faults.append(Fault(location=place, message=message))

    def typed(self, model: type[BaseModel], raw: Mapping[str, Any], place: str, owner: str) -> Any:  # noqa: ANN401
        """Return `raw` as `model`, or None with the faults noted.

        It goes through JSON because pydantic is strict there and still takes a list for a tuple.
        """
        try:
            return model.model_validate_json(json.dumps(raw, default=str), strict=True)
        except ValidationError as error:
            self.faults.extend(explain_validation_error(error, model, place, owner))
            return None

    def component(
        self,
        kind: str,
        raw: Any,  # noqa: ANN401 - whatever the file holds
        place: str,
        label: str,
        section: type[Section],
    ) -> Bound | None:
        """Bind one component's table; None where it is switched off or has faults."""
        if not isinstance(raw, dict):
            self.fault(place, f"is {raw!r}, not a table; write [{place}]")
            return None
        raw = dict(raw)
        name = raw.pop("name", label)
        if raw.get("enabled") is False:
            return None
        own = {key: raw.pop(key) for key in section.model_fields.keys() & raw.keys()}
        settings = self.typed(section, own, place, f"{kind} '{name}'")
        try:
            entry = self.catalog.find(kind, str(name))
        except UsageError as error:
            self.fault(f"{place}.name" if name != label else place, str(error) + self._absent())
            return None
        spec = cast(Spec, entry.spec)
        params = self.typed(spec.params, raw, place, f"{kind} '{name}'")
        if params is None or settings is None:
            return None
        children = {}
        for key in spec.params.model_fields:
            value = getattr(params, key)
            if isinstance(value, Ref):
                child = self.component(value.kind, value.model_dump(), f"{place}.{key}", value.name, Plain)
                if child is not None and getattr(child.spec, "role", "") == "adversarial":
                    self.fault(f"{place}.{key}", f"'{child.spec.name}' is adversarial; it takes a reconstruction loss")
                elif child is not None:
                    children[key] = child
        if spec.warn is not None and (line := spec.warn(params)):
            self.warnings.append(f"{place}: {line}")
        return Bound(label=label, entry=entry, params=params, section=settings, children=children)

    def _absent(self) -> str:
        """Say which plugins the recipe needs that are not here."""
        working = {record.name for record in self.catalog.plugins if record.status == "ok"}
        absent = [
            f"'{name}' ({origin})" if origin else f"'{name}'"
            for name, origin in self.requires.items()
            if name not in working
        ]
        if not absent:
            return ""
        return f" The recipe needs the plugin {', '.join(absent)}, not here: pip install it; see `toolbox plugins`."


def bind_component(catalog: Catalog, kind: str, name: str, raw: Mapping[str, Any]) -> Bound:
    """Bind one component by itself, outside of any recipe, with the params `raw`.

    Raises:
        RecipeError: with every fault of the params and of the components among them.
    """
    binder = _Binder(catalog=catalog, requires={})
    bound = binder.component(kind, {**raw, "name": name}, name, name, Plain)
    if bound is None or binder.faults:
        raise RecipeError(f"{kind} {name}", binder.faults)
    return bound


def bind(recipe: Recipe, catalog: Catalog) -> Plan:
    """Resolve every name of `recipe` in `catalog` and type every param.

    Raises:
        RecipeError: with every fault that there is.
    """
    tree = dict(recipe.tree)
    requires = tree.get("requires")
    binder = _Binder(catalog=catalog, requires=requires if isinstance(requires, dict) else {})
    tables = {key: tree.pop(key, {}) for key in TABLES}
    known = [*Settings.model_fields, *TABLES, "extends"]
    for key in [key for key in tree if key not in Settings.model_fields]:
        binder.fault(key, f"is not a key of recipes.{did_you_mean(key, known)} Known: {', '.join(sorted(known))}")
        del tree[key]
    settings = binder.typed(Settings, tree, "", "recipes")

    single: dict[str, Bound | None] = {}
    for key in SINGLE:
        kind, section = TABLES[key]
        single[key] = None
        if tables[key] and isinstance(tables[key], dict) and "name" not in tables[key]:
            binder.fault(key, f"has no name. Known: {', '.join(catalog.names(kind))}")
        elif tables[key]:
            single[key] = binder.component(kind, tables[key], key, key, section)
    many: dict[str, tuple[Bound, ...]] = {}
    for key in MANY:
        kind, section = TABLES[key]
        if not isinstance(tables[key], dict):
            binder.fault(key, f"is not a table; write [{key}.NAME] for each")
            tables[key] = {}
        bound = [binder.component(kind, raw, f"{key}.{label}", label, section) for label, raw in tables[key].items()]
        many[key] = tuple(item for item in bound if item is not None)

    if not tables["generator"]:
        binder.fault("generator", f"is missing. Known: {', '.join(catalog.names('generator'))}")
    if not binder.faults:
        _agree(binder, cast(Bound, single["generator"]), single["discriminator"], many)
    if binder.faults:
        raise RecipeError(recipe.name, binder.faults)
    return Plan(
        name=recipe.name,
        settings=settings,
        generator=cast(Bound, single["generator"]),
        discriminator=single["discriminator"],
        losses=many["losses"],
        penalties=many["penalties"],
        degradations=many["degradations"],
        metrics=many["metrics"],
        warnings=tuple(binder.warnings),
    )


def _agree(
    binder: _Binder, generator: Bound, discriminator: Bound | None, many: Mapping[str, tuple[Bound, ...]]
) -> None:
    """Note where components that are fine by themselves do not fit together."""
    outputs = ("restored", *cast(GeneratorSpec, generator.spec).auxiliary)
    roles = {bound.label: cast(LossSpec, bound.spec).role for bound in many["losses"]}
    if not many["losses"]:
        binder.fault("losses", "is empty, so that nothing would train; see `toolbox list losses`")
    for bound in many["losses"]:
        place = cast(LossTerm, bound.section)
        if roles[bound.label] == "adversarial":
            if discriminator is None:
                binder.fault(f"losses.{bound.label}", "is adversarial and needs a [discriminator]")
            if place.on != "restored":
                binder.fault(f"losses.{bound.label}.on", "an adversarial loss looks at what is restored only")
        elif place.on not in outputs:
            binder.fault(
                f"losses.{bound.label}.on",
                f"'{place.on}' is not an output of generator '{generator.spec.name}'. Known: {', '.join(outputs)}",
            )
    if discriminator is None and many["penalties"]:
        binder.fault("penalties", "there is no [discriminator] for them to hold in check")
    if discriminator is not None and "adversarial" not in roles.values():
        binder.warnings.append("discriminator: no adversarial loss uses it, so it does not train")
