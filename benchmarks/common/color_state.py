"""The state of a training of the colour network: save it to a file, load it again."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

HEADER = "state"


@dataclass(kw_only=True)
class State:
    """Network, running average, optimizer, the number of the next step, and the training time in seconds.

    `stage` is the part of the training.
    """

    network: nn.Module
    average: AveragedModel
    optimizer: torch.optim.Optimizer
    step: int = 0
    seconds: float = 0.0
    stage: str = ""


def save(path: Path, state: State) -> None:
    """Write the state to a temporary file and rename it, so that the file is always complete."""
    tensors: dict[str, Tensor] = {}
    for part, module in (("network", state.network), ("average", state.average)):
        tensors |= {f"{part}.{name}": value for name, value in module.state_dict().items()}
    for index, values in state.optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{name}": torch.as_tensor(value) for name, value in values.items()}
    plain = {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}
    header = {HEADER: json.dumps({key: getattr(state, key) for key in ("step", "seconds", "stage")})}
    temporary = path.with_suffix(".part")
    save_file(plain, temporary, metadata=header)
    temporary.replace(path)


def load(path: Path, state: State) -> None:
    """Load a saved state into `state`."""
    with safe_open(path, framework="pt") as opened:
        header = json.loads(opened.metadata()[HEADER])
        tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118 - not a mapping
    for part, module in (("network", state.network), ("average", state.average)):
        module.load_state_dict(_below(tensors, part))
    saved = state.optimizer.state_dict()
    moments: dict[int, dict[str, Tensor]] = {}
    for name, value in _below(tensors, "optimizer").items():
        index, key = name.split(".", 1)
        moments.setdefault(int(index), {})[key] = value
    state.optimizer.load_state_dict({"state": moments, "param_groups": saved["param_groups"]})
    state.step, state.seconds = header["step"], header["seconds"]


def stage_of(path: Path) -> str:
    """Return the stage that a state was saved in; "" if there is no file."""
    if not path.is_file():
        return ""
    with safe_open(path, framework="pt") as opened:
        return str(json.loads(opened.metadata()[HEADER])["stage"])


def _below(tensors: dict[str, Tensor], part: str) -> dict[str, Tensor]:
    return {name.removeprefix(f"{part}."): value for name, value in tensors.items() if name.startswith(f"{part}.")}
