"""Find the lost region of a photograph: what is marked, painted shapes and damage; and its toning outside of it."""

from __future__ import annotations

import numpy as np

from toolbox.imaging.io import Photo
from toolbox.imaging.sepia import Toning, measure_toning
from toolbox.inference.damage import Damage, find_damage
from toolbox.inference.output_paths import Job
from toolbox.masks.sources import MaskOptions, grow_mask, mask_from_options


def find_mask(
    photo: Photo, rgb: np.ndarray, job: Job, options: MaskOptions
) -> tuple[Toning, np.ndarray, Damage | None]:
    """Return the toning of a photograph, its mask, (H, W) bool, and the damage in it that was found.

    The first two depend on each other: lost pixels do not count for the toning, and a painted shape counts only in a
    photograph that is gray or toned without it. `rgb` is the photograph as (H, W, 3) uint8.
    """
    marked = mask_from_options(photo, rgb, options, path=job.photo, relative_path=job.relative_path, result=job.target)
    toning, mask = add_detected(rgb, grow_mask(marked, options.grow), options)
    return add_damage(rgb, toning, mask, options)


def add_damage(
    rgb: np.ndarray, toning: Toning, mask: np.ndarray, options: MaskOptions
) -> tuple[Toning, np.ndarray, Damage | None]:
    """Return the toning, the mask (H, W) bool with the damage that is found, and the damage.

    Nothing changes without `repair`.
    """
    if options.repair is None:
        return toning, mask, None
    damage = find_damage(rgb, options.repair, mask, grow=options.grow)
    if damage is None:
        return toning, mask, None
    return measure_toning(rgb, damage.mask), damage.mask, damage


def add_detected(rgb: np.ndarray, marked: np.ndarray, options: MaskOptions) -> tuple[Toning, np.ndarray]:
    """Return the toning of a photograph and its mask (H, W) bool: what is marked, and what is detected."""
    toning = measure_toning(rgb, marked)
    if not options.searches:
        return toning, marked
    detected = options.detector(rgb).mask
    if not detected.any():
        return toning, marked
    mask = marked | grow_mask(detected, options.grow)
    # A shape of another colour makes a gray photograph look coloured. In a colour photograph it is part of the picture.
    toning_outside = measure_toning(rgb, mask)
    if options.detector.gray_only and toning_outside.kind == "colour":
        return toning, marked
    return toning_outside, mask
