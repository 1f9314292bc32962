"""What a run is made of: what it is given, where it speaks, what does not change while it goes on, how it ended."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from toolbox.data.folders import Source
from toolbox.data.split import DataSplit
from toolbox.evaluation import metrics


class Console(Protocol):
    """Output of a run: lines and progress bars."""

    def print_line(self, line: str) -> None:
        """Print a line."""

    def progress_bar(self, title: str, total: int, done: int = 0) -> AbstractContextManager[Callable[[], None]]:
        """Show a progress bar of `total` steps; the returned function advances it by one."""


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """What a run needs besides the plan.

    Attributes:
        source: the photographs.
        split: which of them train and which validate.
        folder: the run folder, begun by `toolbox.training.run_dir.begin_run_dir`.
        device: see `toolbox.distributed.accelerator.make_accelerator`.
        stop: asked after every step; True ends the run with a checkpoint.
        initial: the weight file that a new run's generator starts from, or None.
        changed: whether the plan is not the recipe in the folder; it is written there once the checkpoint has gone in.
    """

    source: Source
    split: DataSplit
    folder: Path
    device: str | None = None
    stop: Callable[[], bool] = lambda: False
    initial: Path | None = None
    changed: bool = False


@dataclass(frozen=True, kw_only=True)
class RunResult:
    """How a run ended.

    Attributes:
        finished: False if it was stopped before its end; it can be resumed.
        scores: S, M, C and the score by row: doing nothing, OpenCV's inpainting, this run at its best.
        pixel_loss: mean squared error on a fixed validation batch before the first step and of the best
            weights, None until the run has finished.
        steps: the steps taken in all.
        submission: the zip, if there were test photographs and the run finished.
    """

    finished: bool
    scores: dict[str, metrics.Score]
    pixel_loss: tuple[float, float | None]
    steps: int
    submission: Path | None
