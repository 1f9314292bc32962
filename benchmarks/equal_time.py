"""Recipes against each other: the same photographs, the same minutes, and the same pictures to restore."""

from __future__ import annotations

from pathlib import Path

import click
import numpy as np

from benchmarks import _measure, _runs, calibrate, quality
from toolbox.inference import restorer

TWO_STAGE = "generator.{stage}.{key}={value}"
# ImageNet's mean colour, which those who publish weights for it state as (0.485, 0.456, 0.406), is that of photographs
# as people take them. Where the photographs to train on are colder, all rows train on them at that mean.
WARMER = ("red=1.05", "blue=0.92", "spread=0.1")


def rows(encoder: Path) -> dict[str, list[str]]:
    """Return the options of every row by its name; `encoder` holds timm's ImageNet weights of lite0."""
    pretrained = [
        TWO_STAGE.format(stage=stage, key=key, value=value)
        for stage in ("gray", "color")
        for key, value in (("encoder", "tu-tf_efficientnet_lite0"), ("weights", encoder))
    ]
    long = ["--epochs", "100000"]
    return {
        "published": ["--recipe", "published", *long],
        "default": ["--recipe", "default", *long],
        "two-stage": ["--recipe", "two-stage", *long],
        "two-stage-lite0": ["--recipe", "two-stage", *long, *_set(pretrained)],
        # Its learning rate falls over the epochs, which must fit the time; the others' falls by steps of epochs.
        "luma": ["--recipe", "luma", "--epochs", "30", *_set(["generator.init=", f"generator.weights={encoder}"])],
    }


@click.command("equal-time")
@click.option("--data", type=click.Path(path_type=Path), required=True, help="Photographs to train on.")
@click.option("--pairs", type=click.Path(path_type=Path), required=True, help="input/, truth/ and masks/, by name.")
@click.option("--encoder", type=click.Path(path_type=Path), required=True, help="tf_efficientnet_lite0, safetensors.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="A folder for the runs.")
@click.option("--minutes", default=30.0, show_default=True, help="Of training a row, validation included.")
@click.option("--only", multiple=True, help="Rows by name.  [default: all]")
@click.option("--lpips", type=click.Path(path_type=Path), help="As in `quality`.")
@click.option("--sheet", type=click.Path(path_type=Path), help="Write every third pair by every row as a picture.")
@_measure.quick
@_measure.json_path
def command(
    data: Path,
    pairs: Path,
    encoder: Path,
    out: Path,
    minutes: float,
    only: tuple[str, ...],
    lpips: Path | None,
    sheet: Path | None,
    quick: bool,
    path: Path | None,
) -> None:
    """Train every row for so many minutes and restore the pairs by its best weights; go on where it stopped.

    `luma-moved` is `luma` with its mean colour moved to ImageNet's, as `calibrate` does it.
    """
    common = ["--data", str(data), "--size", "32" if quick else "128"]
    common += ["--minutes", "0.02" if quick else str(minutes), "--device", "cpu"]
    common += _set([f"degradations.white-balance.{one}" for one in WARMER])
    samples = list(quality.load(pairs).values())[: 1 if quick else None]
    distance = None if lpips is None else quality.Lpips(lpips)
    result: dict[str, dict[str, float]] = {}
    pictures: list[list[np.ndarray]] = []
    for name, options in rows(encoder).items():
        if only and name not in only:
            continue
        folder = _runs.trained(_runs.place(out, quick) / name, [*common, *options])
        made = {name: folder}
        if name == "luma":
            # It is through its epochs before the time is over; this takes less than a minute of the rest.
            made["luma-moved"] = calibrate.moved(folder, data, folder / "moved.safetensors")
        for which, weights in made.items():
            way = quality.restoring(restorer.load_restorer(weights))
            results = [way(sample) for sample in samples]
            result[which] = quality.figures(results, samples, distance)
            if which == name:
                pictures.append(results[::3])
    if sheet is not None:
        pictures = [[one.image for one in samples[::3]], *pictures, [one.truth for one in samples[::3]]]
        quality.contact(sheet, [list(row) for row in zip(*pictures, strict=True)])
    _measure.report({"minutes": minutes, "pairs": len(samples), "rows": result}, path)


def _set(settings: list[str]) -> list[str]:
    return [part for setting in settings for part in ("--set", setting)]
