"""The options of commands that look for damage: its kinds and the sensitivity."""

from __future__ import annotations

import click

from toolbox.cli.common import option_group
from toolbox.errors import UsageError

damage_options = option_group(
    click.option("--kinds", metavar="KIND,...", help="Kinds of damage that count: scratch,fold,dust,stain,tear."),
    click.option(
        "--sensitivity",
        type=click.FloatRange(0, 1),
        help="How much counts as damage: 0 is only what is certain, 1 also what is unlikely.  [default: 0.5]",
    ),
)


def damage_params(flag: str, is_on: bool, kinds: str | None, sensitivity: float | None) -> dict[str, object] | bool:
    """Return what `damage_detector` takes: False without the flag, else the params; UsageError for params alone."""
    given = {
        "kinds": None if kinds is None else [kind.strip() for kind in kinds.split(",") if kind.strip()],
        "sensitivity": sensitivity,
    }
    params: dict[str, object] = {name: value for name, value in given.items() if value is not None}
    if not is_on:
        if params:
            raise UsageError(f"--{next(iter(params))} needs {flag}; add it.")
        return False
    return params or True
