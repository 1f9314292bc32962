"""Versions of installed distributions: toolbox itself, and the packages that it needs."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version

# PyPI's `toolbox` is another project, so the distribution has a name of its own.
DISTRIBUTION = "toolbox-restore"
NOT_INSTALLED = "not installed"


def find_version(distribution: str) -> str | None:
    """Return the version of an installed distribution, None if it is not installed or its metadata is gone."""
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None


def list_versions(distributions: Iterable[str]) -> dict[str, str]:
    """Return the version of each distribution by its name, `NOT_INSTALLED` for those that are missing."""
    return {name: find_version(name) or NOT_INSTALLED for name in distributions}


def toolbox_version() -> str:
    """Return the version of the installed toolbox, an empty string if it runs without being installed."""
    return find_version(DISTRIBUTION) or ""
