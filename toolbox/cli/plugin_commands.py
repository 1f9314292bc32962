"""`toolbox PLUGIN COMMAND`: a plugin's command is loaded when it runs, and its errors name the plugin."""

from __future__ import annotations

import click

from toolbox.cli.common import load_catalog
from toolbox.errors import PluginError, ToolboxError, call_plugin, did_you_mean, named
from toolbox.hooks import blame
from toolbox.hooks.catalog import Entry
from toolbox.hooks.command_spec import CORE_COMMANDS, CommandSpec
from toolbox.hooks.plugin_output import program_stdout
from toolbox.utils import files
from toolbox.utils.memory import is_out_of_memory

# What click itself turns into output and an exit code.
CLICK_ERRORS = (click.ClickException, click.exceptions.Exit, click.Abort)


class PluginCommands(click.Group):
    """The commands of one plugin."""

    def __init__(self, plugin: str, entries: dict[str, Entry]) -> None:
        super().__init__(name=plugin, help=f"Commands of the plugin '{plugin}'.")
        self.entries = entries

    def list_commands(self, context: click.Context) -> list[str]:
        """Return the names of the commands, sorted."""
        return sorted(self.entries)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        """Load and return a command; None if there is no such command."""
        return load_command(self.entries[name]) if name in self.entries else None

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of the commands from their summaries, so that none is loaded."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, self.entries[name].spec.summary) for name in self.list_commands(context)])

    def invoke(self, context: click.Context) -> object:
        """Run a command; PluginError for an error that is not meant for the user."""
        try:
            with program_stdout():
                result = call_plugin(super().invoke, context)
                entry = self.entries[context.invoked_subcommand or ""]
                blame.refuse_coroutine(entry, getattr(entry.spec, "load", None), result)
                return result
        except (ToolboxError, *CLICK_ERRORS, BrokenPipeError):
            raise
        except Exception as error:  # a plugin may raise anything
            raise _failed(self.entries[context.invoked_subcommand or ""], error) from error


def load_command(entry: Entry) -> click.Command:
    """Load the command of an entry; PluginError if it can't be loaded."""
    assert isinstance(entry.spec, CommandSpec)
    try:
        command = call_plugin(entry.spec.load)
    except (ToolboxError, KeyboardInterrupt):
        raise
    except BaseException as error:  # a plugin may raise anything, SystemExit too
        raise _not_loaded(entry, f"{named(error)} ({blame.position(error, entry)})") from error
    if not isinstance(command, click.Command):
        raise _not_loaded(entry, f"load returned {type(command).__name__}")
    return command


def find_group(context: click.Context, plugin: str) -> PluginCommands | None:
    """Return the commands of a plugin; None if there is no such plugin, or if it has none."""
    entries = {entry.spec.name: entry for entry in load_catalog(context).entries("command") if entry.plugin == plugin}
    return PluginCommands(plugin, entries) if entries else None


def unknown_command(context: click.Context, name: str) -> click.UsageError:
    """Return the error for a command that does not exist: the cause, or the most similar name."""
    catalog = load_catalog(context, quiet=True)
    record = next((record for record in catalog.plugins if record.name == name), None)
    if record is not None and record.status != "ok":
        return click.UsageError(f"The plugin '{name}' was not loaded: {record.cause}. See `toolbox plugins`", context)
    if record is not None:
        return click.UsageError(f"The plugin '{name}' has no commands. See `toolbox list commands`", context)
    names = {*CORE_COMMANDS, *(entry.plugin for entry in catalog.entries("command"))}
    return click.UsageError(f"There is no command '{name}'.{did_you_mean(name, sorted(names))}", context)


def _failed(entry: Entry, error: Exception) -> PluginError:
    """Return the error for a command that failed while it ran.

    A full disk, a folder without permission and too little memory are no faults of the plugin.
    """
    failed = f"{blame.title(entry)} failed:"
    if isinstance(error, OSError) and error.errno is not None:
        return PluginError(f"{failed} {files.describe_os_error(error)}. {blame.HINT}")
    if is_out_of_memory(error):
        return PluginError(f"{failed} memory ran out. {blame.HINT}")
    return PluginError(f"{failed} {named(error)} ({blame.position(error, entry)}). {blame.HINT} {_to_disable(entry)}")


def _not_loaded(entry: Entry, cause: str) -> PluginError:
    return PluginError(
        f"{blame.title(entry)} can't be loaded: {cause}. Expected: {blame.contract(entry)}. {blame.HINT} "
        f"{_to_disable(entry)}"
    )


def _to_disable(entry: Entry) -> str:
    return f"To disable the plugin: toolbox plugin disable {entry.plugin}"
