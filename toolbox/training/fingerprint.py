"""What the bits of a run depend on besides its recipe, seed and photographs; a checkpoint records it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import torch

from toolbox.distributed import collectives
from toolbox.utils.versions import DISTRIBUTION, list_versions

# Those that compute pictures, networks or their updates. How many threads load data changes no bit.
PACKAGES = (
    *(DISTRIBUTION, "torch", "torchvision", "timm", "segmentation-models-pytorch", "accelerate"),
    *("numpy", "pillow"),
)

Fingerprint = dict[str, str | int]


def fingerprint(device: torch.device) -> Fingerprint:
    """Return the versions, the device by its name, the number of processes and, on a CPU, of threads."""
    found: Fingerprint = {**list_versions(PACKAGES)}
    found["opencv"] = cv2.__version__
    found["device"] = _name(device)
    found["processes"] = collectives.world_size()
    if device.type == "cpu":
        found["threads"] = torch.get_num_threads()
    return found


def read_fingerprint(saved: Path) -> Fingerprint:
    """Return the conditions that a checkpoint was written under, none for one of before they were recorded."""
    state: dict[str, Any] = json.loads((saved / "state.json").read_text("utf-8"))
    return state.get("conditions", {})


def differences(then: Fingerprint, now: Fingerprint) -> list[str]:
    """Return each condition that was recorded and is not what it was, in words."""
    return [
        f"{name} {value} then, {now.get(name, 'none')} now" for name, value in then.items() if now.get(name) != value
    ]


def environment_differences(saved: Path, device: torch.device) -> list[str]:
    """Return a line that says why what continues a checkpoint here differs in its bits; no line where it need not."""
    found = differences(read_fingerprint(saved), fingerprint(device))
    return [f"Continuing is not bit for bit the same: {'; '.join(found)}."] if found else []


def _name(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    # The widest instructions that the CPU has decide in which order sums are taken.
    return f"CPU with {torch.backends.cpu.get_cpu_capability()}" if device.type == "cpu" else device.type
