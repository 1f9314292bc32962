"""A log of figures: a file with a line of JSON for each call."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click


def logger(path: Path) -> Callable[..., None]:
    """Return a function that appends its keywords to a file, a line of JSON each, and prints them."""

    def log(**figures: Any) -> None:
        line = json.dumps(figures)
        with path.open("a", encoding="utf-8") as file:
            file.write(f"{line}\n")
        click.echo(line)

    return log
