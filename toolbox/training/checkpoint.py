"""A folder a save: safetensors and JSON, verified before it is used, replaced only by a newer that is whole.

A checkpoint is written aside and renamed; its manifest, written last, holds the sha256 of every other file.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from safetensors.torch import save
from torch import Tensor, nn

from toolbox.distributed import collectives, fsdp
from toolbox.errors import OutputError, WeightsError
from toolbox.models.weight_file import WeightsHeader, cpu_copies, read_tensors, read_weights, write_weights
from toolbox.training import optimizer_state
from toolbox.training.fingerprint import fingerprint
from toolbox.training.state import TrainState
from toolbox.utils import files

MANIFEST = "manifest.json"
KEPT = 2
NAME = re.compile(r"step-(\d+)(?:-(\d+))?")  # the second number: which save of that step, 1 if there is none
DAMAGED = "damaged-"


@dataclass(frozen=True, kw_only=True)
class Progress:
    """Where a run stands.

    Attributes:
        step: the number of the next step.
        epoch: the epoch that it belongs to.
        batch: its place in that epoch.
        sums: the sum and the count of each figure over the steps of that epoch so far.
        best: the figure of the best weights so far, the more the better.
        best_step: after how many steps those were reached.
        stale: the validations since then.
        validated: after how many steps the last validation was.
        seconds: the time spent so far, over all sessions.
        scale: the state of fp16's gradient scaler, see `toolbox.distributed.accelerator`; empty in other precisions.
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


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """What a checkpoint holds: tensors by file and name, and what JSON holds of the rest."""

    step: int
    tensors: Mapping[str, Mapping[str, Tensor]]
    state: Mapping[str, Any]


def save_checkpoint(folder: Path, parts: TrainState, progress: Progress) -> Path:
    """Write a checkpoint below `folder` and drop all but the newest two; OutputError if it can't be written.

    All processes call it, each gives its part of what is spread over them, and the first writes.
    """
    snapshot = take_snapshot(parts, progress)
    return Path(collectives.on_main_process(lambda: str(write_snapshot(folder, snapshot))))


def take_snapshot(parts: TrainState, progress: Progress) -> Snapshot:
    """Return what a checkpoint holds, whole in the first process; all of them call it. It is no copy of the weights."""
    tensors = {name: module.state_dict() for name, module in parts.stateful().items()}
    plain = {}
    for name, side in parts.sides().items():
        tensors[f"{name}-optimizer"], plain[name] = optimizer_state.split_state(side)
    state = {"progress": asdict(progress), "sides": plain, "conditions": fingerprint(parts.device)}
    return Snapshot(
        step=progress.step, tensors={name: fsdp.full_tensors(values) for name, values in tensors.items()}, state=state
    )


def write_snapshot(folder: Path, snapshot: Snapshot) -> Path:
    """Write a checkpoint as `save_state` does, by this process alone."""
    first = folder / f"step-{snapshot.step:08d}"
    # Of the same step again: beside the old one, which must stay until the new one is whole, and newer by its name.
    again = (
        max(
            (_step_and_save(path)[1] for path in _checkpoints(folder) if _step_and_save(path)[0] == snapshot.step),
            default=0,
        )
        + 1
    )
    target = first if again == 1 else first.with_name(f"{first.name}-{again}")
    files.write_folder(target, lambda aside: _write_files(aside, snapshot))
    for old in [path for path in _checkpoints(folder) if path != target][KEPT - 1 :]:
        shutil.rmtree(old, ignore_errors=True)
    return target


def rename_damaged(folder: Path) -> None:
    """Rename the checkpoints below `folder` that `newest` passes over, so that they count as newer than none.

    Not removed: what can't be read today, from a disk that is not there, may be whole tomorrow.

    Raises:
        OutputError: one can't be renamed.
    """
    for saved in _checkpoints(folder):
        if find_damage(saved) is None:
            return
        target = saved.with_name(DAMAGED + saved.name)
        try:
            if target.exists():
                shutil.rmtree(target)
            saved.rename(target)
        except OSError as error:
            raise OutputError(f"{files.printable(saved)} can't be renamed: {error.strerror or error}") from error


