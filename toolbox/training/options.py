"""The inputs and the result of a run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from toolbox.data.folders import Source
from toolbox.data.split import DataSplit
from toolbox.evaluation import metrics
from toolbox.models.stored_weights import StoredWeights
from toolbox.reports.run_records import BestWeights


class Console(Protocol):
    """Where a run prints lines and draws progress bars."""

    def print_line(self, line: str) -> None:
        """Print a line."""

    def show_picture(self, path: Path) -> None:
        """Show a picture file, where that is possible."""

    def progress_bar(self, title: str, total: int, done: int = 0) -> AbstractContextManager[Callable[[], None]]:
        """Draw a bar of `total` steps; the yielded function advances it by one step."""


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """What a run needs besides the plan.

    Attributes:
        source: the photographs.
        split: which of them are for training and which for validation.
        folder: the run folder, created by `toolbox.training.run_dir.start_run_dir`.
        device: see `toolbox.distributed.accelerator.make_accelerator`.
        should_stop: called after every step; if it returns True, the run ends with a checkpoint.
        initial: the weights that networks of a new run start from, by "generator" and "discriminator".
        plan_changed: whether the plan differs from the recipe in the folder. The folder's recipe is replaced once the
            networks work with it.
        changes: the value in the folder's recipe and the new one, by the dotted key of each changed setting.
        observers: observers besides those of the recipe; see `toolbox.hooks.observing.Observer`.
        write_start: writes the files again that `start_run_dir` wrote, if they disappear during the run.
    """

    source: Source
    split: DataSplit
    folder: Path
    device: str | None = None
    should_stop: Callable[[], bool] = lambda: False
    initial: Mapping[str, StoredWeights] = field(default_factory=dict)
    plan_changed: bool = False
    changes: Mapping[str, tuple[Any, Any]] = field(default_factory=dict)
    observers: Sequence[object] = ()
    write_start: Callable[[], None] = lambda: None


@dataclass(frozen=True, kw_only=True)
class RunResult:
    """The result of a run.

    Attributes:
        finished: False if the run was stopped before its end; it can be resumed.
        scores: S, M, C and the score by row: the input as it is, OpenCV's inpainting, the best weights of this run.
        pixel_loss: the mean squared error of a fixed validation batch, before the first step (see
            `pixel_loss_step`) and with the best weights; the latter is None until the run has finished. If the network
            restores no pictures, the loss of the training step.
        pixel_loss_step: the number of steps before the first of them; not 0 if a resumed run measured it again.
        steps: the number of steps taken in total.
        submission: the zip file, if there are test photographs and the run has finished.
        signal: the number of the signal that stopped the run, or None.
        best: the best weights with their figures, or None.
    """

    finished: bool
    scores: dict[str, metrics.Score]
    pixel_loss: tuple[float, float | None]
    steps: int
    submission: Path | None
    signal: int | None = None
    pixel_loss_step: int = 0
    best: BestWeights | None = None
