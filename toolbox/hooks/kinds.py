"""The kinds of things that plugins supply: one row per kind.

Hooks, catalog, recipe tables, JSON schema and commands all read this table, so a new kind is a new row here, a spec
class, and a row in `toolbox.testing.components` for its conformance checks.
"""

from __future__ import annotations

from dataclasses import dataclass

from toolbox.errors import UsageError, unknown_name
from toolbox.hooks.command_spec import CommandSpec
from toolbox.hooks.file_specs import RecipeSpec, WeightsSpec
from toolbox.hooks.source_spec import SourceSpec
from toolbox.hooks.specs import (
    DegradationSpec,
    DetectorSpec,
    DiscriminatorSpec,
    FillerSpec,
    GeneratorSpec,
    LossSpec,
    MetricSpec,
    ObserverSpec,
    OptimizerSpec,
    PenaltySpec,
    PostprocessorSpec,
    ScheduleSpec,
    Spec,
    StepSpec,
)


@dataclass(frozen=True)
class Kind:
    """One kind of thing that plugins supply.

    Attributes:
        name: the word for one of them, such as "loss".
        plural: the word for several, such as "losses".
        hook: the hook that returns them as a list of specs.
        spec: the class of these specs.
        table: the recipe table that holds them; empty if there is none.
        holds_many: whether that table holds several components, each under a label: ``[losses.LABEL]``.
        restoring_key: the key of the recipe table ``[restoring]`` that names one or several of them; empty if there is
            none.
        per_plugin: whether names are unique only within a plugin; the catalog then has them as ``PLUGIN/NAME``.
        owners: the kinds in whose recipe tables one of this kind has a table of its own: ``[generator.optimizer]``.
        default: the name of the component if a recipe names none.
    """

    name: str
    plural: str
    hook: str
    spec: type[Spec]
    table: str = ""
    holds_many: bool = False
    restoring_key: str = ""
    per_plugin: bool = False
    owners: tuple[str, ...] = ()
    default: str = ""


_NETWORKS = ("generator", "discriminator")

_ROWS = (
    Kind("generator", "generators", "toolbox_generators", GeneratorSpec, table="generator"),
    Kind("discriminator", "discriminators", "toolbox_discriminators", DiscriminatorSpec, table="discriminator"),
    Kind("loss", "losses", "toolbox_losses", LossSpec, table="losses", holds_many=True),
    Kind("penalty", "penalties", "toolbox_penalties", PenaltySpec, table="penalties", holds_many=True),
    Kind("degradation", "degradations", "toolbox_degradations", DegradationSpec, table="degradations", holds_many=True),
    Kind("metric", "metrics", "toolbox_metrics", MetricSpec, table="metrics", holds_many=True),
    Kind("source", "sources", "toolbox_sources", SourceSpec, table="source"),
    Kind("detector", "detectors", "toolbox_detectors", DetectorSpec, restoring_key="detector"),
    Kind("filler", "fillers", "toolbox_fillers", FillerSpec, restoring_key="fill_with"),
    Kind("postprocessor", "postprocessors", "toolbox_postprocessors", PostprocessorSpec, restoring_key="post"),
    Kind("step", "steps", "toolbox_steps", StepSpec, table="step", default="adversarial"),
    Kind("observer", "observers", "toolbox_observers", ObserverSpec, table="observers", holds_many=True),
    Kind("optimizer", "optimizers", "toolbox_optimizers", OptimizerSpec, owners=_NETWORKS, default="adamw"),
    Kind("schedule", "schedules", "toolbox_schedules", ScheduleSpec, owners=_NETWORKS, default="constant"),
    Kind("recipe", "recipes", "toolbox_recipes", RecipeSpec),
    Kind("weights", "weights", "toolbox_weights", WeightsSpec),
    Kind("command", "commands", "toolbox_commands", CommandSpec, per_plugin=True),
)

# By name, in the order in which lists show them.
KINDS = {kind.name: kind for kind in _ROWS}
# By the recipe table that holds them, in the order in which bound recipes are written.
RECIPE_TABLES = {kind.table: kind for kind in _ROWS if kind.table}
# The kinds that `[restoring]` names.
RESTORING_KINDS = tuple(kind for kind in _ROWS if kind.restoring_key)


def attached_kinds(owner: str) -> list[Kind]:
    """Return the kinds that have a table of their own in the recipe table of a component of the kind `owner`."""
    return [kind for kind in _ROWS if owner in kind.owners]


def find_kind(word: str) -> Kind:
    """Return the kind with that name or plural; UsageError with the choices if there is none."""
    for kind in _ROWS:
        if word in (kind.name, kind.plural):
            return kind
    raise UsageError(unknown_name("kind", word, [kind.plural for kind in _ROWS]))
