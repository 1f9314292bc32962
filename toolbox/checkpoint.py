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

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load, save
from torch import Tensor, nn

from toolbox import files, moves, processes, sharding
from toolbox.conditions import conditions
from toolbox.errors import OutputError, WeightsError
from toolbox.parts import Parts

MANIFEST = "manifest.json"
KEPT = 2
HEADER = "toolbox"
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
        scale: what fp16's scale is and when it grows, see `toolbox.engine.scale`; empty elsewhere.
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


def save_state(folder: Path, parts: Parts, progress: Progress) -> Path:
    """Write a checkpoint below `folder` and drop all but the newest two; OutputError if it can't be written.

    All processes call it, each gives its part of what is spread over them, and the first writes.
    """
    snapshot = gather(parts, progress)
    return Path(processes.from_first(lambda: str(write(folder, snapshot))))


def gather(parts: Parts, progress: Progress) -> Snapshot:
    """Return what a checkpoint holds, whole in the first process; all of them call it. It is no copy of the weights."""
    tensors = {name: module.state_dict() for name, module in parts.stateful().items()}
    plain = {}
    for name, side in parts.sides().items():
        tensors[f"{name}-optimizer"], plain[name] = moves.split(side)
    state = {"progress": asdict(progress), "sides": plain, "conditions": conditions(parts.device)}
    return Snapshot(
        step=progress.step, tensors={name: sharding.whole(values) for name, values in tensors.items()}, state=state
    )


def write(folder: Path, snapshot: Snapshot) -> Path:
    """Write a checkpoint as `save_state` does, by this process alone."""
    first = folder / f"step-{snapshot.step:08d}"
    # Of the same step again: beside the old one, which must stay until the new one is whole, and newer by its name.
    again = max((_place(path)[1] for path in _saved(folder) if _place(path)[0] == snapshot.step), default=0) + 1
    target = first if again == 1 else first.with_name(f"{first.name}-{again}")
    files.write_folder(target, lambda aside: _fill(aside, snapshot))
    for old in [path for path in _saved(folder) if path != target][KEPT - 1 :]:
        shutil.rmtree(old, ignore_errors=True)
    return target


def set_aside(folder: Path) -> None:
    """Rename the checkpoints below `folder` that `newest` passes over, so that they count as newer than none.

    Not removed: what can't be read today, from a disk that is not there, may be whole tomorrow.

    Raises:
        OutputError: one can't be renamed.
    """
    for saved in _saved(folder):
        if verify(saved) is None:
            return
        target = saved.with_name(DAMAGED + saved.name)
        try:
            if target.exists():
                shutil.rmtree(target)
            saved.rename(target)
        except OSError as error:
            raise OutputError(f"{files.shown(saved)} can't be renamed: {error.strerror or error}") from error


def demand_space(folder: Path, parts: Parts) -> None:
    """See that the disk has room for the checkpoints of a run; OutputError with both figures if it has not.

    While one is written the ones to keep lie there still. The optimisers are counted with two values a weight.
    """
    tensors = [value for module in parts.stateful().values() for value in module.state_dict().values()]
    tensors += [weight for side in parts.sides().values() for weight in side.network.parameters() for _ in range(2)]
    needed = (KEPT + 1) * sum(value.numel() * value.element_size() for value in tensors)
    there = sum(file.stat().st_size for saved in _saved(folder) for file in saved.iterdir())
    free = shutil.disk_usage(folder).free + there
    if free < needed:
        raise OutputError(
            f"{files.shown(folder)} has room for {free / 1e6:.0f} MB and the checkpoints of this run take up to "
            f"{needed / 1e6:.0f} MB. Free some, or choose another disk with --out."
        )


def newest(folder: Path) -> tuple[Path | None, tuple[str, ...]]:
    """Return the newest checkpoint below `folder` that verifies, None if there is none.

    Returns:
        The checkpoint, and a line for each newer one that was passed over because it is damaged.
    """
    passed: list[str] = []
    for saved in _saved(folder):
        fault = verify(saved)
        if fault is None:
            return saved, tuple(passed)
        passed.append(f"checkpoint {saved.name} is damaged ({fault}) and was passed over")
    return None, tuple(passed)


def verify(saved: Path) -> str | None:
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


def save_weights(path: Path, network: nn.Module, facts: Mapping[str, Any]) -> None:
    """Write a network's weights as one safetensors file that says itself what it is; see `save_state` for who does.

    Args:
        path: the file, written aside and renamed.
        network: the generator.
        facts: for the header, anything JSON holds: the recipe as TOML, the step, the score.
    """
    # One entry alone: safetensors writes several in no fixed order, and the same weights should be the same bytes.
    header = {HEADER: json.dumps(dict(facts))}
    state = sharding.whole(network.state_dict())
    processes.from_first(lambda: files.write_bytes(path, save(_tensors(state), metadata=header)))


