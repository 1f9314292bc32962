"""The options of commands that look for damage: its kinds, the sensitivity and the network."""

from __future__ import annotations

import click

from toolbox.cli.common import FiniteRange, option_group
from toolbox.errors import UsageError

damage_options = option_group(
    click.option("--kinds", metavar="KIND,...", help="Kinds of damage that count: scratch,fold,dust,stain,tear."),
    click.option(
        "--sensitivity",
        type=FiniteRange(0, 1),
        help="How much counts as damage: 0 is only what is certain, 1 also what is unlikely.  [default: 0.5]",
    ),
    click.option(
        "--damage-weights",
        metavar="RUN|FILE",
        help="Weights of the network that finds damage: a run of the recipe damage, or a file.",
    ),
)


def damage_params(
    flag: str, is_on: bool, kinds: str | None, sensitivity: float | None, weights: str | None
) -> dict[str, object] | bool:
    """Return what `damage_detector` takes: False without the flag, else the params; UsageError for params alone."""
    option_values = {
        "kinds": None if kinds is None else [kind.strip() for kind in kinds.split(",") if kind.strip()],
        "sensitivity": sensitivity,
        "weights": weights,
    }
    if option_values["kinds"] == []:
        raise UsageError("--kinds names no kind of damage; name some, such as --kinds scratch,dust, or leave it out.")
    params: dict[str, object] = {name: value for name, value in option_values.items() if value is not None}
    if not is_on:
        if params:
            option = next(iter(params)).replace("weights", "damage-weights")
            raise UsageError(f"--{option} needs {flag}; add it.")
        return False
    return params or True
