"""A step that was not finite: the folder that it leaves, with all that is needed to take it again."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save
from torch import Tensor

from toolbox.config import recipe
from toolbox.config.plan import Plan
from toolbox.data.batch import Batch
from toolbox.distributed import collectives
from toolbox.errors import TrainingError, UsageError
from toolbox.training import checkpoint, run_dir
from toolbox.training.checkpoint import Progress
from toolbox.training.context import TrainingRun
from toolbox.training.fingerprint import fingerprint
from toolbox.training.state import TrainState
from toolbox.training.step_metrics import NonFiniteError, StepRecord
from toolbox.utils import files

BATCH = "batch.safetensors"
FACTS = "step.json"
STATE = "state"
PICTURES = ("image", "mask", "truth")


def save_nonfinite_steps(records: Iterator[StepRecord], run: TrainingRun, progress: Progress) -> Iterator[StepRecord]:
    """Yield the records of an epoch's steps from `progress` on; a step that is not finite leaves its folder.

    Raises:
        TrainingError: of such a step, with the command that takes it again.
    """
    try:
        yield from records
    except NonFiniteError as error:
        past = error.taken.step - progress.step
        at = replace(progress, step=error.taken.step, batch=progress.batch + past)
        keys = run.order(progress.epoch)[at.batch]
        said = save_step_folder(run.options.folder / run_dir.NOT_FINITE, run.plan, run.state, error, at, keys)
        raise collectives.same_error_on_every_rank(TrainingError(f"{error} {said}")) from error


def save_step_folder(
    folder: Path, plan: Plan, parts: TrainState, error: NonFiniteError, at: Progress, keys: list[tuple[int, int]]
) -> str:
    """Write a folder below `folder` in place of any other there; return what to say of it. All processes call it.

    Args:
        folder: where; made if it is not there.
        plan: what trains.
        parts: the same as it was before the step, but for the running average, which no step looks at.
        error: the step.
        at: where it stands in the run.
        keys: which samples its batch has, as (epoch, index).
    """
    whole = _whole(error.batch)
    snapshot = checkpoint.take_snapshot(replace(parts, average=None), at)
    facts = {
        "step": at.step,
        "epoch": at.epoch,
        "seed": plan.settings.seed,
        "names": list(whole.names),
        "keys": keys,
        "wrong": error.wrong,
        "terms": {name: _plain(value) for name, value in error.taken.terms.items()},
        "strides": {name: list(getattr(whole, name).stride()) for name in PICTURES},
        "conditions": fingerprint(parts.device),
    }

    def fill(aside: Path) -> None:
        pictures = {name: getattr(whole, name).cpu().contiguous() for name in PICTURES}
        files.write_bytes(aside / BATCH, save(pictures))
        files.write_json(aside / FACTS, facts)
        files.write_text(aside / run_dir.RECIPE, recipe.dump(plan.tree()))
        files.ensure_folder(aside / STATE)
        checkpoint.write_snapshot(aside / STATE, snapshot)

    def write() -> str:
        target = folder / f"step-{at.step:08d}"
        try:
            # One at a time: each is as large as a checkpoint.
            shutil.rmtree(folder, ignore_errors=True)
            files.ensure_folder(folder)
            files.write_folder(target, fill)
        except Exception as fault:  # what went wrong first is what must be read
            return f"What is needed to repeat it could not be written: {' '.join(str(fault).split())}"
        return f"To take it again: toolbox doctor --repeat {files.printable(target)}"

    return collectives.on_main_process(write)


def read_step_folder(folder: Path) -> dict[str, Any]:
    """Return what a folder says of its step; UsageError if it is no such folder."""
    try:
        return json.loads((folder / FACTS).read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(
            f"{files.printable(folder)} is not the folder of a step that was not finite: it has no {FACTS} that can be "
            f"read. A run leaves one as {run_dir.NOT_FINITE}/step-… in its folder."
        ) from error


def load_step_folder(folder: Path, parts: TrainState) -> Batch:
    """Load the state before the step into `parts`, which has no average, and return the batch on its device.

    Raises:
        UsageError: see `read`.
        WeightsError: the state does not fit.
    """
    facts = read_step_folder(folder)
    saved, _ = checkpoint.newest_checkpoint(folder / STATE)
    if saved is None:
        raise UsageError(f"{files.printable(folder / STATE)} has no checkpoint that is whole.")
    checkpoint.load_checkpoint(saved, parts)
    pictures = {}
    for name, value in load_file(folder / BATCH).items():
        # As it lay in memory: the order of sums depends on it.
        laid = torch.empty_strided(value.shape, facts["strides"][name], dtype=value.dtype)
        pictures[name] = laid.copy_(value).to(parts.device)
    return _batch(pictures, facts["names"])


def _whole(batch: Batch) -> Batch:
    """Return the step's whole batch, which each of several processes has rows of."""
    if collectives.world_size() == 1:
        return batch
    place = batch.position
    pictures: dict[str, Tensor] = {}
    for name in PICTURES:
        rows = getattr(batch, name)
        every = torch.zeros((place.total, *rows.shape[1:]), dtype=torch.float64, device=rows.device)
        if place.weight:
            every[place.start : place.start + len(rows)] = rows
        collectives.all_reduce_sum([every])()
        pictures[name] = every.to(rows.dtype).contiguous(memory_format=torch.channels_last)
    rows_of = collectives.gather_objects(list(batch.names) if place.weight else [])
    return _batch(pictures, [name for part in rows_of for name in part])


def _batch(pictures: dict[str, Tensor], names: list[str]) -> Batch:
    return Batch(image=pictures["image"], mask=pictures["mask"], truth=pictures["truth"], names=tuple(names))


def _plain(value: float) -> float | str:
    """Return a figure as JSON holds it; what is not finite as text, which `float` reads."""
    return value if math.isfinite(value) else str(value)
