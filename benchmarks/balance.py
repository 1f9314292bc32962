"""Test the warnings of the GAN monitor on small training runs: sound runs, and runs with a deliberate fault.

    python -m benchmarks balance --out LOGS

The thresholds of `toolbox.training.gan_monitor` were chosen on the development runs; the held-out runs, with other
seeds and more recipes, were then measured once. All runs train on the sample photographs; together they take about an
hour on one core. Existing logs are not measured again.

The JSON has one entry for each run:

- ``held_out``: whether it is a held-out run.
- ``expected``, ``warnings``: the expected warning, and each warning of the monitor with its step.
- ``highest_share_of_sure_steps``: the highest fraction of steps, in a window, in which the discriminator is nearly
  always right.
- ``highest_d_accuracy``, ``highest_d_accuracy_within``: the highest mean accuracy of the discriminator in a window,
  and in half a window within the first steps.
- ``losses_at_the_end``: the mean reconstruction loss of the last half window, divided by that of the first.
- ``as_expected``: whether the warnings are exactly the expected ones.

The Markdown table has one row for each kind of run: its number of runs, the steps of their warnings, and the ranges of
the highest mean accuracy and of the losses at the end.
"""

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

from benchmarks.common import timing
from benchmarks.common.training_runs import runs_folder
from toolbox.cli import main
from toolbox.reports import run_records
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

# Steps within which a run with a fault must get its warning.
WITHIN = 200

SMALL = {"data.size": 64, "training.batch": 6, "training.epochs": 1000, "data.repeat": 9, "validation.every": 3}
NARROW = {"generator.width": 16, "discriminator.width": 16}
# The fault: the discriminator learns 50 times as fast as in the recipes, and the generator does not learn.
RIGGED = {"discriminator.optimizer.lr": 5e-3, "generator.optimizer.lr": 1e-12, "generator.optimizer.weight_decay": 0}
FASTER = {"discriminator.optimizer.lr": 5e-4, "generator.optimizer.lr": 5e-4}
TWO_LAYERS = {"discriminator.layers": 2}
UNET = {"discriminator.name": "unet-discriminator"}
MULTISCALE = {"discriminator.name": "multiscale", "discriminator.layers": 2, "discriminator.scales": 2}
NO_PENALTY = {"penalties.gradient.enabled": False}

# To overfit: two photographs, each used many times. For comparison: all 24. Both with constant learning rates.
FEW = {"split.train_limit": 2, "data.repeat": 40, "validation.every": 1, "data.size": 32, "training.batch": 4}
ALL = FEW | {"split.train_limit": 0, "data.repeat": 3}
CONSTANT_RATES = {"generator.width": 24, "discriminator.width": 8}
CONSTANT_RATES |= {"generator.schedule.every": 1000, "discriminator.schedule.every": 1000}


def with_loss(name: str) -> dict[str, object]:
    """Return the settings that replace the adversarial loss of `default`."""
    return {"losses.lsgan.enabled": False, f"losses.{name}.weight": 1}


@dataclass(frozen=True, kw_only=True)
class MonitoredRun:
    """A training run and the warning that is expected for it.

    Attributes:
        held_out: whether the thresholds were tested on it, rather than chosen on it.
        kind: what is special about it.
        seed: its seed.
        expected: the cause of the expected warning, empty for none.
        settings: settings of the recipe.
        recipe: the recipe's name.
        steps: number of training steps.
    """

    held_out: bool
    kind: str
    seed: int
    expected: str
    settings: Mapping[str, object]
    recipe: str = "default"
    steps: int = 240

    @property
    def name(self) -> str:
        """The name of its log file."""
        kind = self.kind.replace(" ", "-").replace(",", "")
        return f"{'held-out' if self.held_out else 'development'}-{kind}-{self.seed}"


def sound_and_rigged(
    kind: str, seeds: range, settings: Mapping[str, object], recipe: str = "default", *, held_out: bool
) -> Iterator[MonitoredRun]:
    """Yield for each seed a sound run, and the same run with the fault."""
    settings = SMALL | NARROW | settings
    for seed in seeds:
        common = {"held_out": held_out, "seed": seed, "recipe": recipe}
        yield MonitoredRun(kind=kind, expected="", settings=settings, **common)
        yield MonitoredRun(kind=f"{kind}, rigged", expected="discriminator-won", settings=settings | RIGGED, **common)


def all_runs() -> Iterator[MonitoredRun]:
    """Yield all runs: the development runs, then the held-out runs."""
    for held_out in (False, True):
        first = 51 if held_out else 1
        one, two = range(first, first + 1), range(first, first + 2)
        default_seeds = range(first, first + 5) if held_out else two
        yield from sound_and_rigged("default", default_seeds, {}, held_out=held_out)
        yield from sound_and_rigged("hinge-r1", one, TWO_LAYERS, "hinge-r1", held_out=held_out)
        for loss in ("non-saturating", "relativistic", "wasserstein"):
            yield from sound_and_rigged(loss, one, with_loss(loss), held_out=held_out)
        common = {"held_out": held_out, "seed": first}
        faster = SMALL | NARROW | FASTER
        yield MonitoredRun(kind="default at five times the rates", expected="", settings=faster, **common)
        yield MonitoredRun(
            kind="the same without a penalty",
            expected="discriminator-won",
            settings=faster | NO_PENALTY,
            steps=900,
            **common,
        )
        for kind, settings, expected in (("2 photographs", FEW, "overfitting"), ("24 photographs", ALL, "")):
            settings = SMALL | FASTER | settings | CONSTANT_RATES
            yield MonitoredRun(kind=kind, expected=expected, settings=settings, steps=1400, **common)
        if held_out:
            wide = {"discriminator.width": 16}
            yield from sound_and_rigged("timm-unet", two, wide, "timm-unet", held_out=True)
            yield from sound_and_rigged("hinge-r1, multiscale", two, MULTISCALE, "hinge-r1", held_out=True)
            yield from sound_and_rigged("hinge-r1, unet-discriminator", one, UNET, "hinge-r1", held_out=True)


