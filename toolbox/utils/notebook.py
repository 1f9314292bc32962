"""Lines, a progress bar and pictures in a notebook. IPython is used if it runs this program, and is never imported."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from html import escape
from pathlib import Path
from typing import Any

MIN_SECONDS = 0.2  # between two updates of a bar, each of which is a message to the browser


def in_notebook() -> bool:
    """Return whether a notebook's kernel runs this program."""
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    return shell is not None and type(shell).__name__ == "ZMQInteractiveShell"


class NotebookConsole:
    """Print lines, and show progress bars and pictures in the output of the current cell."""

    def __init__(self) -> None:
        self._display: Any = sys.modules["IPython"].display

    def print_line(self, line: str) -> None:
        """Print a line."""
        print(line, flush=True)

    def print_notice(self, line: str) -> None:
        """Print a line on stderr."""
        print(line, file=sys.stderr, flush=True)

    def show_picture(self, path: Path) -> None:
        """Show a picture file inline."""
        self._display.display(self._display.Image(filename=str(path)))

    @contextmanager
    def progress_bar(self, title: str, total: int, done: int = 0) -> Iterator[Callable[[], None]]:
        """Show a progress bar.

        Yields:
            A function that advances the bar by one.
        """
        started = shown = time.monotonic()
        count = done

        def bar() -> Any:  # noqa: ANN401 - an object of IPython
            seconds = time.monotonic() - started
            left = seconds * (total - count) / (count - done) if count > done else None
            text = f"{title} {count}/{total}, {seconds:.0f} s" + ("" if left is None else f", {left:.0f} s left")
            html = f'<progress value="{count}" max="{total}"></progress> {escape(text)}'
            return self._display.HTML(html)

        handle = self._display.display(bar(), display_id=True)

        def advance() -> None:
            nonlocal count, shown
            count += 1
            if time.monotonic() - shown >= MIN_SECONDS or count == total:
                handle.update(bar())
                shown = time.monotonic()

        try:
            yield advance
        finally:
            handle.update(bar())
