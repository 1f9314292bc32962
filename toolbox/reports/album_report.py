"""The report of a restored album: report.html, made from the report.json that `toolbox restore` writes."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from toolbox.errors import DataError
from toolbox.reports.page import figure, format_number, html_page, paragraph, picture_file, section, table, write_page
from toolbox.utils import files
from toolbox.utils.json_values import parse_json
from toolbox.utils.text_files import read_text

RECORD = "report.json"
REPORT = "report.html"
MAX_SHOWN = 300
_COUNTS = ("restored", "copied", "there already", "left as it is", "failed", "not reached")


def write_album_report(folder: Path) -> Path:
    """Write the report of a folder of results, and return its path.

    Raises:
        DataError: there is no report.json, or it is damaged.
        OutputError: the file can't be written.
    """
    try:
        record = parse_json(read_text(folder / RECORD))
        text = album_report(record, files.folder_name(folder))
    except OSError as error:
        raise DataError(f"{folder / RECORD} can't be read: {error.strerror or error}.") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{folder / RECORD} is not a report of toolbox restore.") from error
    path = folder / REPORT
    write_page(path, text)
    return path


def album_report(record: Mapping[str, Any], name: str) -> str:
    """Return the report of an album as HTML; `record` is what report.json holds."""
    photos = record["photos"]
    folder = _common_folder([str(photo["photo"]) for photo in photos])
    rows = [(status, record[status]) for status in _COUNTS if record.get(status)]
    sections = [section("Overview", table((), rows))]
    failed = [(_short_name(photo, folder), photo["reason"]) for photo in photos if photo["status"] == "failed"]
    if failed:
        sections.append(section("Failed", table(("photo", "reason"), failed)))
    restored = [photo for photo in photos if photo["status"] in ("restored", "there already")]
    sections += [_photo_section(photo, _short_name(photo, folder)) for photo in restored[:MAX_SHOWN]]
    if len(restored) > MAX_SHOWN:
        sections.append(paragraph(f"{len(restored) - MAX_SHOWN} more photographs are not shown."))
    unchanged = ("left as it is", "copied")
    left = [(_short_name(photo, folder), photo["reason"]) for photo in photos if photo["status"] in unchanged]
    if left:
        sections.append(section("Left as they are", table(("photo", "reason"), left)))
    return html_page(f"Album {name}", sections, f"Photographs of {folder}." if folder else "")


def _common_folder(paths: Sequence[str]) -> str:
    """Return the folder that all paths are in; empty if there is none."""
    try:
        return os.path.commonpath([os.path.dirname(path) for path in paths]) if paths else ""
    except ValueError:  # relative paths and others, or several drives
        return ""


def _short_name(photo: Mapping[str, Any], folder: str) -> str:
    """Return the path of a photograph below the folder of all of them."""
    path = str(photo["photo"])
    return os.path.relpath(path, folder) if folder else path


def _percent(fraction: float) -> str:
    """Return a fraction in percent with two significant digits."""
    return f"{format_number(float(f'{100 * fraction:.2g}'))} %"


def _photo_section(photo: Mapping[str, Any], name: str) -> str:
    pictures = [_picture(str(photo["photo"]), "before"), _picture(str(photo["result"]), "after")]
    lost = photo.get("lost", 0)
    facts = [photo.get("kind", ""), f"{_percent(lost)} was filled in" if lost else "", *photo.get("notes", ())]
    origins = photo.get("origins") or {}
    facts += [f"{_percent(fraction)} {origin}" for origin, fraction in origins.items()]
    return section(name, *pictures, paragraph("; ".join(fact for fact in facts if fact)))


def _picture(path: str, caption: str) -> str:
    """Return the picture of a file that a record names, or a line that says that it can't be shown."""
    picture = picture_file(_find_file(path))
    if picture is not None:
        return figure(picture, caption)
    remedy = "" if os.path.isabs(path) else "; its path counts from the folder in which it was restored"
    return paragraph(f"{caption}: {path} can't be shown{remedy}.")


def _find_file(path: str) -> Path:
    """Return the file that a record names. In a record, characters that can't be printed are escaped."""
    found = Path(path)
    if os.path.lexists(found):
        return found
    found = Path(found.anchor)
    for part in Path(path).parts[bool(found.anchor) :]:
        names = [part] if os.path.lexists(found / part) else _names_in(found)
        found /= next((name for name in names if files.printable(name) == part), part)
    return found


def _names_in(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []
