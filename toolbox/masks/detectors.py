"""Run a detector of lost regions, and check what it returns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

import numpy as np

from toolbox.color import integer_luma
from toolbox.hooks import blame
from toolbox.hooks.catalog import Entry
from toolbox.hooks.isolated_call import call_isolated
from toolbox.hooks.protocols import Detection, Detector
from toolbox.hooks.specs import DetectorSpec
from toolbox.masks.lost_region import find_lost_region

# A painted shape has one colour: at least this fraction of its pixels has it.
_MIN_SAME_COLOR = 0.99


@dataclass(frozen=True, kw_only=True)
class LoadedDetector:
    """A detector that is ready to use.

    Attributes:
        name: its name.
        detect: the detector.
        gray_only: whether what it finds counts only in a photograph that is gray or toned elsewhere.
        translucent: the kinds of damage under which the picture still shows.
        entry: its entry in the catalog.
    """

    name: str
    detect: Detector
    gray_only: bool = False
    translucent: tuple[str, ...] = ()
    entry: Entry | None = None

    def __call__(self, image: np.ndarray) -> Detection:
        """Return the detection in an image (H, W) or (H, W, 3) uint8.

        Raises:
            PluginError: the detector fails, or returns something else.
        """
        # A copy, because a plugin may write into what it is given.
        with blame.explained():
            detection = call_isolated(self.entry, self.detect, image.copy())
        mask = detection.mask if isinstance(detection, Detection) else None
        if not isinstance(mask, np.ndarray) or mask.dtype != bool or mask.shape != image.shape[:2]:
            fault = "returned no Detection with a bool mask of the image's size"
            raise blame.wrong_result(self.entry, self.detect, fault)
        if not isinstance(detection.probabilities, Mapping):
            fault = f"returned probabilities that are a {type(detection.probabilities).__name__}, not a dict"
            raise blame.wrong_result(self.entry, self.detect, fault)
        for kind, values in detection.probabilities.items():
            if self.entry is not None and kind not in cast(DetectorSpec, self.entry.spec).kinds:
                fault = f"returned probabilities of {kind!r}, which is not among the kinds of its spec; add it there"
                raise blame.wrong_result(self.entry, self.detect, fault)
            is_map = isinstance(values, np.ndarray) and values.shape == mask.shape
            if not is_map or not bool(((values >= 0) & (values <= 1)).all()):
                fault = f"returned probabilities of {kind} that are no array of the image's size from 0 to 1"
                raise blame.wrong_result(self.entry, self.detect, fault)
        return detection


def find_painted_shape(image: np.ndarray) -> np.ndarray:
    """Return the flat shape of one colour that was painted over an image, (H, W) bool; all False if there is none.

    The shape is looked for in the luma, by `find_lost_region`. In a colour photograph this also finds shapes that are
    part of the picture, so a shape counts only if it has one colour.

    Args:
        image: (H, W) gray or (H, W, 3) RGB, uint8, as it was stored.

    Raises:
        TypeError: it is no array; ValueError: one of another type or shape.
    """
    if not isinstance(image, np.ndarray):
        raise TypeError(f"an image is a NumPy array, (H, W) or (H, W, 3), not a {type(image).__name__}")
    if image.ndim == 2:
        return find_lost_region(image)
    mask = find_lost_region(integer_luma(image))
    colors = image[mask]
    if len(colors) and (colors == np.median(colors, axis=0)).all(axis=1).mean() < _MIN_SAME_COLOR:
        return np.zeros_like(mask)
    return mask


# The detector `painted-shape` of the default bundle, for callers without a catalog.
PAINTED_SHAPE = LoadedDetector(
    name="painted-shape", detect=lambda image, /: Detection(mask=find_painted_shape(image)), gray_only=True
)
