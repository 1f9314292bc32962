"""Write and read the folder of a step with values that are not finite: everything that is needed to replay the step."""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import save
from torch import Tensor

from toolbox.config import recipe
from toolbox.config.plan import Plan
from toolbox.data.batch import Batch
from toolbox.data.loader import SampleKey
from toolbox.distributed import collectives
from toolbox.distributed.accelerator import Accelerator
from toolbox.errors import TrainingError, UsageError, one_line
from toolbox.hooks import blame
from toolbox.models.component_watch import WatchedComponent, watch_of
from toolbox.models.forward import run_generator
from toolbox.models.weight_file import read_tensors
from toolbox.training import checkpoint, run_dir
from toolbox.training.backward_errors import differentiated
from toolbox.training.checkpoint import Progress
from toolbox.training.context import TrainingRun
from toolbox.training.fingerprint import fingerprint, with_current_names
from toolbox.training.state import MEMORY_FORMATS, TrainState
from toolbox.training.step_metrics import NonFiniteError, StepTerms
from toolbox.utils import files, surface
from toolbox.utils.deleted_folders import retry_if_deleted
from toolbox.utils.json_values import read_json_object
from toolbox.utils.shell import shell_word

BATCH = "batch.safetensors"
STEP_INFO = "step.json"
STATE = "state"

# The entries of `STEP_INFO` that a replay reads, and their types.
STEP_ENTRIES = {
    **{"step": int, "seed": int, "names": list, "wrong": list},
    **{"terms": dict, "strides": dict, "conditions": dict},
}


def save_nonfinite_steps(records: Iterator[StepTerms], run: TrainingRun, progress: Progress) -> Iterator[StepTerms]:
    """Yield the records of an epoch's steps, from `progress` on; save the folder of a step that is not finite.

    Raises:
        TrainingError: there is such a step; the message has the command that replays it.
    """
    try:
        yield from records
    except NonFiniteError as error:
        past = error.record.step - progress.step
        position = replace(progress, step=error.record.step, batch=progress.batch + past)
        keys = run.epoch_batches(progress.epoch)[position.batch]
        if weight := _wrong_weight(run.state):
            raise TrainingError(f"{error} {_weight_advice(weight, error)} {_last_checkpoint(run)}") from error
        hint = save_step_folder(run.options.folder / run_dir.NOT_FINITE, run.plan, run.state, error, position, keys)
        failed = error  # the name `error` ends with this block
        advice = collectives.on_main_process(lambda: _advice(run, failed))
        raise collectives.same_error_on_every_rank(TrainingError(f"{error} {advice} {hint}")) from error


def _advice(run: TrainingRun, error: NonFiniteError) -> str:
    """Return what to do about a step that is not finite, and which checkpoint there is."""
    first = error.not_finite[0]
    output = _wrong_output(run.state, run.accelerator, error.batch)
    source = _source(run.state, error, output)
    first += source and f": {source}"
    if error.record.step:
        # Finite pictures with a loss that is not: it may be the loss itself.
        check = f", or check what computes {first}" if source and not output else ""
        advice = f"Try a smaller learning rate or a smaller weight of the loss{check}."
    elif run.plan.initial:
        advice = f"No step has changed a weight yet, so check the initial weights, and what computes {first}."
    else:
        advice = (
            f"No step has changed a weight yet, so the learning rate is not the cause: check what computes {first}."
        )
    return f"{advice} {_last_checkpoint(run)}"


def _last_checkpoint(run: TrainingRun) -> str:
    """Return a sentence about the last checkpoint of a run."""
    saved, _ = checkpoint.newest_checkpoint(run.options.folder / run_dir.CHECKPOINTS)
    if saved is None:
        return "The run has no checkpoint yet."
    return f"The last checkpoint is in the run folder: {run_dir.CHECKPOINTS}/{saved.name}."


@torch.no_grad()
def _wrong_weight(state: TrainState) -> tuple[str, WatchedComponent, WatchedComponent] | None:
    """Return a weight that is not finite before the step, the component that it belongs to, and its optimizer.

    None: there is none, or several processes train, of which each may hold other weights.
    """
    if collectives.world_size() > 1:
        return None
    for trained in state.networks().values():
        owners = [(trained.network, watch_of(trained.network))]
        owners += [(loss.call, loss.watch) for loss in state.losses if loss.label in trained.losses]
        for module, watch in owners:
            for name, weight in module.named_parameters():
                if not weight.isfinite().all():
                    return name, watch, trained.watch
    return None


