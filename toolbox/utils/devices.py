"""Devices and dtypes: which device to compute on, and the dtype that a precision stores weights in."""

from __future__ import annotations

import torch

from toolbox.errors import UsageError
from toolbox.utils import memory, surface
from toolbox.utils.launcher import launcher_number

WEIGHT_DTYPES = {"fp64": torch.float64, "fp32": torch.float32, "bf16": torch.float32, "fp16": torch.float32}


def pick_device(device: str | None = None) -> torch.device:
    """Return the device that this process computes on.

    Args:
        device: "cpu", "cuda", "cuda:1", "mps"; None for the best available device. With None or "cuda", each process on
            a machine gets its own GPU.

    Raises:
        UsageError: this machine does not have the device.
    """
    if device is not None:
        require_device(device)
    if device not in (None, "cuda"):
        return torch.device(device)
    if torch.cuda.is_available():
        return torch.device("cuda", launcher_number("LOCAL_RANK", "0") % torch.cuda.device_count())
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def weight_dtype(precision: str) -> torch.dtype:
    """Return the dtype of weights and losses; mixed precision ("bf16", "fp16") keeps both in float32."""
    return WEIGHT_DTYPES[precision]


def peak_memory(device: torch.device) -> int:
    """Return the peak memory in bytes: that of a CUDA device, else of this process; 0 where it is not known."""
    return torch.cuda.max_memory_allocated(device) if device.type == "cuda" else memory.peak_memory()


def launched_process_count() -> int:
    """Return the number of processes that a launcher started (WORLD_SIZE); 1 without a launcher."""
    return launcher_number("WORLD_SIZE", "1")


def require_device(device: str) -> None:
    """Raise UsageError if this machine does not have `device`; make a CUDA device the current one."""
    option = surface.option("device")
    device = str(device)  # from Python, a number or a torch.device may be given
    device_type = device.partition(":")[0]
    available = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    choices = ", ".join(name for name, is_available in available.items() if is_available)
    try:
        index = torch.device(device).index or 0
    except RuntimeError as error:
        raise UsageError(f"{option} {device} is not a device. Available: {choices}.") from error
    missing_gpu = device_type == "cuda" and index >= torch.cuda.device_count()
    if not available.get(device_type, False) or missing_gpu:
        raise UsageError(f"{option} {device} is not available. Available: {choices}. See `toolbox doctor`.")
    if device_type == "cuda" and launched_process_count() == 1:
        torch.cuda.set_device(index)
