"""The user's folders: configuration and cache."""

from __future__ import annotations

import os
from pathlib import Path


def config_dir() -> Path:
    """Return the folder of the user's registry: ``TOOLBOX_HOME``, or the usual folder of the system."""
    return _user_dir("TOOLBOX_HOME", "APPDATA", "XDG_CONFIG_HOME", ".config")


def cache_dir() -> Path:
    """Return the folder of files that can be computed again: ``TOOLBOX_CACHE``, or the usual folder of the system."""
    return _user_dir("TOOLBOX_CACHE", "LOCALAPPDATA", "XDG_CACHE_HOME", ".cache")


def _user_dir(variable: str, windows_variable: str, xdg_variable: str, default: str) -> Path:
    own = os.environ.get(variable)
    if own:
        return Path(own)
    parent = os.environ.get(windows_variable if os.name == "nt" else xdg_variable)
    return (Path(parent) if parent else Path.home() / default) / "toolbox"