def read_facts(path: Path) -> dict[str, Any]:
    """Return what a weight file says of itself in its header; WeightsError if it is not one of ours."""
    try:
        with safe_open(path, framework="pt") as opened:
            header = (opened.metadata() or {}).get(HEADER, "{}")
        facts = json.loads(header)
    except (OSError, SafetensorError, ValueError, RecursionError) as error:
        raise WeightsError(_unreadable(path, error)) from error
    if not isinstance(facts, dict) or "recipe" not in facts:
        raise WeightsError(f"{files.shown(path)} is not a weight file of toolbox: its header names no recipe.")
    return facts


def load_weights(path: Path, network: nn.Module) -> None:
    """Load a weight file into `network`; WeightsError with what does not fit."""
    try:
        tensors = _read(path)
    except (OSError, SafetensorError, ValueError) as error:
        raise WeightsError(_unreadable(path, error)) from error
    _demand_fit(path, network, tensors)
    own = network.state_dict()
    network.load_state_dict({name: sharding.like(value, own[name]) for name, value in tensors.items()})


def _unreadable(path: Path, error: Exception) -> str:
    return f"{files.shown(path)} can't be read as safetensors: {files.shown(str(error))}"


def _read(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a safetensors file.

    Not as a memory map, under which a file that is cut meanwhile ends the process; and by that way safetensors (0.5 to
    0.8) keeps some bytes of every tensor for ever.

    Raises:
        OSError, SafetensorError, ValueError: it can't be read, or a name stands in it twice.
    """
    data = path.read_bytes()
    # Sorted: their order is another in every process, and what walks through an optimiser's state goes by it.
    tensors: dict[str, Tensor] = dict(sorted(load(data).items()))
    _demand_once(data)
    return tensors


def _demand_once(data: bytes) -> None:
    """Raise ValueError if a header that safetensors has taken has a name twice: readers differ in which one counts."""

    def counted(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            raise ValueError("a name stands twice in its header")
        return found

    length = int.from_bytes(data[:8], "little")
    json.loads(data[8 : 8 + length], object_pairs_hook=counted)


def _demand_fit(path: Path, network: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    own = network.state_dict()
    faults = [f"{name} is missing" for name in own.keys() - tensors.keys()]
    faults += [f"{name} is not expected" for name in tensors.keys() - own.keys()]
    faults += [
        f"{name} is {list(tensors[name].shape)}, not {list(own[name].shape)}"
        for name in own.keys() & tensors.keys()
        if own[name].shape != tensors[name].shape
    ]
    faults += [
        f"{name} is {tensors[name].dtype}, not {own[name].dtype}"
        for name in own.keys() & tensors.keys()
        if own[name].is_floating_point() != tensors[name].is_floating_point()
    ]
    faults += [f"{name} is not finite" for name, value in tensors.items() if not torch.isfinite(value).all()]
    if faults:
        more = f" and {len(faults) - 3} more" if len(faults) > 3 else ""
        listed = files.shown("; ".join(sorted(faults)[:3]))
        raise WeightsError(f"{files.shown(path)} does not fit: {listed}{more}.")


def _saved(folder: Path) -> list[Path]:
    """Return the checkpoints below `folder`, the newest first."""
    found = folder.iterdir() if folder.is_dir() else ()
    return sorted((path for path in found if NAME.fullmatch(path.name) and path.is_dir()), key=_place, reverse=True)


def _place(saved: Path) -> tuple[int, int]:
    """Return of which step a checkpoint is, and which save of it."""
    found = NAME.fullmatch(saved.name)
    return (0, 0) if found is None else (int(found[1]), int(found[2] or 1))


def _tensors(state: Mapping[str, Any]) -> dict[str, Tensor]:
    return {name: value.detach().to("cpu", copy=True).contiguous() for name, value in state.items()}


def _fill(folder: Path, snapshot: Snapshot) -> None:
    for name, values in snapshot.tensors.items():
        files.write_bytes(folder / f"{name}.safetensors", save(_tensors(values)))
    files.write_json(folder / "state.json", snapshot.state)
    digests = {path.name: files.sha256(path) for path in sorted(folder.iterdir())}
    files.write_json(folder / MANIFEST, {"sha256": digests})


def load_state(saved: Path, parts: Parts) -> Progress:
    """Load a checkpoint that verifies into `parts` and return where the run stood; WeightsError if it does not fit."""
    for name, module in parts.stateful().items():
        path = saved / f"{name}.safetensors"
        if not path.is_file():
            raise WeightsError(f"{saved} has no {path.name}: it belongs to another recipe.")
        load_weights(path, module)
    state = json.loads((saved / "state.json").read_text("utf-8"))
    for name, side in parts.sides().items():
        tensors = _read(saved / f"{name}-optimizer.safetensors")
        moves.load(side, tensors, state["sides"][name])
    found = state["progress"]
    # Those of before it was recorded: a whole epoch was validated before it was saved.
    known = found["step"] if found["batch"] == 0 and found["best"] is not None else 0
    return Progress(**{"validated": known, **found})