def _weight_advice(weight: tuple[str, WatchedComponent, WatchedComponent], error: NonFiniteError) -> str:
    """Return what to do about a weight that is not finite, which `_wrong_weight` has found."""
    name, owner, optimizer = weight
    fault = f"The weight {name} of {_titled(owner) or 'the network'} was not finite before this step"
    if not error.record.step:
        return f"{fault}: check how it is initialized."
    updated_by = _titled(optimizer) or "the optimizer"
    return f"{fault}. {updated_by} has updated it: try a smaller learning rate, or check the optimizer."


def _source(state: TrainState, error: NonFiniteError, output: str) -> str:
    """Return the component that the first value which is not finite comes from; empty if the terms do not say it.

    Args:
        state: the state before the step.
        error: the error of the step.
        output: see `_wrong_output`.
    """
    wrong, first = set(error.not_finite), error.not_finite[0]
    if output:
        what = "pictures are" if output == "restored" else f"output '{output}' is"
        return _titled(watch_of(state.generator.network), f", whose {what} not finite")
    if state.discriminator is not None and wrong & {"on_real", "on_fake"}:
        return _titled(watch_of(state.discriminator.network), ", whose maps are not finite")
    if first in ("gradient.g", "gradient.d"):
        return f"the backward pass of {_one_of(differentiated(state, is_discriminator=first == 'gradient.d'))}"
    adversarial = [loss.watch for loss in state.losses if loss.adversarial]
    terms = {f"loss.{loss.label}": [loss.watch] for loss in state.losses}
    terms |= {f"penalty.{penalty.label}": [penalty.watch] for penalty in state.penalties}
    terms |= {"d.real": adversarial, "d.fake": adversarial}
    return _one_of([title for watch in terms.get(first, []) if (title := _titled(watch))])


def _one_of(titles: Sequence[str]) -> str:
    return f"{'one of these: ' * (len(titles) > 1)}{'; '.join(titles)}"


def _titled(watch: WatchedComponent, fault: str = "") -> str:
    return "" if watch.entry is None else f"{blame.title(watch.entry)}{fault}"


@torch.no_grad()
def _wrong_output(state: TrainState, accelerator: Accelerator, batch: Batch) -> str:
    """Return the first of the generator's outputs that is used and not finite.

    "": there is none, or this process can't call the generator alone.
    """
    network = state.generator.network
    if not state.restores or collectives.world_size() > 1:
        return ""
    try:
        with accelerator.autocast():
            outputs = run_generator(network, state.keep, batch.image, batch.mask)
        names = ["restored", *(loss.on for loss in state.losses)]
        return next((name for name in names if not outputs[name].isfinite().all()), "")
    except Exception:  # must not hide the first error
        return ""


def save_step_folder(
    folder: Path, plan: Plan, state: TrainState, error: NonFiniteError, position: Progress, keys: list[SampleKey]
) -> str:
    """Write the folder of a step below `folder`, in place of an earlier one. All processes call it.

    Args:
        folder: the parent folder; created if missing.
        plan: the bound recipe.
        state: the state before the step, except for the running average, which no step reads.
        error: the error of the step.
        position: the position of the step in the run.
        keys: the keys of the samples in its batch.

    Returns:
        A sentence for the user: the command that replays the step, or why the folder could not be written.
    """
    batch = _full_batch(error.batch, state.memory_format)
    snapshot = checkpoint.take_snapshot(replace(state, average=None), position)
    info = {
        "step": position.step,
        "epoch": position.epoch,
        "seed": plan.settings.seed,
        "names": list(batch.names),
        "keys": keys,
        "wrong": error.not_finite,
        "terms": {name: _json_value(value) for name, value in error.record.terms.items()},
        "kinds": list(batch.kinds),
        "strides": {name: list(picture.stride()) for name, picture in batch.tensors.items()},
        "conditions": fingerprint(state.device, state.memory_format, state.plugins),
    }

    def fill(temporary: Path) -> None:
        pictures = {name: picture.cpu().contiguous() for name, picture in batch.tensors.items()}
        files.write_bytes(temporary / BATCH, save(pictures))
        files.write_json(temporary / STEP_INFO, info)
        files.write_text(temporary / run_dir.RECIPE, recipe.dump(plan.tree()))
        files.ensure_folder(temporary / STATE)
        checkpoint.write_snapshot(temporary / STATE, snapshot)

    def write_alone(target: Path) -> None:
        # One folder at a time, because each is as large as a checkpoint.
        shutil.rmtree(folder, ignore_errors=True)
        files.ensure_folder(folder)
        files.write_folder(target, fill)

    def write() -> str:
        target = folder / f"step-{position.step:08d}"
        try:
            retry_if_deleted(lambda: write_alone(target))
        except Exception as failure:  # must not hide the first error
            return f"The files to replay it could not be written: {one_line(failure)}"
        return surface.words(
            command=f"To replay it: toolbox doctor --repeat {shell_word(target)}",
            python=f"The command `toolbox doctor` can replay it from {files.printable(target)}",
        )

    return collectives.on_main_process(write)


