"""Lift (remove) stains: where the picture shows under a stain, correct the level and the tint, and keep the detail."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from toolbox.smooth_fill import fill_array

# A stain and its surroundings are measured at no more than this many pixels.
MAX_PIXELS = 1_000_000
# The surroundings of a stain are this many pixels wide, at the size at which it is measured.
MARGIN = 40
# How much the picture varies is measured at least so far from the stain, in pixels.
MIN_RING = 12.0
# The variance of a normal distribution, divided by its median square.
NORMAL = 2.2
# The rim is partly stain and partly picture. It is left to the filler; its width is in pixels at the measured size.
RIM = 2
# The correction is smoothed over this fraction of the distance from the stain's edge, and at least over a pixel.
SMOOTHING = 0.5
# Fine contrast inside over that outside: with less the stain is opaque, with more the detail is that of the stain.
MIN_DETAIL, MAX_DETAIL = 0.15, 2.5
# Where the picture around a stain varies by less than these levels of 255, as in a sky, more than this is the stain's.
CALM, MAX_CALM_DETAIL = 12.0, 1.4
# With less than this it is a stain in any case.
MIN_SOUND_DETAIL = 0.5
# A stain that is mostly as bright or as dark as this, in levels of 255, is opaque.
DARKEST, BRIGHTEST = 2, 253
# There is no stain if the levels on both sides of its edge differ by no more than this factor of how much the picture
# around it varies over the same distance, and these levels of 255.
MAX_SOUND_STEP, MIN_STEP = 1.3, 3.0


@dataclass(frozen=True, kw_only=True, eq=False)
class _Stain:
    """A stain with its surroundings, at the size at which it is measured.

    Attributes:
        values: (h, w, C) float32, 0 to 255.
        inside: (h, w) bool, the stain.
        known: (h, w) bool, pixels that are neither stain nor other damage.
        other: (h, w) bool, other damage, which hides the picture.
        depth: (h, w) float32, the distance from the stain's edge in pixels, 0 outside.
    """

    values: np.ndarray
    inside: np.ndarray
    known: np.ndarray
    other: np.ndarray
    depth: np.ndarray


def lift_stains(pixels: np.ndarray, stains: np.ndarray, damage: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the pixels with the stains lifted, and the damage that is left to fill, (H, W) bool.

    The correction of a stain is a smooth field: the difference between the stain and a smooth continuation of its
    surroundings, smoothed the more the farther the edge is. So the level and the tint come from the surroundings, and
    detail that is finer than that stays. The rim of a stain is left to fill, as is an opaque stain, under which there
    is no detail. What does not differ from its surroundings is no stain: its pixels stay as they are.

    Args:
        pixels: (H, W) or (H, W, 3), uint8 or uint16. They are not changed.
        stains: (H, W) bool, pixels under a stain.
        damage: (H, W) bool, all damaged pixels, those of the stains too.
    """
    if not stains.any():
        return pixels, damage
    result, left = pixels.copy(), damage | stains
    count, labels, boxes, _ = cv2.connectedComponentsWithStats(stains.astype(np.uint8), connectivity=8)
    for number in range(1, count):
        box, scale = _surroundings(boxes[number], stains.shape)
        inside = labels[box] == number
        stain = _measure(pixels[box], inside, damage[box] | stains[box], scale)
        if not stain.known.any() or stain.depth.max() <= RIM:
            continue
        detail = _detail_ratio(stain)
        if detail >= MIN_SOUND_DETAIL and _is_sound(stain):
            left[box] &= ~inside
        elif MIN_DETAIL <= detail <= _most_detail(stain) and not _is_clipped(stain):
            core = inside & _enlarge(stain.depth > RIM, inside.shape)
            _subtract(result[box], _correction(stain), core)
            left[box] &= ~core
    return result, left


def _surroundings(box: np.ndarray, size: tuple[int, ...]) -> tuple[tuple[slice, slice], float]:
    """Return the rows and columns around a stain, and the factor by which they are made smaller, at most 1."""
    x, y, width, height = (int(value) for value in box[:4])
    scale = min(1.0, math.sqrt(MAX_PIXELS / ((width + 2 * MARGIN) * (height + 2 * MARGIN))))
    extra = math.ceil(MARGIN / scale)
    rows = slice(max(0, y - extra), min(size[0], y + height + extra))
    return (rows, slice(max(0, x - extra), min(size[1], x + width + extra))), scale


