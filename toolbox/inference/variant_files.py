"""Write the variants of a photograph, and one picture of all of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import cv2
import numpy as np

from toolbox.imaging import io
from toolbox.imaging.pixels import shrink, to_8bit
from toolbox.inference.guided import Restoration
from toolbox.inference.output_paths import Job
from toolbox.inference.preview import GAP, side_by_side
from toolbox.utils import files

# The long side of a variant in the picture of all, in pixels, and how many are in a row.
SIDE = 640
COLUMNS = 2
_LABEL_HEIGHT = 28


def write_variants(job: Job, colorings: Iterable[Restoration]) -> Restoration:
    """Write the variants as PNG, in the order in which they come, and a picture of all; return the first."""
    first: Restoration | None = None
    small = []
    files.ensure_folder(job.variant_sheet.parent)
    for number, coloring in enumerate(colorings, 1):
        io.write_png(job.variant(number), coloring.pixels)
        small.append(shrink(to_8bit(coloring.pixels), SIDE))
        first = first or coloring
    assert first is not None
    io.write_png(job.variant_sheet, contact_sheet(small))
    return first


def contact_sheet(pictures: Sequence[np.ndarray]) -> np.ndarray:
    """Return pictures (h, w, 3) uint8 of one size in rows of two, each with its number below it."""
    labelled = [np.vstack([picture, _label(number, picture.shape[1])]) for number, picture in enumerate(pictures, 1)]
    labelled += [np.full_like(labelled[0], 255)] * (-len(labelled) % COLUMNS)
    rows = [side_by_side(labelled[start : start + COLUMNS]) for start in range(0, len(labelled), COLUMNS)]
    return np.vstack(rows)


def _label(number: int, width: int) -> np.ndarray:
    label = np.full((_LABEL_HEIGHT, width, 3), 255, np.uint8)
    cv2.putText(label, f"v{number}", (GAP, 20), cv2.FONT_HERSHEY_SIMPLEX, 0.6, (0, 0, 0), 1, cv2.LINE_AA)
    return label
