"""Checkpoints: one folder each, with safetensors and JSON files, verified before use.

A checkpoint is written to a temporary folder and renamed. Its manifest, written last, has the sha256 of every other
file. An old checkpoint is deleted only after a newer one is complete.
"""

from __future__ import annotations

import math
import re
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from safetensors.torch import save
from torch import Tensor, nn

from toolbox.config.plan import Plan
from toolbox.distributed import collectives, fsdp
from toolbox.errors import OutputError, WeightsError
from toolbox.models.initial import describe_fit, fit_weights
from toolbox.models.stored_weights import MANIFEST, StoredWeights
from toolbox.models.weight_file import (
    WeightsHeader,
    cpu_copies,
    load_saved_state,
    read_tensors,
    read_weights,
    saved_state,
    write_weights,
)
from toolbox.training import optimizer_state
from toolbox.training.fingerprint import fingerprint
from toolbox.training.state import TrainState
from toolbox.utils import files, surface
from toolbox.utils.deleted_folders import retry_if_deleted, write_in
from toolbox.utils.json_values import parse_json

STATE = "state.json"
MAX_CHECKPOINTS = 2
NAME = re.compile(r"step-(\d+)(?:-(\d+))?")  # the second number counts the saves of the same step, from 2
DAMAGED = "damaged-"


@dataclass(frozen=True, kw_only=True)
class Progress:
    """The position of a run.

    Attributes:
        step: the number of the next step.
        epoch: its epoch.
        batch: its position in that epoch.
        sums: the sum and the count of each term over the steps of that epoch so far.
        best: the ranking figure of the best weights so far; higher is better.
        best_step: the number of steps after which they were reached.
        stale: the number of validations since then.
        validated: the number of steps before the last validation.
        seconds: the time spent so far, over all sessions.
        scale: the state of fp16's gradient scaler, see `toolbox.distributed.accelerator`; empty in other precisions.
        pending: the epoch has ended and its schedules have been stepped, but its validation has not been done.
        epoch_key: what the order of an epoch's batches depends on; empty in checkpoints of version 0.1.
        measured_on: what `best` depends on, see `toolbox.training.baselines`; empty in checkpoints of version 0.1.
        settings: the bound recipe as JSON values; empty in checkpoints of earlier versions.
    """

    step: int = 0
    epoch: int = 0
    batch: int = 0
    sums: dict[str, tuple[float, int]] = field(default_factory=dict)
    best: float | None = None
    best_step: int | None = None
    stale: int = 0
    validated: int = 0
    seconds: float = 0.0
    scale: dict[str, float] = field(default_factory=dict)
    pending: bool = False
    epoch_key: str = ""
    measured_on: dict[str, Any] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """The content of a checkpoint: tensors by file and name, and the JSON values of `state.json`."""

    step: int
    tensors: Mapping[str, Mapping[str, Tensor]]
    state: Mapping[str, Any]


def save_checkpoint(folder: Path, state: TrainState, progress: Progress) -> Path:
    """Write a checkpoint below `folder` and delete all but the newest two. All processes call it.

    The main process writes; the others contribute their shards.

    Raises:
        OutputError: it can't be written.
    """
    snapshot = take_snapshot(state, progress)
    write = partial(retry_if_deleted, lambda: str(write_snapshot(folder, snapshot)))
    return Path(collectives.on_main_process(write))


def take_snapshot(state: TrainState, progress: Progress) -> Snapshot:
    """Return the content of a checkpoint, complete in the main process; all processes call it.

    The tensors are the weights themselves, not copies.
    """
    tensors = {name: saved_state(module) for name, module in state.modules().items()}
    plain = {}
    for name, trained in state.networks().items():
        tensors[f"{name}-optimizer"], plain[name] = optimizer_state.split_state(trained)
    values = {
        "progress": asdict(progress),
        "sides": plain,
        "conditions": fingerprint(state.device, state.memory_format, state.plugins),
    }
    return Snapshot(
        step=progress.step, tensors={name: fsdp.full_tensors(part) for name, part in tensors.items()}, state=values
    )


