"""Find the ICC profile in the header of a BMP file.

Source: Windows GDI, BITMAPV4HEADER and BITMAPV5HEADER.
"""

from __future__ import annotations

import struct

_INFO_HEADER = 14  # behind the header of the file
_V4_BYTES, _V5_BYTES = 108, 124
# Offsets in the header: the colour space, the primaries (36 bytes) with the gammas, the place and size of the profile.
_COLOR_SPACE, _PRIMARIES, _PROFILE = 56, 60, 112
_CALIBRATED, _EMBEDDED, _LINKED = 0, 0x4D424544, 0x4C494E4B


def profile_of_bmp(data: bytes) -> tuple[bytes | None, tuple[str, ...]]:
    """Return the ICC profile in a BMP file, or None if it has none, and a note on colours that are not converted."""
    header = data[_INFO_HEADER : _INFO_HEADER + _V5_BYTES]
    size = int.from_bytes(header[:4], "little")
    if size < _V4_BYTES or len(header) < _V4_BYTES:
        return None, ()
    space = int.from_bytes(header[_COLOR_SPACE : _COLOR_SPACE + 4], "little")
    if space == _CALIBRATED and any(header[_PRIMARIES:_V4_BYTES]):
        return None, ("colour calibration of the BMP ignored",)
    if size < _V5_BYTES or len(header) < _V5_BYTES:
        return None, ()
    if space == _LINKED:
        return None, ("linked ICC profile ignored",)
    if space != _EMBEDDED:
        return None, ()
    start, length = struct.unpack_from("<II", header, _PROFILE)
    profile = data[_INFO_HEADER + start : _INFO_HEADER + start + length]
    return (profile, ()) if length and len(profile) == length else (None, ("unreadable ICC profile ignored",))
