"""Convert pixels of any ICC profile to sRGB, which all other modules assume.

LittleCMS converts 8-bit pixels. Pillow gives it no 16-bit ones, so for those the curves and the matrix of the profile
are applied here (ICC.1:2022, sections 10.6, 10.18 and annex F.3).
"""

from __future__ import annotations

import functools
import io
import struct
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageCms

# sRGB profiles of different makers differ by this many levels. Below it, pixels stay as they are stored.
_SRGB_TOLERANCE = 2
_MODES = {"GRAY": "L", "RGB": "RGB", "CMYK": "CMYK"}
# The primaries of sRGB adapted to D50 (IEC 61966-2-1 with the Bradford matrix): linear RGB to XYZ.
_SRGB_TO_XYZ = np.array(
    [
        [0.43606567, 0.38514709, 0.14306641],
        [0.22248840, 0.71687317, 0.06060791],
        [0.01391602, 0.09707642, 0.71409607],
    ]
)
_MAX_TAGS = 200
_BLOCK_PIXELS = 1 << 18
_CONVERTED = ("colours converted to sRGB",)
UNUSABLE = ("unusable ICC profile ignored",)
_TABLES_IN_16_BITS = (
    "ICC profile ignored: its tables can't be applied in 16 bits; convert the photo to sRGB in an editor, or save it "
    "with 8 bits"
)
_IDENTITY = np.arange(256)


@dataclass(frozen=True, kw_only=True)
class _Conversion:
    """A profile's conversion to sRGB.

    Attributes:
        mode: Pillow's mode of the pixels that the profile is for.
        apply: converts a picture of that mode.
        gray_curve: (256,) the sRGB level of each gray level.
        is_srgb: whether the profile is RGB, and sRGB or close to it.
    """

    mode: str
    apply: Callable[[Image.Image], Image.Image]
    gray_curve: np.ndarray
    is_srgb: bool


def to_srgb8(image: Image.Image, icc: bytes) -> tuple[Image.Image, tuple[str, ...]]:
    """Convert a picture of mode L, RGB or CMYK by its profile.

    Returns:
        The picture, L as L and the others as RGB, and notes on what was done: none for sRGB and profiles close to it.
        A profile that cannot be used leaves the picture unchanged, with a note.
    """
    conversion = _conversion(icc)
    if conversion is None or (image.mode != conversion.mode and (image.mode != "L" or conversion.mode == "CMYK")):
        return image, UNUSABLE
    if image.mode == "L":
        if _is_close(conversion.gray_curve, _IDENTITY):
            return image, ()
        return image.point(conversion.gray_curve.tolist()), _CONVERTED
    if conversion.is_srgb:
        return image, ()
    return conversion.apply(image), _CONVERTED


def to_srgb16(pixels: np.ndarray, icc: bytes) -> tuple[np.ndarray, tuple[str, ...]]:
    """Convert (H, W) or (H, W, 3) uint16 by its profile, as `to_srgb8` does.

    A profile of lookup tables, without curves and a matrix, cannot be applied in 16 bits. It is ignored, with a note.
    """
    conversion = _conversion(icc)
    is_gray = pixels.ndim == 2
    if conversion is None or conversion.mode == "CMYK" or (conversion.mode == "L" and not is_gray):
        return pixels, UNUSABLE
    if _is_close(conversion.gray_curve, _IDENTITY) if is_gray else conversion.is_srgb:
        return pixels, ()
    try:
        curves, matrix = _curves_and_matrix(icc)
    except (KeyError, struct.error, ValueError, IndexError):
        return pixels, (_TABLES_IN_16_BITS,)
    flat = pixels.reshape(-1, 1 if is_gray else pixels.shape[2])
    converted = np.empty_like(flat)
    for start in range(0, len(flat), _BLOCK_PIXELS):
        block = flat[start : start + _BLOCK_PIXELS]
        if matrix is None or block.shape[1] == 1:
            linear = curves[len(curves) // 2][block]
        else:
            linear = np.stack([curve[block[:, i]] for i, curve in enumerate(curves)], axis=1) @ matrix.T
        linear = np.clip(linear, 0.0, 1.0)
        encoded = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
        converted[start : start + _BLOCK_PIXELS] = np.rint(encoded * 65535)
    return converted.reshape(pixels.shape), _CONVERTED


@functools.lru_cache(maxsize=8)
def _conversion(icc: bytes) -> _Conversion | None:
    """Return the conversion of a profile, or None if LittleCMS cannot use it."""
    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(icc))
        mode = _MODES[profile.profile.xcolor_space.strip()]
        transform = _transform(profile, mode, ImageCms.Flags.HIGHRESPRECALC)
        # With its optimisation, LittleCMS simplifies a gray curve and is up to ten levels wrong near black.
        exact = _transform(profile, mode, ImageCms.Flags.NOOPTIMIZE)
    except Exception:  # LittleCMS and Pillow raise many types on a hostile profile
        return None
    ramp = np.arange(256, dtype=np.uint8)[None]
    axis = np.linspace(0, 255, 9).round().astype(np.uint8)
    cube = np.stack(np.meshgrid(axis, axis, axis), axis=-1).reshape(1, -1, 3)
    gray = Image.fromarray(ramp).convert(mode if mode != "CMYK" else "L").convert(mode)
    is_srgb = mode == "RGB" and _is_close(np.asarray(transform.apply(Image.fromarray(cube))), cube)
    gray_curve = np.asarray(exact.apply(gray))[0, :, 1]
    return _Conversion(mode=mode, apply=transform.apply, gray_curve=gray_curve, is_srgb=is_srgb)


