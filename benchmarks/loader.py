"""An epoch of pairs of 512 px PNG from disk, data only: ours from the cache against the published loader.

The published loader is written here from its description (docs/published.md): both files by cv2.imread in a torch
Dataset, divided by 255, channels first, four worker processes, batches of 8, shuffled. It looks for no mask.
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

from benchmarks import _measure
from toolbox.data import decoded_cache, folders, loader, preprocessing, sample
from toolbox.imaging import io

PHOTOS = Path(__file__).resolve().parents[2] / "shared" / "photos" / "train"
BATCH = 8


class Published(Dataset):
    """Pairs as the published script reads them."""

    def __init__(self, items: tuple[folders.Item, ...]) -> None:
        self.items = items

    def __len__(self) -> int:
        """Return the number of pairs."""
        return len(self.items)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        """Return the damaged input and the truth, (3, H, W) in [0, 1]."""
        item = self.items[index]
        pictures = [torch.from_numpy(cv2.imread(str(path))) for path in (item.input, item.truth)]
        image, truth = (one.permute(2, 0, 1).float() / 255 for one in pictures)
        return image, truth


class InProcesses(Dataset):
    """Our samples a batch at a time, for worker processes in the place of threads."""

    def __init__(self, samples: loader.Samples, keys: list[list[tuple[int, int]]]) -> None:
        self.samples, self.keys = samples, keys

    def __len__(self) -> int:
        """Return the number of batches."""
        return len(self.keys)

    def __getitem__(self, index: int) -> list[Tensor]:
        """Return a batch's pictures, uint8."""
        return list(self.samples.load(self.keys[index])[:3])


def make_pairs(folder: Path, photos: Path, count: int, size: int) -> tuple[folders.Item, ...]:
    """Lay out `count` pairs as the competition does: squares cut out of photographs at random, damaged once."""
    found = io.find_images(photos)

    def one(number: int) -> None:
        random = np.random.default_rng(number)
        truth = preprocessing.crop_square(io.read_rgb(found[number % len(found)]), size, random, zoom=1.25)
        gray, _ = damage(truth, random)
        io.write_png(folder / "train_gt" / f"{number:05d}.png", truth)
        io.write_png(folder / "train_input" / f"{number:05d}.png", gray)

    for name in ("train_gt", "train_input"):
        (folder / name).mkdir()
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(one, range(count)))
    return folders.open_folder(folder).items


@contextmanager
def cache_in(folder: Path) -> Iterator[decoded_cache.Cache]:
    """Give a cache of its own below `folder`, that of the user left alone."""
    before = os.environ.get("TOOLBOX_CACHE")
    os.environ["TOOLBOX_CACHE"] = str(folder)
    try:
        yield decoded_cache.open_cache()
    finally:
        del os.environ["TOOLBOX_CACHE"]
        if before is not None:
            os.environ["TOOLBOX_CACHE"] = before


@click.command("loader")
@click.option("--photos", type=click.Path(path_type=Path, file_okay=False, exists=True), help="Photos to cut pairs of.")
@click.option("--count", default=1000, show_default=True, help="Pairs.")
@click.option("--size", default=512, show_default=True, help="Side of the pairs in pixels.")
@click.option("--rounds", default=3, show_default=True, help="Epochs of each kind, in turn.")
@click.option("--workers", default=2, show_default=True, help="Threads of ours; the published loader has 4 processes.")
@click.option("--processes", default=0, show_default=True, help="Time ours in so many worker processes as well.")
@_measure.quick
@_measure.json_path
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
    """Time epochs over pairs on disk, data only, against the published loader; print JSON."""
    if quick:
        count, size, rounds = 24, 64, 1
    photos = photos or (PHOTOS if PHOTOS.is_dir() else sample.folder() / "photos")
    with tempfile.TemporaryDirectory() as made:
        items = make_pairs(Path(made), photos, count, size)
        with cache_in(Path(made) / "cache") as kept:
            how = loader.SampleRecipe(size=size, seed=0, damage=(), augment=(), cache=kept)
            ours = loader.Samples(items=items, recipe=how, stream=loader.Stream.TRAIN)
            published = DataLoader(Published(items), batch_size=BATCH, shuffle=True, num_workers=4)
            epochs = iter(range(1 << 20))

            def our_epoch() -> None:
                keys = loader.shuffled_batches(count, 1, BATCH, 0, next(epochs))
                seen = sum(len(b.names) for b in loader.iterate_batches(ours, keys, workers, torch.device("cpu")))
                assert seen == count

            def published_epoch() -> None:
                assert sum(len(image) for image, _ in published) == count

            def epoch_in_processes() -> None:
                seen = 0
                numbered = InProcesses(ours, loader.shuffled_batches(count, 1, BATCH, 0, next(epochs)))
                for pictures in DataLoader(numbered, batch_size=None, num_workers=processes):
                    image, _, _ = (one.float() / 255 for one in pictures)
                    seen += len(image)
                assert seen == count

            sides = {"ours": our_epoch, "published": published_epoch}
            if processes:
                sides[f"ours in {processes} processes"] = epoch_in_processes
            first = _measure.in_turn(sides, 1, warm_up=0)
            result = {
                "pairs": count,
                "size": size,
                "batch": BATCH,
                "workers": {"ours, threads": workers, "published, processes": 4},
                "first_epoch_seconds": {name: values[0] for name, values in first.items()},
                **_measure.summary(_measure.in_turn(sides, rounds, warm_up=0)),
                "bytes": {
                    "pairs": sum(p.stat().st_size for p in Path(made).glob("train_*/*.png")),
                    "cache": sum(p.stat().st_size for p in kept.folder.rglob("*.bin")),
                },
            }
    _measure.report(result, path)
