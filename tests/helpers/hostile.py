"""Image files of many kinds, and mutations: flipped bits, doubled or missing blocks, huge numbers."""

from __future__ import annotations

import struct
import zlib

import numpy as np
from pictures import chunk, exif_of, png16, saved, tiff16
from PIL import Image
from profiles import profile

from toolbox.color import integer_luma
from toolbox.data import sample
from toolbox.imaging import io

EXTREME = (0, 1, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF)
PASSES = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))


def photo(index=0, height=64, width=96):
    path = io.find_images(sample.folder() / "photos")[index]
    return io.read_rgb(path)[100 : 100 + height, 100 : 100 + width]


def interlaced(pixels):
    """Return an Adam7 PNG of (H, W, 3) uint8 or uint16, without row filters: PNG section 8."""
    height, width = pixels.shape[:2]
    passes = [pixels[y::down, x::right] for x, y, right, down in PASSES]
    rows = [row for part in passes if part.size for row in part]
    stored = b"".join(b"\0" + row.astype(f">u{pixels.itemsize}").tobytes() for row in rows)
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8 * pixels.itemsize, 2, 0, 0, 1))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(stored)) + chunk(b"IEND", b"")


def with_thumbnail(data):
    """Return a JPEG with a thumbnail in its EXIF, as cameras write it."""
    body = b"Exif\0\0" + saved(photo(height=16, width=24), "JPEG")
    return data[:2] + b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body + data[2:]


def jpegs():
    rgb = photo()
    picture = Image.fromarray(rgb)
    exif = exif_of(6)
    exif[270] = "a description that is long enough to be cut in the middle of it"
    return {
        "baseline.jpg": saved(rgb, "JPEG", quality=90),
        "progressive.jpg": saved(rgb, "JPEG", progressive=True),
        "full-colour.jpg": saved(rgb, "JPEG", subsampling=0, optimize=True),
        "restarts.jpg": saved(rgb, "JPEG", restart_marker_blocks=1),
        "thumbnail.jpg": with_thumbnail(saved(rgb, "JPEG")),
        "exif.jpg": saved(rgb, "JPEG", exif=exif),
        "profile.jpg": saved(rgb, "JPEG", icc_profile=profile(b"RGB ")),
        "comment.jpg": saved(rgb, "JPEG", comment=b"\xff\xd9 the end is not here"),
        "gray.jpg": saved(picture.convert("L"), "JPEG"),
        "cmyk.jpg": saved(picture.convert("CMYK"), "JPEG"),
    }


def pngs():
    rgb = photo(1)
    picture = Image.fromarray(rgb)
    deep = rgb.astype(np.uint16) * 257 ^ 0x5A
    gray = integer_luma(rgb)
    return {
        "rgb.png": saved(rgb, "PNG"),
        "gray.png": saved(gray, "PNG"),
        "alpha.png": saved(np.dstack([rgb, gray]), "PNG"),
        "gray-alpha.png": saved(np.dstack([gray, gray]), "PNG"),
        "palette.png": saved(picture.quantize(32), "PNG", transparency=3),
        "bits.png": saved(picture.convert("1"), "PNG"),
        "deep.png": png16(deep),
        "deep-gray.png": png16(deep[..., 0]),
        "interlaced.png": interlaced(rgb),
        "deep-interlaced.png": interlaced(deep),
        "profile.png": saved(rgb, "PNG", icc_profile=profile(b"RGB "), exif=exif_of(3)),
    }


def others():
    rgb = photo(2)
    picture = Image.fromarray(rgb)
    deep = rgb.astype(np.uint16) * 257
    return {
        "a.webp": saved(rgb, "WEBP", quality=80),
        "lossless.webp": saved(rgb, "WEBP", lossless=True, exif=exif_of(8)),
        "alpha.webp": saved(picture.convert("RGBA"), "WEBP"),
        "a.tif": saved(rgb, "TIFF", exif=exif_of(5)),
        "lzw.tif": saved(rgb, "TIFF", compression="tiff_lzw"),
        "jpeg.tif": saved(rgb, "TIFF", compression="jpeg"),
        "deflate.tif": saved(picture.convert("CMYK"), "TIFF", compression="tiff_deflate"),
        "bits.tif": saved(picture.convert("1"), "TIFF", compression="group4"),
        "deep.tiff": tiff16(deep, 7),
        "a.bmp": saved(rgb, "BMP"),
        "a.dib": saved(rgb, "DIB"),
        "palette.bmp": saved(picture.quantize(16), "BMP"),
        # A format that is not supported, with the suffix of one that is.
        "gif.png": saved(picture.quantize(16), "GIF"),
    }


def all_files():
    """Return a valid file of every kind, by name."""
    return jpegs() | pngs() | others()


def cut(data, random):
    del data[random.randrange(len(data)) :]


def flip(data, random):
    for _ in range(random.choice((1, 1, 2, 8, 64))):
        data[random.randrange(len(data))] ^= 1 << random.randrange(8)


def blank(data, random):
    start = random.randrange(len(data))
    stop = min(len(data), start + random.choice((1, 4, 16, 256)))
    data[start:stop] = bytes([random.choice((0, 255))]) * (stop - start)


def double(data, random):
    start = random.randrange(len(data))
    block = bytes(data[start : start + random.choice((1, 4, 64, 1024))])
    position = random.choice((start, random.randrange(len(data))))
    data[position:position] = block * random.choice((1, 1, 2, 50))


def drop(data, random):
    start = random.randrange(len(data))
    del data[start : start + random.choice((1, 4, 64, 1024))]


def enlarge(data, random):
    """Set a number near the beginning, where formats store sizes, to an extreme value."""
    size = random.choice((1, 2, 4))
    position = random.randrange(2, min(len(data) - size, 700))
    number = random.choice(EXTREME) & (256**size - 1)
    data[position : position + size] = number.to_bytes(size, random.choice(("big", "little")))


MUTATIONS = (cut, flip, blank, double, drop, enlarge)


def mutate(data, random):
    """Return the bytes after one to three mutations; half of the PNGs get valid checksums again."""
    changed = bytearray(data)
    for _ in range(random.choice((1, 1, 2, 3))):
        if len(changed) > 16:
            random.choice(MUTATIONS)(changed, random)
    return with_checksums(bytes(changed)) if random.random() < 0.5 else bytes(changed)


def with_checksums(data):
    """Return a PNG with valid checksums, so that its content is read; other files unchanged."""
    if not data.startswith(b"\x89PNG\r\n\x1a\n"):
        return data
    out, start = bytearray(data), 8
    while start + 12 <= len(out):
        length = int.from_bytes(out[start : start + 4], "big")
        end = start + 12 + length
        if end > len(out):
            break
        out[end - 4 : end] = struct.pack(">I", zlib.crc32(out[start + 4 : end - 4]))
        start = end
    return bytes(out)
