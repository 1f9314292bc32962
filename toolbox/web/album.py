"""The photographs that are open in the page, each in a folder of its own with its mask, its guides and its result.

The server chooses every path. A name from outside is kept as text and is never part of a path.
"""

from __future__ import annotations

import secrets
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from toolbox.errors import DataError, OutputError, UsageError
from toolbox.imaging import io
from toolbox.imaging.formats import format_named
from toolbox.imaging.pixels import shrink
from toolbox.inference.options import RestoreOptions
from toolbox.inference.output_paths import Job, plan_jobs
from toolbox.inference.photo_mask import find_mask
from toolbox.masks.sources import MAX_LOST, MaskOptions, check_mask_size, looks_inverted, transparent_pixels
from toolbox.utils import files
from toolbox.web.photo_entry import BUSY, RECORD, PhotoEntry, outcome, read_entries

MAX_PHOTOS = 1000
MAX_NAME = 200
# Files of a photograph: its mask, what it lacks itself (transparent, or cut off), strokes of colour, a reference
# photograph (with a suffix), and a small picture of it.
MASK = "mask.png"
MISSING = "missing.png"
HINTS = "hints.png"
REFERENCE = "reference"
REFERENCE_VIEW = "small-reference.png"
SMALL_VIEW = "small.png"
# The longer side of small pictures, in pixels.
SMALL_SIDE = 320


