"""Find the damage of a print, and correct the stains under which the picture still shows; a filler fills the rest."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from toolbox.color import integer_luma
from toolbox.inference.detectors import default_mask, image_to_search
from toolbox.masks import kinds_of_damage
from toolbox.masks.detectors import LoadedDetector
from toolbox.masks.sources import grow_mask
from toolbox.prints.stains import lift_stains

# What is found is widened by these many pixels in a photograph of `PIXELS` pixels, and in proportion in a larger one:
# the edge of damage is soft, and a filler would continue an unmasked edge into the hole.
EDGE, STAIN_EDGE, PIXELS = 1, 2, 600_000


@dataclass(frozen=True, kw_only=True, eq=False)
class Damage:
    """The damage of a photograph.

    Attributes:
        mask: (H, W) bool, all lost pixels: those that were marked before, and the damage.
        stains: (H, W) bool, those of the damage under which the picture still shows.
        shares: the fraction of the photograph that each kind covers.
    """

    mask: np.ndarray
    stains: np.ndarray
    shares: Mapping[str, float]


def find_damage(image: np.ndarray, detector: LoadedDetector, marked: np.ndarray, *, grow: int = 0) -> Damage | None:
    """Return the damage that a detector finds, or None.

    Args:
        image: (H, W) or (H, W, 3), uint8.
        detector: the detector of damage.
        marked: (H, W) bool, pixels that are lost in any case.
        grow: by how many pixels more the damage is widened.
    """
    # The network was trained on luma.
    detection = detector(image if image.ndim == 2 else integer_luma(image))
    if not detection.mask.any():
        return None
    scale = max(1.0, math.sqrt(detection.mask.size / PIXELS))
    translucent = [number for number, kind in enumerate(detection.probabilities, 1) if kind in detector.translucent]
    is_stain = np.isin(kinds_of_damage.label_groups(detection), translucent)
    hidden = marked | grow_mask(detection.mask & ~is_stain, round(EDGE * scale) + grow)
    stains = grow_mask(is_stain, round(STAIN_EDGE * scale) + grow) & ~hidden
    return Damage(mask=hidden | stains, stains=stains, shares=kinds_of_damage.shares(detection))


def lift_damage(pixels: np.ndarray, damage: Damage) -> tuple[np.ndarray, np.ndarray]:
    """Return pixels (H, W) or (H, W, 3), uint8 or uint16, with their stains corrected, and what is left to fill."""
    return lift_stains(pixels, damage.stains, damage.mask)


def find_holes(
    image: np.ndarray, marked: np.ndarray, detector: LoadedDetector | None, repair: LoadedDetector | None
) -> tuple[np.ndarray, np.ndarray]:
    """Return an image with its stains corrected, and what is lost, (H, W) bool, if no mask is given.

    Args:
        image: (H, W) or (H, W, 3), uint8 or uint16. It is not changed.
        marked: (H, W) bool, what is lost in any case.
        detector: the detector of the lost region; see `default_mask`.
        repair: the detector of damage; None: no damage is looked for, and the image stays as it is.
    """
    mask = marked | default_mask(image, detector)
    damage = None if repair is None else find_damage(image_to_search(image), repair, mask)
    return (image, mask) if damage is None else lift_damage(image, damage)
