"""Convert the colour information of a PNG file (cICP, gAMA, cHRM) to an ICC profile.

Sources: PNG (third edition), sections 11.3.2 and 12; ITU-T H.273 (the codes of cICP); ICC.1:2022.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

COLOR_CHUNKS = {b"cICP", b"iCCP", b"sRGB", b"gAMA", b"cHRM"}

# CIE x and y of red, green, blue and white.
_SRGB = (0.64, 0.33, 0.30, 0.60, 0.15, 0.06, 0.3127, 0.3290)
_ADOBE_RGB = (0.64, 0.33, 0.21, 0.71, 0.15, 0.06, 0.3127, 0.3290)
_P3 = (0.680, 0.320, 0.265, 0.690, 0.150, 0.060, 0.3127, 0.3290)
_PRIMARIES = {
    1: _SRGB,
    4: (0.67, 0.33, 0.21, 0.71, 0.14, 0.08, 0.310, 0.316),
    5: (0.64, 0.33, 0.29, 0.60, 0.15, 0.06, 0.3127, 0.3290),
    6: (0.630, 0.340, 0.310, 0.595, 0.155, 0.070, 0.3127, 0.3290),
    7: (0.630, 0.340, 0.310, 0.595, 0.155, 0.070, 0.3127, 0.3290),
    9: (0.708, 0.292, 0.170, 0.797, 0.131, 0.046, 0.3127, 0.3290),
    12: _P3,
}
# The parameters of a parametric curve from stored to linear values.
_SRGB_CURVE = (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
_BT709_CURVE = (1 / 0.45, 1 / 1.099, 0.099 / 1.099, 1 / 4.5, 0.081)
_TRANSFERS: dict[int, tuple[float, ...]] = {
    **dict.fromkeys((1, 6, 14, 15), _BT709_CURVE),
    4: (2.2,),
    5: (2.8,),
    8: (1.0,),
    13: _SRGB_CURVE,
}
_HDR = {16: "PQ", 18: "HLG"}
_UNKNOWN_CODE = ("colour code of an unknown kind ignored",)
# With the primaries of sRGB, gAMA values this close to 1/2.2 mean sRGB, whose curve they can't describe.
_SRGB_GAMMA, _GAMMA_TOLERANCE = 1 / 2.2, 0.005
_XY_TOLERANCE = 0.003
_BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
_D50 = np.array([0.9642, 1.0, 0.8249])


def profile_of_chunks(chunks: Mapping[bytes, bytes], *, is_gray: bool) -> tuple[bytes | None, tuple[str, ...]]:
    """Return an ICC profile for the colour chunks of a PNG file, or None if they mean sRGB; and notes.

    Args:
        chunks: the contents of the chunks by their names. An ICC profile among them is ignored here: cICP has priority
            over it, and it has priority over the others.
        is_gray: whether the file has one channel of colour.
    """
    if b"cICP" in chunks and len(chunks[b"cICP"]) == 4:
        return _profile_of_cicp(chunks[b"cICP"], is_gray)
    if b"iCCP" in chunks or b"sRGB" in chunks:
        return None, ()
    primaries = _SRGB
    if b"cHRM" in chunks and len(chunks[b"cHRM"]) == 32:
        white_x, white_y, *rest = (value / 100_000 for value in struct.unpack(">8I", chunks[b"cHRM"]))
        primaries = (*rest, white_x, white_y)  # type: ignore[assignment]
    curve: tuple[float, ...] = _SRGB_CURVE
    if b"gAMA" in chunks and len(chunks[b"gAMA"]) == 4:
        gamma = int.from_bytes(chunks[b"gAMA"], "big") / 100_000
        if not 0.05 <= gamma <= 20:
            return None, ("unusable PNG gamma ignored",)
        # Adobe RGB has the gamma 1/2.2 too, and means it.
        if abs(gamma - _SRGB_GAMMA) > _GAMMA_TOLERANCE or not (is_gray or are_srgb(primaries)):
            curve = (1 / gamma,)
    return _profile(primaries, curve, is_gray)


def profile_of_pil_info(info: Mapping[Any, Any], *, is_gray: bool) -> bytes | None:
    """Return an ICC profile for the colour chunks that Pillow found in a PNG file; None if there are none, or sRGB.

    Args:
        info: the attribute of the image, with "gamma", "chromaticity" and "srgb".
        is_gray: whether the image has one channel of colour.
    """
    chunks = {b"sRGB": b"\0"} if "srgb" in info else {}
    if "gamma" in info:
        chunks[b"gAMA"] = struct.pack(">I", round(100_000 * info["gamma"]))
    if "chromaticity" in info:
        chunks[b"cHRM"] = struct.pack(">8I", *(round(100_000 * value) for value in info["chromaticity"]))
    return profile_of_chunks(chunks, is_gray=is_gray)[0]


def profile_of_codes(primaries: int, transfer: int, *, is_gray: bool) -> tuple[bytes | None, tuple[str, ...]]:
    """Return an ICC profile for codes of ITU-T H.273, or None if they mean sRGB or can't be converted; and notes.

    Args:
        primaries: the code of the primaries.
        transfer: the code of the transfer characteristics.
        is_gray: whether the file has one channel of colour.
    """
    if transfer in _HDR:
        return None, (f"HDR colours ({_HDR[transfer]}) are not converted",)
    if primaries not in _PRIMARIES or transfer not in _TRANSFERS:
        return None, _UNKNOWN_CODE
    return _profile(_PRIMARIES[primaries], _TRANSFERS[transfer], is_gray)


def adobe_rgb_profile() -> bytes:
    """Return an ICC profile of Adobe RGB (1998)."""
    profile, _ = _profile(_ADOBE_RGB, (563 / 256,), is_gray=False)
    assert profile is not None
    return profile


def are_srgb(primaries: Sequence[float] = (), white: Sequence[float] = ()) -> bool:
    """Return whether CIE x and y are those of sRGB.

    Args:
        primaries: of red, green, blue and, if `white` is empty, of white; what is missing counts as that of sRGB.
        white: of white.
    """
    stated = (*primaries, *_SRGB[len(primaries) : 6], *white) if white else (*primaries, *_SRGB[len(primaries) :])
    return max(abs(float(a) - b) for a, b in zip(stated, _SRGB, strict=True)) <= _XY_TOLERANCE


def _profile_of_cicp(content: bytes, is_gray: bool) -> tuple[bytes | None, tuple[str, ...]]:
    primaries, transfer, matrix, full_range = content
    if transfer not in _HDR and (matrix != 0 or full_range != 1):
        return None, _UNKNOWN_CODE
    return profile_of_codes(primaries, transfer, is_gray=is_gray)


def _profile(
    primaries: tuple[float, ...], curve: tuple[float, ...], is_gray: bool
) -> tuple[bytes | None, tuple[str, ...]]:
    if curve == _SRGB_CURVE and (is_gray or are_srgb(primaries)):
        return None, ()
    kind = 0 if len(curve) == 1 else 3
    curve_tag = struct.pack(f">4s4xH2x{len(curve)}i", b"para", kind, *(round(65536 * value) for value in curve))
    if is_gray:
        return _assemble(b"GRAY", {b"wtpt": _xyz_tag(_D50), b"kTRC": curve_tag}), ()
    try:
        columns = _adapted_primaries(primaries)
        tags = {name: _xyz_tag(columns[:, index]) for index, name in enumerate((b"rXYZ", b"gXYZ", b"bXYZ"))}
    except (ZeroDivisionError, np.linalg.LinAlgError, OverflowError, ValueError, struct.error):
        return None, ("unusable PNG chromaticities ignored",)
    tags |= dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve_tag)
    return _assemble(b"RGB ", {b"wtpt": _xyz_tag(_D50), **tags}), ()


def _adapted_primaries(primaries: tuple[float, ...]) -> np.ndarray:
    """Return the matrix from linear RGB to XYZ, adapted to D50 with the Bradford matrix."""
    points = np.array([[x / y, 1.0, (1 - x - y) / y] for x, y in zip(primaries[::2], primaries[1::2], strict=True)])
    matrix, white = points[:3].T, points[3]
    matrix = matrix * np.linalg.solve(matrix, white)
    scale = (_BRADFORD @ _D50) / (_BRADFORD @ white)
    adapted: np.ndarray = np.linalg.inv(_BRADFORD) @ np.diag(scale) @ _BRADFORD @ matrix
    return adapted


def _xyz_tag(xyz: np.ndarray) -> bytes:
    return struct.pack(">4s4x3i", b"XYZ ", *(round(65536 * float(value)) for value in xyz))


def _assemble(space: bytes, tags: Mapping[bytes, bytes]) -> bytes:
    """Return a display profile of version 4.2 with these tags."""
    start = 132 + 12 * len(tags)
    table, body = struct.pack(">I", len(tags)), b""
    for name, content in tags.items():
        table += name + struct.pack(">II", start + len(body), len(content))
        body += content + bytes(-len(content) % 4)
    head = struct.pack(">I4xI4s4s4s", start + len(body), 0x04200000, b"mntr", space, b"XYZ ")
    head += bytes(12) + b"acsp" + bytes(28) + struct.pack(">3i", *(round(65536 * value) for value in _D50))
    return head.ljust(128, b"\0") + table + body
