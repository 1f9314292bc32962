"""The options that the files in the folder of a training were made with."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click


def require_same_options(path: Path, stored: Mapping[str, Any], options: Mapping[str, Any]) -> None:
    """Raise UsageError that names the first option whose value is not the `stored` one.

    Args:
        path: the file or folder that would be used again, for the message.
        stored: the options that it was made with.
        options: the options of this call, by their names on the command line, such as ``--size``.
    """
    for name, value in options.items():
        if stored.get(name) != value:
            earlier = stored.get(name, "unknown")
            raise click.UsageError(
                f"{path} was made with {name} {earlier}, not {value}; use that value or another --out"
            )
