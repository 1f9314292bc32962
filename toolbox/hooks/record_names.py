"""The names under which a run records values, and those that the records of a run use themselves."""

from __future__ import annotations

import re
from collections.abc import Iterable

# The fields of a step's record that are no terms. Records of version 0.1 have a time.
STEP_FIELDS = ("step", "epoch", "time")
# The fields that mark other records: of a warning, of an epoch, of a validation. Their values are tables.
TABLES = ("warning", "epoch_end", "validation")
# Names of terms in the records of version 0.1, and their current names.
RENAMED = {"told": "d_accuracy"}
# What toolbox itself records of each step or epoch, beside the terms of a training step.
_OWN_TERMS = ("gradient.g", "gradient.d", "seconds", "images_per_second", "memory")
_OWN_PREFIX = "lr."  # the learning rates of the networks
_TERM = re.compile(r"[^\W\d_][\w./-]{0,99}")

RESERVED_TERMS = (*STEP_FIELDS, *TABLES, *RENAMED, *_OWN_TERMS)
# Names that a figure of a validation may not have.
RESERVED_FIGURES = ("loss", "S", "M", "C", "score", "step", "epoch")


def require_term_name(name: object) -> None:
    """Raise TypeError or ValueError if a training step can't record a term under this name."""
    if not isinstance(name, str):
        raise TypeError(f"the name of a term is {name!r}, not a text")
    if name in RESERVED_TERMS or name.startswith(_OWN_PREFIX):
        raise ValueError(
            f"a term can't have the name '{name}', which the records of a run use ({', '.join(RESERVED_TERMS)}, and "
            f"names that begin with {_OWN_PREFIX}); record it under another name"
        )
    if not _TERM.fullmatch(name):
        raise ValueError(
            f"a term can't have the name {name!r}; use up to 100 letters, digits, -, _, . and /, beginning with a "
            "letter"
        )


def require_figure_names(names: Iterable[object], step: str = "the training step") -> None:
    """Raise ValueError if a training step can't have figures of these names; `loss` is allowed."""
    used = RESERVED_FIGURES[1:]
    wrong = next((name for name in names if not isinstance(name, str) or name in used), None)
    if wrong is not None:
        raise ValueError(
            f"a figure of {step} has the name {wrong!r}; use a text other than {', '.join(used)}, which the records of "
            "a run use"
        )
