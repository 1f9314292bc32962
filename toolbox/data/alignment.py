"""Compare the details of an input and its truth: does the truth show the same photograph, at its place and upright?

Thumbnails can't tell two photographs that look alike, or a truth that is shifted by some pixels. The details can: edges
and texture, with equal contrast everywhere, so that a faded or brighter input compares as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

# From this correlation of details on, the truth shows the same photograph. docs/data.md has the figures.
SAME_PHOTO = 0.3
# The middle of the pair is compared, up to this side in pixels, at full resolution.
_SIDE = 512
_MIN_SIDE = 32
# Details are what a blur of the first radius removes, relative to their strength within the second one and this level.
_FINE, _AROUND, _NOISE = 3.0, 12.0, 2.0
_MAX_DETAIL = 3.0
# An area whose pixels are all equal is painted over, or has no details; with a margin for the edge of a shape.
_FLAT_SIDE, _MARGIN_SIDE = 5, 17
# A pair with fewer pixels to compare, or weaker details in one of the two, is not judged.
_MIN_PIXELS, _MIN_STRENGTH = 1000, 0.05
# A shift in pixels: smaller ones come from resizing, larger ones can't be told from another photograph.
_MIN_SHIFT, _MAX_SHIFT = 2, 32
# The lead of the shifted or turned truth, which must have `SAME_PHOTO`, over the correlation of the truth as it is.
_MIN_LEAD = 0.15
# A pair is an outlier below `_MAX_ALONE`, or this far below the median of the others: a number, and a multiple of the
# spread. Chosen on 660 pairs; docs/data.md has the figures.
_MIN_PAIRS, _MIN_MEDIAN, _MAX_ALONE = 8, 0.3, 0.05
_MIN_DISTANCE, _MIN_SPREAD, _SPREADS = 0.4, 0.02, 12.0
# What a truth is if dark and light are exchanged in it or in the input, in words.
NEGATIVE = "a negative of the input (dark and light are inverted)"


@dataclass(frozen=True, kw_only=True)
class Alignment:
    """How the details of a pair agree.

    Attributes:
        correlation: of the details outside of flat areas, -1 to 1; None: there are too few to judge.
        shift: by how many pixels the truth lies to the right of the input and below it; None: it is not shifted.
        turn: how the truth is turned or inverted, such as "mirrored"; empty if it is not.
    """

    correlation: float | None = None
    shift: tuple[int, int] | None = None
    turn: str = ""

    @property
    def is_same_photo(self) -> bool:
        """Whether the details show the same photograph, shifted or not; False also if they can't be judged."""
        return self.shift is not None or (self.correlation is not None and self.correlation >= SAME_PHOTO)