def _transform(profile: ImageCms.ImageCmsProfile, mode: str, flags: ImageCms.Flags) -> ImageCms.ImageCmsTransform:
    return ImageCms.buildTransform(
        profile,
        ImageCms.createProfile("sRGB"),
        mode,
        "RGB",
        ImageCms.Intent.RELATIVE_COLORIMETRIC,
        flags | ImageCms.Flags.BLACKPOINTCOMPENSATION,
    )


def _is_close(levels: np.ndarray, expected: np.ndarray) -> bool:
    return int(np.abs(levels.astype(int) - expected.astype(int)).max()) <= _SRGB_TOLERANCE


def _curves_and_matrix(icc: bytes) -> tuple[list[np.ndarray], np.ndarray | None]:
    """Return the curves (65536,) from stored to linear values, one or three, and the matrix to linear sRGB."""
    count = struct.unpack_from(">I", icc, 128)[0]
    tags = {}
    for i in range(min(count, _MAX_TAGS)):
        name, offset, size = struct.unpack_from(">4sII", icc, 132 + 12 * i)
        tags[name] = icc[offset : offset + size]
    if b"kTRC" in tags:
        return [_curve(tags[b"kTRC"])], None
    if b"A2B0" in tags or b"A2B1" in tags:
        raise ValueError("a profile of lookup tables")
    primaries = [np.array(struct.unpack_from(">3i", tags[n], 8)) / 65536 for n in (b"rXYZ", b"gXYZ", b"bXYZ")]
    matrix = np.linalg.inv(_SRGB_TO_XYZ) @ np.stack(primaries, axis=1)
    return [_curve(tags[n]) for n in (b"rTRC", b"gTRC", b"bTRC")], matrix


def _curve(tag: bytes) -> np.ndarray:
    """Return a "curv" or "para" tag as the linear value of each of 65536 levels."""
    x = np.linspace(0.0, 1.0, 65536)
    if tag[:4] == b"curv":
        n = struct.unpack_from(">I", tag, 8)[0]
        if n == 0:
            return x
        values = np.array(struct.unpack_from(f">{n}H", tag, 12))
        return x ** (values[0] / 256) if n == 1 else np.interp(x, np.linspace(0, 1, n), values / 65535)
    if tag[:4] != b"para":
        raise ValueError("not a curve")
    kind = struct.unpack_from(">H", tag, 8)[0]
    p = [v / 65536 for v in struct.unpack_from(f">{(1, 3, 4, 5, 7)[kind]}i", tag, 12)]
    if kind == 0:
        return x ** p[0]
    g, a, b = p[:3]
    power = np.maximum(a * x + b, 0.0) ** g
    if kind < 3:
        c = p[3] if kind == 2 else 0.0
        return np.where(x >= -b / a, power + c, c)
    return np.where(x >= p[4], power + (p[5] if kind == 4 else 0.0), p[3] * x + (p[6] if kind == 4 else 0.0))
