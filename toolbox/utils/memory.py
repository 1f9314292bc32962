"""Memory of this process: its peak, returning what is free to the system, and a test for out-of-memory errors."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import sys
from pathlib import Path

from toolbox.errors import named
from toolbox.utils import surface
from toolbox.utils.files import printable

# As torch, OpenCV and the library of C++ say it.
_OUT_OF_MEMORY = ("allocate memory", "insufficient memory", "bad_alloc")


def reset_peak_memory() -> None:
    """Reset the peak that `peak_memory` returns to the memory used now; does nothing outside Linux."""
    gc.collect()
    with contextlib.suppress(OSError):
        # See `man proc_pid_clear_refs`: writing 5 resets the peak resident set size.
        Path("/proc/self/clear_refs").write_text("5", "ascii")


def peak_memory() -> int:
    """Return the peak resident memory of this process in bytes, 0 where the system does not provide it."""
    status = Path("/proc/self/status")
    if status.is_file():
        # On Linux, getrusage of a child process would include the peak of its parent.
        line = next(line for line in status.read_text("ascii").splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024
    try:
        import resource
    except ImportError:  # Windows
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def release_free_memory() -> None:
    """Return the free memory of the C heap to the system; does nothing without glibc.

    glibc keeps freed memory while a later block is in use, so a server would keep the peak of its work.
    """
    # AttributeError: another C library; TypeError: Windows.
    with contextlib.suppress(AttributeError, TypeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)


def explain(error: BaseException) -> str:
    """Return an unexpected error as one line that can be printed; if memory ran out, with what to do."""
    return describe_out_of_memory() if is_out_of_memory(error) else printable(named(error))


def describe_out_of_memory() -> str:
    """Return that memory ran out, and what to do."""
    remedy = surface.words(
        command="Close other programs, or raise the limit of this process: `ulimit -v`, the memory of a job.",
        page="Close other programs, then restore again.",
        python="Close other programs, or raise the limit of this process: `ulimit -v`, the memory of a job.",
    )
    return f"Memory ran out. {remedy}"


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error means that memory ran out, on any device, or for loading a library."""
    text = str(error)
    if isinstance(error, MemoryError) or any(words in text.lower() for words in _OUT_OF_MEMORY):
        return True
    if isinstance(error, ImportError):
        return text.endswith("failed to map segment from shared object")  # as glibc says it
    return is_out_of_device_memory(error)


def is_out_of_device_memory(error: BaseException) -> bool:
    """Return whether an error means that the memory of a GPU ran out, which a network that trains there shares."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(error, torch.OutOfMemoryError)
