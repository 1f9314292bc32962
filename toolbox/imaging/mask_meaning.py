"""Decide which pixels of a mask file are lost: those painted on a transparent layer, the transparent ones, or white.

Editors export masks in several ways: white on black, strokes on a transparent layer, a canvas with erased holes. The
wrong reading restores the wrong part of a photograph, so a mask that has two plausible readings is refused.
"""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np

from toolbox.color import integer_luma
from toolbox.errors import DataError
from toolbox.utils import surface

MaskMeaning = Literal["auto", "painted", "transparent", "white"]
READINGS = tuple(meaning for meaning in get_args(MaskMeaning) if meaning != "auto")

# An alpha that varies less than this, in levels of 255, is the same everywhere.
_MIN_ALPHA_RANGE = 16
# At most this fraction of the painted pixels may have another colour than the rest: soft edges, rounding.
_MAX_EXCEPTIONS = 0.001
# Pixels within this distance of the median, in levels of 255 in each channel, have one colour.
_COLOR_RANGE = 32
# Strokes cover at most this fraction of the picture; the other reading would mark more than MAX_LOST as lost.
_MAX_STROKES = 0.4
# Lighter pixels are not black; JPEG changes black by up to this.
_BLACK = 8
# In 250 photographs of shared/photos at least 0.25 of the pixels are outside the two most common sixteenths of the
# gray levels. In a mask nearly all pixels are in two of them.
_MIN_PHOTO_SPREAD = 0.2
_MAX_MASK_LEVELS = 32
# The numbers of labels, which are too dark to be seen, are below this.
_MAX_LABELS = 32
# In an area of a label, at least this fraction of the pixels has a neighbour of the same level; in noise, fewer have.
_MIN_FLAT = 0.8
# A dark level may be lost too if it covers this fraction of the picture, and is mostly not beside what is white: soft
# edges and the noise of JPEG are in the same block of this many pixels, or in the next one.
_MIN_UNCLEAR = 0.001
_EDGE_BLOCK = 16


class MaskError(DataError):
    """A mask that is not used as it is.

    Attributes:
        readings: (H, W) bool, the lost pixels, for each reading of the mask.
    """

    def __init__(self, message: str, readings: dict[str, np.ndarray]) -> None:
        super().__init__(message)
        self.readings = readings


class UndecidedMaskError(MaskError):
    """A mask that has more than one plausible reading."""


def lost_pixels(pixels: np.ndarray, alpha: np.ndarray | None, meaning: MaskMeaning = "auto") -> np.ndarray:
    """Return the pixels that a mask marks as lost, (H, W) bool.

    Args:
        pixels: (H, W) gray or (H, W, 3) RGB, uint8.
        alpha: (H, W) uint8, or None. An alpha that is the same everywhere is ignored.
        meaning: what is lost: "painted", what is opaque; "transparent"; "white", what is visible and light: 128 or
            more in one channel. If all levels are below it: the lighter one of two, or all labels (small numbers) but
            0. "auto": white if there is no alpha. With an alpha: what is painted, if it has one colour, or is all light
            or all dark, and covers at most 40 %; what is transparent, if a canvas or a picture covers the rest.

    Raises:
        UndecidedMaskError: "auto" can't decide.
        DataError: there is no alpha, but `meaning` needs it; or it marks nothing although it is not black.
    """
    gray = integer_luma(pixels) if pixels.ndim == 3 else pixels
    if alpha is not None and int(alpha.max()) - int(alpha.min()) < _MIN_ALPHA_RANGE:
        alpha = None
    level = pixels.max(axis=2) if pixels.ndim == 3 else pixels
    white = _light(level)
    if alpha is None:
        if meaning == "auto":
            _check_levels(level, gray, white)
        if meaning not in ("auto", "white"):
            option = surface.words(command=f"--mask-means {meaning}", python=f"mask_means={meaning!r}")
            raise DataError(f"has no transparency, so {option} does not apply; leave it out")
        brightest = int(level.max())
        if not white.any() and (brightest > _BLACK or _has_labels_without_0(level)):
            raise DataError(
                f"marks nothing: white is lost, from 128 on, and its lightest pixel has {brightest} of 255. "
                "Paint what is lost in white"
            )
        return white
    low, high = int(alpha.min()), int(alpha.max())
    readings = {
        # Half-transparent strokes, such as those of a soft brush, are painted too.
        "painted": 4 * (alpha.astype(int) - low) >= high - low,
        "transparent": 2 * (alpha.astype(int) - low) < high - low,
    }
    readings["white"] = white & readings["painted"]
    return readings[_decide(pixels, gray, readings) if meaning == "auto" else meaning]


def _light(level: np.ndarray) -> np.ndarray:
    """Return the light pixels of a mask, (H, W) bool; see `lost_pixels`.

    Args:
        level: (H, W) uint8, the brightest channel, since people paint in red and blue too.
    """
    lowest, highest = int(level.min()), int(level.max())
    # Programs write masks of the levels 0 and 1 or 1 and 2, and of the labels 0, 1, 2 and so on.
    if lowest < highest < 128:
        has_two = np.isin(level, (lowest, highest)).all()
        if has_two and (lowest == 0 or _is_flat(level)):
            return level > lowest
        if lowest == 0 and highest < _MAX_LABELS and _is_flat(level):
            return level > 0
    return level >= 128


