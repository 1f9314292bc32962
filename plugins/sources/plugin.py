"""Hooks of the data bundle. Each command is imported when it runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from toolbox import CommandSpec, hookimpl

if TYPE_CHECKING:
    import click

TOOLBOX_API = 1


def load_damage() -> click.Command:
    """Load `toolbox data damage`."""
    from .damage import damage

    return damage


@hookimpl
def toolbox_commands() -> list[CommandSpec]:
    """Return the commands of this plugin."""
    return [
        CommandSpec(
            name="damage",
            summary="Make a data folder of pairs from undamaged photographs, with simulated damage",
            load=load_damage,
        )
    ]
