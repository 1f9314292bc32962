"""Build what makes samples of photographs and measures them: the degradations and the metrics of a recipe."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from toolbox.config.plan import BoundComponent, Plan
from toolbox.data.decoded_cache import open_cache
from toolbox.data.loader import SampleRecipe
from toolbox.hooks.protocols import Degradation, Metric
from toolbox.hooks.specs import DegradationSpec
from toolbox.models.array_calls import DegradationCall, MetricCall
from toolbox.models.build import build_component


def build_degradations(plan: Plan, role: str) -> tuple[Degradation, ...]:
    """Return the plan's degradations with this role ("damage", "augment"), built, in the order of the recipe."""
    chosen = [bound for bound in plan.degradations if cast(DegradationSpec, bound.spec).role == role]
    return tuple(DegradationCall(entry=bound.entry, component=build_component(bound)) for bound in chosen)


def build_metrics(metrics: Sequence[BoundComponent]) -> dict[str, Metric]:
    """Return metrics by label, built."""
    return {bound.label: MetricCall(entry=bound.entry, component=build_component(bound)) for bound in metrics}


def sample_recipe(plan: Plan) -> SampleRecipe:
    """Return how the plan makes samples of photographs, with the cache if the plan has it enabled."""
    return SampleRecipe(
        size=plan.settings.data.size,
        seed=plan.settings.seed,
        zoom=plan.settings.data.zoom,
        cache=open_cache() if plan.settings.data.cache else None,
        damage=build_degradations(plan, "damage"),
        augment=build_degradations(plan, "augment"),
        kinds=plan.kinds,
    )
