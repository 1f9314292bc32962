"""Hand-made ICC profiles."""

from __future__ import annotations

import struct


def tables():
    """Return a tag that converts colours by tables: of two points for each of three channels, each as it is."""
    corners = [65535 * (number >> shift & 1) for number in range(8) for shift in (2, 1, 0)]
    identity = [65536 * (index % 4 == 0) for index in range(9)]
    head = b"mft2" + bytes(4) + bytes([3, 3, 2, 0]) + struct.pack(">9i2H", *identity, 2, 2)
    return head + struct.pack(">36H", *(0, 65535) * 3, *corners, *(0, 65535) * 3)


def profile(space, gamma=256, **more):
    """Return an ICC profile: the primaries of sRGB at D50, and a gamma curve (256 is a gamma of 1); `more` tags."""
    curve = b"curv" + struct.pack(">IIH", 0, 1, gamma) + b"\0\0"
    xyz = {b"rXYZ": (0.43607, 0.22249, 0.01392), b"gXYZ": (0.38515, 0.71687, 0.09708)}
    xyz |= {b"bXYZ": (0.14307, 0.06061, 0.71410), b"wtpt": (0.9642, 1.0, 0.8249)}
    colorants = xyz if space == b"RGB " else {b"wtpt": xyz[b"wtpt"]}
    tags = {k: b"XYZ \0\0\0\0" + struct.pack(">3i", *(round(c * 65536) for c in v)) for k, v in colorants.items()}
    tags |= dict.fromkeys((b"rTRC", b"gTRC", b"bTRC") if space == b"RGB " else (b"kTRC",), curve)
    tags[b"desc"] = b"desc" + struct.pack(">II", 0, 5) + b"test\0" + bytes(79)
    tags[b"cprt"] = b"text" + bytes(4) + b"none\0\0\0\0"
    tags |= {name.encode(): content for name, content in more.items()}
    table, body, offset = struct.pack(">I", len(tags)), b"", 128 + 4 + 12 * len(tags)
    for name, content in tags.items():
        content += bytes(-len(content) % 4)
        table += struct.pack(">4sII", name, offset + len(body), len(content))
        body += content
    head = struct.pack(">I4sI4s4s4s", offset + len(body), b"lcms", 0x02400000, b"mntr", space, b"XYZ ")
    head += bytes(12) + b"acsp" + bytes(28) + struct.pack(">3i", 63190, 65536, 54061)
    return head.ljust(128, b"\0") + table + body
