"""The engine: accelerate, for the device, the precision and the processes. Nothing else names a device."""

from __future__ import annotations

import os

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from torch import Tensor

from toolbox.errors import UsageError

DTYPES = {"fp64": torch.float64, "fp32": torch.float32, "bf16": torch.float32, "fp16": torch.float32}


def make(device: str | None = None, precision: str = "fp32") -> Accelerator:
    """Return an accelerator for `device` ("cpu", "cuda", "cuda:1", "mps"; None takes the best there is).

    Raises:
        UsageError: the device is not there, or can't compute in that precision.
    """
    mixed = precision if precision in ("bf16", "fp16") else "no"
    # accelerate keeps one state a process and refuses a second with other settings; each run sets its own.
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        AcceleratorState._reset_state(reset_partial_state=True)
    if device is not None:
        _demand(device)
    try:
        power = Accelerator(cpu=device == "cpu", mixed_precision=mixed)
    except ValueError as error:
        raise UsageError(f"--precision {precision} does not work here: {error}") from error
    if power.num_processes > 1:
        raise UsageError(f"This was started as {power.num_processes} processes; training takes one, as yet.")
    return power


def dtype(precision: str) -> torch.dtype:
    """Return the dtype of weights and losses; mixed precisions keep both in float32."""
    return DTYPES[precision]


def scaled(power: Accelerator, loss: Tensor) -> Tensor:
    """Return a loss as it is to be differentiated: in fp16 times the scale that keeps gradients from vanishing."""
    return loss if power.scaler is None else power.scaler.scale(loss)


def _demand(device: str) -> None:
    kind = device.partition(":")[0]
    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    choices = ", ".join(name for name, found in there.items() if found)
    try:
        index = torch.device(device).index or 0
    except RuntimeError as error:
        raise UsageError(f"--device {device} is not a device. Here: {choices}.") from error
    if not there.get(kind, False) or (kind == "cuda" and index >= torch.cuda.device_count()):
        raise UsageError(f"--device {device} is not here. Here: {choices}. See `toolbox doctor`.")
    if kind == "cuda":
        torch.cuda.set_device(index)
