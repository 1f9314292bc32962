"""The command line: one command a file, everything heavy imported inside the command.

Here alone errors become output and exit codes: 2 for a mistake in what was typed, 1 for a failure, 3 for a
batch of which some failed, 130 and 143 for a run that was stopped.
"""

from __future__ import annotations

import importlib
import os
import signal
import sys

import click

from toolbox import __version__
from toolbox.cli.common import say_error
from toolbox.errors import ToolboxError, did_you_mean

# In the order of the help. A command's module has its name, and only the one that runs is imported.
COMMANDS = (
    *("run", "restore", "list", "show", "plugins", "plugin", "recipe", "weights", "bench", "doctor", "mask", "score"),
)


class Commands(click.Group):
    """Loads a command's module when it is asked for, and turns our errors into lines and exit codes."""

    def list_commands(self, context: click.Context) -> list[str]:
        """Return the commands in the order of the help."""
        return [*COMMANDS]  # the module toolbox.cli.list hides the built-in here

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        """Import and return one command."""
        if name not in COMMANDS:
            return None
        module = importlib.import_module(f"toolbox.cli.{name}")
        command = module.command
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, context: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Resolve as click does, with the nearest name for one that is not known."""
        if args and not args[0].startswith("-") and args[0] not in COMMANDS:
            raise click.UsageError(f"There is no command '{args[0]}'.{did_you_mean(args[0], COMMANDS)}", context)
        return super().resolve_command(context, args)

    def invoke(self, context: click.Context) -> object:
        """Run the command; print an error of ours as one message on stderr."""
        try:
            return super().invoke(context)
        except ToolboxError as error:
            say_error(error)
            context.exit(error.exit_code)
        except (ImportError, RuntimeError) as error:  # torchvision's missing operators are a RuntimeError
            from toolbox.diagnostics.environment import explain_import

            line = explain_import(error)
            if line is None:
                raise
            click.echo(f"toolbox: {line}", err=True)
            context.exit(1)
        except KeyboardInterrupt:  # where no command has taken the signal over
            click.echo("toolbox: stopped.", err=True)
            context.exit(128 + signal.SIGINT)
        except BrokenPipeError:
            # The reader (head, less) has gone; python must not complain at exit about what it can't flush.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            context.exit(1)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="toolbox")
@click.option("--no-plugins", is_flag=True, help="Load only the bundles that ship, nobody else's plugins.")
@click.pass_context
def main(context: click.Context, no_plugins: bool) -> None:
    """Restore photographs that lost a part or their colour, and train the restorers that do so."""
    context.obj = {"third_party": not no_plugins}
