"""Processes started as a launcher does, for tests of several that work together."""

from __future__ import annotations

import os
import socket
import subprocess
import sys


def start(command, **more):
    """Start two processes, as a launcher does."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
    numbers = [{"RANK": str(rank), "LOCAL_RANK": str(rank), "OMP_NUM_THREADS": "1"} for rank in range(2)]
    return [
        subprocess.Popen(
            [sys.executable, *map(str, command)],
            env=os.environ | shared | number,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            **more,
        )
        for number in numbers
    ]


def ended(started):
    """Return exit code, stdout and stderr of each."""
    try:
        said = [one.communicate(timeout=120) for one in started]
    finally:
        for one in started:
            one.kill()
    return [(one.returncode, *words) for one, words in zip(started, said, strict=True)]
