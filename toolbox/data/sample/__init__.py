"""The sample photographs: free ones, for a first run and for the tests. LICENCES.md lists their authors."""

from __future__ import annotations

from pathlib import Path


def folder() -> Path:
    """Return the folder with `photos/` (to train and validate) and `test/` (restored at the end)."""
    return Path(__file__).parent
