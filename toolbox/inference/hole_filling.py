"""What is lost of a photograph, hole by hole: a crop around each, filled and joined to its surroundings."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np

from toolbox.imaging.chroma_upsampling import luma_of_floats
from toolbox.inference.photo_view import View
from toolbox.inference.tiling import Tiles

# What a network is shown around a hole: times the hole's own side, and pixels at least. Training shows holes of a
# quarter of the picture's side; measured, more around them and a smaller scale fill them better than full detail.
AROUND = 1.5
CONTEXT = 64
# Holes of so many pixels a side, and that share of the picture's, are dust: filled smoothly, without the network.
SPECK = 16
SPECK_SHARE = 1 / 32
# Rounds of smoothing at each scale, where what was found is made to meet what is known.
ROUNDS = 8

Box = tuple[slice, slice]


@dataclass(frozen=True, kw_only=True, eq=False)
class Region:
    """A part of the photograph with some of its holes.

    Attributes:
        shown: rows and columns that the network is shown.
        inner: those of the holes with two pixels around them.
        own: (h, w) bool, the holes' pixels in `inner`.
        side: `shown` is brought to the square of so many pixels at most; 0 where the network is not asked.
    """

    shown: Box
    inner: Box
    own: np.ndarray
    side: int


def fill_holes(out: np.ndarray, view: View, tiles: Tiles, side: int) -> None:
    """Write what the network makes of every hole into `out`.

    Args:
        out: (H, W) luma or (H, W, 3) RGB, uint8 or uint16, right wherever nothing is lost; changed elsewhere alone.
        view: the photograph.
        tiles: the network.
        side: to the square of so many pixels a hole with its surroundings is brought if it is larger. What the
            network makes of it there is enlarged: it is no sharper than that scale.
    """
    for region in hole_regions(view.mask, side, tiles.side):
        if not region.side:
            around = out[region.inner]
            blend_into(around, np.zeros(around.shape, np.float32), region.own, view.mask[region.inner])
            continue
        part = view.part(*region.shown)
        height, width = part.size
        scale = min(1.0, region.side / math.sqrt(height * width))
        small = part.scaled(max(1, int(height * scale)), max(1, int(width * scale)))
        values = _as(out, tiles.whole(small))
        place = [one.start - whole.start for one, whole in zip(region.inner, region.shown, strict=True)]
        values = _enlarged(values, (height, width), place, region.own.shape)
        blend_into(out[region.inner], values, region.own, view.mask[region.inner])


def blend_into(out: np.ndarray, values: np.ndarray, own: np.ndarray, lost: np.ndarray) -> None:
    """Write what was found for some holes of a picture into it, shifted smoothly so that it meets what is known.

    Args:
        out: (h, w) luma or (h, w, 3) RGB, uint8 or uint16.
        values: (h, w) luma or (h, w, 3) RGB in [0, 1], what was found.
        own: (h, w) bool, where it is written.
        lost: (h, w) bool, all that is not known; it holds `own`.
    """
    top = float(np.iinfo(out.dtype).max)
    found = _as(out, values) * np.float32(top)
    found += _membrane(out, found, lost)
    out[own] = np.rint(found[own]).clip(0, top)


def hole_regions(mask: np.ndarray, side: int, tile: int) -> Iterator[Region]:
    """Yield all holes of a mask (H, W) with what a network should see of their surroundings.

    Holes that are small against `side` go together with their neighbours, at full size, in crops of about `tile` pixels
    a side; so does dust, which the network is not asked for.
    """
    if not mask.any():
        return
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask.view(np.uint8), connectivity=8)
    boxes = stats[1:, [1, 0, 3, 2]].astype(np.int64)
    boxes[:, 2:] += boxes[:, :2]
    sides = (boxes[:, 2:] - boxes[:, :2]).max(1)
    dust = sides <= min(SPECK, SPECK_SHARE * max(mask.shape))
    large = (sides > side // 8) & ~dust
    cells = np.column_stack([boxes[:, :2] // max(1, tile // 2), dust])
    # A cell of its own for each that is not small.
    cells[large] = -1 - np.flatnonzero(large)[:, None]
    _, groups = np.unique(cells, axis=0, return_inverse=True)
    groups = groups.ravel()  # numpy 2.0.0 alone gives a column
    for members in np.split(np.argsort(groups, kind="stable"), np.cumsum(np.bincount(groups))[:-1]):
        first, last = boxes[members, :2].min(0), boxes[members, 2:].max(0)
        inner = _grown(first, last, 2, mask.shape)
        chosen = np.zeros(count, bool)
        chosen[members + 1] = True
        speck, alone = dust[members[0]], large[members[0]]
        around = 2 if speck else max(CONTEXT, int(AROUND * sides[members].max()))
        yield Region(
            shown=_grown(first, last, around, mask.shape),
            inner=inner,
            own=chosen[labels[inner]],
            side=0 if speck else side if alone else max(side, tile),
        )


def _grown(first: np.ndarray, last: np.ndarray, by: int, shape: tuple[int, ...]) -> Box:
    rows, columns = (
        slice(max(0, int(start) - by), min(length, int(stop) + by))
        for start, stop, length in zip(first, last, shape, strict=True)
    )
    return rows, columns


def _as(out: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return RGB (h, w, 3) as luma where `out` is that."""
    return luma_of_floats(values) if out.ndim < values.ndim else values


