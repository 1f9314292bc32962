"""Measure what the report and the trackers cost a run on the sample photographs.

    OMP_NUM_THREADS=1 python -m benchmarks observers

One run has them all as observers, and the time of each call is taken: the loop waits for these calls, so ``loop`` is
what each of them adds to the run, as a fraction of its time. The start and the end of the run are apart, because they
do not grow with its length. Threads that a library runs beside the loop are not counted. A tracker whose package is
not installed is left out.
"""

from __future__ import annotations

import importlib.util
import json
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

import toolbox
from benchmarks.common import timing
from toolbox.hooks import catalog
from toolbox.reports.report_file import ReportFile

TRACKERS = ("tensorboard", "wandb", "trackio", "mlflow")


class Timed:
    """An observer that takes the time of the calls of another one."""

    def __init__(self, observer: object) -> None:
        self.observer = observer
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self.calls: defaultdict[str, int] = defaultdict(int)

    def __getattr__(self, name: str) -> Callable[[object], None]:
        """Return a method of the other observer that takes its time; AttributeError as for the other one."""
        if not name.startswith("on_"):
            raise AttributeError(name)
        function = getattr(self.observer, name)

        def call(record: object) -> None:
            start = time.perf_counter()
            function(record)
            self.seconds[name] += time.perf_counter() - start
            self.calls[name] += 1

        return call

    def figures(self, total: float) -> dict[str, Any]:
        """Return what the calls cost a run that took `total` seconds."""
        loop = sum(seconds for name, seconds in self.seconds.items() if name not in ("on_start", "on_end"))
        step = 1000 * self.seconds["on_step"] / max(1, self.calls["on_step"])
        ends = {name: self.seconds[f"on_{name}"] for name in ("start", "end")}
        return {"loop": loop / total, "ms_per_step": step, **ends}


@click.command("observers")
@click.option("--epochs", default=2, show_default=True, help="Epochs of the run.")
@click.option(
    "--width", default=16, show_default=True, help="Width of the networks; at full width a step takes longer."
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
        observers = {"report": Timed(ReportFile(out))}
        for name in TRACKERS:
            if importlib.util.find_spec(name) is not None:
                spec = catalog.load(third_party=False).find("observer", name).spec
                observers[name] = Timed(spec.build(spec.params()))  # type: ignore[attr-defined]
        start = time.perf_counter()
        toolbox.train(recipe, out=out, observers=list(observers.values()))
        total = time.perf_counter() - start
    rows = {name: timed.figures(total) for name, timed in observers.items()}
    result = {"seconds": total, "width": width, "rows": rows} | timing.environment()
    if path is not None:
        path.write_text(json.dumps(result, indent=1), "utf-8")
    click.echo(json.dumps(result, indent=1))
