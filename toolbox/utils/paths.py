"""The user's folders: configuration and cache."""

from __future__ import annotations

import atexit
import functools
import os
import shutil
import tempfile
from pathlib import Path

from toolbox.errors import InstallationError


def config_dir() -> Path:
    """Return the folder of the user's registry: ``TOOLBOX_HOME``, or the usual folder of the system.

    Raises:
        InstallationError: the user has no home folder, as in many containers.
    """
    folder = _user_dir("TOOLBOX_HOME", "APPDATA", "XDG_CONFIG_HOME", ".config")
    if folder is None:
        raise InstallationError("This user has no home folder. Set TOOLBOX_HOME to a folder for the configuration.")
    return folder


def cache_dir() -> Path:
    """Return the folder of files that can be computed again: ``TOOLBOX_CACHE``, or the usual folder of the system.

    For a user without a home folder it is a temporary folder, which this process deletes when it ends.
    """
    return _user_dir("TOOLBOX_CACHE", "LOCALAPPDATA", "XDG_CACHE_HOME", ".cache") or _temporary_cache()


@functools.cache
def _temporary_cache() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="toolbox-cache-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def _user_dir(variable: str, windows_variable: str, xdg_variable: str, default: str) -> Path | None:
    """Return the folder that our variable or the system's names, or one below the home folder; None without one."""
    own = os.environ.get(variable)
    if own:
        return Path(os.path.expanduser(own))  # no shell has replaced a ~ that was quoted, or that is in a file
    parent = os.environ.get(windows_variable if os.name == "nt" else xdg_variable, "")
    # A relative path would depend on the working folder, from which no configuration is read automatically.
    if os.path.isabs(parent):
        return Path(parent) / "toolbox"
    home = os.path.expanduser("~")
    # Python takes an empty HOME for the root folder.
    return Path(home) / default / "toolbox" if os.path.isabs(home) and os.environ.get("HOME") != "" else None
