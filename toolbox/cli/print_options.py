"""The options of `toolbox restore` that correct a print: crop, evenness, contrast, cast."""

from __future__ import annotations

from typing import Any, Literal, Protocol

import click

from toolbox.cli.common import FiniteRange, option_group

_STRENGTH = FiniteRange(0, 1)
print_options = option_group(
    click.option(
        "--contrast",
        type=_STRENGTH,
        metavar="0..1",
        help="Restore the contrast of a faded print, by this strength. Changes the known brightness.",
    ),
    click.option(
        "--cast",
        type=_STRENGTH,
        metavar="0..1",
        help="Remove yellowing or a cast, by this strength. Changes known colours.",
    ),
    click.option(
        "--evenness",
        type=_STRENGTH,
        metavar="0..1",
        help="Even out a vignette or a shadow over the sheet, by this strength. Changes the known brightness.",
    ),
    click.option(
        "--crop",
        type=click.Choice(["none", "print"]),
        help="print: cut out the sheet of a print that was photographed on a table, and straighten it.  "
        "[default: none]",
    ),
    click.option(
        "--auto",
        is_flag=True,
        help="Decide for each print which of --crop print, --contrast and --cast it needs, and apply "
        "them. A colour photo that needs none is copied.",
    ),
)


class PrintArguments(Protocol):
    """The values of these options; None where an option is not given."""

    @property
    def contrast(self) -> float | None: ...  # noqa: D102

    @property
    def cast(self) -> float | None: ...  # noqa: D102

    @property
    def evenness(self) -> float | None: ...  # noqa: D102

    @property
    def crop(self) -> Literal["none", "print"] | None: ...  # noqa: D102

    @property
    def auto(self) -> bool: ...  # noqa: D102


def correction_fields(values: PrintArguments) -> dict[str, Any]:
    """Return the fields of `RestoreOptions`: the requested corrections, and those that the diagnosis decides."""
    from toolbox.prints.corrections import chosen_corrections

    names = ("crop", "evenness", "contrast", "cast")
    chosen = {name: getattr(values, name) for name in names}
    corrections, auto = chosen_corrections(auto=values.auto, **chosen)
    return {"corrections": corrections, "auto": auto}
