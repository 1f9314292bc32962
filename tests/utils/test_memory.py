"""Memory of the process."""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from toolbox.utils import memory


def resident_bytes():
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.skipif(
    sys.platform != "linux" or not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="the C library is not glibc"
)
def test_free_memory_below_a_block_in_use_is_returned_to_the_system():
    blocks = [np.ones(64 * 1024, np.uint8) for _ in range(2000)]
    del blocks[:-1]
    before = resident_bytes()
    memory.release_free_memory()
    assert resident_bytes() < before - 2000 * 64 * 1024 // 2
    assert blocks[0].all()


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (MemoryError(), True),
        (ImportError("libtorch_cpu.so: failed to map segment from shared object"), True),
        (ImportError("x.so: failed to map segment from shared object: Cannot allocate memory"), True),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes."), True),
        (ImportError("x.so: failed to map segment from shared object: Operation not permitted"), False),
        (cv2.error("std::bad_alloc"), True),
        (cv2.error("(-4:Insufficient memory) Failed to allocate 9 bytes in function 'OutOfMemoryError'"), True),
        (RuntimeError("shape mismatch"), False),
    ],
)
def test_errors_that_memory_ran_out_are_known(error, expected):
    assert memory.is_out_of_memory(error) is expected
