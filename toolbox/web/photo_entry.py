"""One photograph that is open in the page: what the server knows of it, and the record in its folder."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from toolbox.errors import ToolboxError
from toolbox.utils.json_values import parse_json

# The name of the record in the folder of a photograph.
RECORD = "photo.json"
# The states of a photograph whose restoration is not finished.
BUSY = ("waiting", "running")
# The fields of `PhotoEntry` that a restoration changes.
OUTCOME = ("state", "kind", "reason", "notes", "origins", "settings", "luma", "began", "restored_edits")


@dataclass(frozen=True, kw_only=True)
class PhotoEntry:
    """One open photograph, as the page sees it.

    Attributes:
        id: what the server calls it.
        name: the file name that the browser gave, for display only.
        width, height: of the upright photograph, in pixels.
        kind: "gray", "toned" or "colour"; when it was restored, that of the print that was cut out and corrected.
        lost: the fraction of its pixels that the mask marks.
        is_edited: whether a person has changed the mask.
        edits: how often its mask, its strokes, its reference or the damage to repair was changed.
        restored_edits: `edits` when its last restoration began; fewer than now: its result is out of date.
        cautions: what the file of the mask may lack, if it was loaded from one.
        state: "new", "waiting", "running", "restored", "unchanged" or "failed".
        began: when its restoration began, in seconds since 1970.
        reason: why it failed or was left unchanged.
        notes: what else was changed when it was restored.
        origins: the fraction of its pixels from each source, such as "colour from hint", when it was restored.
        settings: the settings of its last restoration.
        luma: what the luma of its result was made from; see `toolbox.web.quick_colors.luma_key`.
        has_hints: whether it has strokes of colour.
        reference: the name of its reference photograph, for display only; empty if it has none.
    """

    id: str
    name: str
    width: int
    height: int
    kind: str
    lost: float = 0.0
    is_edited: bool = False
    edits: int = 0
    restored_edits: int = 0
    cautions: tuple[str, ...] = ()
    state: str = "new"
    began: float = 0.0
    reason: str = ""
    notes: tuple[str, ...] = ()
    origins: dict[str, float] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    luma: str = ""
    has_hints: bool = False
    reference: str = ""


def outcome(entry: PhotoEntry) -> dict[str, Any]:
    """Return the fields of a photograph that a restoration changes."""
    return {name: getattr(entry, name) for name in OUTCOME}


def read_entries(folder: Path) -> Iterator[PhotoEntry]:
    """Yield the photographs that an earlier server kept."""
    for path in sorted(folder.glob(f"*/{RECORD}")):
        try:
            record = parse_json(path.read_text("utf-8"))
            entry = PhotoEntry(**record | {"id": path.parent.name, "notes": tuple(record["notes"]), "cautions": ()})
        except (OSError, ValueError, TypeError, KeyError, ToolboxError):
            continue  # not written by this version
        # An earlier version kept the state of a restoration that was not finished.
        yield replace(entry, state="new") if entry.state in BUSY else entry
