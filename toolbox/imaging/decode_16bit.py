"""Decode PNG and TIFF files of 16 bits per sample with OpenCV, since Pillow reduces 16-bit colour to 8 bits.

OpenCV accepts damaged PNG data and may turn a TIFF by itself. So it gets only checked data, and a TIFF whose
orientation was removed.
"""

from __future__ import annotations

import io
import struct
from typing import Any

import cv2
import numpy as np
from PIL import ImageFile, TiffImagePlugin

from toolbox.imaging.exif import ORIENTATION
from toolbox.imaging.integrity import BrokenFileError
from toolbox.imaging.png import Png, check_stream
from toolbox.imaging.tiff_samples import decode_samples

_WIDTH, _HEIGHT, _BITS, _PHOTOMETRIC, _SAMPLES, _PLANES, _EXTRA_SAMPLES = 256, 257, 258, 262, 277, 284, 338
_COMPRESSION = 259
_WHITE_IS_ZERO, _INTERLEAVED = 0, 1
_PHOTOMETRICS = (_WHITE_IS_ZERO, 1, 2)  # gray in two directions, and RGB
_UNSUPPORTED = "is a 16-bit TIFF of a kind that is not supported: save it as RGB or gray"
# Of the compressions of TIFF: none, LZW, Deflate (two numbers), PackBits.
_OPENCV_COMPRESSIONS = (1, 5, 8, 32773, 32946)
_UNSPECIFIED, _ASSOCIATED_ALPHA = 0, 1  # values of _EXTRA_SAMPLES
# OpenCV 4 has its log level at the top, OpenCV 5 in a module.
_OPENCV_LOG: Any = getattr(cv2.utils, "logging", cv2)

PixelsAndAlpha = tuple[np.ndarray, np.ndarray | None]


def decode_png16(data: bytes, image: ImageFile.ImageFile, png: Png | None) -> PixelsAndAlpha | None:
    """Return pixels (H, W) or (H, W, 3) and alpha (H, W) or None, uint16; None if it has at most 8 bits."""
    if png is None or png.depth != 16:
        return None
    check_stream(png)
    samples = _decode_with_opencv(png.data)
    if png.color in (0, 2):
        pixels = samples if png.color == 0 else np.ascontiguousarray(samples[..., 2::-1])
        return pixels, alpha_of_color(pixels, png.transparent) if png.transparent else None
    pixels = samples[..., 0] if png.color == 4 else samples[..., 2::-1]
    return np.ascontiguousarray(pixels), np.ascontiguousarray(samples[..., 3])


def decode_tiff16(data: bytes, image: ImageFile.ImageFile, png: Png | None) -> PixelsAndAlpha | None:
    """Return pixels (H, W) or (H, W, 3) and alpha (H, W) or None, uint16, as stored; None if it has no 16 bits."""
    assert isinstance(image, TiffImagePlugin.TiffImageFile)
    tags = image.tag_v2
    if 16 not in tags.get(_BITS, ()):
        return None
    channels = tags.get(_SAMPLES, 1)
    if tags.get(_PHOTOMETRIC, _WHITE_IS_ZERO) not in _PHOTOMETRICS:
        raise BrokenFileError(_UNSUPPORTED)  # OpenCV would fail on CMYK and Lab as on a damaged file
    orientation = tags.get(ORIENTATION, 1)
    stored = data if orientation == 1 else _without_orientation(data, orientation)
    is_common = tags.get(_COMPRESSION, 1) in _OPENCV_COMPRESSIONS
    if channels == 1:
        samples = _decode_with_opencv(stored) if is_common else _decode_gray_with_pillow(stored)
    elif is_common and tags.get(_PLANES, _INTERLEAVED) == _INTERLEAVED:
        samples = _decode_with_opencv(stored)
    else:
        samples = decode_samples(data, tags)
        samples[..., :3] = samples[..., 2::-1].copy()  # as OpenCV
    width, height = tags[_WIDTH], tags[_HEIGHT]
    if samples.shape != ((height, width) if channels == 1 else (height, width, channels)):
        raise BrokenFileError(_UNSUPPORTED)
    if channels == 1:
        return (np.invert(samples) if tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO else samples), None
    pixels = np.ascontiguousarray(samples[..., 2::-1])
    extra = tags.get(_EXTRA_SAMPLES, (_UNSPECIFIED,))[0]
    if channels == 3 or extra == _UNSPECIFIED:
        return pixels, None
    alpha = np.ascontiguousarray(samples[..., 3])
    if extra == _ASSOCIATED_ALPHA:  # the colours are stored multiplied by alpha
        opacity = np.maximum(alpha, 1).astype(np.float32)[..., None] / 65535
        pixels = np.minimum(np.rint(pixels / opacity), 65535).astype(np.uint16)
    return pixels, alpha


def _decode_gray_with_pillow(data: bytes) -> np.ndarray:
    """Return a gray TIFF of 16 bits whose compression OpenCV does not know."""
    image = TiffImagePlugin.TiffImageFile(io.BytesIO(data))
    if not image.mode.startswith("I;16"):
        name = image.info.get("compression", "its compression")
        raise BrokenFileError(f"is a 16-bit TIFF with {name}, which is not supported: save it with LZW or Deflate")
    return np.array(image, dtype=np.uint16)


def alpha_of_color(pixels: np.ndarray, color: tuple[int, ...]) -> np.ndarray:
    """Return alpha (H, W) of the type of `pixels`: 0 where they have this one colour, the full range elsewhere."""
    same = pixels == color[0] if pixels.ndim == 2 else (pixels == np.array(color, pixels.dtype)).all(axis=-1)
    return np.where(same, 0, np.iinfo(pixels.dtype).max).astype(pixels.dtype)


def _without_orientation(data: bytes, orientation: int) -> bytes:
    """Return a TIFF file that says it is upright: whether OpenCV turns it depends on OpenCV's version."""
    order = "<" if data[:2] == b"II" else ">"
    count = "Q" if b"+" in data[2:4] else "I"  # BigTIFF counts in 64 bits
    # It should be a short number (3); some programs write a long one (4).
    for kind, code in ((3, "H"), (4, "I")):
        entry = struct.pack(f"{order}HH{count}", ORIENTATION, kind, 1)
        value = data.find(entry) + len(entry)
        if value >= len(entry):
            number = struct.pack(f"{order}{code}", 1)
            return data[:value] + number + data[value + len(number) :]
    raise BrokenFileError(_UNSUPPORTED)


def _decode_with_opencv(data: bytes) -> np.ndarray:
    level = _OPENCV_LOG.getLogLevel()
    _OPENCV_LOG.setLogLevel(0)
    try:
        samples = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    finally:
        _OPENCV_LOG.setLogLevel(level)
    if samples is None or samples.dtype != np.uint16:
        raise BrokenFileError("is damaged: its 16-bit data can't be decoded")
    return samples
