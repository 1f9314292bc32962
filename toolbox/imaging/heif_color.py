"""Find the colour codes of an AVIF or HEIF file, which say what its colours mean where it has no ICC profile.

Source: ISO/IEC 14496-12, section 12.1.5 (the box `colr`).
"""

from __future__ import annotations

import struct

from toolbox.imaging.png_color import profile_of_codes

# The box of the first picture. Of several pictures, all have the same, or Pillow gives the first one.
_BOX = b"colrnclx"
_UNSPECIFIED = 2
_SRGB_PRIMARIES, _SRGB_TRANSFER = 1, 13
# Encoders write the codes of video (BT.709, BT.601, BT.2020) for photographs in sRGB, and viewers show them so.
_VIDEO_TRANSFERS = (1, 6, 14, 15)


def profile_of_heif(data: bytes, *, is_gray: bool) -> tuple[bytes | None, tuple[str, ...]]:
    """Return an ICC profile for the colour codes of a file, or None if they mean sRGB or are not there; and notes.

    Args:
        data: the file.
        is_gray: whether it has one channel of colour.
    """
    _, box, content = data.partition(_BOX)
    if not box or len(content) < 4:
        return None, ()
    primaries, transfer = struct.unpack_from(">HH", content)
    if primaries == _UNSPECIFIED:
        primaries = _SRGB_PRIMARIES
    if transfer in (_UNSPECIFIED, *_VIDEO_TRANSFERS):
        transfer = _SRGB_TRANSFER
    return profile_of_codes(primaries, transfer, is_gray=is_gray)
