"""`toolbox data damage`: pairs of damaged and undamaged photographs from undamaged ones."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import click
import numpy as np
from PIL import Image, ImageOps

import toolbox
from toolbox import Degradation, Sample

from .images import SUFFIXES, find_photos


@click.command("damage")
@click.argument("photos", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("-o", "--out", type=click.Path(path_type=Path), required=True, help="The new data folder.")
@click.option(
    "--degradation",
    "names",
    multiple=True,
    default=("lost-region",),
    show_default=True,
    help="Damage to apply, in this order; `toolbox list degradations` has the names.",
)
@click.option("--seed", type=click.IntRange(0), default=42, show_default=True, help="Seed of the damage.")
def damage(photos: Path, out: Path, names: tuple[str, ...], seed: int) -> None:
    """Damage the photographs of a folder, and write them as a data folder of pairs.

    The new folder has train_input/ (damaged), train_gt/ (the photographs as PNG) and masks/ (the lost region in
    white), so it serves `toolbox run --data`, and `toolbox score --masks`.
    """
    if out.exists():
        raise click.UsageError(f"{out} exists already; choose another folder.")
    files = find_photos(photos)
    if not files:
        raise click.UsageError(f"{photos} contains no photographs ({', '.join(SUFFIXES)}).")
    repeated = {path.stem for path in files if sum(path.stem == other.stem for other in files) > 1}
    if repeated:
        raise click.UsageError(f"{photos} has several photographs named {min(repeated)}; rename them.")
    damages = [toolbox.build("degradation", name) for name in names]
    for folder in ("train_input", "train_gt", "masks"):
        (out / folder).mkdir(parents=True)
    for name, sample in damaged_samples(files, damages, seed):
        pictures = {"train_input": sample.image, "train_gt": sample.truth, "masks": sample.mask * np.uint8(255)}
        for folder, pixels in pictures.items():
            Image.fromarray(pixels).save(out / folder / f"{name}.png")
    click.echo(f"Wrote {len(files)} pairs. To train on them: toolbox run --data {out}")


def damaged_samples(files: Iterable[Path], damages: list[Degradation], seed: int) -> Iterator[tuple[str, Sample]]:
    """Yield the stem of each photograph and its damaged sample; the damage depends on the seed and the position."""
    for index, path in enumerate(files):
        with Image.open(path) as opened:
            truth = np.asarray(ImageOps.exif_transpose(opened).convert("RGB"))
        random = np.random.default_rng([seed, index])
        sample = Sample(image=truth, mask=np.zeros(truth.shape[:2], bool), truth=truth)
        for apply in damages:
            sample = apply(sample, random)
        yield path.stem, sample
