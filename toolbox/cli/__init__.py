"""The command line. Each command is one module, and imports heavy modules only when it runs.

Errors become output and exit codes only here: 1 for a failure, 2 for a wrong command, 3 for a batch in which some
items failed, 130 and 143 for a run that was stopped by SIGINT or SIGTERM.
"""

from __future__ import annotations

import atexit
import importlib
import os
import signal
import sys
import traceback
import warnings
from collections.abc import Callable
from typing import Any

import click

from toolbox import __version__
from toolbox.cli.common import print_error, refuse_empty_texts
from toolbox.cli.plugin_commands import find_group, unknown_command
from toolbox.cli.setting_hints import with_hint
from toolbox.errors import ToolboxError, UsageError
from toolbox.hooks.command_spec import CORE_COMMANDS
from toolbox.hooks.isolation import PluginWarning
from toolbox.hooks.plugin_output import component_output_to_stderr
from toolbox.utils import files, screen, surface
from toolbox.utils.memory import describe_out_of_memory, is_out_of_memory
from toolbox.utils.signals import Interrupted, interrupt_on_signals


class Commands(click.Group):
    """Import a command's module when it is needed, and turn errors into messages and exit codes."""

    def list_commands(self, context: click.Context) -> list[str]:
        """Return the commands in the order of the help."""
        return [*CORE_COMMANDS]  # not list(CORE_COMMANDS): the module toolbox.cli.list hides the built-in

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        """Import and return the command `name`, or the commands of the plugin `name`; None if there is neither."""
        if name not in CORE_COMMANDS:
            return find_group(context, name)
        module = importlib.import_module(f"toolbox.cli.{name}")
        command = module.command
        assert isinstance(command, click.Command)
        refuse_empty_texts(command)
        return command

    def resolve_command(
        self, context: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command of `args`; raise UsageError with the most similar name if there is none."""
        name = args[0]
        if name.startswith("-") or name in CORE_COMMANDS:
            return super().resolve_command(context, args)
        group = find_group(context, name)
        if group is None:
            raise unknown_command(context, name)
        return name, group, args[1:]

    def main(self, *arguments: Any, **options: Any) -> Any:  # noqa: ANN401 - those of click
        """Run the program."""
        screen.open_missing_streams()
        screen.escape_unprintable()
        with surface.command_line():
            try:
                return super().main(*arguments, **options)
            finally:
                atexit.unregister(screen.end_stdout)
                atexit.register(screen.end_stdout)  # last, so that it runs before what plugins have registered

    def make_context(self, *arguments: Any, **options: Any) -> click.Context:  # noqa: ANN401 - those of click
        """Read the options. --help and --version print here; if that fails, say so on stderr, with exit code 1."""
        try:
            return super().make_context(*arguments, **options)
        except BrokenPipeError:
            raise
        except OSError as error:
            screen.add_failure(error)
            raise click.exceptions.Exit(_report_failure()) from None

    def invoke(self, context: click.Context) -> object:
        """Run the command. If its output could not be written, say so on stderr, with exit code 1."""
        code: int | None = None
        try:
            result = self._invoke(context)
        except click.exceptions.Exit as stopped:
            result, code = None, stopped.exit_code
        failed = _report_failure()
        code = code or failed or None
        if code is not None:
            context.exit(code)
        return result

    def _invoke(self, context: click.Context) -> object:
        """Run the command; print a ToolboxError as one message on stderr."""
        try:
            with interrupt_on_signals(), component_output_to_stderr(), warnings.catch_warnings():
                warnings.simplefilter("always", PluginWarning)
                warnings.showwarning = _show_warning(warnings.showwarning)
                if not {"-h", "--help"} & set(context.args):
                    _require_working_folder()
                return super().invoke(context)
        except click.NoSuchOption as error:
            raise with_hint(error) from None
        except (click.exceptions.Exit, click.ClickException, click.Abort):
            raise
        except ToolboxError as error:
            if context.params.get("traceback"):
                traceback.print_exc()
            print_error(error)
            context.exit(error.exit_code)
        except (ImportError, RuntimeError) as error:  # torchvision raises RuntimeError if its operators are missing
            self._exit_if_memory_ran_out(context, error)
            from toolbox.diagnostics.environment import explain_import

            line = explain_import(error)
            if line is None:
                self._exit_if_a_component_failed(context, error)
                raise
            click.echo(f"toolbox: {line}", err=True)
            context.exit(1)
        except KeyboardInterrupt as stop:  # in commands without their own signal handler
            click.echo("toolbox: stopped.", err=True)
            context.exit(128 + (stop.signal if isinstance(stop, Interrupted) else signal.SIGINT))
        except BrokenPipeError:
            # The reader (head, less) has closed the pipe. Without this, Python prints an error when it flushes stdout.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            context.exit(1)
        except Exception as error:
            self._exit_if_memory_ran_out(context, error)
            self._exit_if_a_component_failed(context, error)
            if isinstance(error, OSError) and screen.is_of_output(error):
                screen.add_failure(error)  # `invoke` says so
                context.exit(1)
            if isinstance(error, OSError) and not context.params.get("traceback"):
                screen.echo(f"toolbox: {files.describe_os_error(error)}", err=True)
                context.exit(1)
            raise

    def parse_args(self, context: click.Context, args: list[str]) -> list[str]:
        """Take --traceback at any position: people add it to the end of a command that failed."""
        end = args.index("--") if "--" in args else len(args)
        rest = [argument for argument in args[:end] if argument != "--traceback"]
        return super().parse_args(context, ["--traceback"] * (len(rest) < end) + rest + args[end:])

    def _exit_if_memory_ran_out(self, context: click.Context, error: Exception) -> None:
        """Say in one line that memory ran out, with exit code 1, if this is the error."""
        if is_out_of_memory(error) and not context.params.get("traceback"):
            screen.echo(f"toolbox: {describe_out_of_memory()}", err=True)
            context.exit(1)

    def _exit_if_a_component_failed(self, context: click.Context, error: Exception) -> None:
        """Print the error as one line and exit with code 1 if a component of a plugin raised it."""
        from toolbox.hooks.blame import explain

        explained = explain(error)
        if explained is not None:
            if context.params.get("traceback"):
                traceback.print_exception(error)
            print_error(explained)
            context.exit(explained.exit_code)


def _report_failure() -> int:
    """If output could not be written, say so on stderr; return the exit code, 1 or 0."""
    failure = screen.take_failure()
    # A reader that has closed the pipe (head, less) needs no more output.
    if failure is None or isinstance(failure, BrokenPipeError):
        return 0
    screen.echo(f"toolbox: the output can't be written: {failure.strerror or failure}", err=True)
    screen.take_failure()  # stderr may fail too
    return 1


def _require_working_folder() -> None:
    """Raise UsageError if the working folder was deleted: torch ends the process if it is loaded there."""
    try:
        os.getcwd()
    except OSError as error:
        raise UsageError("The working folder does not exist any more; change to another with cd.") from error


def _show_warning(show: Callable[..., None]) -> Callable[..., None]:
    """Return a function that prints a PluginWarning as one line, and passes all other warnings to `show`."""

    def show_warning(message: Warning | str, category: type[Warning], *details: Any) -> None:  # noqa: ANN401
        if issubclass(category, PluginWarning):
            screen.echo(f"toolbox: warning: {message}", err=True)
        else:
            show(message, category, *details)

    return show_warning


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="toolbox")
@click.option("--no-plugins", is_flag=True, help="Load only the plugins that ship with toolbox.")
@click.option("--traceback", is_flag=True, help="Also print the traceback of an error; accepted at any position.")
@click.pass_context
def main(context: click.Context, no_plugins: bool, traceback: bool) -> None:
    """Restore damaged or gray photographs, and train the networks that restore them.

    Plugins may have commands of their own: toolbox list commands
    """
    context.obj = {"third_party": not no_plugins}
