"""All errors that a user can see. Only the command line turns them into output and an exit code.

ToolboxError                exit 1   base class
├── UsageError              exit 2   a wrong command: an option, a name, a path
│   └── RecipeError         exit 2   all faults of one recipe
├── DataError               exit 1   a photograph or a data folder that can't be used
│   └── ImageFileError      exit 1   an image file that can't be used
├── OutputError             exit 1   a result that can't be written
├── WeightsError            exit 1   a weight file or a checkpoint that can't be used
├── PluginError             exit 1   a plugin that failed
├── InstallationError       exit 1   something that this installation lacks (a library, a connection)
├── TrainingError           exit 1   a training run that failed
└── CancelledError          exit 1   work that was cancelled, see `toolbox.utils.cancelling`
"""

from __future__ import annotations

import difflib
import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


def one_line(error: object) -> str:
    """Return the text of an error, or any text, in one line: white space of any kind becomes single spaces.

    An error whose own `__str__` fails has no text.
    """
    try:
        return " ".join(str(error).split())
    except Exception:
        return ""


def brief(error: BaseException, limit: int = 300) -> str:
    """Return the text of an error in one line; of an error that is not of toolbox at most `limit` characters.

    Messages of other libraries can be pages long. Those of toolbox say at their end what to do.
    """
    text = one_line(error)
    return text if isinstance(error, ToolboxError) or len(text) <= limit else f"{text[: limit - 1]}…"


def named(error: BaseException, limit: int | None = None) -> str:
    """Return the type and the text of an error in one line: ``ValueError: too small``; without a text, the type.

    `limit` is as in `brief`; None: the text is not shortened.
    """
    text = one_line(error) if limit is None else brief(error, limit)
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def call_plugin(function: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
    """Call a function of a plugin; every exception that it raises can be printed and given attributes.

    Python itself can't pass on all exceptions of a plugin: `contextlib` sets an attribute, which a frozen dataclass
    refuses, and a `__str__` may fail. Such an exception is replaced by one of the same name, text and traceback.
    """
    try:
        return function(*args, **kwargs)
    except Exception as error:
        try:
            str(error)
            error.__traceback__ = error.__traceback__
        except Exception:
            usable = type(type(error).__name__, (Exception,), {})(one_line(error))
            raise usable.with_traceback(error.__traceback__) from None
        raise


def position_in(error: BaseException, file: str) -> str:
    """Return `` (FILE:LINE)``, where an error was raised in `file`; an empty string if it was raised elsewhere."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file]
    return f" ({file}:{lines[-1]})" if lines else ""


class ToolboxError(Exception):
    """Base of all errors that are shown to the user as one message, without a traceback."""

    exit_code = 1


class UsageError(ToolboxError):
    """A wrong command: an option, a name or a path that does not exist."""

    exit_code = 2


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One fault of a recipe.

    Attributes:
        location: the dotted key in the recipe, such as ``generator.optimizer.lr``; empty for the whole recipe.
        message: what is wrong and what to do.
    """

    location: str
    message: str

    def __str__(self) -> str:
        return f"{self.location}: {self.message}" if self.location else self.message


class RecipeError(UsageError):
    """All faults of one recipe, in the order in which they were found."""

    def __init__(self, recipe: str, faults: Iterable[Fault]) -> None:
        self.recipe = recipe
        self.faults = tuple(faults)
        count = "1 fault" if len(self.faults) == 1 else f"{len(self.faults)} faults"
        lines = [f"Recipe '{recipe}' has {count}:", *(f"  {fault}" for fault in self.faults)]
        super().__init__("\n".join(lines))


class DataError(ToolboxError):
    """A photograph or a data folder that can't be used; the message names the file and the remedy."""


class ImageFileError(DataError):
    """An image file that can't be used, or a pair of them; the message names the file and what is wrong."""


class OutputError(ToolboxError):
    """A result that can't be written: a full disk, a folder without permission."""


class WeightsError(ToolboxError):
    """A weight file or a checkpoint that is damaged or does not fit the network."""


class PluginError(ToolboxError):
    """A plugin that failed; the message names the plugin and how to disable it."""


class InstallationError(ToolboxError):
    """Something that this installation lacks: a library, versions that fit together, an internet connection."""


class TrainingError(ToolboxError):
    """A training run that failed: memory ran out, or a value is NaN or infinite."""


class CancelledError(ToolboxError):
    """Work that was cancelled between its steps; nothing is wrong, and nothing was written."""


def did_you_mean(name: str, choices: Iterable[str], cutoff: float = 0.65) -> str:
    """Return `` Did you mean 'x'?`` for the choice that is most like `name`, or the only one that begins with it.

    An empty string if none is similar. With a lower cutoff, "depth" would be like "width".
    """
    known = list(choices)
    longer = [choice for choice in known if len(name) > 2 and choice.startswith(name)]
    matches = difflib.get_close_matches(name, known, n=1, cutoff=cutoff) or (longer if len(longer) == 1 else [])
    return f" Did you mean '{matches[0]}'?" if matches else ""


def unknown_name(kind: str, name: str, choices: Iterable[str], see: str = "") -> str:
    """Return the message for an unknown name.

    Args:
        kind: what the name should be, such as "loss".
        name: the unknown name.
        choices: all known names.
        see: a command that lists them, or an empty string.
    """
    known, name = sorted(choices), str(name)  # from Python, it may be anything
    listed = ", ".join(known) if known else "none"
    tail = f" See `{see}`." if see else ""
    return f"{kind.capitalize()} '{name}' is not known.{did_you_mean(name, known)} Known: {listed}.{tail}"
