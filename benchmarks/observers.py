"""Measure what the report and the trackers cost a run on the sample photographs.

    OMP_NUM_THREADS=1 python -m benchmarks observers

One run has them all as observers, and the time of each call is taken: the loop waits for these calls, so ``loop`` is
what each of them adds to the run, as a fraction of its time. The start and the end of the run are listed separately,
because they do not grow with its length. A tracker whose package is not installed is left out.

The cost of a library's own threads is only in ``cpu_more``: for `TURN` steps at a time, one tracker or none gets the
steps. The CPU time of a step with a tracker is compared with that of a step without one.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

import toolbox
from benchmarks.common import timing
from toolbox.hooks import catalog
from toolbox.hooks.observing import StepRecord
from toolbox.reports.report_file import ReportFile

TRACKERS = ("tensorboard", "wandb", "trackio", "mlflow")
# The observers that many runs have: the report, a table of the validations, a tracker.
THREE = ("report", "csv-file", "tensorboard")
TURN = 4


class Turns:
    """The first observer: it passes steps to one tracker at a time, in turns, and measures their CPU time."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = ["none", *names]
        self.current = ""
        self.seconds: dict[str, list[float]] = {name: [] for name in self.names}
        self.start: float | None = None

    def on_step(self, record: StepRecord) -> None:
        """End the step before, and choose who gets this one."""
        now = time.process_time()
        # In the first step of a turn, threads may still work for the last step of the turn before.
        if self.start is not None and record.step % TURN > 1:
            self.seconds[self.current].append(now - self.start)
        self.current = self.names[record.step // TURN % len(self.names)]
        self.start = time.process_time()

    def on_epoch(self, record: object) -> None:
        """Leave out the step that has a validation in it."""
        self.start = None

    def figures(self) -> dict[str, Any]:
        """Return the CPU seconds of a step with each tracker, and by which fraction they exceed those without one."""
        if not all(len(times) >= 5 for times in self.seconds.values()):  # a run of few steps
            return {}
        means = {name: _trimmed_mean(times) for name, times in self.seconds.items()}
        return {
            name: {"steps": len(times), "cpu_seconds": means[name], "cpu_more": means[name] / means["none"] - 1}
            for name, times in self.seconds.items()
        }


def _trimmed_mean(times: Sequence[float]) -> float:
    """Return the mean without the fifth that is the shortest and the fifth that is the longest."""
    cut = len(times) // 5
    return statistics.fmean(sorted(times)[cut : len(times) - cut])


class Timed:
    """An observer that times the calls of another one. With `turns`, that one gets only the steps of its turns."""

    def __init__(self, observer: object, name: str = "", turns: Turns | None = None) -> None:
        self.observer = observer
        self.name = name
        self.turns = turns
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self.calls: defaultdict[str, int] = defaultdict(int)

    def __getattr__(self, name: str) -> Callable[[object], None]:
        """Return a method of the other observer that takes its time; AttributeError as for the other one."""
        if not name.startswith("on_"):
            raise AttributeError(name)
        function = getattr(self.observer, name)

        def call(record: object) -> None:
            if name == "on_step" and self.turns is not None and self.turns.current != self.name:
                return
            start = time.perf_counter()
            function(record)
            self.seconds[name] += time.perf_counter() - start
            self.calls[name] += 1

        return call

    def figures(self, total: float) -> dict[str, Any]:
        """Return the cost of the calls in a run of `total` seconds, as if all steps had been those of its turns."""
        all_steps = len(self.turns.names) if self.turns else 1
        loop = sum(
            seconds * (all_steps if name == "on_step" else 1)
            for name, seconds in self.seconds.items()
            if name not in ("on_start", "on_end")
        )
        step = 1000 * self.seconds["on_step"] / max(1, self.calls["on_step"])
        ends = {name: self.seconds[f"on_{name}"] for name in ("start", "end")}
        return {"loop": loop / total, "ms_per_step": step, **ends}


@click.command("observers")
@click.option("--epochs", type=click.IntRange(1), default=2, show_default=True, help="Epochs of the run.")
@click.option(
    "--width",
    type=click.IntRange(1),
    default=16,
    show_default=True,
    help="Width of the networks; at full width a step takes longer.",
)
@timing.quick_option
@timing.json_option
def command(epochs: int, width: int, quick: bool, path: Path | None) -> None:
    """Train on the sample photographs with all observers, and print the part of the time that each takes."""
    recipe = toolbox.Recipe.load("default").set("validation.report", False).set("training.epochs", epochs)
    recipe = recipe.set("generator.width", width).set("discriminator.width", width)
    recipe = recipe.set("training.steps", 2) if quick else recipe
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        trackers = [name for name in TRACKERS if importlib.util.find_spec(name) is not None]
        turns = Turns(trackers)
        table = catalog.load(third_party=False).find("observer", "csv-file").spec
        observers = {"report": Timed(ReportFile(out)), "csv-file": Timed(table.build(table.params()))}  # type: ignore[attr-defined]
        for name in trackers:
            spec = catalog.load(third_party=False).find("observer", name).spec
            observers[name] = Timed(spec.build(spec.params()), name, turns)  # type: ignore[attr-defined]
        start = time.perf_counter()
        with contextlib.redirect_stdout(sys.stderr):  # the output of the run; the figures alone go to stdout
            toolbox.train(recipe, out=out, observers=[turns, *observers.values()])
        total = time.perf_counter() - start
    rows = {name: timed.figures(total) for name, timed in observers.items()}
    three = sum(rows[name]["loop"] for name in THREE if name in rows)
    result = {"seconds": total, "width": width, "rows": rows, "three_observers": three, "turns": turns.figures()}
    result |= timing.environment()
    if path is not None:
        path.write_text(json.dumps(result, indent=1), "utf-8")
    click.echo(json.dumps(result, indent=1))
