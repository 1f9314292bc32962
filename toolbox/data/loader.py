"""Photographs in, batches out: damaged pairs, colour photographs alone, or the package's sample.

Every random choice comes from (seed, epoch, index), so any sample can be made again and a run can go on in
the middle of an epoch with the very batches that it would have had.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from enum import IntEnum

import numpy as np
import torch
from torch import Tensor

from toolbox.data import preprocessing
from toolbox.data.batch import Batch
from toolbox.data.decoded_cache import Cache
from toolbox.data.folders import Item
from toolbox.data.preprocessing import PreprocessKey
from toolbox.hooks.protocols import Degradation, Sample
from toolbox.imaging import io
from toolbox.masks import lost_region


class Stream(IntEnum):
    """Keeps the random numbers of different uses apart."""

    TRAIN = 0
    VALIDATION = 1
    TEST = 2
    ORDER = 3


def rng_for(seed: int, stream: Stream, epoch: int = 0, index: int = 0) -> np.random.Generator:
    """Return the random numbers of one sample (or of one epoch's order)."""
    return np.random.default_rng([seed, int(stream), epoch, index])


@dataclass(frozen=True, kw_only=True)
class SampleRecipe:
    """How items become samples: the picture size, the degradations, the seed; where decoded ones are kept."""

    size: int
    seed: int
    damage: tuple[Degradation, ...]
    augment: tuple[Degradation, ...]
    zoom: float = 1.0
    cache: Cache | None = None

    def form(self, stream: Stream) -> PreprocessKey:
        """Return what is done to an item before anything random."""
        # A photograph that is cut at random scales is scaled from its own size each time.
        return PreprocessKey(size=self.size, whole=stream is Stream.TRAIN and self.zoom != 1)


def load_sample(
    item: Item,
    recipe: SampleRecipe,
    stream: Stream,
    epoch: int = 0,
    index: int = 0,
    luma_mismatches: set[str] | None = None,
) -> Sample:
    """Read one item and make it a square sample of `recipe.size` pixels.

    Args:
        item: a photograph with its truth.
        recipe: how it becomes a sample.
        stream: what it is for; only training samples are cropped at random and varied.
        epoch: with `index`, where its random choices come from.
        index: see `epoch`.
        luma_mismatches: is told the name of a pair whose input is not the luma of its truth; see `pair`.

    Raises:
        DataError: a file that can't be used, or a pair of unequal size; the message names the file.
    """
    random = rng_for(recipe.seed, stream, epoch, index)
    training = stream is Stream.TRAIN
    kept = preprocessing.load(item, recipe.form(stream), recipe.cache)
    if item.input is None:
        truth = preprocessing.crop_square(kept["truth"], recipe.size, random if training else None, recipe.zoom)
        sample = Sample(image=truth, mask=np.zeros(truth.shape[:2], bool), truth=truth)
        for degrade in recipe.damage:
            sample = degrade(sample, random)
    else:
        gray = kept["gray"]
        mask = np.unpackbits(kept["mask"], count=gray.size).reshape(gray.shape).view(bool)
        sample = Sample(image=preprocessing.gray_to_rgb(gray), mask=mask, truth=kept["truth"])
        if kept["luma_mismatch"].any() and luma_mismatches is not None:
            luma_mismatches.add(item.name)
    if training:
        for degrade in recipe.augment:
            sample = degrade(sample, random)
    return sample


def load_test_photo(item: Item, recipe: SampleRecipe, index: int) -> Sample:
    """Read a test photograph at its own size: an input as it is, or a sample photograph damaged for the test.

    Where there is no truth, `truth` is the input itself.
    """
    if item.input is not None:
        gray = io.read_gray(item.input)
        return Sample(
            image=preprocessing.gray_to_rgb(gray),
            mask=lost_region.find_lost_region(gray),
            truth=preprocessing.gray_to_rgb(gray),
        )
    assert item.truth is not None
    photo = io.read_rgb(item.truth)
    sample = Sample(image=photo, mask=np.zeros(photo.shape[:2], bool), truth=photo)
    random = rng_for(recipe.seed, Stream.TEST, 0, index)
    for degrade in recipe.damage:
        sample = degrade(sample, random)
    return sample


@dataclass(frozen=True, kw_only=True)
class Samples:
    """Samples by key (epoch, index); the photograph is the index modulo the number of items.

    `unlike` collects the names of pairs whose input is not the luma of their truth; see `pair`.
    """

    items: tuple[Item, ...]
    recipe: SampleRecipe
    stream: Stream
    luma_mismatches: set[str] = field(default_factory=set)

    def load(self, keys: Sequence[tuple[int, int]]) -> tuple[Tensor, Tensor, Tensor, tuple[str, ...]]:
        """Return images, masks and truths, (B, C, H, W) uint8, with the names of their photographs."""
        items = [self.items[index % len(self.items)] for _, index in keys]
        loaded = [
            load_sample(item, self.recipe, self.stream, *key, luma_mismatches=self.luma_mismatches)
            for item, key in zip(items, keys, strict=True)
        ]
        image, mask, truth = (
            torch.from_numpy(np.stack([getattr(sample, part) for sample in loaded]))
            for part in ("image", "mask", "truth")
        )
        return (
            image.permute(0, 3, 1, 2),
            mask.unsqueeze(1),
            truth.permute(0, 3, 1, 2),
            tuple(item.name for item in items),
        )


def shuffled_batches(count: int, repeat: int, batch: int, seed: int, epoch: int) -> list[list[tuple[int, int]]]:
    """Return an epoch's batches as keys (epoch, index), shuffled from (seed, epoch)."""
    shuffled = rng_for(seed, Stream.ORDER, epoch).permutation(count * repeat)
    keys = [(epoch, int(index)) for index in shuffled]
    return [keys[start : start + batch] for start in range(0, len(keys), batch)]


def ordered_batches(count: int, batch: int) -> list[list[tuple[int, int]]]:
    """Return every item once, in order, as batches of keys: for validation."""
    keys = [(0, index) for index in range(count)]
    return [keys[start : start + batch] for start in range(0, count, batch)]


def iterate_batches(
    samples: Samples,
    keys: Iterable[list[tuple[int, int]]],
    workers: int,
    device: torch.device,
    dtype: torch.dtype = torch.float32,
) -> Generator[Batch, None, None]:
    """Yield the batches of `keys` on `device`, pictures as floats in [0, 1] with their channels last in memory.

    Workers are threads: reading, scaling and drawing all leave Python's lock, a plugin's degradation need not be
    picklable, and nothing depends on how the system starts processes.
    """
    for *pictures, names in _loaded(samples, keys, workers):
        if device.type == "cuda":
            pictures = [values.pin_memory() for values in pictures]
        image, mask, truth = (values.to(device, non_blocking=True).to(dtype) for values in pictures)
        yield Batch(image=image / 255, mask=mask, truth=truth / 255, names=names)


def _loaded(
    samples: Samples, keys: Iterable[list[tuple[int, int]]], workers: int
) -> Iterator[tuple[Tensor, Tensor, Tensor, tuple[str, ...]]]:
    if workers == 0:
        yield from map(samples.load, keys)
        return
    pool = ThreadPoolExecutor(workers, thread_name_prefix="toolbox-data")
    try:
        ahead: deque[Future[tuple[Tensor, Tensor, Tensor, tuple[str, ...]]]] = deque()
        for key in keys:
            ahead.append(pool.submit(samples.load, key))
            if len(ahead) > 2 * workers:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