def _measure(crop: np.ndarray, inside: np.ndarray, lost: np.ndarray, scale: float) -> _Stain:
    size = max(1, round(crop.shape[1] * scale)), max(1, round(crop.shape[0] * scale))
    if scale < 1:
        crop = cv2.resize(crop, size, interpolation=cv2.INTER_AREA)
        # A pixel of the smaller picture is known if all that it covers is known.
        lost, inside = (
            cv2.resize(plane.astype(np.float32), size, interpolation=cv2.INTER_AREA) > limit
            for plane, limit in ((lost, 0), (inside, 0.5))
        )
    values = crop.reshape(*inside.shape, -1).astype(np.float32) * np.float32(255 / np.iinfo(crop.dtype).max)
    depth = cv2.distanceTransform(inside.astype(np.uint8), cv2.DIST_L2, 3)
    return _Stain(values=values, inside=inside, known=~lost, other=lost & ~inside, depth=depth)


def _correction(stain: _Stain) -> np.ndarray:
    """Return what the stain has added to the picture, (h, w, C) float32 in levels of 255.

    It is the median along the edge, plus the smooth rest times a factor. The smooth rest has variations of the picture
    in it too. As in a local Wiener filter, the factor is the part of its variance around a pixel that the surroundings
    do not have.
    """
    difference = np.where(stain.inside[..., None], stain.values - fill_array(stain.values, stain.known), 0)
    if stain.other.any():
        difference = fill_array(difference, ~stain.other)
    edge = (stain.depth > RIM) & (stain.depth <= RIM + _width(stain))
    offset = np.median(difference[edge], axis=0)
    rest = _smooth_by_depth(np.where(stain.inside[..., None], difference - offset, 0), SMOOTHING * stain.depth)
    sigma = min(16.0, max(2.0, float(stain.depth.max()) / 8))
    inside = stain.inside.astype(np.float32)
    variance = cv2.GaussianBlur(np.square(rest.mean(axis=2)) * inside, (0, 0), sigma)
    variance /= np.maximum(cv2.GaussianBlur(inside, (0, 0), sigma), 1e-6)
    factor = np.maximum(0, 1 - np.float32(_natural_variance(stain)) / np.maximum(variance, 1e-6))
    return offset + factor[..., None] * rest


def _most_detail(stain: _Stain) -> float:
    """Return the greatest `_detail_ratio` at which the detail is that of the picture."""
    return MAX_CALM_DETAIL if _natural_variance(stain) < CALM**2 else MAX_DETAIL


def _natural_variance(stain: _Stain) -> float:
    """Return how much the picture around a stain varies at the scale at which the stain's correction is smooth.

    It is a robust variance, so that one object beside the stain does not count.
    """
    sigma = max(1.0, SMOOTHING * float(stain.depth[stain.inside].mean()))
    gray, known = stain.values.mean(axis=2), stain.known.astype(np.float32)
    fine, coarse = (
        cv2.GaussianBlur(gray * known, (0, 0), size) / np.maximum(cv2.GaussianBlur(known, (0, 0), size), 1e-6)
        for size in (sigma, 4 * sigma)
    )
    distance = cv2.distanceTransform((~stain.inside).astype(np.uint8), cv2.DIST_L2, 3)
    ring = stain.known & (distance <= max(MIN_RING, 1.5 * float(stain.depth.max())))
    return NORMAL * float(np.median(np.square(fine - coarse)[ring])) if ring.any() else 0.0


def _width(stain: _Stain) -> float:
    """Return how far from the edge the levels on both sides are compared, in pixels."""
    return max(2.0 * RIM, float(stain.depth.max()) / 3)


