"""Small runs, sound and rigged, and what the watch on the game says of them: where its thresholds come from."""

from __future__ import annotations

import contextlib
import io
import json
import shutil
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np

from benchmarks import _measure, _runs
from toolbox.cli import main
from toolbox.training import metric_log
from toolbox.training.gan_monitor import (
    EARLY_ACCURACY,
    EARLY_STALLED_LOSS,
    HALF_WINDOW,
    MEAN_ACCURACY,
    STALLED_LOSS,
    SURE_ACCURACY,
    SURE_FRACTION,
    WINDOW,
    GanMonitor,
)

WITHIN = 200  # steps in which a rigged run is to be called out

SMALL = {"data.size": 64, "training.batch": 6, "training.epochs": 1000, "data.repeat": 9, "validation.every": 3}
NARROW = {"generator.width": 16, "discriminator.width": 16}
# The discriminator learns 50 times as fast as the recipes have it, the generator stands still.
RIG = {"discriminator.optimizer.lr": 5e-3, "generator.optimizer.lr": 1e-12, "generator.optimizer.weight_decay": 0}
FASTER = {"discriminator.optimizer.lr": 5e-4, "generator.optimizer.lr": 5e-4}
PATCHES = {"discriminator.layers": 2}
UNET = {"discriminator.name": "unet-discriminator"}
SCALES = {"discriminator.name": "multiscale", "discriminator.layers": 2, "discriminator.scales": 2}
NO_PENALTY = {"penalties.gradient.enabled": False}


def game(loss: str) -> dict[str, object]:
    """Return the settings that put another adversarial loss in place of the default one."""
    return {"losses.lsgan.enabled": False, f"losses.{loss}.weight": 1}


# Two photographs, each seen many times, and all 24, at a rate that stays.
FEW = {"split.train_limit": 2, "data.repeat": 40, "validation.every": 1, "data.size": 32, "training.batch": 4}
ALL = FEW | {"split.train_limit": 0, "data.repeat": 3}
STEADY = {"generator.width": 24, "discriminator.width": 8}
STEADY |= {"generator.schedule.every": 1000, "discriminator.schedule.every": 1000}


@dataclass(frozen=True, kw_only=True)
class Run:
    """A run: what the thresholds were fixed on or judged by, what is in it, and what is to be said of it."""

    judged: bool
    what: str
    seed: int
    expected: str
    settings: Mapping[str, object]
    recipe: str = "default"
    steps: int = 240

    @property
    def name(self) -> str:
        """A file name."""
        return f"{'judged' if self.judged else 'fixed'}-{self.what.replace(' ', '-').replace(',', '')}-{self.seed}"


def runs() -> Iterator[Run]:
    """Yield every run, those that the thresholds were fixed on first."""
    for judged in (False, True):
        first = 51 if judged else 1

        def pair(
            what: str,
            count: int,
            settings: Mapping[str, object],
            recipe: str = "default",
            judged: bool = judged,
            first: int = first,
        ) -> Iterator[Run]:
            for seed in range(first, first + count):
                how = {"judged": judged, "seed": seed, "recipe": recipe}
                yield Run(what=what, expected="", settings=SMALL | NARROW | settings, **how)
                rigged = SMALL | NARROW | settings | RIG
                yield Run(what=f"{what}, rigged", expected="discriminator-won", settings=rigged, **how)

        yield from pair("default", 5 if judged else 2, {})
        yield from pair("hinge-r1", 1, PATCHES, "hinge-r1")
        for loss in ("non-saturating", "relativistic", "wasserstein"):
            yield from pair(loss, 1, game(loss))
        how = {"judged": judged, "seed": first}
        yield Run(what="default at five times the rates", expected="", settings=SMALL | NARROW | FASTER, **how)
        bare = SMALL | NARROW | FASTER | NO_PENALTY
        yield Run(what="the same without a penalty", expected="discriminator-won", settings=bare, steps=900, **how)
        for what, settings, expected in (("2 photographs", FEW, "overfitting"), ("24 photographs", ALL, "")):
            yield Run(what=what, expected=expected, settings=SMALL | FASTER | settings | STEADY, steps=1400, **how)
        if judged:
            yield from pair("timm-unet", 2, {"discriminator.width": 16}, "timm-unet")
            yield from pair("hinge-r1, multiscale", 2, SCALES, "hinge-r1")
            yield from pair("hinge-r1, unet-discriminator", 1, UNET, "hinge-r1")