def write_snapshot(folder: Path, snapshot: Snapshot) -> Path:
    """Write a checkpoint as `save_checkpoint` does, from this process only."""
    files.ensure_folder(folder)  # it may have been deleted during the run
    # A second save of a step lies beside the first, which must stay until the second is complete.
    saves = [
        save for path in _list_checkpoints(folder) for step, save in [_step_and_save(path)] if step == snapshot.step
    ]
    # A save before the validation has the number 0, so that the one after it has the usual name.
    save_number = max(saves, default=-1 if snapshot.state["progress"]["pending"] else 0) + 1
    target = folder / (f"step-{snapshot.step:08d}" + (f"-{save_number}" if save_number != 1 else ""))
    files.write_folder(target, lambda temporary: write_checkpoint_files(temporary, snapshot))
    others = [path for path in _list_checkpoints(folder) if path != target]
    superseded = [path for path in others if _step_and_save(path) == (snapshot.step, 0)]
    for old in [*superseded, *[path for path in others if path not in superseded][MAX_CHECKPOINTS - 1 :]]:
        shutil.rmtree(old, ignore_errors=True)
    return target


def newest_checkpoint(folder: Path) -> tuple[Path | None, tuple[str, ...]]:
    """Return the newest undamaged checkpoint below `folder`, None if there is none.

    Returns:
        The checkpoint, and a line for each newer one that is damaged.
    """
    warnings: list[str] = []
    for saved in _list_checkpoints(folder):
        damage = find_damage(saved)
        if damage is None:
            return saved, tuple(warnings)
        warnings.append(f"checkpoint {saved.name} is damaged ({damage}) and is not used")
    return None, tuple(warnings)


def find_damage(saved: Path) -> str | None:
    """Return what is wrong with a checkpoint, or None."""
    try:
        manifest = parse_json((saved / MANIFEST).read_text("utf-8"))
        for name, digest in manifest["sha256"].items():
            if not (saved / name).is_file():
                return f"{name} is missing"
            if files.sha256(saved / name) != digest:
                return f"{name} has changed"
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return f"{MANIFEST} can't be read"
    return None


def rename_damaged(folder: Path) -> None:
    """Rename the damaged checkpoints that are newer than the newest undamaged one, so that they are ignored.

    They are not deleted: a file on a disk that is offline now may be readable later.

    Raises:
        OutputError: one can't be renamed.
    """
    for saved in _list_checkpoints(folder):
        if find_damage(saved) is None:
            return
        target = saved.with_name(DAMAGED + saved.name)
        try:
            if target.exists():
                shutil.rmtree(target)
            saved.rename(target)
        except OSError as error:
            raise OutputError(f"{files.printable(saved)} can't be renamed: {error.strerror or error}") from error


def require_disk_space(folder: Path, state: TrainState) -> None:
    """Raise OutputError if the disk has no room for the checkpoints of a run.

    While one checkpoint is written, the ones to keep are still there. Optimizers are counted with two values for each
    weight.
    """
    tensors = [value for module in state.modules().values() for value in saved_state(module).values()]
    tensors += [weight for trained in state.networks().values() for weight in trained.network.parameters()] * 2
    needed = (MAX_CHECKPOINTS + 1) * sum(value.numel() * value.element_size() for value in tensors)
    used = sum(path.stat().st_size for saved in _list_checkpoints(folder) for path in saved.iterdir())
    option = surface.words(command="--out", python="out=DIR")
    remedy = "move the run folder to another disk" if used else f"choose another disk with {option}"
    available = shutil.disk_usage(folder).free + used
    if available < needed:
        raise OutputError(
            f"{files.printable(folder)} has room for {math.floor(available / 1e5) / 10:g} MB and the checkpoints of "
            f"this run need up to {math.ceil(needed / 1e5) / 10:g} MB. Free some space, or {remedy}."
        )


