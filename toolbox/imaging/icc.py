"""Colour profiles: pixels of any ICC profile to sRGB, which is what everything after this assumes.

Eight-bit pixels go through LittleCMS. It has no 16-bit way in from Pillow, so for those the curves and the
matrix of the profile are applied here (ICC.1:2022, sections 10.6, 10.18 and annex F.3).
"""

from __future__ import annotations

import functools
import io
import struct
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageCms

# What sRGB profiles of different makers differ by; below it pixels stay as they are stored.
_SAME = 2
_MODES = {"GRAY": "L", "RGB": "RGB", "CMYK": "CMYK"}
# sRGB's primaries adapted to D50 (IEC 61966-2-1 with the Bradford matrix), linear RGB to XYZ.
_SRGB_TO_XYZ = np.array(
    [
        [0.43606567, 0.38514709, 0.14306641],
        [0.22248840, 0.71687317, 0.06060791],
        [0.01391602, 0.09707642, 0.71409607],
    ]
)
_BLOCK = 1 << 18
_DONE = ("ICC profile converted",)


@dataclass(frozen=True, kw_only=True)
class _Way:
    mode: str
    apply: Callable[[Image.Image], Image.Image]
    gray: np.ndarray
    plain: bool


def to_srgb8(image: Image.Image, icc: bytes) -> tuple[Image.Image, tuple[str, ...]]:
    """Convert a picture of mode L, RGB or CMYK by its profile.

    Returns:
        The picture, L staying L and the others RGB, and notes of what was done: none if the profile is sRGB
        or its like. An unusable profile leaves the picture as it is and says so.
    """
    way = _way(icc)
    if way is None or (image.mode != way.mode and (image.mode != "L" or way.mode == "CMYK")):
        return image, ("unusable ICC profile ignored",)
    if image.mode == "L":
        if _near(way.gray, np.arange(256)):
            return image, ()
        return image.point(way.gray.tolist()), _DONE
    if way.plain:
        return image, ()
    return way.apply(image), _DONE


def to_srgb16(pixels: np.ndarray, icc: bytes) -> tuple[np.ndarray, tuple[str, ...]]:
    """Convert (H, W) or (H, W, 3) uint16 by its profile, as `to_srgb8` does.

    A profile made of tables in place of curves and a matrix can't be followed in 16 bits; it is then left
    out, which the note says.
    """
    way = _way(icc)
    wanted = "L" if pixels.ndim == 2 else "RGB"
    if way is None or way.mode not in ("L", "RGB") or (wanted, way.mode) == ("RGB", "L"):
        return pixels, ("unusable ICC profile ignored",)
    if way.plain if wanted == "RGB" else _near(way.gray, np.arange(256)):
        return pixels, ()
    try:
        curves, matrix = _curves_and_matrix(icc)
    except (KeyError, struct.error, ValueError, IndexError):
        return pixels, ("ICC profile ignored: its tables can't be followed in 16 bits",)
    flat = pixels.reshape(-1, pixels.shape[2] if pixels.ndim == 3 else 1)
    out = np.empty_like(flat)
    for start in range(0, len(flat), _BLOCK):
        block = flat[start : start + _BLOCK]
        if matrix is None or block.shape[1] == 1:
            linear = curves[len(curves) // 2][block]
        else:
            linear = np.stack([c[block[:, i]] for i, c in enumerate(curves)], axis=1) @ matrix.T
        linear = np.clip(linear, 0.0, 1.0)
        coded = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
        out[start : start + _BLOCK] = np.rint(coded * 65535)
    return out.reshape(pixels.shape), _DONE


@functools.lru_cache(maxsize=8)
def _way(icc: bytes) -> _Way | None:
    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(icc))
        mode = _MODES[profile.profile.xcolor_space.strip()]
        transform = _transform(profile, mode, ImageCms.Flags.HIGHRESPRECALC)
        # LittleCMS thins out a gray curve for speed, which is up to ten levels off near black.
        exact = _transform(profile, mode, ImageCms.Flags.NOOPTIMIZE)
    except Exception:  # LittleCMS and Pillow raise what they like on a hostile profile
        return None
    ramp = np.arange(256, dtype=np.uint8)[None]
    axis = np.linspace(0, 255, 9).round().astype(np.uint8)
    cube = np.stack(np.meshgrid(axis, axis, axis), axis=-1).reshape(1, -1, 3)
    gray = Image.fromarray(ramp).convert(mode if mode != "CMYK" else "L").convert(mode)
    plain = mode == "RGB" and _near(np.asarray(transform.apply(Image.fromarray(cube))), cube)
    return _Way(mode=mode, apply=transform.apply, gray=np.asarray(exact.apply(gray))[0, :, 1], plain=plain)


def _transform(profile: ImageCms.ImageCmsProfile, mode: str, flags: ImageCms.Flags) -> ImageCms.ImageCmsTransform:
    return ImageCms.buildTransform(
        profile,
        ImageCms.createProfile("sRGB"),
        mode,
        "RGB",
        ImageCms.Intent.RELATIVE_COLORIMETRIC,
        flags | ImageCms.Flags.BLACKPOINTCOMPENSATION,
    )


def _near(one: np.ndarray, other: np.ndarray) -> bool:
    return int(np.abs(one.astype(int) - other.astype(int)).max()) <= _SAME


def _curves_and_matrix(icc: bytes) -> tuple[list[np.ndarray], np.ndarray | None]:
    count = struct.unpack_from(">I", icc, 128)[0]
    tags = {}
    for i in range(min(count, 200)):
        name, offset, size = struct.unpack_from(">4sII", icc, 132 + 12 * i)
        tags[name] = icc[offset : offset + size]
    if b"kTRC" in tags:
        return [_curve(tags[b"kTRC"])], None
    if b"A2B0" in tags or b"A2B1" in tags:
        raise ValueError("made of tables")
    colorants = [np.array(struct.unpack_from(">3i", tags[n], 8)) / 65536 for n in (b"rXYZ", b"gXYZ", b"bXYZ")]
    matrix = np.linalg.inv(_SRGB_TO_XYZ) @ np.stack(colorants, axis=1)
    return [_curve(tags[n]) for n in (b"rTRC", b"gTRC", b"bTRC")], matrix


def _curve(tag: bytes) -> np.ndarray:
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
