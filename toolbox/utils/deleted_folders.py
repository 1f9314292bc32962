"""Write into a folder that may be renamed or deleted at any time, such as that of a run that trains."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from toolbox.errors import ToolboxError
from toolbox.utils import files

R = TypeVar("R")

# Seconds before each further attempt: deleting a folder with many files takes a while.
PAUSES = (0.0, 0.02, 0.1, 0.5, 2.0)


def retry_if_deleted(write: Callable[[], R]) -> R:
    """Call `write`, and call it again if what it wrote to was renamed or deleted meanwhile; return its result.

    `write` creates the folders that it needs, and can be called again after any error. Its last error is raised, and
    at once any error with another cause.
    """
    for pause in PAUSES:
        try:
            return write()
        except (ToolboxError, FileNotFoundError) as error:
            if not any(isinstance(cause, FileNotFoundError) for cause in (error, error.__cause__)):
                raise
        time.sleep(pause)
    return write()


def write_in(folder: Path, write: Callable[[], R]) -> R:
    """Create a folder, if it is missing, and call `write`; as often as `retry_if_deleted` does."""

    def attempt() -> R:
        files.ensure_folder(folder)
        return write()

    return retry_if_deleted(attempt)
