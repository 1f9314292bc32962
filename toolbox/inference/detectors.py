"""Look up a detector by its name, or that of a recipe."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import cast

import numpy as np

from toolbox.color import is_gray
from toolbox.config.binding import bind_component
from toolbox.config.plan import BoundComponent, Plan
from toolbox.errors import UsageError, unknown_name
from toolbox.hooks.catalog import Catalog
from toolbox.hooks.specs import DetectorSpec
from toolbox.masks.detectors import PAINTED_SHAPE, LoadedDetector
from toolbox.models.build import build_component
from toolbox.models.stored_weights import find_weights
from toolbox.models.weights import read_plan

# The detector of `toolbox restore --repair` and `toolbox mask --damage`.
DAMAGE_DETECTOR = "print-damage"


def find_detector(name: str, catalog: Catalog, params: Mapping[str, object] | None = None) -> LoadedDetector:
    """Return the detector of that name, with these params or the default ones.

    Raises:
        UsageError: there is no such detector; the message has the choices.
        RecipeError: a param is not known or not valid.
    """
    if name not in catalog.names("detector"):
        raise UsageError(unknown_name("detector", name, catalog.names("detector"), "toolbox list detectors"))
    return _load(bind_component(catalog, "detector", name, params or {}))


def damage_spec(catalog: Catalog) -> DetectorSpec | None:
    """Return the spec of the detector of damage; None if it is not installed."""
    if DAMAGE_DETECTOR not in catalog.names("detector"):
        return None
    return cast(DetectorSpec, catalog.find("detector", DAMAGE_DETECTOR).spec)


def damage_kinds(catalog: Catalog) -> tuple[str, ...]:
    """Return the kinds of the detector of damage, in the order of their numbers; empty if none is installed."""
    spec = damage_spec(catalog)
    return () if spec is None else spec.kinds


def damage_detector(repair: bool | Mapping[str, object], catalog: Catalog) -> LoadedDetector | None:
    """Return the detector of damage for the argument `repair`: False, True, or the params of the detector."""
    if repair is False:
        return None
    if repair is not True and not isinstance(repair, Mapping):
        raise UsageError(f"repair is {repair!r}; it must be True, False, or the params of the detector.")
    params = {} if repair is True else dict(repair)
    if isinstance(kinds := params.get("kinds"), str):  # as on the command line
        params["kinds"] = [kind.strip() for kind in kinds.split(",")]
    known = damage_kinds(catalog)
    for kind in cast(Iterable[str], params.get("kinds", ())):
        if known and kind not in known:
            raise UsageError(unknown_name("kind of damage", kind, known, "toolbox show detector print-damage"))
    return find_detector(DAMAGE_DETECTOR, catalog, params)


def recipe_detector(plan: Plan) -> LoadedDetector | None:
    """Return the detector that a recipe names; None if it names none."""
    bound = next(iter(plan.components["detector"]), None)
    return None if bound is None else _load(bound)


def weights_detector(weights: str | Path, catalog: Catalog) -> LoadedDetector | None:
    """Return the detector that the recipe of weights names; errors as `load_restorer`."""
    return recipe_detector(read_plan(find_weights(weights, catalog), catalog, for_restoring=True))


def _load(bound: BoundComponent) -> LoadedDetector:
    spec = cast(DetectorSpec, bound.spec)
    detect = build_component(bound, fresh=False)
    return LoadedDetector(
        name=spec.name, detect=detect, gray_only=spec.gray_only, translucent=spec.translucent, entry=bound.entry
    )


def default_mask(image: np.ndarray, detector: LoadedDetector | None = None) -> np.ndarray:
    """Return the lost part of a photograph that a detector finds, (H, W) bool.

    A detector for gray photographs finds nothing in a colour one. One channel, or three equal ones, are gray.
    """
    detector = detector or PAINTED_SHAPE
    image = image_to_search(image)
    if image.ndim == 3 and detector.gray_only:
        return np.zeros(image.shape[:2], bool)
    return detector(image).mask


def image_to_search(image: np.ndarray) -> np.ndarray:
    """Return an image (H, W) or (H, W, 3), uint8 or uint16, as a detector takes it: 8 bits, and one channel of gray."""
    if image.ndim == 3 and is_gray(image):
        image = image[..., 0]
    if image.dtype == np.uint16:
        image = (image >> 8).astype(np.uint8)
    return np.ascontiguousarray(image)
