"""Fill holes with patches of the rest of the image: chosen at a coarse scale, refined at each finer one, blended."""

from __future__ import annotations

import cv2
import numpy as np

from toolbox.smooth_fill import halve

from .blend import blend
from .frequency import extrapolate, extrapolate_region
from .layout import lay_out
from .patches import RADIUS, Scale, upsample_sources
from .regions import Fill, Region, fill_regions

# The coarsest scale: the hole has at most this many pixels there, and the image at least this many a side.
MAX_LAYOUT_PIXELS = 1100
MIN_LAYOUT_SIDE = 24
# A scale with more patches than this takes those of the coarser scale without a search.
MAX_PATCHES = 120_000
# Rounds of matching and voting at the finest scale and at the others, and the radius of their random search in pixels.
ROUNDS = (1, 4)
RADII = (4, 6)


def texture(image: np.ndarray, mask: np.ndarray, *, seed: int = 0, forbidden: np.ndarray | None = None) -> np.ndarray:
    """Return `image` with its holes filled with patches of the rest of it.

    The result is plausible, not true: the content of a large hole is invented.

    Args:
        image: (H, W) gray or (H, W, 3) RGB, uint8 or uint16.
        mask: (H, W) bool, True where the image is lost.
        seed: of the random search; the same seed gives the same result.
        forbidden: (H, W) bool, True where nothing may be copied from or invented, such as faces. A hole that touches
            it is filled by `frequency`, which invents nothing.

    Returns:
        An array of the same shape and type. Known pixels are those of `image`. If no pixel is known, it is black.

    Raises:
        ValueError: an array has another type or shape.

    References: He and Sun, "Statistics of Patch Offsets for Image Completion", ECCV 2012; Barnes et al., "PatchMatch",
    SIGGRAPH 2009; Wexler et al., "Space-Time Completion of Video", PAMI 2007.
    """
    if forbidden is None:
        forbidden = np.zeros(mask.shape, bool)
    if forbidden.dtype != bool or forbidden.shape != mask.shape:
        raise ValueError(f"forbidden must be bool of the mask's size {mask.shape}, not {forbidden.shape}")
    fill = make_region_fill(seed, forbidden)
    return fill_regions(image, mask, fill, context, seed=seed, forbidden=forbidden)


def make_region_fill(seed: int, forbidden: np.ndarray) -> Fill:
    """Return the function that fills a region; see `texture`."""

    def fill(values: np.ndarray, lost: np.ndarray, region: Region) -> np.ndarray:
        forbidden_here = forbidden[region.box]
        near_target = cv2.dilate(region.target.view(np.uint8), np.ones((3, 3), np.uint8)).view(bool)
        if (near_target & forbidden_here).any():
            return extrapolate_region(values, lost, region)
        return copy_patches(values, lost, region.target, seed, forbidden_here)

    return fill


def context(thickness: float, side: int) -> int:
    """Return how many pixels around a hole with this thickness and longer `side` may be copied.

    A hole that is not much longer than it is wide may be filled from one end.
    """
    return max(64, int(2.5 * thickness), min(side, int(6 * thickness)))


def copy_patches(
    values: np.ndarray, lost: np.ndarray, target: np.ndarray, seed: int = 0, forbidden: np.ndarray | None = None
) -> np.ndarray:
    """Return `values` (h, w, C) float32 with the `lost` pixels (h, w) filled; no pixel is copied from `forbidden`.

    Where nothing can be copied, the lost pixels are extrapolated.
    """
    random = np.random.default_rng(seed)
    scales = _pyramid(values, lost, np.zeros_like(lost) if forbidden is None else forbidden)
    sources = lay_out(scales[-1], random)
    if sources is None:
        return extrapolate(values, lost, target=target)
    coarser: Scale | None = None
    correction: np.ndarray | None = None
    for number in range(len(scales) - 1, -1, -1):
        scale = scales[number]
        if coarser is not None:
            sources = upsample_sources(coarser, sources, scale)
        if len(scale.targets) <= MAX_PATCHES:
            sources = _refine_sources(scale, sources, random, ROUNDS[number > 0], RADII[number > 0])
        if coarser is not None and correction is not None:
            correction = _upsample_correction(correction, coarser, scale)
        pixels = _source_pixels(scale, sources)
        blended_values = blend(scale.image, scale.lost, pixels, correction)
        correction, coarser = blended_values - scale.image[pixels], scale
    result = scales[0].image.copy()
    result[scales[0].lost.ravel()] = blended_values
    return result.reshape(*scales[0].lost.shape, -1)[: lost.shape[0], : lost.shape[1]]


def _pyramid(values: np.ndarray, lost: np.ndarray, forbidden: np.ndarray) -> list[Scale]:
    """Return the scales from fine to coarse, each of half the size; a pixel with a lost one in it is lost."""
    count, lost_pixels = 0, np.count_nonzero(lost)
    while lost_pixels >> 2 * count > MAX_LAYOUT_PIXELS and min(lost.shape) >> count + 1 >= MIN_LAYOUT_SIDE:
        count += 1
    # Sides that halve exactly, so that offsets double exactly. The padding is never copied.
    padding = tuple((0, -side % 2**count) for side in lost.shape)
    values = np.pad(values, (*padding, (0, 0)), mode="symmetric")
    lost, forbidden = np.pad(lost, padding, mode="symmetric"), np.pad(forbidden, padding, constant_values=True)
    scales = [Scale(values, lost, forbidden)]
    for _ in range(count):
        values, known_share = halve(values, ~lost)
        lost = known_share < 1 - 1e-4
        forbidden = cv2.resize(forbidden.astype(np.float32), lost.shape[::-1], interpolation=cv2.INTER_AREA) > 0
        scales.append(Scale(values, lost, forbidden))
    return scales


def _refine_sources(
    scale: Scale, sources: np.ndarray, random: np.random.Generator, rounds: int, radius: int
) -> np.ndarray:
    """Return better sources for the targets after rounds of voting and matching."""
    scale.vote(sources)
    for number in range(rounds):
        sources = scale.search(sources, random, radius)
        if number < rounds - 1:
            scale.vote(sources, scale.cost(sources))
    return sources


def _source_pixels(scale: Scale, sources: np.ndarray) -> np.ndarray:
    """Return the index of the pixel that each lost pixel is copied from, (n,): the one in the patch around it."""
    table = np.zeros(scale.lost.size, np.int64)
    table[scale.targets] = sources
    indices = np.flatnonzero(scale.lost.ravel())
    y, x = np.divmod(indices, scale.width)
    # At the image's edge there is no patch around a pixel: the nearest one holds it.
    center_y, center_x = (
        coordinate.clip(RADIUS, side - RADIUS - 1) for coordinate, side in ((y, scale.height), (x, scale.width))
    )
    return table[center_y * scale.width + center_x] + (y - center_y) * scale.width + (x - center_x)


def _upsample_correction(correction: np.ndarray, coarse: Scale, fine: Scale) -> np.ndarray:
    """Return the correction of the coarse scale's lost pixels, enlarged for the lost pixels of the fine scale."""
    plane = np.zeros((coarse.height, coarse.width, correction.shape[1]), np.float32)
    plane[coarse.lost] = correction
    upsampled = cv2.resize(plane, (fine.width, fine.height), interpolation=cv2.INTER_LINEAR)
    return upsampled.reshape(fine.height, fine.width, -1)[fine.lost]
