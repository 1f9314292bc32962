"""What has changed in the options of a command since an existing file was made."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Mapping
from pathlib import Path

from toolbox.hooks.specs import DEFAULT_FILL, DEFAULT_WEIGHTS
from toolbox.inference.photo_search import LeftOut, find_photos
from toolbox.masks.detectors import PAINTED_SHAPE
from toolbox.utils import files
from toolbox.utils.run_names import BEST

REPLACE_REMEDY = "replace it with --overwrite, or choose another folder with -o"
# What is used if these options are left out, with the weights that are the default.
_DEFAULTS = {"fill": DEFAULT_FILL, "detector": PAINTED_SHAPE.name}
_SAMPLE = 4096  # bytes


def flag_changes(recorded: Mapping[str, str], now: Mapping[str, str]) -> str:
    """Return the options that differ, such as "--grow 3, now default"; an empty string if none do.

    An option that names its default does not differ from one that is left out.

    Args:
        recorded: the options with which the file was made, without those that had their default.
        now: those of this command.
    """
    recorded, now = _without_defaults(recorded), _without_defaults(now)
    return "; ".join(
        f"--{flag} {recorded.get(flag, 'default')}, now {now.get(flag, 'default')}"
        for flag in sorted(recorded.keys() | now.keys())
        if recorded.get(flag) != now.get(flag)
    )


def _without_defaults(flags: Mapping[str, str]) -> dict[str, str]:
    """Return the options without those that name what is used without them; other weights decide about that."""
    has_default_weights = flags.get("weights", DEFAULT_WEIGHTS) == DEFAULT_WEIGHTS
    return {flag: value for flag, value in flags.items() if not (has_default_weights and _DEFAULTS.get(flag) == value)}


def identify_file(path: str | Path, *, photos: bool = True, skip: Path | None = None) -> str:
    """Return a path that an option names, and in brackets what tells a replaced file from the one before.

    That is part of the SHA-256 of a file, of the best weights of a run folder, or of the names, the sizes and a part of
    the content of the photographs in another folder. What is no path, such as the name of published weights, is
    returned as it is.

    Args:
        path: the value of the option.
        photos: whether the option takes a folder of photographs; weights are in no such folder.
        skip: a folder whose photographs do not count: that of the results.
    """
    folder = Path(path)
    for candidate in (folder, folder / BEST):
        if os.path.isfile(candidate):  # it may be too long for a path
            return f"{path} ({files.sha256(candidate)[:12]})"
    if not photos or not os.path.isdir(folder):
        return str(path)
    digest = hashlib.sha256()
    for photo in find_photos(folder, LeftOut(), skip=() if skip is None else (skip,)):
        digest.update(f"{files.printable(photo.relative_to(folder))} {photo.stat().st_size}\n".encode())
        digest.update(_samples(photo))
    return f"{path} ({digest.hexdigest()[:12]})"


def _samples(path: Path) -> bytes:
    """Return three parts of a file, because a folder may have too many to read them whole; none if it is unreadable."""
    parts: list[bytes] = []
    if not path.is_file():  # a pipe would be waited for
        return b""
    with contextlib.suppress(OSError), open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        for start in (0, size // 2, max(0, size - _SAMPLE)):
            file.seek(start)
            parts.append(file.read(_SAMPLE))
    return b"".join(parts)