def require_disk_space(folder: Path, parts: TrainState) -> None:
    """See that the disk has room for the checkpoints of a run; OutputError with both figures if it has not.

    While one is written the ones to keep lie there still. The optimisers are counted with two values a weight.
    """
    tensors = [value for module in parts.stateful().values() for value in module.state_dict().values()]
    tensors += [weight for side in parts.sides().values() for weight in side.network.parameters() for _ in range(2)]
    needed = (KEPT + 1) * sum(value.numel() * value.element_size() for value in tensors)
    there = sum(file.stat().st_size for saved in _checkpoints(folder) for file in saved.iterdir())
    free = shutil.disk_usage(folder).free + there
    if free < needed:
        raise OutputError(
            f"{files.printable(folder)} has room for {free / 1e6:.0f} MB and the checkpoints of this run take up to "
            f"{needed / 1e6:.0f} MB. Free some, or choose another disk with --out."
        )


def newest_checkpoint(folder: Path) -> tuple[Path | None, tuple[str, ...]]:
    """Return the newest checkpoint below `folder` that verifies, None if there is none.

    Returns:
        The checkpoint, and a line for each newer one that was passed over because it is damaged.
    """
    passed: list[str] = []
    for saved in _checkpoints(folder):
        fault = find_damage(saved)
        if fault is None:
            return saved, tuple(passed)
        passed.append(f"checkpoint {saved.name} is damaged ({fault}) and was passed over")
    return None, tuple(passed)


def find_damage(saved: Path) -> str | None:
    """Return what is wrong with a checkpoint, or None."""
    try:
        manifest = json.loads((saved / MANIFEST).read_text("utf-8"))
        for name, digest in manifest["sha256"].items():
            if not (saved / name).is_file():
                return f"{name} is missing"
            if files.sha256(saved / name) != digest:
                return f"{name} has changed"
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return f"{MANIFEST} can't be read"
    return None


def _checkpoints(folder: Path) -> list[Path]:
    """Return the checkpoints below `folder`, the newest first."""
    found = folder.iterdir() if folder.is_dir() else ()
    return sorted(
        (path for path in found if NAME.fullmatch(path.name) and path.is_dir()), key=_step_and_save, reverse=True
    )


def _step_and_save(saved: Path) -> tuple[int, int]:
    """Return of which step a checkpoint is, and which save of it."""
    found = NAME.fullmatch(saved.name)
    return (0, 0) if found is None else (int(found[1]), int(found[2] or 1))


def _write_files(folder: Path, snapshot: Snapshot) -> None:
    for name, values in snapshot.tensors.items():
        files.write_bytes(folder / f"{name}.safetensors", save(cpu_copies(values)))
    files.write_json(folder / "state.json", snapshot.state)
    digests = {path.name: files.sha256(path) for path in sorted(folder.iterdir())}
    files.write_json(folder / MANIFEST, {"sha256": digests})


def save_network(path: Path, network: nn.Module, header: WeightsHeader) -> None:
    """Write a network's weights to `path`. All processes call it, and the main process writes."""
    tensors = fsdp.full_tensors(network.state_dict())
    collectives.on_main_process(lambda: write_weights(path, tensors, header))


def load_network(path: Path, network: nn.Module) -> None:
    """Load a weight file into `network`, which may be spread over the processes; WeightsError if it does not fit."""
    tensors, own = read_weights(path, network), network.state_dict()
    network.load_state_dict({name: fsdp.shard_like(value, own[name]) for name, value in tensors.items()})


def load_checkpoint(saved: Path, parts: TrainState) -> Progress:
    """Load a checkpoint that verifies into `parts` and return where the run stood; WeightsError if it does not fit."""
    for name, module in parts.stateful().items():
        path = saved / f"{name}.safetensors"
        if not path.is_file():
            raise WeightsError(f"{saved} has no {path.name}: it belongs to another recipe.")
        load_network(path, module)
    state = json.loads((saved / "state.json").read_text("utf-8"))
    for name, side in parts.sides().items():
        tensors = read_tensors(saved / f"{name}-optimizer.safetensors")
        optimizer_state.load_optimizer_state(side, tensors, state["sides"][name])
    found = state["progress"]
    # Those of before it was recorded: a whole epoch was validated before it was saved.
    known = found["step"] if found["batch"] == 0 and found["best"] is not None else 0
    return Progress(**{"validated": known, **found})
