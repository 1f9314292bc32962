"""Restored pictures to the bytes of a file, in the format, depth and with the EXIF of the photograph that they were."""

from __future__ import annotations

import io
from typing import Any

import cv2
import numpy as np
from PIL import Image

from toolbox import images
from toolbox.errors import OutputError

# What a file of each ending is written as.
KINDS = {".png": "PNG", ".tif": "TIFF", ".tiff": "TIFF", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}
LOSSY = ("JPEG", "WEBP")

# JPEG and WebP at a quality where no further loss is seen, JPEG's colours at full resolution.
QUALITY = 95
OPTIONS: dict[str, dict[str, Any]] = {
    "TIFF": {"compression": "tiff_adobe_deflate"},
    "JPEG": {"quality": QUALITY, "subsampling": 0},
    "WEBP": {"quality": QUALITY, "method": 4},
}


def encode(pixels: np.ndarray, kind: str, exif: bytes | None = None) -> tuple[bytes, tuple[str, ...]]:
    """Encode (H, W, 3) RGB, uint8 or uint16.

    Args:
        pixels: the picture.
        kind: PNG, TIFF, JPEG or WEBP; the last two hold 8 bits.
        exif: as in `toolbox.images.Photo`.

    Returns:
        The file's bytes, and what could not be kept, a line each.

    Raises:
        OutputError: the format does not take a picture of that size.
    """
    if kind == "PNG":
        return images.encode_png(pixels, exif=exif), ()
    notes: tuple[str, ...] = ()
    if pixels.dtype == np.uint16:
        if kind == "TIFF":
            return _tiff16(pixels), ("EXIF left out: a TIFF of 16 bits is written without",) if exif else ()
        pixels, notes = images.eight_bits(pixels), (f"16 bits became 8: {kind} has no more",)
    options = dict(OPTIONS[kind])
    if exif:
        options["exif"] = exif
    stream = io.BytesIO()
    try:
        Image.fromarray(pixels).save(stream, kind, **options)
    except (ValueError, OSError) as error:
        height, width = pixels.shape[:2]
        raise OutputError(f"{width}x{height} can't be written as {kind}: {error}") from error
    return stream.getvalue(), notes


def _tiff16(pixels: np.ndarray) -> bytes:
    lzw = [cv2.IMWRITE_TIFF_COMPRESSION, 5]
    return cv2.imencode(".tiff", np.ascontiguousarray(pixels[..., ::-1]), lzw)[1].tobytes()
