"""What a launcher, such as torchrun, sets in the environment: the rank of this process and the number of processes."""

from __future__ import annotations

import os

from toolbox.errors import UsageError


def launcher_number(name: str, default: str) -> int:
    """Return a number that a launcher sets, such as RANK; an empty value counts as not set.

    Raises:
        UsageError: it is not a whole number of at least 0.
    """
    text = os.environ.get(name) or default
    if not (text.isascii() and text.isdecimal()):
        raise UsageError(
            f"{name} is '{text}', which is not a whole number of at least 0. Without a launcher, "
            "unset RANK and WORLD_SIZE."
        )
    return int(text)


def require_rank() -> tuple[int, int]:
    """Return the rank of this process and the number of processes that the launcher has started.

    Raises:
        UsageError: these are not numbers, or the rank is too large, so that the processes would wait for each other for
            ever.
    """
    rank, world_size = launcher_number("RANK", ""), launcher_number("WORLD_SIZE", "1")
    if rank >= world_size:
        raise UsageError(f"RANK is {rank} and WORLD_SIZE is {world_size}; RANK must be from 0 to WORLD_SIZE - 1.")
    return rank, world_size


def is_main_process() -> bool:
    """Return whether this is the only process, or the one with rank 0 of those that a launcher started."""
    return (os.environ.get("RANK") or "0") == "0"


def is_local_main_process() -> bool:
    """Return whether this is the only process of this machine, or the first of them."""
    return (os.environ.get("LOCAL_RANK") or "0") == "0"
