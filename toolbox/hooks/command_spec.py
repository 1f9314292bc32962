"""The spec of a command of the command line."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from toolbox.hooks.specs import Spec

# In the order of the help. The module of a command has the same name; only the command that runs is imported. A plugin
# of such a name can't have commands.
CORE_COMMANDS = (
    *("run", "restore", "list", "show", "plugins", "plugin", "recipe", "weights", "bench", "doctor", "mask", "score"),
    *("serve", "report", "runs", "compare", "sweep"),
)


@dataclass(frozen=True, kw_only=True)
class CommandSpec(Spec):
    """A command, which users run as ``toolbox PLUGIN COMMAND``.

    Attributes:
        name: the name of the command, unique in its plugin.
        summary: one line for ``toolbox PLUGIN --help`` and `toolbox list commands`.
        load: called without arguments when the command runs; returns a `click.Command`. Imports belong in it.
    """

    kind = "command"
    load: Callable[[], Any]

    def __post_init__(self) -> None:
        """Raise ValueError or TypeError for a command that can't be listed or loaded."""
        super().__post_init__()
        if not self.summary.strip() or "\n" in self.summary:
            raise ValueError(f"'{self.name}' needs a summary of one line")
        if not callable(self.load):
            raise TypeError(f"load of '{self.name}' is not callable")
