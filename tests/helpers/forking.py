"""Forked child processes of a parent that has finished all imports, for the drills to kill."""

from __future__ import annotations

import os
import traceback

import torch

from toolbox.cli import main


def start_command(*arguments, prepare=lambda: None):
    """Fork a process that calls `prepare` and runs a toolbox command without output; return its process ID."""
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        silent = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silent, 1)
        os.dup2(silent, 2)
        torch.set_num_threads(1)
        prepare()
        code = main.main([str(argument) for argument in arguments], standalone_mode=False) or 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    finally:
        os._exit(code)


def run_forked(function, output):
    """Run a function in a forked process that writes to the file `output`; return its exit code and the text."""
    child = os.fork()
    if not child:
        code = 1
        try:
            stream = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(stream, 1)
            os.dup2(stream, 2)
            function()
            code = 0
        except BaseException:
            os.write(2, traceback.format_exc().encode("utf-8", "backslashreplace"))
        finally:
            os._exit(code)
    return wait(child), output.read_text("utf-8", "replace")


def wait(child):
    """Wait for a process and return its exit code, negative if a signal ended it."""
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status)
