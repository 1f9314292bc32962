"""Build the additional figures: the metrics that are installed, and LPIPS."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from toolbox.config.binding import bind_component
from toolbox.config.plan import BoundComponent
from toolbox.errors import RecipeError
from toolbox.evaluation.figures import ORDER, ExtraFigures
from toolbox.evaluation.lpips import Lpips
from toolbox.hooks.catalog import Catalog
from toolbox.models.samples import build_metrics


def build_extra_figures(
    catalog: Catalog, lpips: Path | None = None, of_recipe: Sequence[BoundComponent] = ()
) -> ExtraFigures:
    """Return the metrics of a recipe by label, then all others that are installed, by name, with default params.

    Args:
        catalog: the installed components.
        lpips: the file with the weights of LPIPS; None: it is not measured.
        of_recipe: the metrics of a recipe.

    Raises:
        WeightsError: the file of LPIPS can't be used.
        PluginError: a metric can't be built.
    """
    bound, notes = list(of_recipe), []
    used = {component.spec.name for component in bound}
    for name in catalog.names("metric"):
        if name not in used and name not in ORDER:
            try:
                bound.append(bind_component(catalog, "metric", name, {}))
            except RecipeError as error:
                notes.append(f"The metric '{name}' is left out: {error.faults[0]}")
    return ExtraFigures(
        lpips=None if lpips is None else Lpips(lpips),
        metrics=build_metrics([component for component in bound if component.label not in ORDER]),
        notes=tuple(notes),
    )
