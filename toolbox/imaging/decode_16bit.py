"""Decode PNG and TIFF files of 16 bits or of floating-point numbers with OpenCV; Pillow reduces colours to 8 bits.

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
from PIL.ExifTags import Base as Tag

from toolbox.imaging.integrity import BrokenFileError
from toolbox.imaging.png import Png, check_stream
from toolbox.imaging.tiff_open import is_float
from toolbox.imaging.tiff_samples import decode_samples

WHITE_IS_ZERO, _RGB, _INTERLEAVED = 0, 2, 1
_PHOTOMETRICS = (WHITE_IS_ZERO, 1, _RGB)  # gray in two directions, and RGB
_UNSUPPORTED = "is a 16-bit TIFF of a kind that is not supported: save it as RGB or gray"
# Of the compressions of TIFF: none, LZW, Deflate (two numbers), PackBits.
_OPENCV_COMPRESSIONS = (1, 5, 8, 32773, 32946)
_OPENCV_CHANNELS = (1, 3, 4)
_UNSPECIFIED, _ASSOCIATED_ALPHA = 0, 1  # values of Tag.ExtraSamples
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
    """Return pixels (H, W) or (H, W, 3) and alpha (H, W) or None, uint16, as stored.

    Floating-point numbers from 0 to 1 become the full range. None: the file has neither 16 bits nor such numbers.
    """
    assert isinstance(image, TiffImagePlugin.TiffImageFile)
    tags = image.tag_v2
    has_floats = is_float(tags)
    if 16 not in tags.get(Tag.BitsPerSample, ()) and not has_floats:
        return None
    channels, photometric = tags.get(Tag.SamplesPerPixel, 1), tags.get(Tag.PhotometricInterpretation, WHITE_IS_ZERO)
    if photometric not in _PHOTOMETRICS:
        raise BrokenFileError(_UNSUPPORTED)  # OpenCV would fail on CMYK and Lab as on a damaged file
    samples = _decode_floats(data, tags) if has_floats else _decode_16bit(data, tags)
    if samples.shape != (tags[Tag.ImageLength], tags[Tag.ImageWidth], channels):
        raise BrokenFileError(_UNSUPPORTED)
    colors = 3 if photometric == _RGB else 1
    if channels < colors:
        raise BrokenFileError(_UNSUPPORTED)
    pixels = samples[..., 0] if colors == 1 else samples[..., :3]
    if photometric == WHITE_IS_ZERO:
        pixels = np.invert(pixels)
    extra = tags.get(Tag.ExtraSamples, (_UNSPECIFIED,))[0]
    if channels == colors or extra == _UNSPECIFIED:
        return np.ascontiguousarray(pixels), None
    alpha = np.ascontiguousarray(samples[..., colors])
    if extra == _ASSOCIATED_ALPHA:  # the colours are stored multiplied by alpha
        opacity = np.maximum(alpha, 1).astype(np.float32) / 65535
        pixels = np.rint(pixels / (opacity if colors == 1 else opacity[..., None]))
        pixels = np.minimum(pixels, 65535).astype(np.uint16)
    return np.ascontiguousarray(pixels), alpha


def _decode_16bit(data: bytes, tags: Any) -> np.ndarray:  # noqa: ANN401 - a mapping of Pillow
    """Return the samples (H, W, C) of a TIFF of 16 bits, in the order of the file."""
    channels, is_common = tags.get(Tag.SamplesPerPixel, 1), tags.get(Tag.Compression, 1) in _OPENCV_COMPRESSIONS
    if channels == 1 and not is_common:
        return _decode_gray_with_pillow(_upright(data, tags))[..., None]
    is_interleaved = channels == 1 or tags.get(Tag.PlanarConfiguration, _INTERLEAVED) == _INTERLEAVED
    if is_common and channels in _OPENCV_CHANNELS and is_interleaved:
        try:
            return _from_bgr(_decode_with_opencv(_upright(data, tags)))
        except BrokenFileError:
            pass  # it may lack a tag that OpenCV needs, such as PhotometricInterpretation
    return decode_samples(data, tags)


def _decode_floats(data: bytes, tags: Any) -> np.ndarray:  # noqa: ANN401 - a mapping of Pillow
    """Return the samples (H, W, C) of a TIFF of floating-point numbers, 0 to 1 as 0 to 65535, in the order of the file.

    Raises:
        BrokenFileError: they are of another range, or OpenCV can't decode them.
    """
    is_common = tags.get(Tag.Compression, 1) in _OPENCV_COMPRESSIONS
    if (
        not is_common
        or tags.get(Tag.PlanarConfiguration, _INTERLEAVED) != _INTERLEAVED
        or tags.get(Tag.SamplesPerPixel, 1) not in _OPENCV_CHANNELS
    ):
        raise BrokenFileError(
            "has floating-point samples in planes, with further channels, or under a compression that is not supported "
            "with them: save it with 8 or 16 bits"
        )
    samples = _decode_with_opencv(_upright(data, tags), (np.dtype(np.float32), np.dtype(np.float64)))
    if not np.isfinite(samples).all():
        raise BrokenFileError("has floating-point samples that are NaN or infinite: save it with 8 or 16 bits")
    low, high = float(samples.min()), float(samples.max())
    if low < 0 or high > 1:
        raise BrokenFileError(
            f"has floating-point samples from {low:g} to {high:g}, and only 0 for black to 1 for white is known: "
            "save it with 8 or 16 bits"
        )
    return _from_bgr(np.rint(samples * 65535).astype(np.uint16))


def _from_bgr(samples: np.ndarray) -> np.ndarray:
    """Return what OpenCV decoded as (H, W, C) in the order of the file; OpenCV exchanges red and blue."""
    if samples.ndim == 2:
        return samples[..., None]
    return samples[..., [2, 1, 0, *range(3, samples.shape[2])]]


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


def _upright(data: bytes, tags: Any) -> bytes:  # noqa: ANN401 - a mapping of Pillow
    """Return a TIFF file that says it is upright: whether OpenCV turns it depends on OpenCV's version."""
    orientation = tags.get(Tag.Orientation, 1)
    if orientation == 1:
        return data
    order = "<" if data[:2] == b"II" else ">"
    count = "Q" if b"+" in data[2:4] else "I"  # BigTIFF counts in 64 bits
    # It should be a short number (3); some programs write a long one (4).
    for kind, code in ((3, "H"), (4, "I")):
        entry = struct.pack(f"{order}HH{count}", Tag.Orientation, kind, 1)
        value = data.find(entry) + len(entry)
        if value >= len(entry):
            number = struct.pack(f"{order}{code}", 1)
            return data[:value] + number + data[value + len(number) :]
    raise BrokenFileError(_UNSUPPORTED)


def _decode_with_opencv(data: bytes, types: tuple[np.dtype, ...] = (np.dtype(np.uint16),)) -> np.ndarray:
    level = _OPENCV_LOG.getLogLevel()
    _OPENCV_LOG.setLogLevel(0)
    try:
        samples = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    finally:
        _OPENCV_LOG.setLogLevel(level)
    if samples is None or samples.dtype not in types:
        raise BrokenFileError("is damaged: its 16-bit or floating-point data can't be decoded")
    return samples
