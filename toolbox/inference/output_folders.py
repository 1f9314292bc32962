"""Recognise the folders that `toolbox restore` and `toolbox mask` write into, and their reports."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from toolbox.utils import files
from toolbox.utils.json_values import parse_json
from toolbox.utils.limits import MAX_VARIANTS
from toolbox.utils.text_files import read_text

REPORTS = "report*.json"  # of `toolbox restore`, one for each process
# Of the pictures that `toolbox restore` writes beside a result.
PICTURE_KINDS = ("before-after", "provenance", "preview", "variants", *(f"v{n}" for n in range(1, MAX_VARIANTS + 1)))
MASK_RECORDS = ".masks.json"  # of `toolbox mask`; hidden, so that it is not taken for a mask


def is_report(path: Path) -> bool:
    """Return whether a file is a report of `toolbox restore`, and not another file of that name."""
    try:
        report = parse_json(read_text(path))
    except (OSError, ValueError):
        return False
    return isinstance(report, dict) and {"photos", "restored", "failed"} <= report.keys()


def has_reports(folder: Path) -> bool:
    """Return whether a folder has a report of `toolbox restore`; OSError if it can't be read."""
    return any(is_report(path) for path in folder.glob(REPORTS))


def has_results(folder: Path) -> bool:
    """Return whether a folder has results of `toolbox restore` or `toolbox mask`; OSError if it can't be read."""
    return (folder / MASK_RECORDS).is_file() or has_reports(folder)


def describe_pictures(pictures: Sequence[Path]) -> str:
    """Return a line on pictures beside results that are left out; empty if there are none."""
    if not pictures:
        return ""
    return f"pictures beside results left out: {len(pictures)}, as {files.printable(pictures[0].name)}"


def is_picture_beside(path: Path) -> bool:
    """Return whether a picture is written beside a result that exists, such as ``a.png.before-after.png``."""
    result, kind = os.path.splitext(path.stem)
    return path.suffix == ".png" and kind[1:] in PICTURE_KINDS and path.with_name(result).is_file()
