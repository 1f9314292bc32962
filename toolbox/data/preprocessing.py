"""What of a photograph is the same every time: decoded, scaled, its lost region found; kept in a cache if there is one.

All that is random comes after, in `toolbox.data.loader`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import PIL

from toolbox.data.decoded_cache import Arrays, Cache
from toolbox.data.folders import Item
from toolbox.errors import DataError
from toolbox.hooks.protocols import Sample
from toolbox.imaging import io
from toolbox.masks import lost_region


@dataclass(frozen=True, kw_only=True)
class PreprocessKey:
    """How pictures are scaled: a pair to a square of `size`, a photograph to it with its short side, unless `whole`."""

    size: int
    whole: bool = False

    def of(self, item: Item) -> str:
        """Return all that an item's arrays depend on besides its files, as text."""
        kind = f"pair {self.size}" if item.input else "whole" if self.whole else f"photo {self.size}"
        return f"{kind}, opencv {cv2.__version__}, pillow {PIL.__version__}"


def load(item: Item, form: PreprocessKey, cache: Cache | None = None) -> Arrays:
    """Return the arrays of one item with a truth, uint8, from the cache where it has them.

    Returns:
        `truth` (H, W, 3) RGB; for a pair, square, also `gray` (H, W), its `mask` packed to bits, and `unlike`,
        one number that is not 0 where its input is not the luma of its truth; see `pair`.

    Raises:
        DataError: a file that can't be used, or a pair of unequal size; the message names the file.
    """
    if cache is None:
        return _made(item, form)
    return cache.get(_files(item), form.of(item), lambda: _made(item, form))


def missing(items: Iterable[Item], form: PreprocessKey, cache: Cache) -> list[Item]:
    """Return the items that the cache has not got."""
    return [item for item in items if not cache.has(_files(item), form.of(item))]


def fill_cache(items: Iterable[Item], form: PreprocessKey, cache: Cache) -> Iterator[None]:
    """Put items into the cache and yield after each; it may be left at any time.

    Where the cache takes nothing more, the rest goes by unread.

    Raises:
        DataError: see `load`.
    """
    pool = ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="toolbox-cache")
    try:
        for _ in pool.map(lambda item: None if cache.trouble else load(item, form, cache), items):
            yield
    finally:
        pool.shutdown(cancel_futures=True)
        cache.save_digests()


def _files(item: Item) -> list[Path]:
    return [path for path in (item.input, item.truth) if path is not None]


def _made(item: Item, form: PreprocessKey) -> Arrays:
    if item.truth is None:
        raise DataError(f"{item.name} has no truth to learn from or be compared with.")
    if item.input is None:
        truth = io.read_rgb(item.truth)
        return {"truth": truth if form.whole else _scaled(truth, form.size)}
    whole, luma_mismatch = prepare_pair(item)
    sample = _resized(whole, form.size)
    return {
        "gray": np.ascontiguousarray(sample.image[:, :, 0]),
        "truth": sample.truth,
        "mask": np.packbits(sample.mask),
        "luma_mismatch": np.array([luma_mismatch], np.uint8),
    }


def prepare_pair(item: Item) -> tuple[Sample, bool]:
    """Read a damaged picture and its truth at their own size, with the pair's own mask.

    Returns:
        The sample, and whether input and truth differ nearly everywhere (JPEG, another gray formula), so that the
        mask is the lost region found in the input alone.
    """
    assert item.input is not None and item.truth is not None
    gray, truth = io.read_gray(item.input), io.read_rgb(item.truth)
    if gray.shape != truth.shape[:2]:
        (h, w), (th, tw) = gray.shape, truth.shape[:2]
        raise DataError(f"{item.input} is {w}x{h} and its truth {item.truth} is {tw}x{th}; a pair must be of one size.")
    mask = lost_region.pair_mask(gray, truth)
    luma_mismatch = mask is None
    if mask is None:
        mask = lost_region.find_lost_region(gray)
    return Sample(image=gray_to_rgb(gray), mask=mask, truth=truth), luma_mismatch


def gray_to_rgb(gray: np.ndarray) -> np.ndarray:
    """Return a gray picture (H, W) as RGB (H, W, 3)."""
    return cv2.cvtColor(gray, cv2.COLOR_GRAY2RGB)


def crop_square(photo: np.ndarray, size: int, random: np.random.Generator | None, zoom: float = 1.0) -> np.ndarray:
    """Scale the short side to `size`, or at random up to `zoom` times that, and crop: anywhere, or in the middle."""
    side = size if random is None or zoom == 1 else round(size * zoom ** random.random())
    scaled = _scaled(photo, side)
    room = np.array(scaled.shape[:2]) - size
    y, x = random.integers(0, room + 1) if random is not None else room // 2
    return np.ascontiguousarray(scaled[y : y + size, x : x + size])


def _scaled(picture: np.ndarray, size: int) -> np.ndarray:
    height, width = picture.shape[:2]
    scale = size / min(height, width)
    if scale == 1:
        return picture
    to = (max(size, round(width * scale)), max(size, round(height * scale)))
    return cv2.resize(picture, to, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)


def _resized(sample: Sample, size: int) -> Sample:
    """Bring a pair to a square of `size`; a pixel with any lost pixel in it is lost, and painted as they were."""
    if sample.image.shape[:2] == (size, size):
        return sample
    image, truth = crop_square(sample.image, size, None), crop_square(sample.truth, size, None)
    mask = crop_square(sample.mask.astype(np.float32), size, None) > 0
    if mask.any():
        image[mask] = lost_region.fill_value(sample.image[:, :, 0], sample.mask)
    return Sample(image=image, mask=mask, truth=truth)
