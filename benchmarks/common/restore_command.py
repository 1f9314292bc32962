"""Run `toolbox restore` in a new process, and measure it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import click


def run_restore(photo: Path, out: Path, *options: str) -> tuple[float, int]:
    """Return the seconds and the peak memory in bytes of `toolbox restore` in a new process, on the CPU.

    The peak of a new process is at least the memory of the process that starts it.

    Raises:
        ClickException: it failed.
    """
    command = [sys.executable, "-P", "-m", "toolbox", "restore", photo, "-o", out, "--device", "cpu", *options]
    start = time.perf_counter()
    child = subprocess.Popen([str(word) for word in command], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    seconds = time.perf_counter() - start
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise click.ClickException(f"toolbox restore failed with exit code {child.returncode}")
    # On Linux, ru_maxrss is in units of 1,024 bytes.
    return seconds, 1024 * usage.ru_maxrss
