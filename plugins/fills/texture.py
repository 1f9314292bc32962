"""Fill holes with pieces of the rest of the image: laid out at a coarse scale, fitted patch by patch, blended."""

from __future__ import annotations

import cv2
import numpy as np

from toolbox.smooth_fill import halve

from .blend import blended
from .frequency import extended, extrapolated
from .layout import lay_out
from .patches import RADIUS, Scale, carried
from .regions import Fill, Region, filled

# The hole has at most so many pixels at the scale where it is laid out, and the image at least that side.
NODES = 1100
LEAST = 24
# With more patches to fit than this, a scale takes those of the coarser one as they are.
MOST = 120_000
# Rounds of matching and voting at the finest scale and at the others, and how far they look at random.
ROUNDS = (1, 4)
RADII = (4, 6)


def texture(image: np.ndarray, mask: np.ndarray, *, seed: int = 0, forbidden: np.ndarray | None = None) -> np.ndarray:
    """Return `image` with its holes filled by pieces of the rest of it.

    The result is plausible, not true: what lies in a large hole is made up.

    Args:
        image: (H, W) gray or (H, W, 3) RGB, uint8 or uint16.
        mask: (H, W) bool, True where the image is lost.
        seed: of the random search; the same seed gives the same result.
        forbidden: (H, W) bool, True where nothing may be copied from or made up, such as faces; a hole that touches
            it is filled by `frequency`'s extrapolation, which makes nothing up.

    Returns:
        An array of the same shape and type. Known pixels are those of `image`; an image that is lost whole is black.

    Raises:
        ValueError: an array of another type or shape.

    References: He and Sun, "Statistics of Patch Offsets for Image Completion", ECCV 2012; Barnes et al., "PatchMatch",
    SIGGRAPH 2009; Wexler et al., "Space-Time Completion of Video", PAMI 2007.
    """
    if forbidden is None:
        forbidden = np.zeros(mask.shape, bool)
    if forbidden.dtype != bool or forbidden.shape != mask.shape:
        raise ValueError(f"forbidden must be bool of the mask's size {mask.shape}, not {forbidden.shape}")
    return filled(image, mask, filler(seed, forbidden), around=context)


def filler(seed: int, forbidden: np.ndarray) -> Fill:
    """Return the function that fills a region; see `texture`."""

    def fill(values: np.ndarray, lost: np.ndarray, region: Region) -> np.ndarray:
        barred = forbidden[region.box]
        touched = cv2.dilate(region.own.view(np.uint8), np.ones((3, 3), np.uint8)).view(bool)
        if (touched & barred).any():
            return extended(values, lost, region)
        return copied(values, lost, region.own, seed, barred)

    return fill


def context(thickness: float, side: int) -> int:
    """Return how many pixels around a hole of that thickness and longer `side` are copied from.

    A hole that is not much longer than it is wide may be filled from one end.
    """
    return max(64, int(2.5 * thickness), min(side, int(6 * thickness)))


def copied(
    values: np.ndarray, lost: np.ndarray, own: np.ndarray, seed: int = 0, barred: np.ndarray | None = None
) -> np.ndarray:
    """Return `values` (h, w, C) float32 with the `lost` pixels (h, w) filled; `barred` ones are not copied from.

    Where nothing can be copied they are extrapolated.
    """
    random = np.random.default_rng(seed)
    scales = _pyramid(values, lost, np.zeros_like(lost) if barred is None else barred)
    sources = lay_out(scales[-1], random)
    if sources is None:
        return extrapolated(values, lost, own=own)
    before: Scale | None = None
    extra: np.ndarray | None = None
    for number in range(len(scales) - 1, -1, -1):
        scale = scales[number]
        if before is not None:
            sources = carried(before, sources, scale)
        if len(scale.targets) <= MOST:
            sources = _fitted(scale, sources, random, ROUNDS[number > 0], RADII[number > 0])
        if before is not None and extra is not None:
            extra = _enlarged(extra, before, scale)
        pixels = _pixels(scale, sources)
        joined = blended(scale.image, scale.lost, pixels, extra)
        extra, before = joined - scale.image[pixels], scale
    result = scales[0].image.copy()
    result[scales[0].lost.ravel()] = joined
    return result.reshape(*scales[0].lost.shape, -1)[: lost.shape[0], : lost.shape[1]]


def _pyramid(values: np.ndarray, lost: np.ndarray, barred: np.ndarray) -> list[Scale]:
    """Return the scales from fine to coarse, each of half the size; a pixel with a lost one in it is lost."""
    count, lost_pixels = 0, np.count_nonzero(lost)
    while lost_pixels >> 2 * count > NODES and min(lost.shape) >> count + 1 >= LEAST:
        count += 1
    # Sides that halve exactly, so that offsets double exactly. What is added is never copied.
    beyond = tuple((0, -side % 2**count) for side in lost.shape)
    values = np.pad(values, (*beyond, (0, 0)), mode="symmetric")
    lost, barred = np.pad(lost, beyond, mode="symmetric"), np.pad(barred, beyond, constant_values=True)
    scales = [Scale(values, lost, barred)]
    for _ in range(count):
        values, share = halve(values, ~lost)
        lost = share < 1 - 1e-4
        barred = cv2.resize(barred.astype(np.float32), lost.shape[::-1], interpolation=cv2.INTER_AREA) > 0
        scales.append(Scale(values, lost, barred))
    return scales


def _fitted(scale: Scale, sources: np.ndarray, random: np.random.Generator, rounds: int, radius: int) -> np.ndarray:
    """Return better sources for the targets, after rounds of voting and matching."""
    scale.vote(sources)
    for number in range(rounds):
        sources = scale.search(sources, random, radius)
        if number < rounds - 1:
            scale.vote(sources, scale.cost(sources))
    return sources


def _pixels(scale: Scale, sources: np.ndarray) -> np.ndarray:
    """Return the pixel that each lost one is a copy of, (n,): that of the patch around it."""
    table = np.zeros(scale.lost.size, np.int64)
    table[scale.targets] = sources
    places = np.flatnonzero(scale.lost.ravel())
    y, x = np.divmod(places, scale.width)
    # At the image's edge there is no patch around a pixel: the nearest one holds it.
    middle_y, middle_x = (one.clip(RADIUS, side - RADIUS - 1) for one, side in ((y, scale.height), (x, scale.width)))
    return table[middle_y * scale.width + middle_x] + (y - middle_y) * scale.width + (x - middle_x)


def _enlarged(extra: np.ndarray, coarse: Scale, fine: Scale) -> np.ndarray:
    """Return what is added to the coarse scale's lost pixels, for those of the fine one."""
    plane = np.zeros((coarse.height, coarse.width, extra.shape[1]), np.float32)
    plane[coarse.lost] = extra
    larger = cv2.resize(plane, (fine.width, fine.height), interpolation=cv2.INTER_LINEAR)
    return larger.reshape(fine.height, fine.width, -1)[fine.lost]
