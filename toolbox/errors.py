"""One error tree. The command line alone turns it into output and an exit code.

ToolboxError                exit 1   something failed
├── UsageError              exit 2   a mistake in what was typed
│   └── RecipeError         exit 2   a recipe's faults, all at once
├── DataError               exit 1   a photo or a data folder that can't be used
├── OutputError             exit 1   a result that can't be written
├── WeightsError            exit 1   a weight file or a checkpoint that can't be used
├── PluginError             exit 1   a plugin that broke
├── InstallationError       exit 1   this installation can't do it (missing library, no network)
└── TrainingError           exit 1   a run gone wrong
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass


class ToolboxError(Exception):
    """Base of all errors that a user should read as one message, without a traceback."""

    exit_code = 1


class UsageError(ToolboxError):
    """A mistake in what was typed: an option, a name, a path that does not exist."""

    exit_code = 2


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One thing that is wrong with a recipe: its place (``generator.optimizer.lr``) and what to do."""

    location: str
    message: str

    def __str__(self) -> str:
        return f"{self.location}: {self.message}" if self.location else self.message


class RecipeError(UsageError):
    """Every fault of one recipe, in the order of the file."""

    def __init__(self, recipe: str, faults: Iterable[Fault]) -> None:
        self.recipe = recipe
        self.faults = tuple(faults)
        count = "1 fault" if len(self.faults) == 1 else f"{len(self.faults)} faults"
        lines = [f"Recipe '{recipe}' has {count}:", *(f"  {fault}" for fault in self.faults)]
        super().__init__("\n".join(lines))


class DataError(ToolboxError):
    """A photo or a data folder that can't be used; the message names the file and the remedy."""


class OutputError(ToolboxError):
    """A result that can't be written: a full disk, a folder without permission."""


class WeightsError(ToolboxError):
    """A weight file or a checkpoint that is damaged or does not fit."""


class PluginError(ToolboxError):
    """A plugin that broke; the message names the plugin and how to disable it."""


class InstallationError(ToolboxError):
    """This installation can't do what was asked: a missing library, an ill-matched pair, no network."""


class TrainingError(ToolboxError):
    """A run gone wrong: memory ran out, a value is not finite."""


def nearest(name: str, choices: Iterable[str]) -> str:
    """Return `` Did you mean 'x'?`` where a choice is near to `name`, else an empty string."""
    near = difflib.get_close_matches(name, list(choices), n=1, cutoff=0.6)
    return f" Did you mean '{near[0]}'?" if near else ""


def unknown(kind: str, name: str, choices: Iterable[str], see: str = "") -> str:
    """Return the message for a name that is not known: what, the nearest, the choices, the next step."""
    known = sorted(choices)
    listed = ", ".join(known) if known else "none"
    tail = f" See `{see}`." if see else ""
    return f"{kind.capitalize()} '{name}' is not known.{nearest(name, known)} Known: {listed}.{tail}"
