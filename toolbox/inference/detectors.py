"""Look up a detector by its name, or that of a recipe."""

from __future__ import annotations

from pathlib import Path
from typing import cast

from toolbox.config.binding import bind_component
from toolbox.config.plan import BoundComponent, Plan
from toolbox.errors import UsageError, unknown_name
from toolbox.hooks.catalog import Catalog
from toolbox.hooks.specs import DetectorSpec
from toolbox.masks.detectors import LoadedDetector
from toolbox.models.build import build_component
from toolbox.models.stored_weights import find_weights
from toolbox.models.weights import read_plan


def find_detector(name: str, catalog: Catalog) -> LoadedDetector:
    """Return the detector of that name, with the default params; UsageError with the choices."""
    if name not in catalog.names("detector"):
        raise UsageError(unknown_name("detector", name, catalog.names("detector"), "toolbox list detectors"))
    return _load(bind_component(catalog, "detector", name, {}))


def recipe_detector(plan: Plan) -> LoadedDetector | None:
    """Return the detector that a recipe names; None if it names none."""
    bound = next(iter(plan.components["detector"]), None)
    return None if bound is None else _load(bound)


def weights_detector(weights: str | Path, catalog: Catalog) -> LoadedDetector | None:
    """Return the detector that the recipe of weights names; errors as `load_restorer`."""
    return recipe_detector(read_plan(find_weights(weights, catalog), catalog))


def _load(bound: BoundComponent) -> LoadedDetector:
    spec = cast(DetectorSpec, bound.spec)
    detect = build_component(bound, fresh=False)
    return LoadedDetector(name=spec.name, detect=detect, gray_only=spec.gray_only, entry=bound.entry)
