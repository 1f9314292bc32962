"""The kinds of damage, in the order of their numbers."""

from __future__ import annotations

from typing import Literal, get_args

Kind = Literal["scratch", "fold", "dust", "stain", "tear"]
KINDS: tuple[Kind, ...] = get_args(Kind)
