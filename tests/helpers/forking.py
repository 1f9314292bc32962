"""Commands in forked processes of a parent that has done the imports, for the drills to kill."""

from __future__ import annotations

import os
import traceback

import torch

from toolbox.cli import main


def begin(*words, rig=lambda: None):
    """Fork a process that runs a command of toolbox in silence, after `rig` in it, and return its number."""
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        silent = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silent, 1)
        os.dup2(silent, 2)
        torch.set_num_threads(1)
        rig()
        code = main.main([str(word) for word in words], standalone_mode=False) or 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    finally:
        os._exit(code)


def apart(work, said):
    """Run a function in a process of its own; return its exit code, and what it and its libraries wrote to `said`."""
    child = os.fork()
    if not child:
        code = 1
        try:
            stream = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(stream, 1)
            os.dup2(stream, 2)
            work()
            code = 0
        except BaseException:
            os.write(2, traceback.format_exc().encode("utf-8", "backslashreplace"))
        finally:
            os._exit(code)
    return finish(child), said.read_text("utf-8", "replace")


def finish(child):
    """Wait for a process and return its exit code, negative if a signal ended it."""
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status)
