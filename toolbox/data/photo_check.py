"""Check photographs: can they be read, do pairs have one size, is the truth the same picture in colour.

A network trains on wrong pairs without an error: shuffled truths, exchanged folders, truths in gray.
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

from toolbox.data.folders import Item
from toolbox.errors import DataError
from toolbox.imaging import io
from toolbox.masks import lost_region
from toolbox.utils.image_ref import ImageRef

SIDE = 32  # pixels of the thumbnails that are compared
# Correlations of the thumbnails outside the lost region. The 24 damaged Kodak photographs have 1.0 with
# their own truths and at most 0.75 with others.
MAX_UNRELATED = 0.5
MIN_PARTNER = 0.8
MIN_LEAD = 0.3  # of the partner over the pair's own truth
MIN_CONTRAST = 3.0  # gray levels (standard deviation); a flatter picture can't be judged
COLOUR_SPREAD = 2.0  # gray levels between the channels, as a mean; a gray photograph saved as JPEG has less
MASK_TOLERANCE = 16  # gray levels from black or white
MASK_SHARE = 0.97  # of the pixels of a mask that are black or white

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
    """

    item: Item
    kind: Kind = ""
    reason: str = ""
    size: tuple[int, int] | None = None
    in_colour: bool = True
    is_copy: bool = False
    is_mask: bool = False


@dataclass(frozen=True, kw_only=True)
class _Pair:
    """What is compared of a pair: the thumbnails, where the input is known, and their correlation there."""

    input: np.ndarray
    truth: np.ndarray
    known: np.ndarray
    correlation: float
    input_in_colour: bool


def examine(items: Sequence[Item]) -> list[Examination]:
    """Decode the files of every item and return what was found, in the order of the items."""
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        examined = list(pool.map(_examine_item, items))
    pairs = [(examination.item, pair) for examination, pair in examined if pair is not None]
    return [examination if pair is None else _judge(examination, pair, pairs) for examination, pair in examined]


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
    return replace(examination, is_copy=np.array_equal(photos[0], photo)), _compare(*photos)


def _label(image: Path | ImageRef) -> str:
    return image.parent.name if isinstance(image, Path) else image.name


def _compare(damaged: np.ndarray, truth: np.ndarray) -> _Pair:
    a, b = _thumbnail(damaged), _thumbnail(truth)
    known = np.ones((SIDE, SIDE), bool)
    correlation = _correlation(a, b, known)
    if correlation < MIN_PARTNER:  # finding the lost region takes longer than the rest of the check
        lost = lost_region.find_lost_region(cv2.cvtColor(damaged, cv2.COLOR_RGB2GRAY)).astype(np.float32)
        known = cv2.resize(lost, (SIDE, SIDE), interpolation=cv2.INTER_AREA) == 0
        correlation = _correlation(a, b, known)
    return _Pair(input=a, truth=b, known=known, correlation=correlation, input_in_colour=is_in_colour(damaged))


def _judge(examination: Examination, pair: _Pair, pairs: Sequence[tuple[Item, _Pair]]) -> Examination:
    """Return the examination of a pair with its fault, found by comparison with the other pairs."""
    if pair.input_in_colour and not examination.in_colour:
        reason = "the input is in colour and the truth is gray: they are exchanged"
        return replace(examination, kind="swapped", reason=reason)
    partner = _partner(examination.item, pair, pairs)
    if pair.correlation >= MAX_UNRELATED and not partner:
        return examination
    truth = "the truth"
    if examination.item.truth is not None and examination.item.truth.name != examination.item.name:
        truth = f"the truth {examination.item.truth.name}"
    belongs = f"; the input belongs to the truth {partner}" if partner else ""
    return replace(examination, kind="unrelated", reason=f"{truth} shows another photograph{belongs}")


def _partner(item: Item, pair: _Pair, pairs: Sequence[tuple[Item, _Pair]]) -> str:
    """Return the name of another item's truth that shows the input much better, or an empty string."""
    if pair.correlation > 1 - MIN_LEAD:
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