def _smooth_by_depth(values: np.ndarray, radius: np.ndarray) -> np.ndarray:
    """Return values (h, w, C) blurred by a radius (h, w) in pixels that varies: a blend of the levels of a pyramid."""
    level = np.log2(np.maximum(radius, 1))
    small, result = cv2.GaussianBlur(values, (0, 0), 1), np.zeros_like(values)
    for number in range(math.ceil(float(level.max())) + 1):
        small = cv2.pyrDown(small) if number else small
        weight = np.maximum(1 - np.abs(level - number), 0)[..., None]
        result += weight * cv2.resize(small, radius.shape[::-1], interpolation=cv2.INTER_LINEAR).reshape(values.shape)
    return result


def _is_sound(stain: _Stain) -> bool:
    """Return whether the levels inside are as those outside, within the variation of the picture around them."""
    width = _width(stain)
    distance = cv2.distanceTransform((~stain.inside).astype(np.uint8), cv2.DIST_L2, 3)
    ring, core = stain.known & (distance <= RIM), (stain.depth > RIM) & (stain.depth <= RIM + width)
    outside = stain.known & (distance > RIM) & (distance <= RIM + width)
    if not ring.any() or not outside.any():
        return False
    gray = stain.values.mean(axis=2)
    steps = np.abs(cv2.blur(gray, (3, 3)) - _nearest(gray, ring))
    return float(np.median(steps[core])) <= MAX_SOUND_STEP * float(np.median(steps[outside])) + MIN_STEP


def _is_clipped(stain: _Stain) -> bool:
    """Return whether the stain is white or black, so that the picture is lost whatever texture is left."""
    return not DARKEST < float(np.median(stain.values.mean(axis=2)[stain.depth > RIM])) < BRIGHTEST


def _nearest(gray: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Return for each pixel the local mean of the known pixels at the known pixel nearest to it, (h, w) float32."""
    weight = known.astype(np.float32)
    means = cv2.blur(gray * weight, (5, 5)) / np.maximum(cv2.blur(weight, (5, 5)), 1e-6)
    unknown = (~known).astype(np.uint8)
    _, labels = cv2.distanceTransformWithLabels(unknown, cv2.DIST_L2, 3, labelType=cv2.DIST_LABEL_PIXEL)
    table = np.zeros(int(labels.max()) + 1, np.float32)
    table[labels[known]] = means[known]
    return np.asarray(table[labels])


def _detail_ratio(stain: _Stain) -> float:
    """Return the fine contrast inside of a stain over that around it; 1 if there is nothing to compare with."""
    deepest = float(stain.depth.max())
    sigma = min(8.0, max(1.0, deepest / 8))
    gray = stain.values.mean(axis=2)
    fine = np.abs(gray - cv2.GaussianBlur(gray, (0, 0), sigma))
    core = stain.depth >= min(2 * sigma + 2, 0.75 * deepest)
    from_lost = cv2.distanceTransform(stain.known.astype(np.uint8), cv2.DIST_L2, 3)
    ring = (from_lost > 2 * sigma) & (from_lost <= 5 * sigma + 12)
    if not ring.any():
        return 1.0
    # A third of a level is added so that flat surroundings are like a flat stain.
    return (float(np.median(fine[core])) + 0.3) / (float(np.median(fine[ring])) + 0.3)


def _enlarge(plane: np.ndarray, size: tuple[int, ...]) -> np.ndarray:
    return cv2.resize(plane.astype(np.uint8), size[::-1], interpolation=cv2.INTER_NEAREST) > 0


def _subtract(pixels: np.ndarray, field: np.ndarray, core: np.ndarray) -> None:
    """Subtract a field (h, w, C) in levels of 255 from the `core` pixels (H, W) of an array, in place."""
    highest = np.iinfo(pixels.dtype).max
    size = core.shape[::-1]
    for channel, plane in enumerate(np.moveaxis(pixels.reshape(*core.shape, -1), 2, 0)):
        offset = cv2.resize(field[..., channel], size, interpolation=cv2.INTER_LINEAR)[core] * np.float32(highest / 255)
        lifted = np.rint(plane[core] - offset).clip(0, highest).astype(pixels.dtype)
        if pixels.ndim == 2:
            pixels[core] = lifted
        else:
            pixels[core, channel] = lifted