@click.command("balance")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder for the logs of the runs.")
@timing.quick_option
@timing.json_option
def command(out: Path, quick: bool, path: Path | None) -> None:
    """Train all runs on the sample photographs, and print the warnings of the GAN monitor."""
    runs = list(all_runs())
    results = []
    for run in runs[:2] if quick else runs:
        log = runs_folder(out, quick) / f"{run.name}.jsonl"
        if not log.is_file():
            train(run, log, 3 if quick else run.steps)
        results.append(evaluate_log(run, log))
    thresholds = {
        "most": SURE_FRACTION,
        "sure": SURE_ACCURACY,
        "right": MEAN_ACCURACY,
        "still": STALLED_LOSS,
        "ahead": EARLY_ACCURACY,
        "never": EARLY_STALLED_LOSS,
    }
    result = {"window": WINDOW, **thresholds, "within": WITHIN, "runs": results, **timing.environment()}
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(result, indent=1) + "\n", "utf-8")
    click.echo(json.dumps(result, indent=1))
    for line in markdown_table(results):
        click.echo(line, err=True)


def train(run: MonitoredRun, log: Path, steps: int) -> None:
    """Train, and keep only the log."""
    folder = log.with_suffix(".run")
    shutil.rmtree(folder, ignore_errors=True)
    arguments = ["run", "--recipe", run.recipe, "--out", str(folder), "--device", "cpu", "--json"]
    arguments += ["--seed", str(run.seed), "--steps", str(steps), "--set", "validation.previews=0"]
    for key, value in run.settings.items():
        if not (run.recipe == "timm-unet" and key == "generator.width"):
            arguments += ["--set", f"{key}={str(value).lower()}"]
    start = time.monotonic()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        main.main(arguments, standalone_mode=False)
    click.echo(f"{run.name}: {time.monotonic() - start:.0f} s", err=True)
    (folder / "metrics.jsonl").replace(log)
    shutil.rmtree(folder)


def evaluate_log(run: MonitoredRun, log: Path) -> dict[str, object]:
    """Return the monitor's warnings for a log, and how near its figures are to the thresholds."""
    folder = log.with_suffix(".read")
    folder.mkdir(exist_ok=True)
    shutil.copyfile(log, folder / "metrics.jsonl")
    weights = {f"loss.{name}": 50.0 for name in ("mse", "ssim")}
    monitor, warnings, accuracy, losses = GanMonitor(weights), {}, [], []
    for record in run_records.read_records(folder):
        if "warning" in record:
            continue
        for alarm in monitor.update(record):
            warnings[alarm.cause] = record["step"] + 1
        if "d_accuracy" in record:
            accuracy.append(record["d_accuracy"])
            losses.append(sum(weight * record[name] for name, weight in weights.items()))
    shutil.rmtree(folder)
    first_steps = slice(0, max(1, WITHIN - HALF_WINDOW + 1))
    return {
        "held_out": run.held_out,
        "kind": run.kind,
        "recipe": run.recipe,
        "seed": run.seed,
        "steps": len(accuracy),
        "expected": run.expected,
        "warnings": warnings,
        "highest_share_of_sure_steps": round(float(window_means(np.array(accuracy) >= SURE_ACCURACY).max()), 4),
        "highest_d_accuracy": round(float(window_means(np.array(accuracy)).max()), 4),
        "highest_d_accuracy_within": round(float(window_means(np.array(accuracy), HALF_WINDOW)[first_steps].max()), 4),
        "losses_at_the_end": round(float(np.mean(losses[-HALF_WINDOW:]) / np.mean(losses[:HALF_WINDOW])), 4),
        "as_expected": sorted(warnings) == ([run.expected] if run.expected else []),
    }


def window_means(values: np.ndarray, window: int = WINDOW) -> np.ndarray:
    """Return the moving averages over the monitor's window; one 0 if there are fewer values."""
    return np.convolve(values, np.ones(window) / window, "valid") if len(values) >= window else np.zeros(1)


def markdown_table(results: list[dict[str, object]]) -> list[str]:
    """Return a Markdown table with one row for each kind of run."""
    lines = ["| runs | warning after step | highest mean `d_accuracy` | losses at the end |", "|---|---|---|---|"]
    kinds = {(row["held_out"], row["kind"]): None for row in results}
    for held_out, kind in kinds:
        rows = [row for row in results if (row["held_out"], row["kind"]) == (held_out, kind)]
        steps = ", ".join(str(step) for row in rows for step in row["warnings"].values()) or "none"
        accuracy, losses = (
            f"{min(values):.2f} to {max(values):.2f}" if min(values) < max(values) else f"{values[0]:.2f}"
            for values in ([row[key] for row in rows] for key in ("highest_d_accuracy", "losses_at_the_end"))
        )
        group = "held-out" if held_out else "development"
        lines.append(f"| {group}: {kind}, {len(rows)} | {steps} | {accuracy} | {losses} |")
    return lines