def align(gray: np.ndarray, truth: np.ndarray) -> Alignment:
    """Compare an input (H, W) uint8 with the luma of its truth, (H, W) uint8."""
    gray, truth = _middle(gray), _middle(truth)
    if min(gray.shape) < _MIN_SIDE:
        return Alignment()
    known = ~_flat(gray)
    a, b = np.where(known, _details(gray), np.float32(0)), _details(truth)
    correlation = _correlation(a, b, known)
    if correlation is None:
        return Alignment()
    turn = _turn(a, b, known, correlation)
    if turn:
        return Alignment(correlation=correlation, turn=turn)
    (right, down), _ = cv2.phaseCorrelate(a, b, cv2.createHanningWindow(a.shape[::-1], cv2.CV_32F))
    shift = (round(right), round(down))
    if not _MIN_SHIFT <= max(abs(step) for step in shift) <= min(_MAX_SHIFT, min(a.shape) // 4):
        return Alignment(correlation=correlation)
    rows, columns = (_overlap(step, size) for step, size in zip(shift[::-1], a.shape, strict=True))
    inside = (rows[0], columns[0])
    shifted = _correlation(a[inside], b[rows[1], columns[1]], known[inside])
    is_shifted = shifted is not None and shifted > max(SAME_PHOTO, correlation + _MIN_LEAD)
    return Alignment(correlation=correlation, shift=shift if is_shifted else None)


def lowest_expected(alignments: Sequence[Alignment]) -> float:
    """Return the correlation below which a pair is an outlier among these; -1 if they are too few or disagree."""
    values = np.array([one.correlation for one in alignments if one.correlation is not None and one.shift is None])
    if len(values) < _MIN_PAIRS or np.median(values) < _MIN_MEDIAN:
        return -1.0
    middle = float(np.median(values))
    spread = max(1.4826 * float(np.median(np.abs(values - middle))), _MIN_SPREAD)
    return min(SAME_PHOTO, max(_MAX_ALONE, middle - max(_MIN_DISTANCE, _SPREADS * spread)))


def turned(picture: np.ndarray, *, is_square: bool) -> dict[str, np.ndarray]:
    """Return a picture (H, W) in every way that a truth may be turned without another size, by the name of the turn.

    `is_square` says whether the truth is; a thumbnail of any truth is square.
    """
    turns = {"mirrored": picture[:, ::-1], "upside down": picture[::-1, ::-1], "mirrored top to bottom": picture[::-1]}
    if is_square:
        turns |= {"turned by 90 degrees": np.rot90(picture), "turned by 270 degrees": np.rot90(picture, 3)}
    return turns


def describe_shift(shift: tuple[int, int]) -> str:
    """Return a shift in words, such as "3 pixels to the right and 2 down"."""
    right, down = shift
    steps = [(abs(right), "to the right" if right > 0 else "to the left"), (abs(down), "down" if down > 0 else "up")]
    named = [(number, direction) for number, direction in steps if number]
    first = f"{named[0][0]} pixel{'s' if named[0][0] > 1 else ''} {named[0][1]}"
    return " and ".join([first, *(f"{number} {direction}" for number, direction in named[1:])])


def _middle(gray: np.ndarray) -> np.ndarray:
    """Return the middle, with equal margins at both sides, so that the middle of a turned picture is turned too."""
    top, left = (max(0, (size - _SIDE) // 2) for size in gray.shape)
    return gray[top : gray.shape[0] - top, left : gray.shape[1] - left]


def _details(gray: np.ndarray) -> np.ndarray:
    levels = gray.astype(np.float32)
    fine = levels - cv2.GaussianBlur(levels, (0, 0), _FINE)
    strength = np.sqrt(cv2.GaussianBlur(fine * fine, (0, 0), _AROUND)) + _NOISE
    return np.asarray(np.clip(fine / strength, -_MAX_DETAIL, _MAX_DETAIL), np.float32)


def _flat(gray: np.ndarray) -> np.ndarray:
    square = np.ones((_FLAT_SIDE, _FLAT_SIDE), np.uint8)
    flat = (cv2.erode(gray, square) == cv2.dilate(gray, square)).astype(np.uint8)
    return cv2.dilate(flat, np.ones((_MARGIN_SIDE, _MARGIN_SIDE), np.uint8)) > 0


def _correlation(a: np.ndarray, b: np.ndarray, known: np.ndarray) -> float | None:
    x, y = a[known], b[known]
    if x.size < _MIN_PIXELS:
        return None
    strengths = float((x * x).mean()), float((y * y).mean())
    return float((x * y).mean()) / float(np.sqrt(np.prod(strengths))) if min(strengths) > _MIN_STRENGTH else None


def _turn(a: np.ndarray, b: np.ndarray, known: np.ndarray, correlation: float) -> str:
    """Return how `b` is turned or inverted if it fits `a` clearly better otherwise; empty if it does not."""
    views = turned(b, is_square=b.shape[0] == b.shape[1])
    turns = [(_correlation(a, details, known) or 0.0, name) for name, details in views.items()]
    best, name = max([*turns, (correlation, "")], key=lambda turn: abs(turn[0]))
    if abs(best) <= max(SAME_PHOTO, correlation + _MIN_LEAD):
        return ""
    return name if best > 0 else " and ".join(filter(None, [NEGATIVE, name]))


def _overlap(step: int, size: int) -> tuple[slice, slice]:
    """Return the part of an axis of the input that a truth shifted by `step` shows, and where the truth has it."""
    return slice(max(-step, 0), size - max(step, 0)), slice(max(step, 0), size - max(-step, 0))
