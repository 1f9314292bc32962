"""The terms of a training step: on the device first, and a record once the next step is running."""

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
class StepTerms:
    """The terms of one step, computed before its update.

    Attributes:
        step: the number of the step, from 0.
        terms: values by name: ``g`` and ``d`` are the totals of the two networks, ``loss.LABEL`` and
            ``penalty.LABEL`` the terms without their weights, ``d.real`` and ``d.fake`` the discriminator's two terms,
            ``on_real``, ``on_fake`` and ``d_accuracy`` its `discriminator_stats`, ``gradient.g`` and ``gradient.d``
            the norms of the gradients.
        names: the photographs of the batch.
    """

    step: int
    terms: dict[str, float]
    names: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class PendingRecord:
    """A record that is still on the device.

    Attributes:
        step: the number of the step.
        term_names: the names of the terms.
        values: the value of each term, then the number of processes that asked to stop.
        batch: this process's batch.
    """

    step: int
    term_names: tuple[str, ...]
    values: Tensor
    batch: Batch


class NonFiniteError(TrainingError):
    """Not all terms of a step are finite.

    Attributes:
        record: the record of the step.
        not_finite: the names of those terms, in the order in which they were computed.
        batch: this process's batch.
    """

    def __init__(self, record: StepTerms, not_finite: tuple[str, ...], batch: Batch) -> None:
        names = [name for names in collectives.gather_objects(record.names) for name in names]
        super().__init__(
            f"Step {record.step}: {', '.join(not_finite)}: not finite, and the step changed no weight. Batch: "
            f"{', '.join(names)}."
        )
        self.record, self.not_finite, self.batch = record, not_finite, batch


def discriminator_stats(real: list[Tensor], fake: list[Tensor]) -> Terms:
    """Return statistics of the discriminator's maps of true and of restored pictures.

    ``on_real`` and ``on_fake`` are the means of the maps. ``d_accuracy`` is the fraction of positions where the true
    picture gets the higher value, equal values counting half: 0.5 if the discriminator can't tell them apart, 1 if it
    is always right, under any adversarial loss.
    """
    accuracies = [((r > f).to(r.dtype) + (r >= f).to(r.dtype)).mean() / 2 for r, f in zip(real, fake, strict=True)]
    means = {
        name: torch.stack([values.mean() for values in maps]).mean() for name, maps in (("real", real), ("fake", fake))
    }
    return {"on_real": means["real"], "on_fake": means["fake"], "d_accuracy": torch.stack(accuracies).mean()}


def start_record(step: int, terms: Terms, batch: Batch, stop_requested: bool) -> PendingRecord:
    """Sum a step's terms over the processes, and how many of these ask to stop, without waiting for the device."""
    values = [value.double() for value in terms.values()]
    together = torch.stack([*values, values[0].new_full((), stop_requested)])
    collectives.all_reduce_sum([together])()
    return PendingRecord(step=step, term_names=tuple(terms), values=together, batch=batch)


def finish_record(pending: PendingRecord) -> tuple[StepTerms, bool]:
    """Return the record of a step, and whether a process asked to stop. Waits for the device.

    Raises:
        NonFiniteError: a term is not finite; raised in all processes.
    """
    terms, stop_requested = read_terms(pending)
    record = StepTerms(step=pending.step, terms=terms, names=pending.batch.names)
    not_finite = tuple(name for name, value in terms.items() if not math.isfinite(value))
    if not_finite:
        raise NonFiniteError(record, not_finite, pending.batch)
    return record, stop_requested


def read_terms(pending: PendingRecord) -> tuple[dict[str, float], bool]:
    """Return a step's terms, finite or not, and whether a process asked to stop. Waits for the device."""
    *values, stop_requests = pending.values.tolist()
    return dict(zip(pending.term_names, values, strict=True)), stop_requests > 0
