"""Check photographs: can they be read, do pairs have one size, is the truth the same picture in colour.

A network trains on wrong pairs without an error: shuffled truths, exchanged folders, truths in gray, shifted truths.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import cv2
import numpy as np

from toolbox.color import integer_luma
from toolbox.data.alignment import NEGATIVE, Alignment, align, lowest_expected, turned
from toolbox.data.folders import Item
from toolbox.errors import DataError
from toolbox.imaging import io
from toolbox.masks import lost_region
from toolbox.utils.image_ref import ImageRef

SIDE = 32  # pixels of the thumbnails that are compared
# Correlations of the thumbnails outside the lost region; they count where the details do not show the same photograph.
# The 24 damaged Kodak photographs have 1.0 with their own truths and at most 0.75 with others.
MAX_UNRELATED = 0.5
MIN_PARTNER = 0.8
MIN_LEAD = 0.3  # of the partner over the pair's own truth
MAX_UNEXPLAINED = 0.25  # by a turned truth, as a share of what the truth itself leaves unexplained
MIN_UNEXPLAINED = 1e-3  # one minus the correlation; less is rounding
MAX_ROUNDING = 1.0  # gray levels between two computations of the same luma
MIN_CONTRAST = 3.0  # gray levels (standard deviation); a flatter picture can't be judged
# A part painted over and saved as JPEG: gray levels within a square of this side in pixels, gray levels (standard
# deviation) of the whole part, its least share of the pixels; with a margin in pixels for its edge.
EVEN_RANGE, EVEN_SIDE, EVEN_SPREAD, EVEN_SHARE, EVEN_MARGIN = 8, 5, 3.0, 0.005, 17
EVEN_TONE = 0.5  # gray levels (standard deviation); a flatter input shows nothing
COLOUR_SPREAD = 2.0  # gray levels between the channels, as a mean; a gray photograph saved as JPEG has less
MASK_TOLERANCE = 16  # gray levels from black or white
MASK_SHARE = 0.97  # of the pixels of a mask that are black or white

# What most inputs of a folder are if `is_exchanged` is true for them.
EXCHANGED_CHANNELS = (
    "fit their truths only with red and blue exchanged, as OpenCV reads and writes them. Look at a truth: if its "
    "colours are wrong, write the truths again; if not, make the gray inputs again"
)

Kind = Literal["", "unreadable", "size", "swapped", "unrelated"]


@dataclass(frozen=True, kw_only=True)
class Examination:
    """What was found in the files of an item.

    Attributes:
        item: the item.
        kind: why it can't be used: a file can't be read, the pair is of unequal size, the input is in colour and the
            truth is gray, the two show different photographs; empty if it can be used.
        reason: the same in words.
        size: width and height in pixels of the truth, or of the input if there is no truth; None if unreadable.
        in_colour: whether the truth has colours.
        is_copy: whether the input equals the truth in every pixel, so that nothing is to be learned.
        is_mask: whether the truth is black and white only, as a mask is.
        is_exchanged: whether the input fits the truth much better if red and blue of the truth are exchanged.
        shift: by how many pixels the truth lies to the right of the input and below it; None: it is not shifted.
    """

    item: Item
    kind: Kind = ""
    reason: str = ""
    size: tuple[int, int] | None = None
    in_colour: bool = True
    is_copy: bool = False
    is_mask: bool = False
    is_exchanged: bool = False
    shift: tuple[int, int] | None = None


@dataclass(frozen=True, kw_only=True)
class _Pair:
    """What is compared of a pair.

    Attributes:
        input: its thumbnail.
        truth: its thumbnail.
        known: where the input is known, in the thumbnail.
        correlation: that of the two there.
        input_in_colour: whether the input has colours.
        turn: how the truth is turned or inverted, such as "mirrored"; empty if it is not.
        flat: which of the two shows nothing while the other shows something: "input", "truth" or "".
        alignment: how the details of the two agree.
    """

    input: np.ndarray
    truth: np.ndarray
    known: np.ndarray
    correlation: float
    input_in_colour: bool
    turn: str = ""
    flat: str = ""
    alignment: Alignment = Alignment()


def examine(items: Sequence[Item]) -> list[Examination]:
    """Decode the files of every item and return what was found, in the order of the items."""
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        examined = list(pool.map(_examine_item, items))
    pairs = [(examination.item, pair) for examination, pair in examined if pair is not None]
    lowest = lowest_expected([pair.alignment for _, pair in pairs])
    return [examination if pair is None else _judge(examination, pair, pairs, lowest) for examination, pair in examined]


def is_in_colour(photo: np.ndarray) -> bool:
    """Return whether (H, W, 3) uint8 RGB has colours."""
    return float((photo.max(axis=2) - photo.min(axis=2)).mean()) > COLOUR_SPREAD


def is_mask(photo: np.ndarray) -> bool:
    """Return whether (H, W, 3) uint8 RGB is black and white only, with both of them; JPEG blurs a few pixels."""
    counts = np.bincount(photo.ravel(), minlength=256)
    black, white = counts[:MASK_TOLERANCE].sum(), counts[-MASK_TOLERANCE:].sum()
    return bool(black and white and black + white >= MASK_SHARE * photo.size) and not is_in_colour(photo)


def _examine_item(item: Item) -> tuple[Examination, _Pair | None]:
    try:
        photos = [io.read_rgb(path) for path in item.images]
    except DataError as error:
        return Examination(item=item, kind="unreadable", reason=str(error)), None
    photo = photos[-1]
    size = (photo.shape[1], photo.shape[0])
    examination = Examination(item=item, size=size, in_colour=item.truth is None or is_in_colour(photo))
    if not examination.in_colour:
        examination = replace(examination, is_mask=is_mask(photo))
    if len(photos) == 1:
        return examination, None
    if photos[0].shape != photo.shape:
        sizes = [f"{_label(path)} {p.shape[1]}x{p.shape[0]}" for path, p in zip(item.images, photos, strict=True)]
        return replace(examination, kind="size", reason=f"the pair is of unequal size: {' and '.join(sizes)}"), None
    # Which input a mask belongs to can't be seen.
    pair = None if examination.is_mask else _compare(*photos)
    examination = replace(
        examination, is_copy=np.array_equal(photos[0], photo), is_exchanged=_is_exchanged(photos[0], photo)
    )
    return examination, pair


def _label(image: Path | ImageRef) -> str:
    return image.parent.name if isinstance(image, Path) else image.name


def _compare(damaged: np.ndarray, truth: np.ndarray) -> _Pair:
    gray = integer_luma(damaged)
    a, b, alignment = _thumbnail(damaged), _thumbnail(truth), align(gray, integer_luma(truth))
    known = np.ones((SIDE, SIDE), bool)
    correlation, turn = _correlation(a, b, known), alignment.turn
    if not (alignment.is_same_photo or turn):
        best, name = _best_turn(a, b, known, truth)
        is_even = b.std() < EVEN_TONE
        if is_even or correlation < max(MIN_PARTNER, best):  # the lost region takes longer than the rest of the check
            known = _known(gray, has_details=alignment.correlation is not None)
            correlation, (best, name) = _correlation(a, b, known), _best_turn(a, b, known, truth)
        turn = name if best > MIN_PARTNER and _explains(best, correlation) else ""
    return _Pair(
        input=a,
        truth=b,
        known=known,
        correlation=correlation,
        input_in_colour=is_in_colour(damaged),
        turn=turn,
        flat=_flat(a, b, known),
        alignment=alignment,
    )


def _known(gray: np.ndarray, *, has_details: bool) -> np.ndarray:
    """Return where the thumbnail of an input (H, W) uint8 has only known pixels, (SIDE, SIDE) bool."""
    lost = lost_region.find_lost_region(gray)
    if not has_details:  # then even parts may be damage that JPEG has changed
        lost = lost | _even_parts(gray)
    return cv2.resize(lost.astype(np.float32), (SIDE, SIDE), interpolation=cv2.INTER_AREA) == 0


def _flat(a: np.ndarray, b: np.ndarray, known: np.ndarray) -> str:
    """Return which of two thumbnails shows nothing while the other shows something: "input", "truth" or ""."""
    if a.std() < EVEN_TONE and b.std() >= MIN_CONTRAST:
        return "input"
    is_shown = known.sum() >= SIDE and a[known].std() >= MIN_CONTRAST
    return "truth" if b.std() < EVEN_TONE and is_shown else ""


def _best_turn(a: np.ndarray, b: np.ndarray, known: np.ndarray, truth: np.ndarray) -> tuple[float, str]:
    """Return the largest correlation of an input with its turned or inverted truth, and what is done to that."""
    turns = turned(b, is_square=truth.shape[0] == truth.shape[1]) | {NEGATIVE: -b}
    return max((_correlation(a, picture, known), name) for name, picture in turns.items())


def _even_parts(gray: np.ndarray) -> np.ndarray:
    """Return the parts of (H, W) uint8 with one gray level but for the noise of JPEG, (H, W) bool, with a margin."""
    square = np.ones((EVEN_SIDE, EVEN_SIDE), np.uint8)
    even = (cv2.dilate(gray, square) - cv2.erode(gray, square) <= EVEN_RANGE).astype(np.uint8)
    _, labels = cv2.connectedComponents(even, connectivity=4)
    numbers, levels = labels.ravel(), gray.ravel().astype(np.float64)
    areas = np.bincount(numbers)
    means = np.bincount(numbers, levels) / np.maximum(areas, 1)
    spreads = np.sqrt(np.bincount(numbers, (levels - means[numbers]) ** 2) / np.maximum(areas, 1))
    chosen = (spreads < EVEN_SPREAD) & (areas >= EVEN_SHARE * gray.size)
    chosen[0] = False
    return cv2.dilate(chosen[labels].astype(np.uint8), np.ones((EVEN_MARGIN, EVEN_MARGIN), np.uint8)) > 0


def _explains(other: float, correlation: float) -> bool:
    """Return whether a picture with the correlation `other` explains the input much better than the truth does."""
    unexplained = 1 - correlation
    return unexplained > MIN_UNEXPLAINED and 1 - other < MAX_UNEXPLAINED * unexplained


def _is_exchanged(damaged: np.ndarray, truth: np.ndarray) -> bool:
    """Return whether a gray input is that of the truth with red and blue exchanged, as OpenCV has them."""
    if is_in_colour(damaged) or not is_in_colour(truth):
        return False
    gray = damaged[:, :, 0]
    # The median: the lost region is smaller than half of the picture.
    as_it_is, exchanged = (
        float(np.median(cv2.absdiff(gray, cv2.cvtColor(truth, code))))
        for code in (cv2.COLOR_RGB2GRAY, cv2.COLOR_BGR2GRAY)
    )
    return exchanged <= MAX_ROUNDING < as_it_is


def _judge(examination: Examination, pair: _Pair, pairs: Sequence[tuple[Item, _Pair]], lowest: float) -> Examination:
    """Return the examination of a pair with its fault, found by comparison with the other pairs.

    `lowest` is the correlation of details below which a pair is an outlier.
    """
    if pair.input_in_colour and not examination.in_colour:
        reason = "the input is in colour and the truth is gray: they are exchanged"
        return replace(examination, kind="swapped", reason=reason)
    if pair.flat:
        reason = f"the {pair.flat} shows nothing, it is one even tone"
        return replace(examination, kind="unrelated", reason=reason)
    if pair.turn:
        return replace(examination, kind="unrelated", reason=f"{_truth_of(examination.item)} is {pair.turn}")
    partner = _partner(examination.item, pair, pairs)
    alignment = pair.alignment
    is_outlier = alignment.correlation is not None and alignment.correlation < lowest
    is_alike = pair.correlation >= MAX_UNRELATED and not partner and not is_outlier
    if alignment.is_same_photo or is_alike:
        return replace(examination, shift=alignment.shift)
    belongs = f"; the input belongs to the truth {partner}" if partner else ""
    reason = f"{_truth_of(examination.item)} shows another photograph{belongs}"
    return replace(examination, kind="unrelated", reason=reason)


def _truth_of(item: Item) -> str:
    """Return what the truth of an item is called in messages."""
    return "the truth" if item.truth is None or item.truth.name == item.name else f"the truth {item.truth.name}"


def _partner(item: Item, pair: _Pair, pairs: Sequence[tuple[Item, _Pair]]) -> str:
    """Return the name of another item's truth that shows the input much better, or an empty string."""
    if pair.alignment.is_same_photo or pair.correlation > 1 - MIN_LEAD:
        return ""
    candidates = [
        (_correlation(pair.input, other.truth, pair.known), named.truth.name)
        for named, other in pairs
        if named is not item and named.truth is not None
    ]
    best = max(candidates, default=(0.0, ""))
    return best[1] if best[0] > max(MIN_PARTNER, pair.correlation + MIN_LEAD) else ""


def _thumbnail(photo: np.ndarray) -> np.ndarray:
    gray = cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY)
    return cv2.resize(gray.astype(np.float32), (SIDE, SIDE), interpolation=cv2.INTER_AREA)


def _correlation(a: np.ndarray, b: np.ndarray, known: np.ndarray) -> float:
    """Return the correlation of two thumbnails where both are known; 1 if they are too flat to be judged."""
    x, y = a[known].astype(np.float64), b[known].astype(np.float64)
    if x.size < SIDE or min(x.std(), y.std()) < MIN_CONTRAST:
        return 1.0
    return float(np.corrcoef(x, y)[0, 1])