class Album:
    """The open photographs, in the order in which they came. All methods may be called from several threads."""

    def __init__(self, folder: Path, *, max_pixels: int = io.MAX_PIXELS) -> None:
        """Open the album in `folder`; photographs that an earlier server kept there are open again."""
        self.folder = folder
        self.max_pixels = max_pixels
        self._lock = threading.RLock()
        self._entries: dict[str, PhotoEntry] = {entry.id: entry for entry in read_entries(folder)}
        # The photographs as their last restoration left them: what a killed server leaves is not half of the next one.
        self._finished = dict(self._entries)

    def entries(self) -> list[PhotoEntry]:
        """Return all photographs."""
        with self._lock:
            return list(self._entries.values())

    def entry(self, photo_id: str) -> PhotoEntry:
        """Return one photograph; KeyError if there is none with that id."""
        with self._lock:
            return self._entries[photo_id]

    def digests(self) -> set[str]:
        """Return the SHA-256 of the file of each open photograph."""
        return {files.sha256(self.job(entry.id).photo) for entry in self.entries()}

    def add(self, data: bytes, name: str) -> PhotoEntry:
        """Open a photograph: check and decode it, and find its lost region.

        Raises:
            DataError: the bytes are no image that can be read, or it is too large.
            UsageError: too many photographs are open.
        """
        name = clean_name(name)
        photo = io.decode(data, name, max_pixels=self.max_pixels, accept_cut=True)
        rgb = io.to_rgb8(photo)
        with self._lock:
            if len(self._entries) >= MAX_PHOTOS:
                raise UsageError(f"{MAX_PHOTOS} photographs are open. Close some of them first.")
        # The time first, so that the folders are in the order in which the photographs came.
        photo_id = f"{time.time_ns():016x}{secrets.token_hex(4)}"
        folder = self.folder / photo_id
        files.ensure_folder(folder)
        path = folder / f"photo{format_named(photo.format).suffixes[0]}"
        files.write_bytes(path, data)
        toning, mask, _ = find_mask(photo, rgb, _job(path), MaskOptions(max_pixels=self.max_pixels))
        height, width = mask.shape
        _write_mask(folder / MASK, mask)
        missing = transparent_pixels(photo)
        if missing.any():
            _write_mask(folder / MISSING, missing)
        io.write_png(folder / "view.png", rgb)
        io.write_png(folder / SMALL_VIEW, shrink(rgb, SMALL_SIDE))
        entry = PhotoEntry(
            id=photo_id, name=name, width=width, height=height, kind=toning.kind, lost=float(mask.mean())
        )
        self._store(entry)
        return entry

    def remove(self, photo_id: str) -> None:
        """Close a photograph and delete its files."""
        with self._lock:
            del self._entries[photo_id]
            self._finished.pop(photo_id, None)
        shutil.rmtree(self.folder / photo_id, ignore_errors=True)

    def sweep(self, photo_id: str) -> None:
        """Delete what was written for a photograph after it was closed."""
        with self._lock:
            is_open = photo_id in self._entries
        if not is_open:
            shutil.rmtree(self.folder / photo_id, ignore_errors=True)

    def read_mask(self, photo_id: str, data: bytes) -> tuple[np.ndarray, tuple[str, ...]]:
        """Return the mask of a file, (H, W) bool, True where the picture is lost, and cautions about the file.

        Raises:
            DataError: it is no image, or has another size than the photograph.
        """
        entry, cautions = self.entry(photo_id), list[str]()
        with self.upload(photo_id, data, "The mask") as path:
            mask = io.read_mask(path, max_pixels=self.max_pixels, warn=cautions.append)
        lines = [line.removeprefix(f"{files.printable(path)}: ") for line in cautions]
        check_mask_size(mask, (entry.height, entry.width))
        lost = float(mask.mean())
        if lost > MAX_LOST or looks_inverted(mask):
            lines.append(f"the mask marks {100 * lost:.1f} % of the photo; if it is inverted, load an inverted copy")
        return mask, tuple(lines)

    def set_mask(self, photo_id: str, mask: np.ndarray, *, cautions: tuple[str, ...] = ()) -> PhotoEntry:
        """Replace the mask by that of a person, (H, W) bool, True where the picture is lost.

        What the photograph lacks itself stays lost: it is filled in any case.
        """
        missing = self.path(photo_id, MISSING)
        if missing.is_file():
            mask = mask | io.read_mask(missing, meaning="white", max_pixels=self.max_pixels)
        _write_mask(self.path(photo_id, MASK), mask)
        return self.edit(photo_id, lost=float(mask.mean()), is_edited=True, cautions=cautions)

    @contextmanager
    def upload(self, photo_id: str, data: bytes, name: str) -> Iterator[Path]:
        """Yield a file with uploaded bytes, which is deleted at the end; a DataError calls it `name`."""
        path = self.path(photo_id, f"upload-{secrets.token_hex(4)}.png")
        files.write_bytes(path, data)
        try:
            yield path
        except DataError as error:
            raise DataError(str(error).replace(files.printable(path), name)) from error
        finally:
            path.unlink()

    def edit(self, photo_id: str, **changes: Any) -> PhotoEntry:  # noqa: ANN401 - the fields of PhotoEntry
        """Record a change that a result does not have yet, and return the photograph."""
        with self._lock:
            self.update(photo_id, edits=self.entry(photo_id).edits + 1, **changes)
            return self.entry(photo_id)

    def update(self, photo_id: str, **changes: Any) -> None:  # noqa: ANN401 - the fields of PhotoEntry
        """Change what is known of a photograph; one that was closed meanwhile stays closed.

        On a full disk, the change is kept in memory alone.
        """
        with self._lock:
            entry = self._entries.get(photo_id)
            if entry is not None:
                self._entries[photo_id] = replace(entry, **changes)
                with suppress(OutputError):
                    self._store(self._entries[photo_id])

    def path(self, photo_id: str, name: str) -> Path:
        """Return the path of a file of a photograph, whether it exists or not; the server chooses `name`."""
        return self.folder / self.entry(photo_id).id / name

    def view(self, photo_id: str) -> Path:
        """Return the photograph as PNG, upright, in sRGB."""
        return self._existing(photo_id, "view.png")

    def small_view(self, photo_id: str) -> Path:
        """Return a small picture of the photograph, as PNG."""
        return self._existing(photo_id, SMALL_VIEW)

    def mask(self, photo_id: str) -> Path:
        """Return the mask as PNG; white is lost."""
        return self._existing(photo_id, MASK)

    def hints(self, photo_id: str) -> Path:
        """Return the strokes of colour as PNG, transparent where there is none."""
        return self._existing(photo_id, HINTS)

    def reference_view(self, photo_id: str) -> Path:
        """Return a small picture of the reference photograph, as PNG."""
        return self._existing(photo_id, REFERENCE_VIEW)

    def result(self, photo_id: str) -> Path:
        """Return the file that was restored last, as `toolbox restore` writes it."""
        return self._existing(photo_id, f"result/{self.job(photo_id).target.name}")

    def provenance(self, photo_id: str) -> Path:
        """Return the picture of where the pixels of the result come from, as `--provenance` writes it."""
        return self._existing(photo_id, f"result/{self.job(photo_id).provenance.name}")

    def job(self, photo_id: str) -> Job:
        """Return the photograph's file and the path of its result, as `toolbox restore` chooses it."""
        folder = self.folder / self.entry(photo_id).id
        photo = next(path for path in sorted(folder.glob("photo.*")) if path.name != RECORD)
        return plan_jobs([photo], folder / "result")[0]

    def options(self, photo_id: str, *, second: str = "scene", **choices: Any) -> RestoreOptions:  # noqa: ANN401
        """Return the options for restoring: a mask that a person has changed replaces the search for a lost region.

        Args:
            photo_id: the photograph.
            second: what its second photograph is: "scene", a reference; or "colours", a palette.
            choices: further fields of RestoreOptions.
        """
        entry = self.entry(photo_id)
        mask_options = MaskOptions(max_pixels=self.max_pixels)
        if entry.is_edited:
            path = self.mask(photo_id) if entry.lost else None
            # A person has drawn this mask and seen it, so it is not refused for its size.
            mask_options = replace(mask_options, path=path, search=False, meaning="white", allow_large=True)
        seconds = tuple(reference_files(self.folder / entry.id)) if entry.reference else ()
        is_palette = second == "colours"
        options = RestoreOptions(
            mask_options=mask_options,
            hints=self.hints(photo_id) if entry.has_hints else None,
            references=() if is_palette else seconds,
            palette=seconds[0] if seconds and is_palette else None,
            provenance=True,
            overwrite=True,
            max_pixels=self.max_pixels,
            **choices,
        )
        if entry.lost or options.may_crop:
            return options
        # Nothing was found when the photograph was opened. Another search takes a fifth of the time of a restoration.
        return replace(options, mask_options=replace(options.mask_options, search=False))

    def _existing(self, photo_id: str, name: str) -> Path:
        path = self.path(photo_id, name)
        if not path.is_file():
            raise KeyError(name)
        return path

    def _store(self, entry: PhotoEntry) -> None:
        with self._lock:
            if not (self.folder / entry.id).is_dir():
                return
            if entry.state not in BUSY:
                self._finished[entry.id] = entry
            record = replace(entry, **outcome(self._finished[entry.id]))
            files.write_json(self.folder / entry.id / RECORD, asdict(record))
            self._entries[entry.id] = entry


def reference_files(folder: Path) -> list[Path]:
    """Return the file of the reference in the folder of a photograph; none if it has no reference."""
    return sorted(folder.glob(f"{REFERENCE}.*"))


def clean_name(name: str) -> str:
    """Return a file name for display: one line, without folders, of at most 200 characters."""
    base = name.replace("\\", "/").rsplit("/", 1)[-1]
    return files.printable(base)[:MAX_NAME] or "photograph"


def _job(path: Path) -> Job:
    return Job(photo=path, relative_path=Path(path.name), target=path)


def _write_mask(path: Path, mask: np.ndarray) -> None:
    io.write_png(path, mask.astype(np.uint8) * 255)
