"""Commands in forked processes of a parent that has done the imports, for the drills to kill."""

from __future__ import annotations

import os

import torch

from toolbox.cli import main


def begin(*words):
    """Fork a process that runs a command of toolbox in silence, and return its number."""
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        silent = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silent, 1)
        os.dup2(silent, 2)
        torch.set_num_threads(1)
        code = main.main([str(word) for word in words], standalone_mode=False) or 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    finally:
        os._exit(code)


def finish(child):
    """Wait for a process and return its exit code, negative if a signal ended it."""
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status)
