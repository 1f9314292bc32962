"""Where things of the user's are kept: the configuration, and what can be computed again."""

from __future__ import annotations

import os
from pathlib import Path


def config_dir() -> Path:
    """Return the folder of the user's registry: ``TOOLBOX_HOME``, or the system's usual place."""
    return _place("TOOLBOX_HOME", "APPDATA", "XDG_CONFIG_HOME", ".config")


def cache_dir() -> Path:
    """Return the folder of what can be computed again: ``TOOLBOX_CACHE``, or the system's usual place."""
    return _place("TOOLBOX_CACHE", "LOCALAPPDATA", "XDG_CACHE_HOME", ".cache")


def _place(own: str, windows: str, other: str, usual: str) -> Path:
    chosen = os.environ.get(own)
    if chosen:
        return Path(chosen)
    base = os.environ.get(windows if os.name == "nt" else other)
    return (Path(base) if base else Path.home() / usual) / "toolbox"
