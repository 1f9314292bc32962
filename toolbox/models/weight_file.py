"""Weight files: the tensors of a generator as safetensors, with a header from which it can be built again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load, save
from torch import Tensor, nn

from toolbox.errors import WeightsError, named
from toolbox.utils import files
from toolbox.utils.json_values import finite_json, parse_json
from toolbox.utils.memory import is_out_of_memory

# The entry of the safetensors header that holds `WeightsHeader` as JSON.
KEY = "toolbox"
# The last parts of the names of the running statistics of norm layers, which are buffers.
_STATISTICS = ("running_mean", "running_var")


@dataclass(frozen=True, kw_only=True)
class WeightsHeader:
    """The header of a weight file.

    Attributes:
        recipe: the bound recipe as TOML, from which the generator is built.
        recipe_name: the name of the recipe; empty if it is unknown.
        step: the number of training steps taken, or None.
        score: S, M, C and score on the validation photographs; empty if they were not measured.
        kinds: the kinds of damage that the network was trained to find, in the order of its maps; empty for none.
        loss: the validation loss, or None.
        ranking: the figure that chose the weights, higher is better, if it is neither the score nor the loss without a
            score; see `validation.choose_by`.
        digest: the sha256 of the tensors, see `tensors_digest`; `write_weights` sets it. Empty in files of earlier
            versions.
    """

    recipe: str
    recipe_name: str = ""
    step: int | None = None
    score: Mapping[str, float | None] = field(default_factory=dict)
    loss: float | None = None
    ranking: float | None = None
    kinds: tuple[str, ...] = ()
    digest: str = ""


def write_weights(path: Path, tensors: Mapping[str, Tensor], header: WeightsHeader) -> None:
    """Write tensors and their header to `path`, atomically. The same weights give the same bytes."""
    copies = cpu_copies(tensors)
    header = replace(header, digest=tensors_digest(copies))
    # A single entry, since safetensors writes several entries in a random order.
    known = {name: value for name, value in asdict(header).items() if value not in (None, "", {}, ())}
    metadata = {KEY: json.dumps(finite_json({"recipe": header.recipe} | known), allow_nan=False)}
    files.write_bytes(path, save(copies, metadata=metadata))


def tensors_digest(tensors: Mapping[str, Tensor]) -> str:
    """Return the sha256 of the bytes of tensors on the CPU, in the order of their names."""
    digest = hashlib.sha256()
    for _, value in sorted(tensors.items()):
        digest.update(value.contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def read_header(path: Path) -> WeightsHeader:
    """Return the header of a weight file; unknown keys are ignored.

    Raises:
        WeightsError: toolbox did not write the file, or it is damaged.
    """
    return _header_of(path, _header_text(path))


def _header_of(path: Path, text: str) -> WeightsHeader:
    """Return the header of a weight file from what `_header_text` returned; errors as `read_header`."""
    try:
        values = parse_json(text or "{}")
    except ValueError as error:
        raise WeightsError(_unreadable(path, error)) from error
    if not isinstance(values, dict) or not isinstance(values.get("recipe"), str):
        raise WeightsError(f"{files.printable(path)} is not a weight file of toolbox: its header has no recipe.")
    return _parse_header(path, values)


def has_header(path: Path) -> bool:
    """Return whether a safetensors file has the header of a weight file; WeightsError if it can't be read."""
    return bool(_header_text(path))


def _header_text(path: Path) -> str:
    try:
        # safetensors calls every file that it can't open missing, and takes no path that is not UTF-8.
        with open(path, "rb") as file:
            with safe_open(path if _is_utf8(path) else f"/dev/fd/{file.fileno()}", framework="pt") as opened:
                return str((opened.metadata() or {}).get(KEY, ""))
    except (OSError, SafetensorError, ValueError) as error:
        raise WeightsError(_unreadable(path, error)) from error


def _is_utf8(path: Path) -> bool:
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return False
    return True


def load_weights(path: Path, network: nn.Module) -> None:
    """Load a weight file into `network`; raise WeightsError if it can't be read or does not fit."""
    load_saved_state(path, network, read_weights(path, network))


def saved_state(module: nn.Module) -> dict[str, Tensor]:
    """Return the part of a module's state that is saved: all but that of modules with ``checkpoint = False``."""
    prefixes = unsaved_prefixes(module)
    state: dict[str, Tensor] = module.state_dict()
    return {name: value for name, value in state.items() if not name.startswith(prefixes)}


def unsaved_prefixes(module: nn.Module) -> tuple[str, ...]:
    """Return the prefixes of the names of state that is not saved; an empty prefix means all of it."""
    excluded = [name for name, inner in module.named_modules() if getattr(inner, "checkpoint", True) is False]
    return tuple(f"{name}." if name else "" for name in excluded)


