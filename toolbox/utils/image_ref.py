"""References to image files that need not be files on a disk."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol


class ImageRef(Protocol):
    """One encoded image (PNG, JPEG, TIFF, …), wherever it is stored. A `pathlib.Path` may be used instead."""

    @property
    def name(self) -> str:
        """Its name in messages."""

    def read(self) -> bytes:
        """Return the bytes of the image file. Several threads call it at the same time."""

    def identity(self) -> str:
        """Return a text that changes whenever the bytes change, and only then; in later processes too.

        It must be cheap to compute. The cache of decoded photographs relies on it.
        """


def location(image: Path | ImageRef) -> str:
    """Return where an image is stored, for messages."""
    return str(image) if isinstance(image, Path) else image.name
