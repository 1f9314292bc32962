"""From photographs to batches: samples with their random choices, the order of an epoch, data workers.

Every random choice is drawn from (seed, epoch, index). So any sample can be made again, and a run that is resumed in
the middle of an epoch sees the same batches.
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
from toolbox.data.decoded_cache import DecodedCache
from toolbox.data.folders import Item
from toolbox.data.preprocessing import PreprocessKey
from toolbox.hooks.protocols import Degradation, Sample
from toolbox.imaging import io
from toolbox.masks import lost_region

SampleKey = tuple[int, int]  # epoch and index
# Image, mask and truth as uint8, the names, the labels as bool.
RawBatch = tuple[Tensor, Tensor, Tensor, tuple[str, ...], Tensor | None]


class Stream(IntEnum):
    """The uses of random numbers; each has a stream of its own."""

    TRAIN = 0
    VALIDATION = 1
    TEST = 2
    ORDER = 3


def rng_for(seed: int, stream: Stream, epoch: int = 0, index: int = 0) -> np.random.Generator:
    """Return the random numbers of one sample, or of the order of one epoch."""
    return np.random.default_rng([seed, int(stream), epoch, index])


@dataclass(frozen=True, kw_only=True)
class SampleRecipe:
    """How photographs become samples.

    Attributes:
        size: the side of the square samples in pixels.
        seed: the seed of all random choices.
        damage: degradations of undamaged photographs, in their order.
        augment: degradations of training samples, after the damage.
        zoom: the largest zoom of training crops; a crop shows between the full short side and 1 / zoom of it.
        cache: the cache of decoded photographs, or None.
        kinds: the kinds of damage that the degradations label.
    """

    size: int
    seed: int
    damage: tuple[Degradation, ...]
    augment: tuple[Degradation, ...]
    zoom: float = 1.0
    cache: DecodedCache | None = None
    kinds: tuple[str, ...] = ()

    def preprocess_key(self, stream: Stream) -> PreprocessKey:
        """Return the preprocessing of a stream's photographs, before everything random."""
        # A random scale is applied to the photograph at its original size.
        return PreprocessKey(size=self.size, original_size=stream is Stream.TRAIN and self.zoom != 1)


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
        stream: its use. Only training samples are cropped at random and augmented.
        epoch: with `index`, the key of its random choices.
        index: see `epoch`.
        luma_mismatches: gets the name of a pair whose input is not the luma of its truth; see
            `preprocessing.read_pair`.

    Raises:
        DataError: a file that can't be used, or a pair of unequal size; the message names the file.
    """
    random = rng_for(recipe.seed, stream, epoch, index)
    is_training = stream is Stream.TRAIN
    arrays = preprocessing.load_arrays(item, recipe.preprocess_key(stream), recipe.cache)
    if item.input is None:
        truth = preprocessing.crop_square(arrays["truth"], recipe.size, random if is_training else None, recipe.zoom)
        sample = _damage(truth, recipe, random)
    else:
        gray = arrays["gray"]
        mask = np.unpackbits(arrays["mask"], count=gray.size).reshape(gray.shape).view(bool)
        sample = Sample(image=preprocessing.gray_to_rgb(gray), mask=mask, truth=arrays["truth"])
        if arrays["luma_mismatch"].any() and luma_mismatches is not None:
            luma_mismatches.add(item.name)
    if is_training:
        for degrade in recipe.augment:
            sample = degrade(sample, random)
    return sample


def load_test_photo(item: Item, recipe: SampleRecipe, index: int) -> Sample:
    """Read a test photograph at its own size: a damaged input as it is, or a sample photograph, damaged here.

    If there is no truth, `truth` is the input itself.
    """
    if item.input is not None and item.truth is None:
        gray = io.read_gray(item.input)
        return Sample(
            image=preprocessing.gray_to_rgb(gray),
            mask=lost_region.find_lost_region(gray),
            truth=preprocessing.gray_to_rgb(gray),
        )
    return load_whole_photo(item, recipe, index)


def load_whole_photo(item: Item, recipe: SampleRecipe, index: int) -> Sample:
    """Read a photograph with its truth at its own size: a pair as it is, a truth alone with the damage of the recipe.

    Raises:
        DataError: a file that can't be used, or a pair of unequal size; the message names the file.
    """
    if item.input is not None:
        return preprocessing.read_pair(item)[0]
    assert item.truth is not None
    photo = io.read_rgb(item.truth)
    return _damage(photo, recipe, rng_for(recipe.seed, Stream.TEST, 0, index))


def _damage(photo: np.ndarray, recipe: SampleRecipe, random: np.random.Generator) -> Sample:
    """Return a damaged photograph (H, W, 3) with its truth."""
    # A copy: a degradation that writes into the image must not change the truth.
    sample = Sample(image=photo.copy(), mask=np.zeros(photo.shape[:2], bool), truth=photo)
    for degrade in recipe.damage:
        sample = degrade(sample, random)
    return sample


@dataclass(frozen=True, kw_only=True)
class Samples:
    """The samples of one stream by key (epoch, index); the photograph is the index modulo the number of items.

    Attributes:
        items: the photographs.
        recipe: how they become samples.
        stream: their use.
        luma_mismatches: the names of the pairs loaded so far whose input is not the luma of their truth.
    """

    items: tuple[Item, ...]
    recipe: SampleRecipe
    stream: Stream
    luma_mismatches: set[str] = field(default_factory=set)

    def load(self, keys: Sequence[SampleKey]) -> RawBatch:
        """Return images, masks and truths, (B, C, H, W) uint8, the names of the photographs, and the labels.

        The labels are (B, K, H, W) bool, or None if one of the samples has none.
        """
        items = [self.items[index % len(self.items)] for _, index in keys]
        samples = [
            load_sample(item, self.recipe, self.stream, *key, luma_mismatches=self.luma_mismatches)
            for item, key in zip(items, keys, strict=True)
        ]
        image, mask, truth = (
            torch.from_numpy(np.stack([getattr(sample, part) for sample in samples]))
            for part in ("image", "mask", "truth")
        )
        return (
            image.permute(0, 3, 1, 2),
            mask.unsqueeze(1),
            truth.permute(0, 3, 1, 2),
            tuple(item.name for item in items),
            self._labels(samples),
        )

    def _labels(self, samples: Sequence[Sample]) -> Tensor | None:
        kinds = self.recipe.kinds
        if not kinds or not all(sample.labels for sample in samples):
            return None
        labels = [np.stack([sample.labels[kind] for kind in kinds], axis=-1) for sample in samples]
        return torch.from_numpy(np.stack(labels)).permute(0, 3, 1, 2)


def shuffled_batches(count: int, repeat: int, batch_size: int, seed: int, epoch: int) -> list[list[SampleKey]]:
    """Return the keys of an epoch's batches: each of `count` items `repeat` times, shuffled from (seed, epoch)."""
    shuffled = rng_for(seed, Stream.ORDER, epoch).permutation(count * repeat)
    keys = [(epoch, int(index)) for index in shuffled]
    return [keys[start : start + batch_size] for start in range(0, len(keys), batch_size)]


