"""Damage of an open photograph: proposals (connected groups of pixels with their kinds), and what is repaired."""

from __future__ import annotations

import threading
from dataclasses import replace

import numpy as np

from toolbox.hooks.catalog import Catalog
from toolbox.hooks.protocols import Detection
from toolbox.imaging import io
from toolbox.imaging.encode import encode_png
from toolbox.inference.damage import find_damage
from toolbox.inference.detectors import damage_detector, damage_kinds, damage_spec
from toolbox.inference.options import RestoreOptions
from toolbox.masks import kinds_of_damage
from toolbox.masks.detectors import LoadedDetector
from toolbox.masks.sources import check_mask_size
from toolbox.web.album import Album
from toolbox.web.photo_entry import PhotoEntry

# A group has a number of 16 bits.
MAX_GROUPS = 65_535
# Files of a photograph: the kinds of damage that is repaired, 0 elsewhere; and the mask without it.
REPAIRED = "repaired.png"
REST = "rest.png"


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

    def marks(self, photo_id: str) -> bytes:
        """Return the marks as PNG: white; where damage is repaired, green is 255 minus the number of its kind."""
        labels = self._repaired(self._album.entry(photo_id))
        if not labels.any():
            return self._album.mask(photo_id).read_bytes()
        mask = self._mask(photo_id).astype(np.uint8) * 255
        return encode_png(np.dstack([mask, mask - labels, mask]))

    def set_marks(self, photo_id: str, data: bytes) -> PhotoEntry:
        """Replace the marks by a PNG as that of `marks`.

        Raises:
            DataError: it is no image, or has another size than the photograph.
        """
        entry = self._album.entry(photo_id)
        with self._album.upload(photo_id, data, "The mask") as path:
            pixels = io.read_rgb(path, max_pixels=self._album.max_pixels)
        check_mask_size(pixels[..., 0], (entry.height, entry.width))
        mask, labels = pixels[..., 0] >= 128, 255 - pixels[..., 1]
        self._set_repaired(photo_id, np.where(mask & (labels <= len(self.kinds)), labels, np.uint8(0)))
        return self._album.set_mask(photo_id, mask)

    def set_mask(self, photo_id: str, data: bytes) -> PhotoEntry:
        """Replace the marks by the mask of a file; all of it is filled, because it has no kinds of damage.

        Raises:
            DataError: it is no mask, or has another size than the photograph.
        """
        mask, cautions = self._album.read_mask(photo_id, data)
        self._set_repaired(photo_id, np.zeros(mask.shape, np.uint8))
        return self._album.set_mask(photo_id, mask, cautions=cautions)

    def filled(self, photo_id: str) -> bytes:
        """Return a mask as PNG, white where the next result is filled or corrected: repaired damage has its soft edge.

        With this file, `toolbox restore --mask` fills all of it.
        """
        labels = self._repaired(self._album.entry(photo_id))
        repair = self._repair(labels)
        if repair is None:
            return self._album.mask(photo_id).read_bytes()
        damage = find_damage(labels, repair, self._mask(photo_id) & (labels == 0))
        assert damage is not None
        return encode_png(damage.mask.astype(np.uint8) * 255)

    def repairing(self, photo_id: str, options: RestoreOptions) -> RestoreOptions:
        """Return the options with which `toolbox restore --repair` treats the damage that a person chose.

        In a photograph that may be cut, this damage is filled as all marks: its position in the print is not known.
        """
        labels = self._repaired(self._album.entry(photo_id))
        repair = self._repair(labels)
        if options.may_crop or repair is None:
            return options
        path = self._album.path(photo_id, REST)
        rest = self._mask(photo_id) & (labels == 0)
        io.write_png(path, rest.astype(np.uint8) * 255)
        mask_options = replace(options.mask_options, path=path if rest.any() else None, repair=repair)
        return replace(options, mask_options=mask_options)

    def _repair(self, labels: np.ndarray) -> LoadedDetector | None:
        """Return what finds the damage of `labels`, as `_repaired` returns them; None if there is none to repair."""
        spec = damage_spec(self._catalog)
        if spec is None or not labels.any():
            return None
        pixels = {kind: labels == number for number, kind in enumerate(self.kinds, 1)}
        probabilities = {kind: where.astype(np.float32) for kind, where in pixels.items() if where.any()}
        found = Detection(mask=labels > 0, probabilities=probabilities)
        return LoadedDetector(name=spec.name, detect=lambda image: found, translucent=spec.translucent)

    def _set_repaired(self, photo_id: str, labels: np.ndarray) -> None:
        path = self._album.path(photo_id, REPAIRED)
        if labels.any() or path.is_file():
            io.write_png(path, labels)

    def _repaired(self, entry: PhotoEntry) -> np.ndarray:
        """Return the number of the kind of each pixel that is repaired, 0 elsewhere, (H, W) uint8."""
        path = self._album.path(entry.id, REPAIRED)
        if not path.is_file():
            return np.zeros((entry.height, entry.width), np.uint8)
        return io.read_gray(path, max_pixels=self._album.max_pixels)

    def _mask(self, photo_id: str) -> np.ndarray:
        return io.read_mask(self._album.mask(photo_id), meaning="white", max_pixels=self._album.max_pixels)


def groups(labels: np.ndarray) -> np.ndarray:
    """Return the groups of damaged pixels, (H, W, 3) uint8: kind, and number of the group in two bytes; 0 elsewhere.

    Args:
        labels: (H, W) uint8, the number of the kind of each pixel, 0 where there is no damage. A group has the kind of
            most of its pixels.
    """
    _, numbers, tally = kinds_of_damage.group_labels(labels)
    kinds = tally.argmax(1)
    if len(kinds) > MAX_GROUPS + 1:
        # The smallest groups are left out, and the others are numbered again.
        kinds[np.argsort(-tally.sum(1), kind="stable")[MAX_GROUPS:]] = 0
        numbers = (np.cumsum(kinds > 0) * (kinds > 0))[numbers]
        kinds = np.concatenate([[0], kinds[kinds > 0]])
    return np.dstack([kinds[numbers], numbers >> 8, numbers & 255]).astype(np.uint8)
