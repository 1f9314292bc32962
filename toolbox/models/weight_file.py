"""Weight files: a generator's tensors as safetensors, with a header that says what is needed to build it again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load, save
from torch import Tensor, nn

from toolbox.errors import WeightsError
from toolbox.utils import files

KEY = "toolbox"  # the header's entry that holds `WeightsHeader` as JSON
BEST = "best.safetensors"  # in a run folder: the generator with the best validation score


@dataclass(frozen=True, kw_only=True)
class WeightsHeader:
    """What a weight file says of itself.

    Attributes:
        recipe: the bound recipe as TOML, from which the generator is built.
        recipe_name: the recipe's name; empty if it is not known.
        step: the number of training steps taken, or None.
        score: S, M, C and score on the validation photographs; empty if they were not measured.
        loss: the validation loss, or None.
    """

    recipe: str
    recipe_name: str = ""
    step: int | None = None
    score: Mapping[str, float | None] = field(default_factory=dict)
    loss: float | None = None


def write_weights(path: Path, tensors: Mapping[str, Tensor], header: WeightsHeader) -> None:
    """Write tensors and their header to `path`, atomically. The same weights give the same bytes."""
    # One entry only: safetensors writes several in no fixed order.
    known = {name: value for name, value in asdict(header).items() if value not in (None, "", {})}
    metadata = {KEY: json.dumps({"recipe": header.recipe} | known)}
    files.write_bytes(path, save(cpu_copies(tensors), metadata=metadata))


def read_header(path: Path) -> WeightsHeader:
    """Return the header of a weight file. Keys that this version does not know are ignored.

    Raises:
        WeightsError: the file is not one that toolbox wrote, or it is damaged.
    """
    try:
        with safe_open(path, framework="pt") as opened:
            text = (opened.metadata() or {}).get(KEY, "{}")
        found = json.loads(text)
    except (OSError, SafetensorError, ValueError, RecursionError) as error:
        raise WeightsError(_unreadable(path, error)) from error
    if not isinstance(found, dict) or not isinstance(found.get("recipe"), str):
        raise WeightsError(f"{files.printable(path)} is not a weight file of toolbox: its header names no recipe.")
    return _header(path, found)


def load_weights(path: Path, network: nn.Module) -> None:
    """Load a weight file into `network`; WeightsError if it can't be read or does not fit."""
    network.load_state_dict(read_weights(path, network))


def read_weights(path: Path, network: nn.Module) -> dict[str, Tensor]:
    """Return the tensors of a weight file, whole and on the CPU; WeightsError if they do not fit `network`."""
    try:
        tensors = read_tensors(path)
    except (OSError, SafetensorError, ValueError) as error:
        raise WeightsError(_unreadable(path, error)) from error
    _require_fit(path, network, tensors)
    return tensors


def _header(path: Path, found: dict[str, Any]) -> WeightsHeader:
    known = {one.name: found[one.name] for one in fields(WeightsHeader) if found.get(one.name) is not None}
    kinds = {"recipe": str, "recipe_name": str, "step": int, "score": dict, "loss": int | float}
    wrong = [name for name, value in known.items() if not isinstance(value, kinds[name])]
    if wrong:
        raise WeightsError(f"{files.printable(path)} has a header with a {wrong[0]} of the wrong type; it is damaged.")
    return WeightsHeader(**known)


def _unreadable(path: Path, error: Exception) -> str:
    return f"{files.printable(path)} can't be read as safetensors: {files.printable(str(error))}"


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a safetensors file.

    Not as a memory map, under which a file that is cut meanwhile ends the process; and by that way safetensors (0.5 to
    0.8) keeps some bytes of every tensor for ever.

    Raises:
        OSError, SafetensorError, ValueError: it can't be read, or a name stands in it twice.
    """
    data = path.read_bytes()
    # Sorted: their order is another in every process, and what walks through an optimiser's state goes by it.
    tensors: dict[str, Tensor] = dict(sorted(load(data).items()))
    _require_unique_names(data)
    return tensors


def _require_unique_names(data: bytes) -> None:
    """Raise ValueError if a header that safetensors has taken has a name twice: readers differ in which one counts."""

    def counted(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            raise ValueError("a name stands twice in its header")
        return found

    length = int.from_bytes(data[:8], "little")
    json.loads(data[8 : 8 + length], object_pairs_hook=counted)


def _require_fit(path: Path, network: nn.Module, tensors: Mapping[str, Tensor]) -> None:
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
        listed = files.printable("; ".join(sorted(faults)[:3]))
        raise WeightsError(f"{files.printable(path)} does not fit: {listed}{more}.")


def cpu_copies(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return contiguous copies of tensors on the CPU."""
    return {name: value.detach().to("cpu", copy=True).contiguous() for name, value in state.items()}