def _is_flat(level: np.ndarray) -> bool:
    """Return whether most of the pixels of (H, W) uint8 above the lowest level have a neighbour of the same level."""
    framed = np.pad(level.astype(int), 1, constant_values=-1)
    beside = [framed[1:-1, :-2], framed[1:-1, 2:], framed[:-2, 1:-1], framed[2:, 1:-1]]
    has_equal = np.any([neighbour == level for neighbour in beside], axis=0)
    return bool(has_equal[level > level.min()].mean() >= _MIN_FLAT)


def _has_labels_without_0(level: np.ndarray) -> bool:
    """Return whether the levels of (H, W) uint8 are small numbers of areas, none of which is 0."""
    lowest, highest = int(level.min()), int(level.max())
    return 0 < lowest < highest < _MAX_LABELS and _is_flat(level)


def _check_levels(level: np.ndarray, gray: np.ndarray, white: np.ndarray) -> None:
    """Raise UndecidedMaskError if a mask without an alpha is a picture, or if dark levels in it may be lost too."""
    if _is_picture(gray):
        what = "looks like a photograph, not like a mask in black and white"
        raise UndecidedMaskError(what + _choose_white(), {"white": white})
    counts = np.bincount(level.ravel(), minlength=256)
    levels = np.flatnonzero(counts)
    if not (level >= 128).any() or len(levels) > _MAX_MASK_LEVELS:
        return
    apart = np.bincount(level[~_near(white)], minlength=256)
    unclear = [
        int(dark)
        for dark in levels[1:]
        if dark < 128 and apart[dark] >= max(_MIN_UNCLEAR * level.size, counts[dark] / 2)
    ]
    if unclear:
        what = f"has areas of the level {' and '.join(map(str, unclear))} of 255, which may be lost or not"
        raise UndecidedMaskError(what + _choose_white(), {"white": white, "all": level > levels[0]})


def _choose_white() -> str:
    remedy = "; paint what is lost white and the rest black"
    # Not every Python call that takes a mask has mask_means.
    python = "call toolbox.restore with mask_means='white'"
    choice = surface.words(command="add --mask-means white", python=python, page="")
    return remedy + (f", or {choice} if only white is lost" if choice else "")


def _near(mask: np.ndarray) -> np.ndarray:
    """Return the pixels in a block that has a pixel of a mask (H, W) bool, and in the blocks around it, (H, W) bool."""
    height, width = mask.shape
    rows, columns = -(-height // _EDGE_BLOCK), -(-width // _EDGE_BLOCK)
    padded = np.zeros((rows * _EDGE_BLOCK, columns * _EDGE_BLOCK), bool)
    padded[:height, :width] = mask
    blocks = np.pad(padded.reshape(rows, _EDGE_BLOCK, columns, _EDGE_BLOCK).any(axis=(1, 3)), 1)
    around = np.any([blocks[y : y + rows, x : x + columns] for y in range(3) for x in range(3)], axis=0)
    near: np.ndarray = around.repeat(_EDGE_BLOCK, axis=0).repeat(_EDGE_BLOCK, axis=1)[:height, :width]
    return near


def _decide(pixels: np.ndarray, gray: np.ndarray, readings: dict[str, np.ndarray]) -> str:
    """Return the only plausible reading of a mask with an alpha that varies; raise UndecidedMaskError if there is none.

    See `lost_pixels` for the arguments.
    """
    visible = ~readings["transparent"]
    share = visible.mean()
    if _is_uniform(pixels[visible], gray[visible]):
        if share <= _MAX_STROKES:
            return "painted"
        if share >= 1 - _MAX_STROKES and border_share(visible) >= 0.5:
            return "transparent"
    elif share > _MAX_STROKES and _is_picture(gray[visible]):
        return "transparent"
    remedy = surface.words(
        command="say what is lost with --mask-means painted, transparent or white",
        python="paint what is lost white and the rest black, without transparency, or call toolbox.restore with "
        "mask_means='painted', 'transparent' or 'white'",
        page="paint what is lost white and the rest black, without transparency",
    )
    raise UndecidedMaskError(f"can be read in several ways; {remedy}", readings)


def border_share(mask: np.ndarray) -> float:
    """Return the fraction of the outermost pixels of a mask (H, W) bool that are True."""
    return float(np.concatenate([mask[0], mask[-1], mask[:, 0], mask[:, -1]]).mean())


def _is_uniform(colors: np.ndarray, gray: np.ndarray) -> bool:
    """Return whether colours, (N,) or (N, 3) with the luma (N,), are one colour, all light, or all dark."""
    light = float((gray >= 128).mean())
    if min(light, 1 - light) <= _MAX_EXCEPTIONS:
        return True
    flat = colors.reshape(len(gray), -1).astype(int)
    differs = np.abs(flat - np.median(flat, axis=0)).max(axis=1) > _COLOR_RANGE
    return float(differs.mean()) <= _MAX_EXCEPTIONS


def _is_picture(gray: np.ndarray) -> bool:
    """Return whether gray levels are as varied as those of a photograph, and not those of a mask."""
    levels = np.bincount(gray.ravel(), minlength=256)
    counts = np.sort(levels.reshape(16, 16).sum(axis=1))
    return bool(np.count_nonzero(levels) > _MAX_MASK_LEVELS and counts[:-2].sum() >= _MIN_PHOTO_SPREAD * gray.size)
