"""Time the loading of an epoch of PNG pairs, without training: ours with its cache against the published loader.

    OMP_NUM_THREADS=1 python -m benchmarks loader --rounds 5 --processes 2

The JSON and the table have the seconds of an epoch, and our speed-up (see `benchmarks.common.timing`).
``first_epoch_seconds`` is the epoch in which our loader decodes the files and fills the cache. ``bytes`` has the sizes
of the files and of the cache.

The published loader is written from its description (docs/published.md): a torch Dataset reads both files with
cv2.imread, divides by 255 and puts the channels first; four worker processes, shuffled batches of 8. It finds no
masks.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import click
import cv2
import numpy as np
import torch
from toolbox_plugins.default.lost_region import damage
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from benchmarks.common import timing
from toolbox.data import decoded_cache, folders, loader, preprocessing, sample
from toolbox.errors import DataError
from toolbox.imaging import io

PHOTOS = Path(__file__).resolve().parents[2] / "shared" / "photos" / "train"
BATCH = 8


class PublishedDataset(Dataset):
    """Pairs, read as in the published script."""

    def __init__(self, items: tuple[folders.Item, ...]) -> None:
        self.items = items

    def __len__(self) -> int:
        """Return the number of pairs."""
        return len(self.items)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        """Return the damaged input and the truth, (3, H, W) in [0, 1]."""
        item = self.items[index]
        pictures = [torch.from_numpy(cv2.imread(str(path))) for path in (item.input, item.truth)]
        image, truth = (picture.permute(2, 0, 1).float() / 255 for picture in pictures)
        return image, truth


class BatchDataset(Dataset):
    """Batches of our samples, for loading in worker processes instead of threads."""

    def __init__(self, samples: loader.Samples, keys: list[list[tuple[int, int]]]) -> None:
        self.samples, self.keys = samples, keys

    def __len__(self) -> int:
        """Return the number of batches."""
        return len(self.keys)

    def __getitem__(self, index: int) -> list[Tensor]:
        """Return the pictures of a batch, uint8."""
        return list(self.samples.load(self.keys[index])[:3])


def make_pairs(folder: Path, photos: Path, count: int, size: int) -> tuple[folders.Item, ...]:
    """Write `count` pairs as in the competition, from random square crops of photographs; return the pairs."""
    files = io.find_images(photos)
    if not files:
        raise DataError(f"{photos} has no photographs that toolbox reads")

    def make_pair(number: int) -> None:
        random = np.random.default_rng(number)
        truth = preprocessing.crop_square(io.read_rgb(files[number % len(files)]), size, random, zoom=1.25)
        gray, _ = damage(truth, random)
        io.write_png(folder / "train_gt" / f"{number:05d}.png", truth)
        io.write_png(folder / "train_input" / f"{number:05d}.png", gray)

    for name in ("train_gt", "train_input"):
        (folder / name).mkdir()
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(make_pair, range(count)))
    return folders.open_folder(folder).items


@contextmanager
def temporary_cache(folder: Path) -> Iterator[decoded_cache.DecodedCache]:
    """Use a cache in `folder` instead of the user's cache."""
    before = os.environ.get("TOOLBOX_CACHE")
    os.environ["TOOLBOX_CACHE"] = str(folder)
    try:
        yield decoded_cache.open_cache()
    finally:
        del os.environ["TOOLBOX_CACHE"]
        if before is not None:
            os.environ["TOOLBOX_CACHE"] = before


@click.command("loader")
@click.option(
    "--photos", type=click.Path(path_type=Path, file_okay=False, exists=True), help="Folder of photographs to crop."
)
@click.option("--count", type=click.IntRange(1), default=1000, show_default=True, help="Number of pairs.")
@click.option("--size", type=click.IntRange(1), default=512, show_default=True, help="Side of the pairs in pixels.")
@click.option("--rounds", type=click.IntRange(1), default=3, show_default=True, help="Epochs of each, alternately.")
@click.option(
    "--workers",
    type=click.IntRange(1),
    default=2,
    show_default=True,
    help="Threads of our loader; the published one has 4 processes.",
)
@click.option(
    "--processes",
    type=click.IntRange(0),
    default=0,
    show_default=True,
    help="Time our loader with this number of processes too.",
)
@timing.quick_option
@timing.json_option
def command(
    photos: Path | None,
    count: int,
    size: int,
    rounds: int,
    workers: int,
    processes: int,
    quick: bool,
    path: Path | None,
) -> None:
    """Time our loader against the published loader; print JSON."""
    if quick:
        count, size, rounds = 24, 64, 1
    photos = photos or (PHOTOS if PHOTOS.is_dir() else sample.folder() / "photos")
    with tempfile.TemporaryDirectory() as folder:
        items = make_pairs(Path(folder), photos, count, size)
        with temporary_cache(Path(folder) / "cache") as cache:
            sample_recipe = loader.SampleRecipe(size=size, seed=0, damage=(), augment=(), cache=cache)
            ours = loader.Samples(items=items, recipe=sample_recipe, stream=loader.Stream.TRAIN)
            published = DataLoader(PublishedDataset(items), batch_size=BATCH, shuffle=True, num_workers=4)
            epochs = iter(range(1 << 20))

            def our_epoch() -> None:
                keys = loader.shuffled_batches(count, 1, BATCH, 0, next(epochs))
                batches = loader.iterate_batches(ours, keys, workers, torch.device("cpu"))
                assert sum(len(batch.names) for batch in batches) == count

            def published_epoch() -> None:
                assert sum(len(image) for image, _ in published) == count

            def epoch_in_processes() -> None:
                loaded = 0
                dataset = BatchDataset(ours, loader.shuffled_batches(count, 1, BATCH, 0, next(epochs)))
                for pictures in DataLoader(dataset, batch_size=None, num_workers=processes):
                    image, _, _ = (tensor.float() / 255 for tensor in pictures)
                    loaded += len(image)
                assert loaded == count

            variants = {"ours": our_epoch, "published": published_epoch}
            if processes:
                variants[f"ours in {processes} processes"] = epoch_in_processes
            first_epoch = timing.time_alternately(variants, 1, warm_up=0)
            result = {
                "pairs": count,
                "size": size,
                "batch": BATCH,
                "workers": {"ours, threads": workers, "published, processes": 4},
                "first_epoch_seconds": {name: values[0] for name, values in first_epoch.items()},
                **timing.compare(timing.time_alternately(variants, rounds, warm_up=0)),
                "bytes": {
                    "pairs": sum(p.stat().st_size for p in Path(folder).glob("train_*/*.png")),
                    "cache": sum(p.stat().st_size for p in cache.folder.rglob("*.bin")),
                },
            }
    timing.report(result, path)
