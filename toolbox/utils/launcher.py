"""What a launcher, such as torchrun, sets in the environment: the rank of this process and the number of processes."""

from __future__ import annotations

import os

from toolbox.errors import UsageError


def launcher_number(name: str, default: str) -> int:
    """Return a number that a launcher sets, such as RANK; an empty value counts as not set.

    Raises:
        UsageError: it is not a whole number from 0.
    """
    text = os.environ.get(name) or default
    if not (text.isascii() and text.isdecimal()):
        raise UsageError(f"{name} is '{text}'; a launcher sets RANK from 0 and WORLD_SIZE, or neither is set.")
    return int(text)


def is_main_process() -> bool:
    """Return whether this is the only process, or the one with rank 0 of those that a launcher started."""
    return (os.environ.get("RANK") or "0") == "0"


def is_local_main_process() -> bool:
    """Return whether this is the only process of this machine, or the first of them."""
    return (os.environ.get("LOCAL_RANK") or "0") == "0"
