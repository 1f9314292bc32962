"""Progress bars on a terminal, drawn by rich on stderr; imported only there, because rich takes a moment to import."""

from __future__ import annotations

import rich.console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.text import Text


def make_bars() -> Progress:
    """Return progress bars that show the position and the remaining time, and are erased when they end."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    console = rich.console.Console(stderr=True)
    return Progress(*columns, console=console, transient=True, redirect_stdout=False)


def print_above(bars: Progress, line: str) -> None:
    """Print a line above the bars, neither wrapped nor cut."""
    bars.console.print(Text(line), soft_wrap=True)
