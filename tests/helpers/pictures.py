"""Small pictures and image files for the tests of the readers."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
from PIL import Image

from toolbox.color import integer_luma
from toolbox.data import sample

ORIENTATION = 274


def scene(height=24, width=37, channels=3, dtype=np.uint8, seed=0):
    rng = np.random.default_rng(seed)
    shape = (height, width) if channels == 1 else (height, width, channels)
    return rng.integers(0, np.iinfo(dtype).max + 1, shape).astype(dtype)


def smooth(height=24, width=37):
    y, x = np.mgrid[:height, :width]
    return np.dstack([y * 255 // height, x * 255 // width, (x + y) * 255 // (height + width)]).astype(np.uint8)


def saved(image, fmt, **options):
    stream = io.BytesIO()
    (Image.fromarray(image) if isinstance(image, np.ndarray) else image).save(stream, fmt, **options)
    return stream.getvalue()


def jpeg(pixels, quality):
    """Return (H, W, 3) uint8 pixels as they are after they were saved as JPEG."""
    return np.array(Image.open(io.BytesIO(saved(pixels, "JPEG", quality=quality))).convert("RGB"))


def chunk(kind, body):
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png16(pixels, extra=b""):
    """Return a 16-bit PNG that is written by hand, without row filters."""
    height, width = pixels.shape[:2]
    color = {1: 0, 2: 4, 3: 2, 4: 6}[1 if pixels.ndim == 2 else pixels.shape[2]]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, color, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + extra + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def oriented(pixels, orientation):
    """Return the pixels as a camera with this EXIF orientation stores them: the inverse of Pillow's transpose."""
    inverse = {
        1: lambda a: a,
        2: lambda a: a[:, ::-1],
        3: lambda a: a[::-1, ::-1],
        4: lambda a: a[::-1],
        5: lambda a: a.swapaxes(0, 1),
        6: lambda a: np.rot90(a, 1),
        7: lambda a: np.rot90(a[::-1, :], 1),
        8: lambda a: np.rot90(a, -1),
    }[orientation]
    return np.ascontiguousarray(inverse(pixels))


def exif_of(orientation):
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    exif[271] = "Maker"
    return exif


def tiff16(pixels, orientation=1, order="<"):
    """Return a 16-bit TIFF that is written by hand: one strip, no compression."""
    height, width = pixels.shape[:2]
    samples = 1 if pixels.ndim == 2 else pixels.shape[2]
    body = pixels.astype(f"{order}u2").tobytes()
    tags = [(256, 3, 1, width), (257, 3, 1, height), (258, 3, samples, 16), (259, 3, 1, 1)]
    tags += [(262, 3, 1, 1 if samples == 1 else 2), (273, 4, 1, 0), (274, 3, 1, orientation)]
    tags += [(277, 3, 1, samples), (278, 3, 1, height), (279, 4, 1, len(body))]
    bits_offset = 8 + 2 + 12 * len(tags) + 4
    data_offset = bits_offset + 2 * samples
    out = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}IH", 8, len(tags))
    for tag, kind, count, value in tags:
        if tag == 273:
            value = data_offset
        if tag == 258 and samples > 2:
            out += struct.pack(f"{order}HHII", tag, kind, count, bits_offset)
        elif kind == 3:
            out += struct.pack(f"{order}HHIHH", tag, kind, count, value, 0)
        else:
            out += struct.pack(f"{order}HHII", tag, kind, count, value)
    return out + bytes(4) + struct.pack(f"{order}{samples}H", *[16] * samples) + body


def faded_photo():
    """Return a photograph with half of its colours, on yellow paper, whose colours are weak but not one tone."""
    rgb = np.asarray(Image.open(sample.folder() / "photos" / "breaking-wave.jpg"))
    plane = integer_luma(rgb).astype(float)[..., None]
    return ((plane + 0.35 * (rgb - plane)) * [0.84, 0.78, 0.72] + [50, 44, 38]).clip(0, 255).astype(np.uint8)
