"""What a validation returns, and how the figures of photographs are gathered from all processes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from toolbox.data.batch import Batch
from toolbox.distributed import collectives
from toolbox.evaluation import metrics as scores

# The score where no pictures are restored.
NO_SCORE = scores.Score(S=None, M=None, C=None, score=None)

# A row is the number of a photograph and its figures; rows travel between processes as JSON.
Row = tuple[int, tuple[Any, ...], Any]


@dataclass(frozen=True, kw_only=True)
class Preview:
    """One photograph of a preview: (H, W, 3) uint8 RGB each."""

    image: np.ndarray
    restored: np.ndarray
    truth: np.ndarray


@dataclass(frozen=True, kw_only=True)
class ValidationResult:
    """The figures of a validation.

    Attributes:
        loss: the weighted sum of the recipe's reconstruction losses, as the published script validates.
        score: S, M, C and the score, means over the photographs; `NO_SCORE` if no pictures are restored.
        metrics: the recipe's metrics by label, means over the photographs for which they are defined; or, if no
            pictures are restored, the figures of the training step.
        previews: the first photographs of those that this process has restored.
        not_finite: the labels of the losses whose value is not finite for some photographs.
        failures: why metrics have no figure, by label: they raised an error, or returned a wrong type.
    """

    loss: float
    score: scores.Score
    metrics: dict[str, float | None] = field(default_factory=dict)
    previews: tuple[Preview, ...] = ()
    failures: dict[str, str] = field(default_factory=dict)
    not_finite: tuple[str, ...] = ()


def photo_numbers(batch: Batch, photos_before: int) -> range:
    """Return the numbers of a batch's photographs; empty if this process has rows that don't count."""
    start = photos_before + batch.position.start
    return range(start, start + len(batch.image) * (batch.position.weight > 0))


def gather_in_order(rows: list[Row]) -> list[Any]:
    """Return the rows of all processes in the order of the photographs."""
    return sorted((row for rows in collectives.gather_objects(rows) for row in rows), key=lambda row: row[0])
