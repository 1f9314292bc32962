"""Measure the contribution of each part of the recipe `luma`: remove one part at a time, over several seeds.

    python -m benchmarks ablation --data PHOTOS --pairs DIR --encoder FILE.safetensors --out RUNS

The JSON has one row for each variant of the recipe. Each figure of a row has a mean and a standard deviation over the
seeds (null for one seed). The figures are those of `python -m benchmarks quality`. "X, difference" is X of this
variant minus X of the complete recipe with the same seed.
"""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Any

import click

from benchmarks import quality
from benchmarks.common import timing
from benchmarks.common.training_runs import runs_folder, train_or_continue
from benchmarks.equal_time import WHITE_BALANCE
from toolbox.inference.loading import load_restorer

# The variants, and the settings that remove a part of the recipe.
VARIANTS: dict[str, tuple[str, ...]] = {
    "luma": (),
    "no colour classes": ("losses.classes.weight=0",),
    "no chroma": ("losses.chroma.weight=0",),
    "no hue histogram": ("losses.hue-histogram.weight=0",),
    "no running average": ("training.average=0.001",),
    "no zoom": ("data.zoom=1",),
    "with a discriminator": (
        "losses.adversarial.name=lsgan",
        "losses.adversarial.weight=0.1",
        "discriminator.name=patchgan",
    ),
}

# The figures for which the difference from the complete recipe is reported.
COMPARED = ("score", "ab", "colourfulness")


@click.command("ablation")
@click.option("--data", type=click.Path(path_type=Path), required=True, help="Photographs to train on.")
@click.option("--pairs", type=click.Path(path_type=Path), required=True, help="Folder with input/, truth/ and masks/.")
@click.option(
    "--encoder", type=click.Path(path_type=Path), required=True, help="Weights of tf_efficientnet_lite0, safetensors."
)
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder for the runs.")
@click.option("--minutes", default=10.0, show_default=True, help="Training time of a run, validation included.")
@click.option(
    "--epochs", type=click.IntRange(1), default=10, show_default=True, help="Length of the learning-rate schedule."
)
@click.option("--seeds", type=click.IntRange(1), default=3, show_default=True, help="Runs of each variant.")
@timing.quick_option
@timing.json_option
def command(
    data: Path,
    pairs: Path,
    encoder: Path,
    out: Path,
    minutes: float,
    epochs: int,
    seeds: int,
    quick: bool,
    path: Path | None,
) -> None:
    """Train each variant of `luma` with several seeds, restore the pairs, and print means and standard deviations.

    An interrupted benchmark can be continued with the same command.
    """
    samples = list(quality.load_pairs(pairs).values())[: 1 if quick else None]
    common = ["generator.init=", "generator.backbone=tf_efficientnet_lite0", f"generator.weights={encoder}"]
    common += [f"degradations.white-balance.{setting}" for setting in WHITE_BALANCE]
    figures: dict[str, list[dict[str, float]]] = {name: [] for name in VARIANTS}
    runs = runs_folder(out, quick)
    # All variants of one seed before the next seed: then an interrupted benchmark has complete tables.
    for seed in range(seeds):
        for name, settings in VARIANTS.items():
            options = ["--recipe", "luma", "--data", str(data), "--device", "cpu", "--seed", str(seed)]
            options += ["--epochs", str(epochs), "--minutes", "0.02" if quick else str(minutes)]
            options += ["--size", "32"] if quick else []
            for setting in (*common, *settings):
                options += ["--set", setting]
            run = train_or_continue(runs / f"{name.replace(' ', '-')}-{seed}", options)
            restore = quality.make_restore(load_restorer(run))
            row = quality.mean_figures([restore(sample) for sample in samples], samples, None)
            complete = row if name == "luma" else figures["luma"][seed]
            figures[name].append(row | {f"{key}, difference": row[key] - complete[key] for key in COMPARED})
    result = {"minutes": minutes, "epochs": epochs, "seeds": seeds, "pairs": len(samples)}
    timing.report(result | {"rows": mean_and_deviation(figures)}, path)


def mean_and_deviation(figures: dict[str, list[dict[str, float]]]) -> dict[str, Any]:
    """Return the mean and the sample standard deviation (None for one seed) of each variant's figures over seeds."""
    return {
        name: {
            key: (statistics.mean(values), statistics.stdev(values) if len(values) > 1 else None)
            for key, values in columns(runs).items()
        }
        for name, runs in figures.items()
    }


def columns(runs: list[dict[str, float]]) -> dict[str, list[float]]:
    """Return the values of all runs by figure."""
    return {key: [run[key] for run in runs] for key in runs[0]}
