"""Show which part of a photograph counts as lost, in red."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from toolbox.imaging import io
from toolbox.inference.output_paths import Job
from toolbox.utils import files

RED = (255, 0, 0)
# Between pictures that are side by side, in pixels.
GAP = 8


def side_by_side(pictures: Iterable[np.ndarray]) -> np.ndarray:
    """Return (h, w, 3) uint8 pictures of the same height beside each other, with white gaps."""
    rows: list[np.ndarray] = []
    for picture in pictures:
        gap = np.full((len(picture), GAP, 3), 255, np.uint8)
        rows += [gap, picture] if rows else [picture]
    return np.hstack(rows)


def mark_lost(rgb: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Return a photograph (H, W, 3) uint8 with the pixels of a mask (H, W) bool in red."""
    marked = rgb.copy()
    marked[mask] = RED
    return marked


def write_preview(job: Job, rgb: np.ndarray, masks: Iterable[np.ndarray]) -> None:
    """Write the photograph with its lost part in red, once for each mask, side by side."""
    files.ensure_folder(job.preview.parent)
    io.write_png(job.preview, side_by_side(mark_lost(rgb, mask) for mask in masks))