def load_saved_state(path: Path, module: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Load tensors of a file that have the names of `saved_state`; the rest of the module's state stays as it is.

    Raises:
        WeightsError: the module does not take them.
    """
    try:
        module.load_state_dict(tensors, strict=False)
    except Exception as error:  # a module of a plugin may load its weights itself
        if is_out_of_memory(error):
            raise
        raise WeightsError(f"{files.printable(path)} can't be loaded into its network: {named(error)}") from error


def read_weights(path: Path, network: nn.Module) -> dict[str, Tensor]:
    """Return the tensors of a weight file, on the CPU; raise WeightsError if it can't be read or does not fit."""
    tensors = read_file(path)
    require_fit(path, network, tensors)
    return tensors


def read_file(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a safetensors file as `read_tensors` does.

    Raises:
        WeightsError: it can't be read; or it has a digest, and the tensors are not those that were written.
    """
    try:
        tensors = read_tensors(path)
    except (OSError, SafetensorError, ValueError) as error:
        raise WeightsError(_unreadable(path, error)) from error
    text = _header_text(path)
    digest = _header_of(path, text).digest if text else ""
    if digest and tensors_digest(tensors) != digest:
        raise WeightsError(
            f"{files.printable(path)} is damaged: its weights are not those that were written. Copy it again. If you "
            f"changed them yourself, remove the digest from its header, see docs/run-folder.md."
        )
    return tensors


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a safetensors file, sorted by name.

    Raises:
        OSError, SafetensorError, ValueError: it can't be read, or its header has a name twice.
    """
    # Not as a memory map: if the file is cut meanwhile, the process is killed. And safetensors (0.5 to 0.8) leaks some
    # bytes of each tensor that way.
    data = path.read_bytes()
    # The order of `load` differs between processes, and the optimizer state depends on the order.
    tensors: dict[str, Tensor] = dict(sorted(load(data).items()))
    _require_unique_names(data)
    return tensors


def not_finite(tensors: Mapping[str, Tensor], module: nn.Module) -> list[str]:
    """Return the names of the tensors that have a value that is not finite.

    Args:
        tensors: weights and buffers of `module`, by name.
        module: the network. Its buffers may have any value, as masks of attention have -inf and a "lowest value so far"
            begins with inf, but the running statistics of norm layers must be finite.
    """
    free = {name for name, _ in module.named_buffers() if name.rpartition(".")[2] not in _STATISTICS}
    return [name for name, value in tensors.items() if name not in free and not torch.isfinite(value).all()]


def cpu_copies(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return contiguous copies of tensors on the CPU."""
    return {name: value.detach().to("cpu", copy=True).contiguous() for name, value in state.items()}


def _parse_header(path: Path, values: dict[str, Any]) -> WeightsHeader:
    names = [item.name for item in fields(WeightsHeader)]
    known = {name: values[name] for name in names if values.get(name) is not None}
    texts: dict[str, Any] = dict.fromkeys(("recipe", "recipe_name", "digest"), str)
    types = texts | {"step": int, "score": dict, "loss": int | float, "ranking": int | float}
    kinds = known.pop("kinds", [])
    wrong = [name for name, value in known.items() if not isinstance(value, types[name])]
    if not isinstance(kinds, list) or not all(isinstance(kind, str) for kind in kinds):
        wrong.append("kinds")
    if wrong:
        raise WeightsError(f"{files.printable(path)} has a header with a {wrong[0]} of the wrong type; it is damaged.")
    return WeightsHeader(**known, kinds=tuple(kinds))


def _unreadable(path: Path, error: Exception) -> str:
    if isinstance(error, PermissionError):
        return f"{files.printable(path)} can't be read: no permission"
    return f"{files.printable(path)} can't be read as safetensors: {files.printable(str(error))}"


def _require_unique_names(data: bytes) -> None:
    """Raise ValueError if a header has a name twice. safetensors accepts that, and readers differ in which they use."""

    def check(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        values = dict(pairs)
        if len(values) < len(pairs):
            raise ValueError("its header has a name twice")
        return values

    length = int.from_bytes(data[:8], "little")
    json.loads(data[8 : 8 + length], object_pairs_hook=check)


def require_fit(path: Path, network: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Raise WeightsError unless the tensors have the names and shapes of the network's, and are finite."""
    state = saved_state(network)
    common = state.keys() & tensors.keys()
    faults = [f"{name} is missing" for name in state.keys() - tensors.keys()]
    faults += [f"{name} is not expected" for name in tensors.keys() - state.keys()]
    for name in common:
        value, current = tensors[name], state[name]
        if value.shape != current.shape:
            faults.append(f"{name} is {list(value.shape)}, not {list(current.shape)}")
        if value.is_floating_point() != current.is_floating_point():
            faults.append(f"{name} is {value.dtype}, not {current.dtype}")
    faults += [f"{name} is not finite" for name in not_finite(tensors, network)]
    if faults:
        more = f" and {len(faults) - 3} more" if len(faults) > 3 else ""
        listed = files.printable("; ".join(sorted(faults)[:3]))
        raise WeightsError(f"{files.printable(path)} does not fit: {listed}{more}.")
