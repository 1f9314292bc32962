"""Start two processes as a launcher does, for tests of distributed training."""

from __future__ import annotations

import os
import socket
import subprocess
import sys

TIMEOUT = 300  # seconds


def start(command, **options):
    """Start two processes of Python with these arguments, and return them."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
    ranks = [{"RANK": str(rank), "LOCAL_RANK": str(rank), "OMP_NUM_THREADS": "1"} for rank in range(2)]
    return [
        subprocess.Popen(
            [sys.executable, *map(str, command)],
            env=os.environ | shared | rank,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            **options,
        )
        for rank in ranks
    ]


def wait(processes):
    """Wait for all processes and return exit code, stdout and stderr of each."""
    try:
        outputs = [process.communicate(timeout=TIMEOUT) for process in processes]
    finally:
        for process in processes:
            process.kill()
    return [(process.returncode, *output) for process, output in zip(processes, outputs, strict=True)]
