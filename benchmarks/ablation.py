"""What each part of the recipe `luma` is worth: one taken away at a time, over several seeds."""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Any

import click

from benchmarks import _measure, _runs, quality
from benchmarks.equal_time import WARMER
from toolbox.inference import restorer

ROWS: dict[str, tuple[str, ...]] = {
    "luma": (),
    "no colour classes": ("losses.classes.weight=0",),
    "no chroma": ("losses.chroma.weight=0",),
    "no hue histogram": ("losses.hue-histogram.weight=0",),
    "no hole term": ("losses.hole.weight=0",),
    "no running average": ("training.average=0.001",),
    "no zoom": ("data.zoom=1",),
    "with a discriminator": (
        "losses.adversarial.name=lsgan",
        "losses.adversarial.weight=0.1",
        "discriminator.name=patchgan",
    ),
}

COMPARED = ("score", "ab", "colourfulness")


@click.command("ablation")
@click.option("--data", type=click.Path(path_type=Path), required=True, help="Photographs to train on.")
@click.option("--pairs", type=click.Path(path_type=Path), required=True, help="input/, truth/ and masks/, by name.")
@click.option("--encoder", type=click.Path(path_type=Path), required=True, help="tf_efficientnet_lite0, safetensors.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="A folder for the runs.")
@click.option("--minutes", default=10.0, show_default=True, help="Of training a run, validation included.")
@click.option("--epochs", default=10, show_default=True, help="Over which the learning rate falls; fit for the time.")
@click.option("--seeds", default=3, show_default=True, help="Runs a row.")
@_measure.quick
@_measure.json_path
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
    """Train every row over the seeds, restore the pairs, print means and spreads; go on where it stopped."""
    samples = list(quality.load(pairs).values())[: 1 if quick else None]
    common = ["generator.init=", f"generator.weights={encoder}"]
    common += [f"degradations.white-balance.{one}" for one in WARMER]
    found: dict[str, list[dict[str, float]]] = {name: [] for name in ROWS}
    runs = _runs.place(out, quick)
    # Seed by seed, so that what is there is always a whole table.
    for seed in range(seeds):
        for name, settings in ROWS.items():
            options = ["--recipe", "luma", "--data", str(data), "--device", "cpu", "--seed", str(seed)]
            options += ["--epochs", str(epochs), "--minutes", "0.02" if quick else str(minutes)]
            options += ["--size", "32"] if quick else []
            for setting in (*common, *settings):
                options += ["--set", setting]
            way = quality.restoring(
                restorer.load_restorer(_runs.trained(runs / f"{name.replace(' ', '-')}-{seed}", options))
            )
            figures = quality.figures([way(sample) for sample in samples], samples, None)
            # The first row is the whole recipe; runs of one seed start alike, and are compared with one another.
            whole = figures if name == "luma" else found["luma"][seed]
            found[name].append(figures | {f"{key}, difference": figures[key] - whole[key] for key in COMPARED})
    _measure.report(
        {"minutes": minutes, "epochs": epochs, "seeds": seeds, "pairs": len(samples), "rows": spreads(found)}, path
    )


def spreads(found: dict[str, list[dict[str, float]]]) -> dict[str, Any]:
    """Return mean and standard deviation (of a sample; None for one seed) of every row's figures over the seeds."""
    return {
        name: {
            key: (statistics.mean(values), statistics.stdev(values) if len(values) > 1 else None)
            for key, values in columns(runs).items()
        }
        for name, runs in found.items()
    }


def columns(runs: list[dict[str, float]]) -> dict[str, list[float]]:
    """Return the runs' figures by their names."""
    return {key: [run[key] for run in runs] for key in runs[0]}
