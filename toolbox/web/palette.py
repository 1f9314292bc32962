"""The colours that are likely at a point of an open photograph."""

from __future__ import annotations

import threading

from toolbox.imaging import io
from toolbox.inference.likely_colors import ColorField, color_field
from toolbox.inference.restorer import Restorer
from toolbox.utils.reuse import Latest
from toolbox.web.album import Album


class Palette:
    """Offers colours; the photograph that was asked for last is remembered."""

    def __init__(self, album: Album, restorer: Restorer) -> None:
        """Offer the colours that the network of `restorer` predicts for photographs of `album`."""
        self._album = album
        self._restorer = restorer
        self._lock = threading.Lock()
        self._field: Latest[ColorField] = Latest()

    def colors(self, photo_id: str, x: float, y: float) -> list[str]:
        """Return the likeliest colours as "#rrggbb", the expected one first.

        Args:
            photo_id: the photograph; KeyError if there is none.
            x: from the left border, as a fraction of the width in [0, 1].
            y: from the upper border, as a fraction of the height.
        """
        mask_path = self._album.mask(photo_id)
        key = (photo_id, mask_path.stat().st_mtime_ns)

        def make() -> ColorField:
            gray = io.read_gray(self._album.view(photo_id), max_pixels=self._album.max_pixels)
            mask = io.read_mask(mask_path, meaning="white", max_pixels=self._album.max_pixels)
            return color_field(self._restorer, gray, mask)

        with self._lock:
            return self._field.get(key, make).at(x, y)
