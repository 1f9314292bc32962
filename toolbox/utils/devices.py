"""Devices and dtypes: which device to compute on, and the dtype of a precision."""

from __future__ import annotations

import os

import torch

from toolbox.errors import UsageError

DTYPES = {"fp64": torch.float64, "fp32": torch.float32, "bf16": torch.float32, "fp16": torch.float32}


def pick_device(device: str | None = None) -> torch.device:
    """Return the device for work that a process does by itself; of several on a machine each takes its own GPU.

    Raises:
        UsageError: the device is not there.
    """
    if device is not None:
        require_device(device)
    if device not in (None, "cuda"):
        return torch.device(device)
    if torch.cuda.is_available():
        return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")) % torch.cuda.device_count())
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def weight_dtype(precision: str) -> torch.dtype:
    """Return the dtype of weights and losses; mixed precisions keep both in float32."""
    return DTYPES[precision]


def launched_processes() -> int:
    """Return how many processes a launcher has started (WORLD_SIZE); 1 if it is not set."""
    return int(os.environ.get("WORLD_SIZE") or "1")


def require_device(device: str) -> None:
    """Raise UsageError if `device` is not a device of this machine; make a CUDA device the current one."""
    kind = device.partition(":")[0]
    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    choices = ", ".join(name for name, found in there.items() if found)
    try:
        index = torch.device(device).index or 0
    except RuntimeError as error:
        raise UsageError(f"--device {device} is not a device. Here: {choices}.") from error
    if not there.get(kind, False) or (kind == "cuda" and index >= torch.cuda.device_count()):
        raise UsageError(f"--device {device} is not here. Here: {choices}. See `toolbox doctor`.")
    if kind == "cuda" and launched_processes() == 1:
        torch.cuda.set_device(index)
