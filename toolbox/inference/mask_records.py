"""Of which photograph each mask in a folder of `toolbox mask` is, so that none passes for that of another one."""

from __future__ import annotations

import json
from pathlib import Path

from toolbox.errors import DataError, OutputError
from toolbox.imaging import io
from toolbox.utils import files

FILE = ".masks.json"  # hidden, so that it is not taken for a mask


class MaskRecords:
    """The SHA-256 and the path of the photograph of each mask in a folder, by the name of the mask."""

    def __init__(self, folder: Path) -> None:
        """Read the records of a folder; a missing or damaged file is no record."""
        self.path = folder / FILE
        self.photos: dict[str, tuple[str, str]] = {}
        try:
            stored = json.loads(self.path.read_text("utf-8"))
            self.photos = {str(name): (str(digest), str(photo)) for name, (digest, photo) in stored.items()}
        except (OSError, ValueError, TypeError, AttributeError):
            pass

    def require_own(self, mask: Path, photo: Path) -> None:
        """Raise OutputError if an existing mask is that of another photograph, or can't be of this one by its size.

        A mask without a record, as one that was drawn by hand, is accepted if it has the size of the photograph.
        """
        remedy = "replace it with --overwrite, or choose another folder with -o"
        digest, other = self.photos.get(mask.name, ("", ""))
        if digest:
            if digest != files.sha256(photo):
                what = "an earlier version of this photograph" if other == files.printable(photo) else other
                raise OutputError(f"{files.printable(mask)} is the mask of {what}; {remedy}")
            return
        try:
            size, expected = io.read_gray(mask).shape, io.read_gray(photo).shape
        except DataError as error:
            raise OutputError(f"{files.printable(mask)} exists, and is not known to be this one's: {error}") from error
        if size != expected:
            sizes = f"{size[1]}x{size[0]} pixels, and this photograph {expected[1]}x{expected[0]}"
            raise OutputError(f"{files.printable(mask)} is the mask of another photograph: it has {sizes}; {remedy}")

    def add(self, mask: Path, photo: Path) -> None:
        """Note of which photograph a mask is."""
        self.photos[mask.name] = (files.sha256(photo), files.printable(photo))

    def save(self) -> None:
        """Write the records, if there are some; OutputError if they can't be written."""
        if self.photos:
            files.write_json(self.path, dict(sorted(self.photos.items())))
