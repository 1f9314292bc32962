"""Read strokes of colour from an image file, as an image editor exports a layer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from toolbox.errors import DataError
from toolbox.guidance.hints import opaque
from toolbox.imaging import io
from toolbox.imaging.io import Photo
from toolbox.imaging.pixels import as_rgb
from toolbox.inference.color_notes import how_to_color
from toolbox.inference.options import RestoreOptions
from toolbox.inference.photo_arrays import PhotoLike, as_photo, native
from toolbox.inference.print_correction import Sheet
from toolbox.prints.sheet import cut_sheet
from toolbox.utils import files


def read_hints(
    path: Path,
    size: tuple[int, ...],
    *,
    max_pixels: int = io.MAX_PIXELS,
    warn: Callable[[str], None] = lambda _: None,
) -> np.ndarray:
    """Return the strokes of a file, (H, W, 4) RGBA, uint8 or uint16.

    Args:
        path: an image file with transparency.
        size: height and width of the photograph.
        max_pixels: a larger file is refused.
        warn: called with a line for each caution about the file.

    Raises:
        DataError: it can't be read, has another size, or has no transparency or no stroke.
    """
    layer = io.read_with_cautions(path, warn, max_pixels=max_pixels)
    return _strokes(layer, files.printable(path), size)


def read_sheet_hints(
    options: RestoreOptions, sheet: Sheet, warn: Callable[[str], None], *, gives_colors: bool, keeps_tone: bool
) -> np.ndarray | None:
    """Return the strokes of colour for a photograph, (H, W, 4), cut like it; None if there are none.

    Args:
        options: how it is restored.
        sheet: the photograph.
        warn: called with a line for each caution about the file.
        gives_colors: whether it gets new colours.
        keeps_tone: whether it keeps its tone instead; else it keeps its colours.

    Raises:
        DataError: as `read_hints`, or the photograph gets no new colours.
    """
    if options.hints is None:
        return None
    if not gives_colors:
        remedy = how_to_color(keeps_tone=keeps_tone)
        raise DataError(f"{files.printable(options.hints)} can't be used: the photo keeps its colours; {remedy}")
    hints = read_hints(options.hints, sheet.whole_size, max_pixels=options.max_pixels, warn=warn)
    return hints if sheet.corners is None else cut_sheet(hints, sheet.corners, exact=True)


def as_hints(hints: PhotoLike, size: tuple[int, ...]) -> np.ndarray:
    """Return hints as an array (H, W, 4), an array as it is; errors as those of `read_hints` and `as_photo`."""
    if isinstance(hints, np.ndarray):
        return native(hints)
    name = "the layer of hints" if isinstance(hints, Image.Image) else files.printable(str(hints))
    return _strokes(as_photo(hints), name, size)


def _strokes(layer: Photo, name: str, size: tuple[int, ...]) -> np.ndarray:
    pixels = layer.pixels
    if pixels.shape[:2] != tuple(size):
        raise DataError(
            f"{name} is {pixels.shape[1]}x{pixels.shape[0]} and the photo {size[1]}x{size[0]}; "
            "the layer of hints must have the size of the upright photo"
        )
    hints = layer_of_strokes(layer, name)
    if not opaque(hints).any():
        raise DataError(f"{name} has no stroke that is at least half opaque; draw with full opacity")
    return hints


def layer_of_strokes(layer: Photo, name: str) -> np.ndarray:
    """Return a decoded layer as (H, W, 4) RGBA; raise DataError, about `name`, unless it is transparent somewhere."""
    # A layer without any stroke has no alpha here: the reader takes a file that is transparent everywhere as opaque.
    if layer.alpha is None:
        raise DataError(f"{name} has no strokes on a transparent layer; export that layer alone, as PNG")
    hints = cv2.cvtColor(as_rgb(layer.pixels), cv2.COLOR_RGB2RGBA)
    hints[..., 3] = layer.alpha
    if opaque(hints).all():
        raise DataError(f"{name} is opaque everywhere; export the layer of the strokes alone, without the background")
    return hints
