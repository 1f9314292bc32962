"""The line of an epoch on the screen, as the row of a table of 100 columns, and its record in metrics.jsonl."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from toolbox.evaluation.metrics import format_figure
from toolbox.training.checkpoint import Progress
from toolbox.training.state import TrainState
from toolbox.training.validation_result import NO_SCORE, ValidationResult
from toolbox.utils.devices import peak_memory
from toolbox.utils.durations import duration

MAX_WIDTH = 100
HEADER_ROWS = 20  # rows after which the header is printed again

Column = tuple[str, str, int]  # the title, the value, the width


@dataclass(kw_only=True)
class EpochTable:
    """Counts the pictures and the seconds of an epoch, and the rows since the last header.

    Attributes:
        images: the pictures that all processes together have trained on in this session and epoch.
        seconds: the time that this took.
        rows: the rows printed so far.
    """

    images: int = 0
    seconds: float = 0.0
    rows: int = 0

    def add(self, images: int, seconds: float) -> None:
        """Count pictures and the time of their steps."""
        self.images += images
        self.seconds += seconds

    def images_per_second(self) -> float:
        """Return the pictures per second in this epoch; 0 if there were none."""
        return self.images / self.seconds if self.seconds else 0.0

    def end_epoch(self) -> None:
        """Start to count the next epoch."""
        self.images, self.seconds = 0, 0.0

    def lines(self, columns: list[Column]) -> list[str]:
        """Return the row of an epoch, after the header if it is due."""
        header = self.rows % HEADER_ROWS == 0
        self.rows += 1
        cells = [columns[0][0].ljust(columns[0][2])], [columns[0][1].ljust(columns[0][2])]
        for title, value, width in columns[1:]:
            cells[0].append(f" {title:>{width - 1}}")
            cells[1].append(f" {value:>{width - 1}}")
        titles, row = ("".join(line).rstrip() for line in cells)
        return [titles, row] if header else [row]


def epoch_columns(
    epoch: int, epochs: int, progress: Progress, validation: ValidationResult | None, table: EpochTable
) -> list[Column]:
    """Return the columns of an epoch: totals of the losses, validation, speed, time, and the metrics that fit."""
    # As wide as the last epoch needs it, so that all rows stay below their header.
    width = max(13, len(f"epoch {epochs}/{epochs}"))
    columns: list[Column] = [("", f"epoch {epoch}/{epochs}", width), ("step", str(progress.step), 7)]
    for name in ("g", "d"):
        if name in progress.sums:
            total, count = progress.sums[name]
            columns.append((name, _loss(total / count), 8))
    if validation is not None:
        columns.append(("valid", _loss(validation.loss), 8))
        if validation.score != NO_SCORE:
            columns += [(name, format_figure(value), 8) for name, value in asdict(validation.score).items()]
    speed = table.images_per_second()
    columns += [("img/s", f"{speed:.{1 if speed < 100 else 0}f}", 7), ("time", duration(progress.seconds), 9)]
    for name, value in {} if validation is None else validation.metrics.items():
        column = (name, format_figure(value), max(len(name), 7) + 1)
        if sum(max(width, len(text) + 1) for _, text, width in [*columns, column]) <= MAX_WIDTH:
            columns.append(column)
    return columns


def epoch_record(epoch: int, progress: Progress, state: TrainState, table: EpochTable) -> dict[str, Any]:
    """Return the record of an epoch for metrics.jsonl; its step is the last one of the epoch."""
    values = {
        "means": {name: total / count for name, (total, count) in progress.sums.items()},
        "learning_rate": {name: trained.rates()[0] for name, trained in state.networks().items()},
        "images_per_second": table.images_per_second(),
        "seconds": progress.seconds,
        "memory": peak_memory(state.device),
    }
    return {"step": progress.step - 1, "epoch": epoch - 1, "epoch_end": values}


def _loss(value: float) -> str:
    text = f"{value:.4g}"
    return text if len(text) <= 7 else f"{value:.1e}"
