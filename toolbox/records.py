"""What a step measured: on the device first, and a record once the next step is under way."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from toolbox import processes
from toolbox.errors import TrainingError

Terms = dict[str, Tensor]


@dataclass(frozen=True, kw_only=True)
class Record:
    """What one step measured, before its update.

    Attributes:
        step: the number of the step, from 0.
        terms: figures by name: ``g`` and ``d`` are the totals, ``loss.LABEL`` and ``penalty.LABEL`` the terms
            without their weights, ``d.real`` and ``d.fake`` the discriminator's two sides, ``on_real`` and
            ``on_fake`` the means of its maps, ``gradient.g`` and ``gradient.d`` the norms of the gradients.
        names: the photographs of the batch.
    """

    step: int
    terms: dict[str, float]
    names: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What a step measured, still on the device: a value a term, then how many processes asked for a pause."""

    number: int
    terms: tuple[str, ...]
    values: Tensor
    names: tuple[str, ...]


def measured(number: int, terms: Terms, names: tuple[str, ...], asked: bool) -> Measured:
    """Sum a step's terms over the processes, and with them whether this one asks for a pause, without waiting."""
    values = [value.double() for value in terms.values()]
    together = torch.stack([*values, values[0].new_full((), asked)])
    processes.summed([together])()
    return Measured(number=number, terms=tuple(terms), values=together, names=names)


def record(taken: Measured) -> tuple[Record, bool]:
    """Return the record of a step, and whether a process asked for a pause then. Waits for the device.

    Raises:
        TrainingError: a term is not finite; the message names the step, the terms and the photographs.
    """
    *values, asked = taken.values.tolist()
    figures = dict(zip(taken.terms, values, strict=True))
    wrong = [name for name, value in figures.items() if not math.isfinite(value)]
    if wrong:
        names = [name for part in processes.gathered(taken.names) for name in part]
        raise processes.everywhere(
            TrainingError(
                f"Step {taken.number}: {', '.join(wrong)} is not finite, and no weight was moved. "
                f"Batch: {', '.join(names)}. "
                "A smaller learning rate or weight helps; the last good checkpoint is in the run folder."
            )
        )
    return Record(step=taken.number, terms=figures, names=taken.names), asked > 0
