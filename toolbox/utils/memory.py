"""Peak memory of the process, and errors that say that memory ran out."""

from __future__ import annotations

import contextlib
import gc
import sys
from pathlib import Path


def reset_peak_memory() -> None:
    """Have `peak_memory` count from here, where the system can (Linux)."""
    gc.collect()
    with contextlib.suppress(OSError):
        # Man proc_pid_clear_refs: 5 sets the peak to what is resident now.
        Path("/proc/self/clear_refs").write_text("5", "ascii")


def peak_memory() -> int:
    """Return the peak resident memory of this process in bytes, 0 where the system does not tell."""
    status = Path("/proc/self/status")
    if status.is_file():
        # Not getrusage: on Linux a child starts with its parent's peak there.
        line = next(line for line in status.read_text("ascii").splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024
    try:
        import resource
    except ImportError:  # Windows
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether an error says that memory ran out, on whatever device."""
    import torch

    return isinstance(error, MemoryError | torch.OutOfMemoryError) or "allocate memory" in str(error)
