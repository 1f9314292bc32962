"""Compare recipes that train for the same time on the same photographs, by restoring the same pairs.

    python -m benchmarks equal-time --data PHOTOS --pairs DIR --encoder FILE.safetensors --out RUNS

The JSON has one row for each recipe, with the mean figures of `python -m benchmarks quality`. The row
`luma-calibrated` is `luma` after `toolbox weights calibrate` has fitted its colours to the training photographs. With
``--sheet``, a picture shows every third pair: the input, the results in the order of the rows, the truth.
"""

from __future__ import annotations

from pathlib import Path

import click
import numpy as np

from benchmarks import quality
from benchmarks.common import timing
from benchmarks.common.training_runs import runs_folder, train_or_continue
from toolbox.evaluation.lpips import Lpips
from toolbox.hooks import catalog
from toolbox.imaging import io
from toolbox.inference.loading import load_restorer
from toolbox.models.calibrate import calibrate_weights

# Params of the degradation `white-balance` for all recipes: they change the mean colour of the training photographs,
# which are colder than average, to about that of ImageNet, published as (0.485, 0.456, 0.406).
WHITE_BALANCE = ("red=1.05", "blue=0.92", "spread=0.1")


def recipe_options(encoder: Path) -> dict[str, list[str]]:
    """Return the options of `toolbox run` for each row; `encoder` is a file with timm's ImageNet weights of lite0."""
    pretrained = [
        f"generator.{stage}.{key}={value}"
        for stage in ("gray", "color")
        for key, value in (("encoder", "tu-tf_efficientnet_lite0"), ("weights", encoder))
    ]
    # More epochs than fit in the time: their learning rates change after fixed numbers of epochs.
    unlimited = ["--epochs", "100000"]
    return {
        "published": ["--recipe", "published", *unlimited],
        "default": ["--recipe", "default", *unlimited],
        "two-stage": ["--recipe", "two-stage", *unlimited],
        "two-stage-lite0": ["--recipe", "two-stage", *unlimited, *_set_options(pretrained)],
        # The learning rate of `luma` decreases until the last epoch, so the number of epochs must suit the time.
        "luma": [
            "--recipe",
            "luma",
            "--epochs",
            "30",
            *_set_options(
                ["generator.init=", "generator.backbone=tf_efficientnet_lite0", f"generator.weights={encoder}"]
            ),
        ],
    }


@click.command("equal-time")
@click.option("--data", type=click.Path(path_type=Path), required=True, help="Photographs to train on.")
@click.option("--pairs", type=click.Path(path_type=Path), required=True, help="Folder with input/, truth/ and masks/.")
@click.option(
    "--encoder", type=click.Path(path_type=Path), required=True, help="Weights of tf_efficientnet_lite0, safetensors."
)
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder for the runs.")
@click.option("--minutes", default=30.0, show_default=True, help="Training time of a run, validation included.")
@click.option("--only", multiple=True, help="Names of rows to measure.  [default: all]")
@click.option("--lpips", type=click.Path(path_type=Path), help="Weights of LPIPS, as for `quality`.")
@click.option("--sheet", type=click.Path(path_type=Path), help="Write a picture of every third pair to this file.")
@timing.quick_option
@timing.json_option
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
    """Train each recipe for the same time, and restore the pairs by its best weights.

    An interrupted benchmark can be continued with the same command.
    """
    common = ["--data", str(data), "--size", "32" if quick else "128"]
    common += ["--minutes", "0.02" if quick else str(minutes), "--device", "cpu"]
    common += _set_options([f"degradations.white-balance.{setting}" for setting in WHITE_BALANCE])
    samples = list(quality.load_pairs(pairs).values())[: 1 if quick else None]
    lpips_distance = None if lpips is None else Lpips(lpips)
    rows: dict[str, dict[str, float]] = {}
    columns: list[list[np.ndarray]] = []
    for name, options in recipe_options(encoder).items():
        if only and name not in only:
            continue
        folder = train_or_continue(runs_folder(out, quick) / name, [*common, *options])
        weights = {name: folder}
        if name == "luma":
            # `luma` completes its epochs before the time is over; the calibration takes less than the remaining time.
            weights["luma-calibrated"] = folder / "calibrated.safetensors"
            photos = io.find_images(data)[:300]
            calibrate_weights(folder, photos, weights["luma-calibrated"], catalog.load(), {"colorfulness": 0.65})
        for row, file in weights.items():
            restore = quality.make_restore(load_restorer(file))
            results = [restore(sample) for sample in samples]
            rows[row] = quality.mean_figures(results, samples, lpips_distance)
            if row == name:
                columns.append(results[::3])
    if sheet is not None:
        columns = [[sample.image for sample in samples[::3]], *columns, [sample.truth for sample in samples[::3]]]
        quality.write_contact_sheet(sheet, [list(row) for row in zip(*columns, strict=True)])
    timing.report({"minutes": minutes, "pairs": len(samples), "rows": rows}, path)


def _set_options(settings: list[str]) -> list[str]:
    return [word for setting in settings for word in ("--set", setting)]
