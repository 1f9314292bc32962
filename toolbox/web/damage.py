"""Proposals of damage for an open photograph: connected groups of pixels, each with its kind."""

from __future__ import annotations

import threading

import numpy as np

from toolbox.hooks.catalog import Catalog
from toolbox.imaging import io
from toolbox.imaging.encode import encode_png
from toolbox.inference.detectors import damage_detector, damage_kinds
from toolbox.masks import kinds_of_damage
from toolbox.web.album import Album

# A group has a number of 16 bits.
MAX_GROUPS = 65_535


class Proposals:
    """Finds damage, as `toolbox mask --damage` does; one photograph at a time."""

    def __init__(self, album: Album, catalog: Catalog) -> None:
        """Find damage in photographs of `album`; `catalog` may have no detector of damage."""
        self._album = album
        self._catalog = catalog
        self._lock = threading.Lock()

    @property
    def kinds(self) -> dict[str, tuple[int, int, int]]:
        """The colour of each kind of damage, in the order of their numbers; empty without a detector."""
        return dict(zip(damage_kinds(self._catalog), kinds_of_damage.COLORS, strict=False))

    def picture(self, photo_id: str, sensitivity: float) -> bytes:
        """Return a PNG of the photograph's size; see `groups`.

        Args:
            photo_id: the photograph; KeyError if there is none.
            sensitivity: as `--sensitivity`, in [0, 1].
        """
        path = self._album.view(photo_id)
        with self._lock:
            detector = damage_detector({"sensitivity": sensitivity}, self._catalog)
            assert detector is not None
            gray = io.read_gray(path, max_pixels=self._album.max_pixels)
            return encode_png(groups(kinds_of_damage.label(detector(gray))))


def groups(labels: np.ndarray) -> np.ndarray:
    """Return the groups of damaged pixels, (H, W, 3) uint8: kind, and number of the group in two bytes; 0 elsewhere.

    Args:
        labels: (H, W) uint8, the number of the kind of each pixel, 0 where there is no damage. A group has the kind of
            most of its pixels.
    """
    _, numbers, tally = kinds_of_damage.group_labels(labels)
    kinds = tally.argmax(1)
    if len(kinds) > MAX_GROUPS + 1:
        # The smallest groups are left out, and the others are numbered anew.
        kinds[np.argsort(-tally.sum(1), kind="stable")[MAX_GROUPS:]] = 0
        numbers = (np.cumsum(kinds > 0) * (kinds > 0))[numbers]
        kinds = np.concatenate([[0], kinds[kinds > 0]])
    return np.dstack([kinds[numbers], numbers >> 8, numbers & 255]).astype(np.uint8)
