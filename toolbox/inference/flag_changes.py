"""What has changed in the options of a command since an existing file was made."""

from __future__ import annotations

from collections.abc import Mapping

REPLACE_REMEDY = "replace it with --overwrite, or choose another folder with -o"


def flag_changes(recorded: Mapping[str, str], now: Mapping[str, str]) -> str:
    """Return the options that differ, such as "--grow 3, now default"; an empty string if none do.

    Args:
        recorded: the options with which the file was made, without those that had their default.
        now: those of this command.
    """
    return "; ".join(
        f"--{flag} {recorded.get(flag, 'default')}, now {now.get(flag, 'default')}"
        for flag in sorted(recorded.keys() | now.keys())
        if recorded.get(flag) != now.get(flag)
    )
