"""The report of a restored album: report.html, made from the report.json that `toolbox restore` writes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from toolbox.errors import DataError
from toolbox.reports.page import figure, html_page, paragraph, picture_file, section, table
from toolbox.utils import files

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
        record = json.loads((folder / RECORD).read_text("utf-8"))
        text = album_report(record, files.printable(folder.resolve().name))
    except OSError as error:
        raise DataError(f"{folder / RECORD} can't be read: {error.strerror or error}.") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{folder / RECORD} is not a report of toolbox restore.") from error
    path = folder / REPORT
    files.write_text(path, text)
    return path


def album_report(record: Mapping[str, Any], name: str) -> str:
    """Return the report of an album as HTML; `record` is what report.json holds."""
    photos = record["photos"]
    rows = [(status, record[status]) for status in _COUNTS if record.get(status)]
    sections = [section("Overview", table((), rows))]
    failed = [(photo["photo"], photo["reason"]) for photo in photos if photo["status"] == "failed"]
    if failed:
        sections.append(section("Failed", table(("photo", "reason"), failed)))
    restored = [photo for photo in photos if photo["status"] in ("restored", "there already")]
    sections += [_photo_section(photo) for photo in restored[:MAX_SHOWN]]
    if len(restored) > MAX_SHOWN:
        sections.append(paragraph(f"{len(restored) - MAX_SHOWN} more photographs are not shown."))
    left = [(photo["photo"], photo["reason"]) for photo in photos if photo["status"] == "left as it is"]
    if left:
        sections.append(section("Left as they are", table(("photo", "reason"), left)))
    return html_page(f"Album {name}", sections)


def _photo_section(photo: Mapping[str, Any]) -> str:
    pictures = [
        figure(picture, caption)
        for caption, path in (("before", photo["photo"]), ("after", photo["result"]))
        if (picture := picture_file(Path(path))) is not None
    ]
    facts = [photo.get("kind", ""), f"{100 * photo.get('lost', 0):.2g} % was filled in", *photo.get("notes", ())]
    origins = photo.get("origins") or {}
    facts += [f"{100 * fraction:.2g} % {name}" for name, fraction in origins.items()]
    return section(photo["photo"], *pictures, paragraph("; ".join(fact for fact in facts if fact)))
