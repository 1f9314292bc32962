"""`python -m benchmarks NAME`: each module of this folder with a click `command` is one benchmark."""

from __future__ import annotations

import importlib
from pathlib import Path

import click

from toolbox.errors import ToolboxError
from toolbox.utils import files, screen


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

    def invoke(self, context: click.Context) -> object:
        """Run the benchmark; print an error of its inputs as one line on stderr, with the exit code of `toolbox`."""
        try:
            return super().invoke(context)
        except ToolboxError as error:
            line, code = str(error), error.exit_code
        except OSError as error:
            line, code = files.describe_os_error(error), 1
        screen.echo(f"benchmarks: {line}", err=True)
        context.exit(code)


@click.group(cls=Benchmarks)
def main() -> None:
    """Measure toolbox on this machine, often against another implementation."""


if __name__ == "__main__":
    main()