def ordered_batches(count: int, batch_size: int) -> list[list[SampleKey]]:
    """Return the keys of every item once, in order, as batches: for validation."""
    keys = [(0, index) for index in range(count)]
    return [keys[start : start + batch_size] for start in range(0, count, batch_size)]


def iterate_batches(
    samples: Samples,
    batches: Iterable[list[SampleKey]],
    workers: int,
    device: torch.device,
    dtype: torch.dtype = torch.float32,
    memory_format: torch.memory_format = torch.channels_last,
) -> Generator[Batch, None, None]:
    """Yield batches on `device`, pictures as floats in [0, 1].

    Workers are threads: reading, scaling and drawing release Python's lock, a plugin's degradation need not be
    picklable, and nothing depends on how the system starts processes.

    Args:
        samples: the samples.
        batches: the keys of each batch.
        workers: the number of threads that load data; 0 loads in the calling thread.
        device: the device of the batches.
        dtype: the dtype of the pictures.
        memory_format: the memory layout of the pictures, channels last or contiguous.
    """
    for *raw, names, raw_labels in _load_ahead(samples, batches, workers):
        tensors = raw if raw_labels is None else [*raw, raw_labels]
        if device.type == "cuda":
            tensors = [values.pin_memory() for values in tensors]
        pictures = [values.to(device, non_blocking=True).to(dtype) for values in tensors]
        if memory_format is torch.contiguous_format:
            pictures = [values.contiguous() for values in pictures]  # the loader makes them with the channels last
        image, mask, truth, *labels = pictures
        yield Batch(
            image=image / 255,
            mask=mask,
            truth=truth / 255,
            names=names,
            labels=labels[0] if labels else None,
            kinds=samples.recipe.kinds if labels else (),
        )


def _load_ahead(samples: Samples, batches: Iterable[list[SampleKey]], workers: int) -> Iterator[RawBatch]:
    if workers == 0:
        yield from map(samples.load, batches)
        return
    pool = ThreadPoolExecutor(workers, thread_name_prefix="toolbox-data")
    try:
        pending: deque[Future[RawBatch]] = deque()
        for keys in batches:
            pending.append(pool.submit(samples.load, keys))
            if len(pending) > 2 * workers:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
