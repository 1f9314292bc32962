"""Device-independent bitmaps: BMP files without the header of the file, as the Windows clipboard and `.dib` files have.

Source: Windows GDI, BITMAPCOREHEADER and BITMAPINFOHEADER.
"""

from __future__ import annotations

import re
import struct

_FILE_HEADER = 14  # bytes
_CORE_HEADER, _INFO_HEADER = 12, 40
# The size of a header, a width and a height, one plane, and the bits of a pixel.
_BITS = rb"\x01\0[\x01\x04\x08\x10\x18\x20]\0"
BITMAP_HEADER = re.compile(rb"\x0c\0\0\0.{4}" + _BITS + rb"|[\x28\x34\x38\x40\x6c\x7c]\0\0\0.{8}" + _BITS, re.DOTALL)
# The bytes of the channels' masks behind a header of 40 bytes, by the field biCompression.
_MASKS = {3: 12, 6: 16}


def with_file_header(data: bytes) -> bytes:
    """Return a BMP file with the header of the file, which says where the pixels begin; unchanged if it has one."""
    if not BITMAP_HEADER.match(data) or len(data) < _INFO_HEADER:
        return data
    (header,) = struct.unpack_from("<I", data)
    if header == _CORE_HEADER:
        (bits,) = struct.unpack_from("<H", data, 10)
        palette = 3 << bits if bits <= 8 else 0
    else:
        bits, compression, colors = (*struct.unpack_from("<HI", data, 14), *struct.unpack_from("<I", data, 32))
        palette = 4 * (colors or (1 << bits if bits <= 8 else 0))
        palette += _MASKS.get(compression, 0) if header == _INFO_HEADER else 0
    start = min(_FILE_HEADER + header + palette, 0xFFFFFFFF)
    return b"BM" + struct.pack("<IHHI", (_FILE_HEADER + len(data)) & 0xFFFFFFFF, 0, 0, start) + data