def load_checkpoint(saved: Path, state: TrainState) -> Progress:
    """Load an undamaged checkpoint into `state` and return the position of the run.

    Raises:
        WeightsError: the checkpoint does not fit.
        UsageError: its optimizer state is of another kind of optimizer.
    """
    for name, module in state.modules().items():
        path = saved / f"{name}.safetensors"
        if not path.is_file():
            raise WeightsError(f"{saved} has no {path.name}: it belongs to another recipe.")
        load_network(path, module)
    values = parse_json((saved / STATE).read_text("utf-8"))
    progress = values["progress"]
    ended = {"epoch": progress["epoch"], "step": progress["step"]}
    for name, trained in state.networks().items():
        tensors = read_tensors(saved / f"{name}-optimizer.safetensors")
        optimizer_state.load_optimizer_state(trained, tensors, values["sides"][name], ended, network=name)
    # Early versions did not record `validated`, and validated before they saved at the end of an epoch.
    validated = progress["step"] if progress["batch"] == 0 and progress["best"] is not None else 0
    return Progress(**{"validated": validated, **progress})


def save_network(path: Path, network: nn.Module, header: WeightsHeader) -> None:
    """Write a network's weights to `path`. All processes call it, and the main process writes."""
    tensors = fsdp.full_tensors(saved_state(network))
    collectives.on_main_process(lambda: write_in(path.parent, lambda: write_weights(path, tensors, header)))


def load_network(path: Path, network: nn.Module) -> None:
    """Load a weight file into `network`, which may be sharded; WeightsError if it does not fit."""
    tensors, current = read_weights(path, network), network.state_dict()
    load_saved_state(path, network, {name: fsdp.shard_like(value, current[name]) for name, value in tensors.items()})


def load_initial(plan: Plan, initial: Mapping[str, StoredWeights], state: TrainState) -> list[str]:
    """Load what fits of the weights that networks start from; return a line for each network.

    Args:
        plan: the plan of the run.
        initial: the weights by network, as `toolbox.models.initial.find_initial` returns them.
        state: the networks, which may be sharded.

    Raises:
        WeightsError: weights can't be read, or none of them fit.
    """
    lines = []
    for name, stored in initial.items():
        fit = fit_weights(stored, state.networks()[name].network)
        lines.append(describe_fit(name, plan.initial[name], stored, fit, plan))
        for network in state.generators() if name == "generator" else [state.networks()[name].network]:
            current = network.state_dict()
            fitting = {key: fsdp.shard_like(value, current[key]) for key, value in fit.tensors.items()}
            load_saved_state(stored.path, network, fitting)
    return lines


def _list_checkpoints(folder: Path) -> list[Path]:
    """Return the checkpoints below `folder`, the newest first."""
    paths = folder.iterdir() if folder.is_dir() else ()
    saved = (path for path in paths if NAME.fullmatch(path.name) and path.is_dir())
    return sorted(saved, key=_step_and_save, reverse=True)


def _step_and_save(saved: Path) -> tuple[int, int]:
    """Return the step of a checkpoint, and the number of the save of that step."""
    match = NAME.fullmatch(saved.name)
    return (0, 0) if match is None else (int(match[1]), int(match[2] or 1))


def write_checkpoint_files(folder: Path, snapshot: Snapshot) -> None:
    """Write the files of a checkpoint into `folder`, the manifest last."""
    for name, tensors in snapshot.tensors.items():
        files.write_bytes(folder / f"{name}.safetensors", save(cpu_copies(tensors)))
    files.write_json(folder / STATE, snapshot.state)
    digests = {path.name: files.sha256(path) for path in sorted(folder.iterdir())}
    files.write_json(folder / MANIFEST, {"sha256": digests})
