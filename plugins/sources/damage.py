"""`toolbox data damage`: pairs of damaged and undamaged photographs from undamaged ones."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path

import click
import numpy as np
from PIL import Image

import toolbox
from toolbox import Degradation, Sample

from .images import SUFFIXES, find_photos
from .whole import written_whole


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
    files = find_photos(photos)
    if not files:
        raise click.UsageError(f"{photos} contains no photographs ({', '.join(SUFFIXES)}).")
    repeated = {path.stem for path in files if sum(path.stem == other.stem for other in files) > 1}
    if repeated:
        raise click.UsageError(f"{photos} has several photographs named {min(repeated)}; rename them.")
    damages = [toolbox.build("degradation", name) for name in names]
    with written_whole(out) as folder:
        for part in ("train_input", "train_gt", "masks"):
            (folder / part).mkdir(parents=True)
        for name, sample in damaged_samples(files, damages, seed):
            pictures = {"train_input": sample.image, "train_gt": sample.truth, "masks": sample.mask * np.uint8(255)}
            for part, pixels in pictures.items():
                Image.fromarray(pixels).save(folder / part / f"{name}.png")
    click.echo(f"Wrote {len(files)} pairs. To train on them: toolbox run --data {toolbox.shell_word(out)}")


def damaged_samples(files: Iterable[Path], damages: list[Degradation], seed: int) -> Iterator[tuple[str, Sample]]:
    """Yield the stem of each photograph and its damaged sample; the damage depends on the seed and the position."""
    for index, path in enumerate(files):
        truth = _read(path)
        random = np.random.default_rng([seed, index])
        sample = Sample(image=truth, mask=np.zeros(truth.shape[:2], bool), truth=truth)
        for apply in damages:
            sample = apply(sample, random)
        yield path.stem, sample


def _read(path: Path) -> np.ndarray:
    """Read a photograph as a run reads it: upright, checked, in sRGB, (H, W, 3) uint8."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        pixels: np.ndarray = toolbox.restore(path, "none", keep="rgb")  # nothing is lost, so nothing changes
    for warning in caught:
        if "of the picture is missing" in str(warning.message):  # what was filled is no truth
            raise click.ClickException(f"{warning.message}. Replace the photograph.")
        click.echo(f"warning: {warning.message}", err=True)
    return pixels if pixels.dtype == np.uint8 else ((pixels.astype(np.uint32) + 128) // 257).astype(np.uint8)
