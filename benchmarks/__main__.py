"""`python -m benchmarks NAME`: each benchmark is a module beside this one with a click command."""

from __future__ import annotations

import importlib
from pathlib import Path

import click


class Benchmarks(click.Group):
    """Every module of this folder that has a `command`."""

    def list_commands(self, context: click.Context) -> list[str]:
        """Return the benchmarks by name."""
        here = Path(__file__).parent
        return sorted(path.stem.replace("_", "-") for path in here.glob("*.py") if not path.stem.startswith("_"))

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        """Import and return one benchmark."""
        if name not in self.list_commands(context):
            return None
        return importlib.import_module(f"benchmarks.{name.replace('-', '_')}").command


@click.group(cls=Benchmarks)
def main() -> None:
    """Measure toolbox against what it claims to beat, on this machine."""


if __name__ == "__main__":
    main()
