"""Compare file names: macOS and some zips write é as two characters, which look the same and are not equal."""

from __future__ import annotations

import unicodedata
from pathlib import Path


def comparable(name: str) -> str:
    """Return a name in the form in which equal names are equal (NFC)."""
    return unicodedata.normalize("NFC", name)


def comparable_stem(name: str | Path) -> str:
    """Return a file name before its suffix, as `comparable` does."""
    return comparable(Path(name).stem)
