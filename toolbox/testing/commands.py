"""The checks of a command."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import click

from toolbox.hooks.command_spec import CommandSpec
from toolbox.testing.checks import Check, Note, require, run_checks


@dataclass(frozen=True, kw_only=True)
class CommandCase:
    """A command under test."""

    spec: CommandSpec

    @cached_property
    def command(self) -> click.Command:
        """What `load` returned."""
        return self.spec.load()


def check_command(spec: CommandSpec) -> list[Check]:
    """Run every check of a command; stop if it can't be loaded. The command itself does not run."""
    case = CommandCase(spec=spec)
    first = run_checks(case, [check_load])
    if first[0].status == "failed":
        return first
    return [*first, *run_checks(case, [check_help, check_option_help, check_unknown_option])]


def check_load(case: CommandCase) -> str:
    """`load` returns a command of click."""
    command = case.command
    require(isinstance(command, click.Command), f"load returned {type(command).__name__}; return a click.Command")
    return "a group of commands" if isinstance(command, click.Group) else "a command"


def check_help(case: CommandCase) -> str:
    """The command has a help text; it is the docstring of its function."""
    require((case.command.help or "").strip(), "it has no help; write a docstring for its function")
    context = click.Context(case.command, info_name=case.spec.name)
    return f"{len(case.command.get_help(context).splitlines())} lines"


def check_option_help(case: CommandCase) -> str:
    """Every option has a help text."""
    options = [parameter for parameter in case.command.params if isinstance(parameter, click.Option)]
    silent = [option.opts[0] for option in options if not option.help and not option.hidden]
    return Note(f"no help: {', '.join(silent)}") if silent else f"{len(options)} options"


def check_unknown_option(case: CommandCase) -> str:
    """The command refuses an option that it does not have, so that a misspelt one is noticed."""
    try:
        case.command.make_context(case.spec.name, ["--no-such-option"])
    except click.UsageError:
        return "refused"
    return Note("it accepts options that it does not have, so a misspelt one is not noticed")
