"""Artefacts of real film: alpha masks in a folder by kind, and outlines; both are optional material for training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.random import Generator

from .strokes import stamp_polygon

# The folders of FilmDamageSimulator (MIT, (c) 2022 Daniela Ivanova), by our kind.
FOLDERS = {
    "scratch": ("scratches", "hair", "hair-short", "lint"),
    "dust": ("dirt", "dots", "spots", "sprinkles"),
    "stain": ("stain", "smut"),
}
# The labels of the outlines of DustyScans (MIT, (c) 2022 Daniela Ivanova).
LABELS = {"scratch": ("Long hair", "Short hair", "Scratch"), "dust": ("Dust", "Dirt")}


@dataclass(frozen=True, kw_only=True)
class Artefacts:
    """Alpha masks (h, w) uint8 and outlines (n, 2) in pixels, each by kind."""

    masks: dict[str, list[np.ndarray]]
    outlines: dict[str, list[np.ndarray]]

    def has(self, kind: str) -> bool:
        """Return whether there are artefacts of a kind."""
        return bool(self.masks.get(kind) or self.outlines.get(kind))

    def draw(self, size: tuple[int, int], side: float, kind: str, random: Generator) -> np.ndarray:
        """Return an alpha mask (H, W) float32 of a kind of which there are artefacts, see `has`."""
        outlines = self.outlines.get(kind)
        if outlines and (not self.masks.get(kind) or random.random() < 0.4):
            return self._draw_outlines(size, side, outlines, kind, random)
        masks = self.masks[kind]
        return place_mask(size, side, masks[int(random.integers(len(masks)))], random)

    @staticmethod
    def _draw_outlines(
        size: tuple[int, int], side: float, outlines: Sequence[np.ndarray], kind: str, random: Generator
    ) -> np.ndarray:
        alpha = np.zeros(size, np.float32)
        for _ in range(1 if kind == "scratch" else int(np.exp(random.uniform(0, np.log(40))))):
            points = outlines[int(random.integers(len(outlines)))].astype(np.float32)
            points = points - points.mean(0)
            turn = random.uniform(0, 2 * np.pi)
            points = points @ np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]], np.float32)
            extent = max(1.0, float(np.ptp(points, axis=0).max()))
            if kind == "scratch":
                scale = side * random.uniform(0.08, 0.6) / extent
            else:
                scale = (1.5 + 0.02 * side * random.random() ** 3) / extent
            stamp_polygon(alpha, points * scale + random.uniform(0, 1, 2) * size[::-1])
        return alpha


def place_mask(size: tuple[int, int], side: float, mask: np.ndarray, random: Generator) -> np.ndarray:
    """Return a mask turned, scaled to 0.5 to 1.5 of `side`, and moved, (H, W) float32."""
    scale = side * random.uniform(0.5, 1.5) / max(mask.shape)
    middle = (mask.shape[1] / 2, mask.shape[0] / 2)
    matrix = cv2.getRotationMatrix2D(middle, random.uniform(0, 360), scale)
    matrix[:, 2] += random.uniform(0, 1, 2) * size[::-1] - middle
    small = cv2.warpAffine(mask, matrix, size[::-1], flags=cv2.INTER_LINEAR)
    return small.astype(np.float32) / 255


def read_artefacts(folder: Path, *, remainders: Sequence[int] = tuple(range(10))) -> Artefacts:
    """Read `artefacts/KIND/*.png` and `dust-polygons.npz` of a folder.

    Args:
        folder: the folder.
        remainders: an artefact is used if its number modulo 10 is in here, so that some can be held back.

    Raises:
        ValueError: a file can't be read.
    """
    masks = {}
    for kind, names in FOLDERS.items():
        paths = [path for name in names for path in sorted((folder / "artefacts" / name).glob("*.png"))]
        masks[kind] = [_read_mask(path) for n, path in enumerate(paths) if n % 10 in remainders]
    outlines: dict[str, list[np.ndarray]] = {kind: [] for kind in LABELS}
    kind_of = {label: kind for kind, names in LABELS.items() for label in names}
    file = folder / "dust-polygons.npz"
    if file.is_file():
        for points, offsets, labels in _read_scans(file):
            for number, label in enumerate(labels):
                outline, drawn_kind = points[offsets[number] : offsets[number + 1]], kind_of.get(str(label))
                if drawn_kind and number % 10 in remainders and (drawn_kind != "scratch" or _is_thin(outline)):
                    outlines[drawn_kind].append(outline)
    return Artefacts(masks=masks, outlines=outlines)


def _read_mask(path: Path) -> np.ndarray:
    mask = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    if mask is None:
        raise ValueError(f"{path} can't be read as a picture; copy it again, or remove it")
    return mask


def _read_scans(file: Path) -> list[list[np.ndarray]]:
    """Return the points, offsets and labels of the outlines of each scan."""
    names = ("points", "offsets", "labels")
    try:
        with open(file, "rb") as stream, np.load(stream, allow_pickle=False) as arrays:
            scans = sorted(name.removeprefix("points") for name in arrays.files if name.startswith("points"))
            return [[arrays[f"{name}{scan}"] for name in names] for scan in scans]
    except Exception as error:  # zipfile, zlib and NumPy raise many types
        raise ValueError(f"{file} can't be read as outlines of dust; copy it again, or remove it") from error


def _is_thin(outline: np.ndarray) -> bool:
    """Return whether an outline goes around a thin line; some go around the area inside a curl."""
    extent = np.ptp(outline.astype(np.float32), axis=0)
    return cv2.contourArea(outline.astype(np.float32)) < 0.12 * float(np.square(extent).sum())
