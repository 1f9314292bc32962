"""The holes of a photograph as tensors: which lost pixels are connected, and the regions in which they are filled.

The result is that of `toolbox.inference.hole_filling.hole_regions`; the tests compare both.
"""

from __future__ import annotations

import torch
from torch import Tensor

from toolbox.inference.hole_filling import CONTEXT_RATIO, DUST_FRACTION, DUST_SIDE, LARGE_FRACTION, MIN_CONTEXT, RING
from toolbox.inference.onnx_resize import numbers, sides_of

# The context of a hole is this fraction of its side, as whole numbers.
_RATIO = CONTEXT_RATIO.as_integer_ratio()
# Half of the neighbours of a pixel, as rows and columns; each pair of neighbours is found once.
_STEPS = ((0, 1), (1, -1), (1, 0), (1, 1))
# Above every number of a row, a column or a cell.
_MANY = 1 << 20


def neighbours(lost: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return the lost pixels of (1, H, W), their places, (N,), and the places of pairs of neighbours, twice (4 N,).

    A place is the number of a lost pixel among all of them. A pixel without a neighbour in a direction is paired with
    itself.
    """
    height, width = sides_of(lost)
    is_lost = lost.reshape(-1) > 0
    pixels = is_lost.nonzero()[:, 0]
    number = is_lost.to(torch.int64).cumsum(0) - 1
    own, rows, columns = number[pixels], pixels // width, pixels % width
    others = []
    for down, right in _STEPS:
        is_inside = (rows + down < height) & (columns + right >= 0) & (columns + right < width)
        beside = torch.where(is_inside, pixels + down * width + right, pixels)
        others.append(torch.where(is_lost[beside], number[beside], own))
    return pixels, own, torch.cat([own] * len(_STEPS)), torch.cat(others)


def join(places: Tensor, first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """Return for each of N pixels a greater place of a pixel that it is connected with, (N,), and how many are new.

    The pairs are those of `neighbours`; at the start, each pixel has its own place. A round joins the groups of all
    pairs and halves the way to the greatest place, so the number of rounds grows with the logarithm of the longest way
    (Shiloach and Vishkin, "An O(log n) parallel connectivity algorithm", 1982).
    """
    one, other = places[first], places[second]
    larger = torch.maximum(one, other)
    joined = _scatter(_scatter(places, one, larger, "amax"), other, larger, "amax")
    joined = joined[joined]
    return joined, (joined != places).sum()


def connect(places: Tensor, first: Tensor, second: Tensor) -> Tensor:
    """Return the same greatest place for all pixels that are connected, (N,): `join` until nothing is new."""
    new = 1
    while new > 0:
        places, count = join(places, first, second)
        new = int(count)
    return places


def hole_table(
    lost: Tensor, pixels: Tensor, places: Tensor, at_once: Tensor, fill_side: int, tile: int
) -> tuple[Tensor, Tensor]:
    """Return the region of each pixel, (H, W), -1 where nothing is lost; and the facts of each region, (R, 10).

    Args:
        lost: (1, H, W), 1 where the photograph is lost; at least one pixel is.
        pixels: the lost pixels, (N,).
        places: of `connect`, (N,).
        at_once: whether all holes are one region, which is the whole photograph.
        fill_side: see `onnx_graph.GraphPart`.
        tile: see `onnx_graph.GraphPart`.

    Returns:
        The columns of the second: the number of the region; the first row, the row after the last one, the first column
        and the column after the last one of the context, and the same four of the holes with their ring; and the side
        of the square to which the context is resized, 0 for dust.
    """
    height, width = sides_of(lost)
    is_root = places == numbers(torch.as_tensor(places.shape[0]))
    hole = (is_root.to(torch.int64).cumsum(0) - 1)[places]
    bounds = [*_bounds(pixels // width, hole), *_bounds(pixels % width, hole)]
    side = torch.maximum(bounds[1] - bounds[0], bounds[3] - bounds[2]) + 1
    long = torch.maximum(height, width)
    is_dust = (side <= DUST_SIDE) & (side * round(1 / DUST_FRACTION) <= long)
    is_large = (side > int(LARGE_FRACTION * fill_side)) & ~is_dust
    cell = max(1, tile // 2)
    key = ((bounds[0] // cell) * _MANY + bounds[2] // cell) * 2 + is_dust.to(torch.int64)
    key = torch.where(is_large, -1 - numbers(torch.as_tensor(side.shape[0])), key)
    key = torch.where(at_once, 0 * key, key)
    region = torch.unique(key, return_inverse=True)[1]
    box = [_bounds(bound, region)[end % 2] for end, bound in enumerate(bounds)]
    longest = _bounds(side, region)[1]
    dust = (_bounds(is_dust.to(torch.int64), region)[1] > 0) & ~at_once
    large = _bounds(is_large.to(torch.int64), region)[1] > 0
    context = torch.where(dust, RING, (longest * _RATIO[0] // _RATIO[1]).clamp(min=MIN_CONTEXT))
    working_side = torch.where(large, fill_side, max(fill_side, tile))
    working_side = torch.where(at_once, long, torch.where(dust, 0, working_side))
    everything = at_once.to(torch.int64) * long
    spans = [
        span
        for grown in (context + everything, RING + everything + 0 * context)
        for first, last, length in ((box[0], box[1], height), (box[2], box[3], width))
        for span in ((first - grown).clamp(min=0), torch.minimum(last + 1 + grown, length))
    ]
    table = torch.stack([numbers(torch.as_tensor(longest.shape[0])), *spans, working_side], 1)
    nothing = torch.zeros_like(lost[0].reshape(-1)).to(torch.int64) - 1
    return nothing.scatter(0, pixels, region[hole]).reshape(lost.shape[-2:]), table


def _bounds(values: Tensor, groups: Tensor) -> tuple[Tensor, Tensor]:
    """Return the least and the greatest of the values (N,) of each group; groups (N,) are numbers from 0."""
    nothing = 0 * numbers(groups.amax() + 1)
    return _scatter(nothing + _MANY, groups, values, "amin"), _scatter(nothing, groups, values, "amax")


def _scatter(target: Tensor, index: Tensor, values: Tensor, reduce: str) -> Tensor:
    """Return whole numbers (N,) with the least or greatest of the values at each index."""
    # The exporter loses the type of the result, which the cast tells it.
    return target.scatter_reduce(0, index, values, reduce).to(torch.int64)
