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
# Above every number of a row, a column or a cell.
_MANY = 1 << 20


def find_runs(lost: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Return the runs of lost pixels, each in one row, and the pairs of runs that touch, also at a corner.

    Args:
        lost: (1, H, W), 1 where the photograph is lost; at least one pixel is.

    Returns:
        The run of each pixel, (H W,), whose value means nothing where a pixel is not lost; the first and the last pixel
        of each run, (R,); the numbers of the runs, (R,); and both runs of each pair, (P,) and (P,).
    """
    height, width = sides_of(lost)
    last = height * width - 1
    is_lost = lost.reshape(-1) > 0
    rows = is_lost.reshape(lost.shape[-2:])
    beside = torch.zeros_like(rows[:, :1])
    is_start = (rows & ~torch.cat([beside, rows[:, :-1]], 1)).reshape(-1)
    is_end = (rows & ~torch.cat([rows[:, 1:], beside], 1)).reshape(-1)
    run = is_start.to(torch.int64).cumsum(0) - 1
    pixels = is_lost.nonzero()[:, 0]
    column, own = pixels % width, numbers(run[-1] + 1)
    # Each run is also a pair with itself, so that there are always pairs.
    first, second = [own], [own]
    for right in (-1, 0, 1):
        is_inside = (column + right >= 0) & (column + right < width) & (pixels + width <= last)
        below = torch.where(is_inside, pixels + width + right, pixels).minimum(last)
        # Two runs touch for the first time where one of them starts.
        is_first = is_inside & is_lost[below] & (is_start[pixels] | is_start[below])
        touching = is_first.nonzero()[:, 0]
        first.append(run[pixels[touching]])
        second.append(run[below[touching]])
    return run, is_start.nonzero()[:, 0], is_end.nonzero()[:, 0], own, torch.cat(first), torch.cat(second)


def join(groups: Tensor, first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """Return for each of R runs a greater number of a run that it is connected with, (R,), and how many are new.

    The pairs are those of `find_runs`; at the start, each run has its own number. A round joins the groups of all pairs
    and halves the length of the path to the greatest number, so the number of rounds grows with the logarithm of the
    longest path (Shiloach and Vishkin, "An O(log n) parallel connectivity algorithm", 1982).
    """
    one, other = groups[first], groups[second]
    larger = torch.maximum(one, other)
    joined = _scatter(_scatter(groups, one, larger, "amax"), other, larger, "amax")
    joined = joined[joined]
    return joined, (joined != groups).sum()


def connect(groups: Tensor, first: Tensor, second: Tensor) -> Tensor:
    """Return the same number for all runs that are connected, (R,): `join` until nothing is new."""
    new = 1
    while new > 0:
        groups, count = join(groups, first, second)
        new = int(count)
    return groups


def hole_table(
    lost: Tensor, runs: tuple[Tensor, Tensor, Tensor], groups: Tensor, at_once: Tensor, fill_side: int, tile: int
) -> tuple[Tensor, Tensor]:
    """Return the region of each pixel, (H, W), -1 where nothing is lost; and the facts of each region, (N, 10).

    Args:
        lost: (1, H, W), 1 where the photograph is lost.
        runs: the run of each pixel, and the first and the last pixel of each run; see `find_runs`.
        groups: of `connect`, (R,).
        at_once: whether all holes are one region, which is the whole photograph.
        fill_side: see `onnx_graph.GraphPart`.
        tile: see `onnx_graph.GraphPart`.

    Returns:
        The columns of the second: the number of the region; the first row, the row after the last one, the first column
        and the column after the last one of the context, and the same four of the holes with their ring; and the side
        of the square to which the context is resized, 0 for dust.
    """
    height, width = sides_of(lost)
    run, starts, ends = runs
    is_root = groups == numbers(torch.as_tensor(groups.shape[0]))
    hole = (is_root.to(torch.int64).cumsum(0) - 1)[groups]
    rows = _bounds(starts // width, hole)
    bounds = [*rows, _bounds(starts % width, hole)[0], _bounds(ends % width, hole)[1]]
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
    regions = torch.where(lost.reshape(-1) > 0, region[hole][run.clamp(min=0)], -1)
    return regions.reshape(lost.shape[-2:]), table


def no_regions(lost: Tensor) -> tuple[Tensor, Tensor]:
    """Return what `hole_table` returns for a photograph without a hole: a region of one pixel that has no hole."""
    pixel = torch.tensor([0, 0, 1, 0, 1, 0, 1, 0, 1, 0])
    return lost[0].to(torch.int64) - 1, pixel[None]


def _bounds(values: Tensor, groups: Tensor) -> tuple[Tensor, Tensor]:
    """Return the least and the greatest of the values (N,) of each group; groups (N,) are numbers from 0."""
    nothing = 0 * numbers(groups.amax() + 1)
    return _scatter(nothing + _MANY, groups, values, "amin"), _scatter(nothing, groups, values, "amax")


def _scatter(target: Tensor, index: Tensor, values: Tensor, reduce: str) -> Tensor:
    """Return whole numbers (N,) with the least or greatest of the values at each index."""
    # The exporter loses the type of the result; the cast restores it.
    return target.scatter_reduce(0, index, values, reduce).to(torch.int64)
