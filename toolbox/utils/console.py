"""Lines and progress bars on a terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import rich.console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from toolbox.utils.launcher import is_main_process
from toolbox.utils.notebook import NotebookConsole, in_notebook
from toolbox.utils.screen import echo


class Console:
    """Print lines on stdout and show progress bars on stderr.

    With `json_output`, lines go to stderr, because stdout is for JSON. With `silent`, there is no output at all.
    """

    def __init__(self, *, json_output: bool = False, silent: bool = False) -> None:
        self.json_output = json_output
        self.silent = silent
        self.stderr = rich.console.Console(stderr=True)

    def print_line(self, line: str) -> None:
        """Print a line."""
        if not self.silent:
            echo(line, err=self.json_output)

    @contextmanager
    def progress_bar(self, title: str, total: int, done: int = 0) -> Iterator[Callable[[], None]]:
        """Show a progress bar with the remaining time, if stderr is a terminal.

        Yields:
            A function that advances the bar by one.
        """
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
        )
        hidden = self.silent or not self.stderr.is_terminal
        with Progress(*columns, console=self.stderr, disable=hidden, transient=True) as progress:
            task = progress.add_task(title, total=total, completed=done)
            yield lambda: progress.advance(task)


def default_console() -> Console | NotebookConsole:
    """Return a console for the notebook if the program runs in one, else for the terminal."""
    is_silent = not is_main_process()
    return NotebookConsole() if in_notebook() and not is_silent else Console(silent=is_silent)
