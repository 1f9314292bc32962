"""The plan: a recipe after `toolbox.config.binding`. Every name is looked up, and every value has its type."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import cast

from pydantic import BaseModel

from toolbox.config.component_options import NetworkOptions
from toolbox.config.recipe import Tree
from toolbox.config.settings import SampleSet, Settings, Table
from toolbox.errors import Fault, RecipeError, ToolboxError, named, one_line
from toolbox.hooks.catalog import Entry
from toolbox.hooks.kinds import RECIPE_TABLES
from toolbox.hooks.params import Params
from toolbox.hooks.specs import ComponentSpec, DegradationSpec, StepSpec


@dataclass(frozen=True, kw_only=True)
class BoundComponent:
    """One component of a plan, ready to be built.

    Attributes:
        label: its key in the recipe, unique in its table.
        entry: its spec and where it comes from.
        params: its params.
        options: what the recipe sets for it besides its params: weight and so on.
        children: the components among its params, by the name of the field.
        attached: the components that have a table of their own in its table, by kind: a network's optimizer and
            schedule.
    """

    label: str
    entry: Entry
    params: Params
    options: Table
    children: Mapping[str, BoundComponent] = field(default_factory=dict)
    attached: Mapping[str, BoundComponent] = field(default_factory=dict)

    @property
    def spec(self) -> ComponentSpec:
        """The component's spec."""
        return cast(ComponentSpec, self.entry.spec)

    @property
    def detach_param(self) -> str:
        """The name of a param, `detach` or `detach_…`, that is true, here or below; empty if there is none.

        Such a param says that a loss, or a part of it, gives no gradient on purpose.
        """
        names = (
            name
            for bound in self.walk()
            for name in type(bound.params).model_fields
            if (name == "detach" or name.startswith("detach_")) and getattr(bound.params, name) is True
        )
        return next(names, "")

    def walk(self) -> Iterator[BoundComponent]:
        """Yield this component, then those among its params and those attached to it, recursively."""
        yield self
        for child in (*self.children.values(), *self.attached.values()):
            yield from child.walk()


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Everything that a run needs to know.

    Attributes:
        name: the name of the recipe.
        settings: the tables that hold no component.
        components: the components by kind, each kind in the order of the recipe. Every kind that recipes name has an
            entry, also if the recipe has no such component.
        warnings: what is allowed but unusual, one line each.
    """

    name: str
    settings: Settings
    components: Mapping[str, tuple[BoundComponent, ...]]
    warnings: tuple[str, ...]

    @property
    def generator(self) -> BoundComponent:
        """The generator."""
        return self.components["generator"][0]

    @property
    def discriminator(self) -> BoundComponent | None:
        """The discriminator, or None."""
        return next(iter(self.components["discriminator"]), None)

    @property
    def losses(self) -> tuple[BoundComponent, ...]:
        """The losses, in the order of the recipe."""
        return self.components["loss"]

    @property
    def penalties(self) -> tuple[BoundComponent, ...]:
        """The penalties on the discriminator, in the order of the recipe."""
        return self.components["penalty"]

    @property
    def degradations(self) -> tuple[BoundComponent, ...]:
        """The degradations, in the order in which they are applied."""
        return self.components["degradation"]

    @property
    def step(self) -> StepSpec:
        """The spec of the training step."""
        return cast(StepSpec, self.components["step"][0].spec)

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of damage that the degradations label, in the order of the recipe."""
        specs = [cast(DegradationSpec, bound.spec) for bound in self.degradations]
        return tuple(dict.fromkeys(kind for spec in specs for kind in spec.kinds))

    @property
    def source(self) -> BoundComponent | None:
        """Where the photographs come from; None for data folders."""
        return next(iter(self.components["source"]), None)

    @property
    def metrics(self) -> tuple[BoundComponent, ...]:
        """The metrics that are reported beside the score, in the order of the recipe."""
        return self.components["metric"]

    @property
    def initial(self) -> dict[str, str]:
        """What the networks of a new run start from, by "generator" and "discriminator"; those without `init` left out.

        See `toolbox.models.initial`.
        """
        networks = [component for kind in ("generator", "discriminator") for component in self.components[kind]]
        options = {network.entry.kind: cast(NetworkOptions, network.options) for network in networks}
        return {kind: network.init for kind, network in options.items() if network.init}

    def walk(self) -> Iterator[BoundComponent]:
        """Yield every component, also those among params and those attached to others, ordered by kind."""
        for components in self.components.values():
            for component in components:
                yield from component.walk()

    def with_absolute_paths(self) -> Plan:
        """Return the plan with an absolute `split.validation_data`, so that a run can be continued from any folder."""
        split = self.settings.split
        if not split.validation_data:
            return self
        split = split.model_copy(update={"validation_data": os.path.abspath(split.validation_data)})
        return replace(self, settings=self.settings.model_copy(update={"split": split}))

    def without_sample(self) -> Plan:
        """Return the plan without its table `sample`, whose values are in other tables if a run uses the sample."""
        return replace(self, settings=self.settings.model_copy(update={"sample": SampleSet()}))

    def check(self) -> None:
        """Call the `check` of every spec, which may import torch; RecipeError with all faults."""
        faults = []
        for component in self.walk():
            if component.spec.check is not None:
                try:
                    component.spec.check(component.params)
                except ToolboxError:
                    raise
                except (Exception, SystemExit) as error:  # ValueError is the contract; a plugin may raise anything
                    text = one_line(error) if isinstance(error, ValueError) else f"its check raised {named(error)}"
                    faults.append(Fault(location=component.label, message=text))
        if faults:
            raise RecipeError(self.name, faults)

    def tree(self, *, include_initial: bool = True) -> Tree:
        """Return the bound recipe with every value explicit, ready for `toolbox.config.recipe.dump`.

        With `include_initial` False, it does not say which weights a run starts from.
        """
        tree = _dump_model(self.settings)
        tree["requires"] = {
            component.entry.plugin: component.entry.origin
            for component in self.walk()
            if component.entry.plugin != "default"
        }
        for table, kind in RECIPE_TABLES.items():
            trees = {
                component.label: _component_tree(component, include_initial) for component in self.components[kind.name]
            }
            tree[table] = trees if kind.holds_many else next(iter(trees.values()), {})
        return {key: value for key, value in tree.items() if value not in ({}, "")}


def _dump_model(model: BaseModel) -> Tree:
    return model.model_dump(mode="json", exclude_none=True)


def _component_tree(component: BoundComponent, include_initial: bool) -> Tree:
    omitted = ("enabled",) if include_initial else ("enabled", "init", *component.spec.initial)
    values = _dump_model(component.params) | _dump_model(component.options)
    inner = {**component.children, **component.attached}
    children = {key: _component_tree(child, include_initial) for key, child in inner.items()}
    return (
        {"name": component.spec.name} | {key: value for key, value in values.items() if key not in omitted} | children
    )
