"""What a step measured: on the device first, and a record once the next step is under way."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from toolbox.data.batch import Batch
from toolbox.distributed import collectives
from toolbox.errors import TrainingError

Terms = dict[str, Tensor]


@dataclass(frozen=True, kw_only=True)
class StepRecord:
    """What one step measured, before its update.

    Attributes:
        step: the number of the step, from 0.
        terms: figures by name: ``g`` and ``d`` are the totals, ``loss.LABEL`` and ``penalty.LABEL`` the terms
            without their weights, ``d.real`` and ``d.fake`` the discriminator's two sides, ``on_real``, ``on_fake``
            and ``told`` its `verdicts`, ``gradient.g`` and ``gradient.d`` the norms of the gradients.
        names: the photographs of the batch.
    """

    step: int
    terms: dict[str, float]
    names: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class PendingRecord:
    """What a step measured, still on the device: a value a term, then how many processes asked for a pause."""

    number: int
    terms: tuple[str, ...]
    values: Tensor
    batch: Batch


class NonFiniteError(TrainingError):
    """A step's terms are not all finite.

    Attributes:
        taken: the record of the step.
        wrong: the terms that are not finite, in the order in which they were computed.
        batch: what the step was taken on, of this process.
    """

    def __init__(self, taken: StepRecord, wrong: tuple[str, ...], batch: Batch) -> None:
        names = [name for part in collectives.gather_objects(taken.names) for name in part]
        super().__init__(
            f"Step {taken.step}: {', '.join(wrong)} is not finite, and no weight was moved. Batch: {', '.join(names)}. "
            "A smaller learning rate or weight helps; the last good checkpoint is in the run folder."
        )
        self.taken, self.wrong, self.batch = taken, wrong, batch


def discriminator_stats(real: list[Tensor], fake: list[Tensor]) -> Terms:
    """Return what the discriminator thinks of true and of restored pictures, by its maps of both.

    ``on_real`` and ``on_fake`` are the means; ``told`` is the share of places where the true picture is to it more
    real than the restored one, a draw being half: 1/2 where it can't tell, 1 where it never errs, under any loss.
    """
    said = [((r > f).to(r.dtype) + (r >= f).to(r.dtype)).mean() / 2 for r, f in zip(real, fake, strict=True)]
    means = {name: torch.stack([one.mean() for one in maps]).mean() for name, maps in (("real", real), ("fake", fake))}
    return {"on_real": means["real"], "on_fake": means["fake"], "d_accuracy": torch.stack(said).mean()}


def measure_step(number: int, terms: Terms, batch: Batch, asked: bool) -> PendingRecord:
    """Sum a step's terms over the processes, and with them whether this one asks for a pause, without waiting."""
    values = [value.double() for value in terms.values()]
    together = torch.stack([*values, values[0].new_full((), asked)])
    collectives.all_reduce_sum([together])()
    return PendingRecord(number=number, terms=tuple(terms), values=together, batch=batch)


def read_record(taken: PendingRecord) -> tuple[StepRecord, bool]:
    """Return the record of a step, and whether a process asked for a pause then. Waits for the device.

    Raises:
        NotFinite: a term is not, in every process; the message names the step, the terms and the photographs.
    """
    terms, asked = read_terms(taken)
    told = StepRecord(step=taken.number, terms=terms, names=taken.batch.names)
    wrong = tuple(name for name, value in terms.items() if not math.isfinite(value))
    if wrong:
        raise NonFiniteError(told, wrong, taken.batch)
    return told, asked


def read_terms(taken: PendingRecord) -> tuple[dict[str, float], bool]:
    """Return a step's terms, finite or not, and whether a process asked for a pause then. Waits for the device."""
    *values, asked = taken.values.tolist()
    return dict(zip(taken.terms, values, strict=True)), asked > 0