@click.command("balance")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="A folder for the runs' logs.")
@_measure.quick
@_measure.json_path
def command(out: Path, quick: bool, path: Path | None) -> None:
    """Run all of them on the sample, an hour on one core, and say what the watch says; a run that is there stays."""
    chosen = list(runs())
    found = []
    for run in chosen[:2] if quick else chosen:
        log = _runs.place(out, quick) / f"{run.name}.jsonl"
        if not log.is_file():
            train(run, log, 3 if quick else run.steps)
        found.append(judge(run, log))
    thresholds = {
        "most": SURE_FRACTION,
        "sure": SURE_ACCURACY,
        "right": MEAN_ACCURACY,
        "still": STALLED_LOSS,
        "ahead": EARLY_ACCURACY,
        "never": EARLY_STALLED_LOSS,
    }
    result = {"window": WINDOW, **thresholds, "within": WITHIN, "runs": found, **_measure.facts()}
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(result, indent=1) + "\n", "utf-8")
    click.echo(json.dumps(result, indent=1))
    for line in table(found):
        click.echo(line, err=True)


def train(run: Run, log: Path, steps: int) -> None:
    """Run it and keep its log alone."""
    folder = log.with_suffix(".run")
    shutil.rmtree(folder, ignore_errors=True)
    words = ["run", "--recipe", run.recipe, "--out", str(folder), "--device", "cpu", "--json"]
    words += ["--seed", str(run.seed), "--steps", str(steps), "--set", "validation.previews=0"]
    for key, value in run.settings.items():
        if not (run.recipe == "timm-unet" and key == "generator.width"):
            words += ["--set", f"{key}={str(value).lower()}"]
    started = time.monotonic()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        main.main(words, standalone_mode=False)
    click.echo(f"{run.name}: {time.monotonic() - started:.0f} s", err=True)
    (folder / "metrics.jsonl").replace(log)
    shutil.rmtree(folder)


def judge(run: Run, log: Path) -> dict[str, object]:
    """Return what the watch says of a log, at which step, and how near the figures come to its thresholds."""
    folder = log.with_suffix(".read")
    folder.mkdir(exist_ok=True)
    shutil.copyfile(log, folder / "metrics.jsonl")
    weights = {f"loss.{name}": 50.0 for name in ("mse", "ssim")}
    watch, said, told, losses = GanMonitor(weights), {}, [], []
    for record in metric_log.read_records(folder):
        if "warning" in record:
            continue
        for alarm in watch.update(record):
            said[alarm.cause] = record["step"] + 1
        if "d_accuracy" in record:
            told.append(record["d_accuracy"])
            losses.append(sum(weight * record[name] for name, weight in weights.items()))
    shutil.rmtree(folder)
    sure, right = (means(values) for values in (np.array(told) >= SURE_ACCURACY, np.array(told)))
    early = slice(0, max(1, WITHIN - HALF_WINDOW + 1))
    return {
        "judged": run.judged,
        "what": run.what,
        "recipe": run.recipe,
        "seed": run.seed,
        "steps": len(told),
        "expected": run.expected,
        "said": said,
        "highest_share_of_sure_steps": round(float(sure.max()), 4),
        "highest_told": round(float(right.max()), 4),
        "highest_told_within": round(float(means(np.array(told), HALF_WINDOW)[early].max()), 4),
        "losses_at_the_end": round(float(np.mean(losses[-HALF_WINDOW:]) / np.mean(losses[:HALF_WINDOW])), 4),
        "as_expected": sorted(said) == ([run.expected] if run.expected else []),
    }


def means(values: np.ndarray, window: int = WINDOW) -> np.ndarray:
    """Return the means over the watch's window, step by step."""
    return np.convolve(values, np.ones(window) / window, "valid") if len(values) >= window else np.zeros(1)


def table(found: list[dict[str, object]]) -> list[str]:
    """Return rows of Markdown: a row a kind of run."""
    lines = ["| runs | called out, after step | highest mean of `told` | losses at the end |", "|---|---|---|---|"]
    kinds = {(row["judged"], row["what"]): None for row in found}
    for judged, what in kinds:
        rows = [row for row in found if (row["judged"], row["what"]) == (judged, what)]
        said = ", ".join(str(step) for row in rows for step in row["said"].values()) or "none"
        told, losses = (
            f"{min(values):.2f} to {max(values):.2f}" if min(values) < max(values) else f"{values[0]:.2f}"
            for values in ([row[key] for row in rows] for key in ("highest_told", "losses_at_the_end"))
        )
        lines.append(f"| {'judged' if judged else 'fixed'}: {what}, {len(rows)} | {said} | {told} | {losses} |")
    return lines