def _enlarged(values: np.ndarray, size: tuple[int, int], place: list[int], wanted: tuple[int, ...]) -> np.ndarray:
    """Return a part of `values` enlarged to `size`: `wanted` height and width from the pixel `place` on."""
    if values.shape[:2] == size:
        return values[place[0] : place[0] + wanted[0], place[1] : place[1] + wanted[1]]
    down, across = values.shape[0] / size[0], values.shape[1] / size[1]
    rows, columns = ((start + 0.5) * scale - 0.5 for start, scale in zip(place, (down, across), strict=True))
    back = np.array([[across, 0, columns], [0, down, rows]])
    how = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(values, back, (wanted[1], wanted[0]), flags=how, borderMode=cv2.BORDER_REPLICATE)


def _membrane(out: np.ndarray, found: np.ndarray, lost: np.ndarray) -> np.ndarray:
    """Return what to add to `found` so that it meets `out` where that is known: the difference there, spread smoothly.

    Nearly the solution of Laplace's equation, as in Pérez et al., "Poisson Image Editing", 2003: the known differences
    are averaged to half the size, spread there in turn, and smoothed in the holes at every size on the way back.
    """
    apart = out - found
    apart[lost] = 0
    return _spread(apart, ~lost)


def _spread(values: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Return `values` (h, w) or (h, w, 3), 0 where they are not `known` (h, w), with those filled from the others."""
    if known.all() or known.size == 1:
        return values
    half = max(1, known.shape[1] // 2), max(1, known.shape[0] // 2)
    share = cv2.resize(known.astype(np.float32), half, interpolation=cv2.INTER_AREA)
    small = cv2.resize(values, half, interpolation=cv2.INTER_AREA)
    np.divide(small, _over(np.maximum(share, 1e-6), values), out=small)
    filled = cv2.resize(_spread(small, share > 0), known.shape[::-1], interpolation=cv2.INTER_LINEAR)
    known = _over(known, values)
    np.copyto(filled, values, where=known)
    around = np.empty_like(filled)
    for _ in range(ROUNDS):
        cv2.blur(filled, (3, 3), dst=around, borderType=cv2.BORDER_REPLICATE)
        np.copyto(around, values, where=known)
        filled, around = around, filled
    return filled


def _over(plane: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return a plane (h, w) so that it stands for every channel of `values`."""
    return plane if values.ndim == 2 else plane[..., None]