def read_step_folder(folder: Path) -> dict[str, Any]:
    """Return the information about a step in its folder; UsageError if it is not such a folder."""
    try:
        info = read_json_object(folder / STEP_INFO)
        for name, kind in STEP_ENTRIES.items():
            if not isinstance(info.get(name), kind):
                raise ValueError(f"'{name}' is missing or no {kind.__name__}")
        return info | {"conditions": with_current_names(info["conditions"])}
    except (OSError, ValueError) as error:
        denied = " (no permission)" if isinstance(error, PermissionError) else ""
        raise UsageError(
            f"{files.printable(folder)} is not the folder of a step with values that are not finite: it has no "
            f"readable {STEP_INFO}{denied}. A run writes {run_dir.NOT_FINITE}/step-… into its folder."
        ) from error


def load_step_folder(folder: Path, state: TrainState) -> Batch:
    """Load the state before the step into `state`, which has no average, and return the batch on its device.

    Raises:
        UsageError: see `read_step_folder`.
        WeightsError: the state does not fit.
    """
    info = read_step_folder(folder)
    saved, _ = checkpoint.newest_checkpoint(folder / STATE)
    if saved is None:
        raise UsageError(f"{files.printable(folder / STATE)} has no undamaged checkpoint.")
    checkpoint.load_checkpoint(saved, state)
    pictures = {}
    try:
        tensors = read_tensors(folder / BATCH)
    except (OSError, SafetensorError, ValueError) as error:
        # The run that wrote the folder removes it when it writes the next one.
        raise UsageError(f"{files.printable(folder / BATCH)} can't be read: {error}") from error
    for name, value in tensors.items():
        # In its original memory layout, which the order of sums depends on.
        original = torch.empty_strided(value.shape, info["strides"][name], dtype=value.dtype)
        pictures[name] = original.copy_(value).to(state.device)
    return _make_batch(pictures, info["names"], info.get("kinds", ()))


def _full_batch(batch: Batch, memory_format: str) -> Batch:
    """Return the step's full batch, of which each process has some rows. All processes call it."""
    if collectives.world_size() == 1:
        return batch
    position = batch.position
    pictures: dict[str, Tensor] = {}
    for name, rows in batch.tensors.items():
        full = torch.zeros((position.total, *rows.shape[1:]), dtype=torch.float64, device=rows.device)
        if position.weight:
            full[position.start : position.start + len(rows)] = rows
        collectives.all_reduce_sum([full])()
        pictures[name] = full.to(rows.dtype).contiguous(memory_format=MEMORY_FORMATS[memory_format])
    names = collectives.gather_objects(list(batch.names) if position.weight else [])
    return _make_batch(pictures, [name for part in names for name in part], batch.kinds)


def _make_batch(pictures: dict[str, Tensor], names: Sequence[str], kinds: Sequence[str]) -> Batch:
    return Batch(**pictures, names=tuple(names), kinds=tuple(kinds))  # type: ignore[arg-type]


def _json_value(value: float) -> float | str:
    """Return a number for JSON; NaN and infinity as text, which `float` reads."""
    return value if math.isfinite(value) else str(value)
