"""Fill what is lost, hole by hole: run the generator on the hole and its surroundings, and blend the result in."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np

from toolbox.imaging.chroma_upsampling import luma_of_floats
from toolbox.inference.photo_view import PhotoView
from toolbox.inference.tiling import TiledNetwork
from toolbox.smooth_fill import fill_array

# The surroundings that the generator sees, on each side of a hole: this many times the hole's side, and at least this
# many pixels. Training shows holes of a quarter of the picture's side. Measured: more surroundings at a smaller scale
# fill a hole better than full detail does.
CONTEXT_RATIO = 1.5
MIN_CONTEXT = 64
# Holes of at most this many pixels a side, and at most this fraction of the picture's side, are dust. They are filled
# smoothly, without the generator.
DUST_SIDE = 16
DUST_FRACTION = 1 / 32
# A hole is large if its side is more than this fraction of the working side.
LARGE_FRACTION = 1 / 8
# The ring of known pixels around holes from which differences are spread into them.
RING = 2

Box = tuple[slice, slice]


@dataclass(frozen=True, kw_only=True, eq=False)
class HoleRegion:
    """A part of the photograph with some of its holes.

    Attributes:
        context_box: the rows and columns that the generator sees.
        hole_box: the rows and columns of the holes, with `RING` pixels around them.
        holes: (h, w) bool, the pixels of the holes in `hole_box`.
        working_side: the context is resized to at most a square of this side in pixels; 0: the generator is not used.
    """

    context_box: Box
    hole_box: Box
    holes: np.ndarray
    working_side: int


def fill_holes(target: np.ndarray, view: PhotoView, network: TiledNetwork, working_side: int) -> None:
    """Fill every hole in `target`, in place.

    Args:
        target: (H, W) luma or (H, W, 3) RGB, uint8 or uint16; known pixels are not changed.
        view: the photograph.
        network: the generator.
        working_side: a larger hole, with its surroundings, is resized to a square of this side in pixels. The result is
            enlarged again, and is as sharp as that scale allows.
    """
    for region in hole_regions(view.mask, working_side, network.tile):
        part = target[region.hole_box]
        lost = view.mask[region.hole_box]
        values = _generate(target, view, network, region) if region.working_side else np.zeros(part.shape, np.float32)
        blend_into(part, values, region.holes, lost)


def blend_into(target: np.ndarray, values: np.ndarray, holes: np.ndarray, lost: np.ndarray) -> None:
    """Write values into the holes of a picture, in place, shifted smoothly so that they meet the known pixels.

    Args:
        target: (h, w) luma or (h, w, 3) RGB, uint8 or uint16.
        values: (h, w) luma or (h, w, 3) RGB in [0, 1].
        holes: (h, w) bool, the pixels to write.
        lost: (h, w) bool, all pixels that are not known, `holes` among them.
    """
    highest = float(np.iinfo(target.dtype).max)
    filled = _match_channels(values, target) * np.float32(highest)
    filled += _smooth_shift(target, filled, lost)
    target[holes] = np.rint(filled[holes]).clip(0, highest)


def hole_regions(mask: np.ndarray, working_side: int, tile: int) -> Iterator[HoleRegion]:
    """Yield all holes of a mask (H, W) with their surroundings.

    Small holes near each other share a region at full size, of about `tile` pixels a side. Dust does too.
    """
    if not mask.any():
        return
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask.view(np.uint8), connectivity=8)
    boxes = stats[1:, [1, 0, 3, 2]].astype(np.int64)
    boxes[:, 2:] += boxes[:, :2]
    sides = (boxes[:, 2:] - boxes[:, :2]).max(1)
    is_dust = sides <= min(DUST_SIDE, DUST_FRACTION * max(mask.shape))
    is_large = (sides > int(LARGE_FRACTION * working_side)) & ~is_dust
    for members in _groups(boxes, is_large, is_dust, tile):
        first, last = boxes[members, :2].min(0), boxes[members, 2:].max(0)
        hole_box = _grow_box(first, last, RING, mask.shape)
        in_region = np.zeros(count, bool)
        in_region[members + 1] = True
        if is_dust[members[0]]:
            context, side = RING, 0
        else:
            context = max(MIN_CONTEXT, int(CONTEXT_RATIO * sides[members].max()))
            side = working_side if is_large[members[0]] else max(working_side, tile)
        yield HoleRegion(
            context_box=_grow_box(first, last, context, mask.shape),
            hole_box=hole_box,
            holes=in_region[labels[hole_box]],
            working_side=side,
        )


def context_size(height: int, width: int, working_side: int) -> tuple[int, int]:
    """Return the size at which the generator sees a context: at most the area of a square of `working_side` pixels."""
    limit = working_side * working_side
    if height * width <= limit:
        return height, width
    return max(1, math.isqrt(height * limit // width)), max(1, math.isqrt(width * limit // height))


def enlarge_part(values: np.ndarray, size: tuple[int, int], start: list[int], shape: tuple[int, ...]) -> np.ndarray:
    """Return a part of `values` enlarged to `size`: a part of `shape` (height and width), from the pixel `start` on."""
    if values.shape[:2] == size:
        return values[start[0] : start[0] + shape[0], start[1] : start[1] + shape[1]]
    scale_y, scale_x = values.shape[0] / size[0], values.shape[1] / size[1]
    offset_y, offset_x = ((first + 0.5) * scale - 0.5 for first, scale in zip(start, (scale_y, scale_x), strict=True))
    to_source = np.array([[scale_x, 0, offset_x], [0, scale_y, offset_y]])
    flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(values, to_source, (shape[1], shape[0]), flags=flags, borderMode=cv2.BORDER_REPLICATE)


def _generate(target: np.ndarray, view: PhotoView, network: TiledNetwork, region: HoleRegion) -> np.ndarray:
    """Return what the generator gives for `region.hole_box`, with the channels of `target`."""
    context = view.crop(*region.context_box)
    height, width = context.size
    small = context.resize(*context_size(height, width, region.working_side))
    values = _match_channels(network.run(small), target)
    start = [hole.start - outer.start for hole, outer in zip(region.hole_box, region.context_box, strict=True)]
    return enlarge_part(values, (height, width), start, region.holes.shape)


def _groups(boxes: np.ndarray, is_large: np.ndarray, is_dust: np.ndarray, tile: int) -> list[np.ndarray]:
    """Return the indices of the holes of each region: each large hole alone, the others by cells of half a tile."""
    cells = np.column_stack([boxes[:, :2] // max(1, tile // 2), is_dust])
    cells[is_large] = -1 - np.flatnonzero(is_large)[:, None]
    _, groups = np.unique(cells, axis=0, return_inverse=True)
    groups = groups.ravel()  # numpy 2.0.0 alone returns a column
    return np.split(np.argsort(groups, kind="stable"), np.cumsum(np.bincount(groups))[:-1])


def _grow_box(first: np.ndarray, last: np.ndarray, pixels: int, shape: tuple[int, ...]) -> Box:
    rows, columns = (
        slice(max(0, int(start) - pixels), min(length, int(stop) + pixels))
        for start, stop, length in zip(first, last, shape, strict=True)
    )
    return rows, columns


def _match_channels(values: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Return RGB (h, w, 3) as luma (h, w) if `target` is luma, else unchanged."""
    return luma_of_floats(values) if target.ndim < values.ndim else values


def _smooth_shift(target: np.ndarray, filled: np.ndarray, lost: np.ndarray) -> np.ndarray:
    """Return what to add to `filled` so that it meets the known pixels of `target`: the difference, spread smoothly.

    This is close to the solution of Laplace's equation, as in Pérez et al., "Poisson Image Editing", 2003. The known
    differences are averaged to half the size, spread there in the same way, and smoothed at every size on the way back.
    """
    difference = target - filled
    difference[lost] = 0
    return fill_array(difference, ~lost)
