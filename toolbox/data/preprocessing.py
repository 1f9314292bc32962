"""The deterministic part of data loading: decode, scale, find the lost region; stored in the cache if there is one.

Everything random comes later, in `toolbox.data.loader`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import cv2
import numpy as np
import PIL

from toolbox.data.decoded_cache import Arrays, DecodedCache
from toolbox.data.folders import Item
from toolbox.errors import DataError, ImageFileError
from toolbox.hooks.protocols import Sample
from toolbox.imaging import io
from toolbox.masks import lost_region
from toolbox.utils.image_ref import location


@dataclass(frozen=True, kw_only=True)
class PreprocessKey:
    """How pictures are scaled.

    Attributes:
        size: a pair is scaled to a square of this many pixels; the short side of a photograph is scaled to it.
        original_size: leave photographs at their own size.
    """

    size: int
    original_size: bool = False

    def describe(self, item: Item) -> str:
        """Return everything besides its files that an item's arrays depend on, as text for the cache."""
        kind = f"pair {self.size}" if item.input else "whole" if self.original_size else f"photo {self.size}"
        return f"{kind}, opencv {cv2.__version__}, pillow {PIL.__version__}"


def load_arrays(item: Item, key: PreprocessKey, cache: DecodedCache | None = None) -> Arrays:
    """Return the uint8 arrays of an item that has a truth, from the cache if possible.

    Returns:
        `truth`, (H, W, 3) RGB. For a pair, which is square, also `gray`, (H, W); its `mask`, packed to bits; and
        `luma_mismatch`, one number that is not 0 if the input is not the luma of the truth (see `read_pair`).

    Raises:
        DataError: a file that can't be used, or a pair of unequal size; the message names the file.
    """
    if cache is None:
        return _make_arrays(item, key)
    return cache.get_or_make(item.images, key.describe(item), lambda: _make_arrays(item, key))


def uncached_items(items: Iterable[Item], key: PreprocessKey, cache: DecodedCache) -> list[Item]:
    """Return the items that are not in the cache."""
    return [item for item in items if not cache.contains(item.images, key.describe(item))]


def fill_cache(items: Iterable[Item], key: PreprocessKey, cache: DecodedCache) -> Iterator[None]:
    """Add items to the cache and yield after each; the caller may stop at any time.

    If the cache can't be written any more, the remaining items are skipped.

    Raises:
        DataError: see `load_arrays`.
    """
    pool = ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="toolbox-cache")
    try:
        for _ in pool.map(lambda item: None if cache.write_failures else load_arrays(item, key, cache), items):
            yield
    finally:
        pool.shutdown(cancel_futures=True)
        cache.save_digests()


def _make_arrays(item: Item, key: PreprocessKey) -> Arrays:
    if item.truth is None:
        raise DataError(f"{item.name} has no truth to train on or to compare with.")
    if item.input is None:
        truth = io.read_rgb(item.truth)
        return {"truth": truth if key.original_size else _scale_short_side(truth, key.size)}
    pair, luma_mismatch = read_pair(item)
    sample = _resize_pair(pair, key.size)
    return {
        "gray": np.ascontiguousarray(sample.image[:, :, 0]),
        "truth": sample.truth,
        "mask": np.packbits(sample.mask),
        "luma_mismatch": np.array([luma_mismatch], np.uint8),
    }


def read_pair(item: Item) -> tuple[Sample, bool]:
    """Read a damaged picture and its truth at their own size, with the mask of the lost region.

    Returns:
        The sample, and whether input and truth differ nearly everywhere (JPEG, another gray formula). In that case
        the mask is the lost region found in the input alone.

    Raises:
        ImageFileError: a file can't be read, or the two are of unequal size.
    """
    assert item.input is not None and item.truth is not None
    gray, truth = io.read_gray(item.input), io.read_rgb(item.truth)
    if gray.shape != truth.shape[:2]:
        (h, w), (th, tw) = gray.shape, truth.shape[:2]
        raise ImageFileError(
            f"{location(item.input)} is {w}x{h} pixels and its truth {location(item.truth)} is {tw}x{th}. "
            "Both must have the same size."
        )
    mask = lost_region.pair_mask(gray, truth)
    luma_mismatch = mask is None
    if mask is None:
        mask = lost_region.find_lost_region(gray)
    return Sample(image=gray_to_rgb(gray), mask=mask, truth=truth), luma_mismatch


def gray_to_rgb(gray: np.ndarray) -> np.ndarray:
    """Return a gray picture (H, W) as RGB (H, W, 3)."""
    return cv2.cvtColor(gray, cv2.COLOR_GRAY2RGB)


def crop_square(photo: np.ndarray, size: int, random: np.random.Generator | None, zoom: float = 1.0) -> np.ndarray:
    """Scale a photograph and crop a square of `size` pixels.

    Args:
        photo: (H, W) or (H, W, 3).
        size: the side of the square in pixels.
        random: with it the short side is scaled to a random length from `size` to `zoom` times `size`, and the square
            lies anywhere; without it the short side is scaled to `size`, and the square lies in the middle.
        zoom: see `random`, at least 1.
    """
    side = size if random is None or zoom == 1 else round(size * zoom ** random.random())
    scaled = _scale_short_side(photo, side)
    margin = np.array(scaled.shape[:2]) - size
    y, x = random.integers(0, margin + 1) if random is not None else margin // 2
    return np.ascontiguousarray(scaled[y : y + size, x : x + size])


def _scale_short_side(picture: np.ndarray, size: int) -> np.ndarray:
    height, width = picture.shape[:2]
    scale = size / min(height, width)
    if scale == 1:
        return picture
    target = (max(size, round(width * scale)), max(size, round(height * scale)))
    return cv2.resize(picture, target, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)


def _resize_pair(sample: Sample, size: int) -> Sample:
    """Resize a pair to a square of `size` pixels.

    A pixel that covers any lost pixel is lost, and gets the value that marks the lost region.
    """
    if sample.image.shape[:2] == (size, size):
        return sample
    image, truth = crop_square(sample.image, size, None), crop_square(sample.truth, size, None)
    mask = crop_square(sample.mask.astype(np.float32), size, None) > 0
    if mask.any():
        image[mask] = lost_region.fill_value(sample.image[:, :, 0], sample.mask)
    return Sample(image=image, mask=mask, truth=truth)
