"""Write a folder or a database as a whole, so that an error leaves no part of it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click


@contextmanager
def written_whole(target: Path) -> Iterator[Path]:
    """Yield a temporary path beside `target` to write to, rename it to `target` at the end, or delete it on an error.

    Raises:
        click.UsageError: `target` exists.
        click.ClickException: it can't be written.
    """
    if os.path.lexists(target):
        raise click.UsageError(f"{target} exists already; choose another name.")
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        temporary.rename(target)
    except OSError as error:
        raise click.ClickException(
            f"{target} can't be written: {error.strerror or error}. Choose another name or another disk."
        ) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
