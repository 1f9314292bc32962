"""`python -m benchmarks NAME`: each module of this folder with a click `command` is one benchmark."""

from __future__ import annotations

import importlib
from pathlib import Path

import click


class Benchmarks(click.Group):
    """The benchmarks, imported only when they run."""

    def list_commands(self, context: click.Context) -> list[str]:
        """Return the names of the benchmarks."""
        folder = Path(__file__).parent
        return sorted(path.stem.replace("_", "-") for path in folder.glob("*.py") if not path.stem.startswith("_"))

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        """Import and return one benchmark; None if there is no such benchmark."""
        if name not in self.list_commands(context):
            return None
        return importlib.import_module(f"benchmarks.{name.replace('-', '_')}").command


@click.group(cls=Benchmarks)
def main() -> None:
    """Measure toolbox on this machine, often against another implementation."""


if __name__ == "__main__":
    main()
