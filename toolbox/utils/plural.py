"""Numbers with their nouns as text."""

from __future__ import annotations


def counted(number: float, noun: str) -> str:
    """Return a number and its noun, as ``1 step``, ``2 steps`` or ``0.5 minutes``."""
    return f"{number:g} {noun}{'' if number == 1 else 's'}"
