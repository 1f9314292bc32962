"""The image formats, one row each: how to recognise, check, decode and encode a file.

To add a format, add its row to `FORMATS`. Everything else reads this table: the search in folders, the decoder, the
encoder, and the names of results.
"""

from __future__ import annotations

import importlib.util
import io
import re
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import (
    AvifImagePlugin,
    BmpImagePlugin,
    ImageFile,
    JpegImagePlugin,
    PngImagePlugin,
    WebPImagePlugin,
    features,
)

from toolbox.imaging import encode, integrity
from toolbox.imaging.decode_16bit import PixelsAndAlpha, decode_png16, decode_tiff16
from toolbox.imaging.dib import BITMAP_HEADER
from toolbox.imaging.png import Png, read_png
from toolbox.imaging.tiff_open import open_tiff
from toolbox.utils import files


@dataclass(frozen=True, kw_only=True)
class ImageFormat:
    """An image format.

    Attributes:
        name: the name in Pillow, such as "PNG".
        suffixes: of its files, in lower case. Files with them are found in folders.
        magic: matches the first bytes of its files.
        opener: Pillow's class for it, called with a stream. `Image.open` would try every format that it knows.
        check: called with the bytes before they are opened; raises BrokenFileError. For a PNG it returns what
            the decoder needs.
        check_tags: called with the bytes and the tags of an opened TIFF; raises BrokenFileError.
        decode_16bit: decodes what has 16 bits, and returns None for what has at most 8, which Pillow decodes.
        encode: encodes (H, W, 3) pixels with EXIF and XMP; see `toolbox.imaging.encode`. None: results become PNG.
        max_bits: the most bits per sample that `encode` can write.
        is_lossy: whether encoding loses detail.
        decoder: what an installation may lack to decode it, in words; empty: nothing.
        has_decoder: returns whether this installation can decode it.
    """

    name: str
    suffixes: tuple[str, ...]
    magic: re.Pattern[bytes]
    opener: Callable[[io.BytesIO], ImageFile.ImageFile]
    check: Callable[[bytes], Png | None] | None = None
    check_tags: Callable[[bytes, Any], None] | None = None
    decode_16bit: Callable[[bytes, ImageFile.ImageFile, Png | None], PixelsAndAlpha | None] | None = None
    encode: Callable[[np.ndarray, bytes | None, bytes | None], encode.Encoded] | None = None
    max_bits: int = 8
    is_lossy: bool = False
    decoder: str = ""
    has_decoder: Callable[[], bool] = lambda: True


def _open_heif(stream: io.BytesIO) -> ImageFile.ImageFile:
    """Open a HEIF file with pillow-heif, which is an extra."""
    from pillow_heif import HeifImageFile

    opened: ImageFile.ImageFile = HeifImageFile(stream)
    return opened


FORMATS = (
    ImageFormat(
        name="PNG",
        suffixes=(".png",),
        magic=re.compile(rb"\x89PNG\r\n\x1a\n"),
        opener=PngImagePlugin.PngImageFile,
        check=read_png,
        decode_16bit=decode_png16,
        encode=encode.encode_png_photo,
        max_bits=16,
    ),
    ImageFormat(
        name="JPEG",
        suffixes=(".jpg", ".jpeg", ".jpe", ".jif", ".jfif"),
        magic=re.compile(rb"\xff\xd8\xff"),
        opener=JpegImagePlugin.JpegImageFile,
        check=integrity.check_jpeg,
        encode=encode.encode_jpeg,
        is_lossy=True,
    ),
    ImageFormat(
        name="WEBP",
        suffixes=(".webp",),
        magic=re.compile(rb"RIFF....WEBP", re.DOTALL),
        opener=WebPImagePlugin.WebPImageFile,
        check=integrity.check_webp,
        encode=encode.encode_webp,
        is_lossy=True,
    ),
    ImageFormat(
        name="TIFF",
        suffixes=(".tif", ".tiff"),
        magic=re.compile(rb"II[*+]\0|MM\0[*+]"),
        opener=open_tiff,
        check_tags=integrity.check_tiff,
        decode_16bit=decode_tiff16,
        encode=encode.encode_tiff,
        max_bits=16,
    ),
    ImageFormat(
        name="BMP",
        suffixes=(".bmp", ".dib"),
        magic=re.compile(rb"BM|" + BITMAP_HEADER.pattern, re.DOTALL),
        opener=BmpImagePlugin.BmpImageFile,
        check=integrity.check_bmp,
    ),
    ImageFormat(
        name="AVIF",
        suffixes=(".avif",),
        magic=re.compile(rb"....ftypavi[fs]", re.DOTALL),
        opener=AvifImagePlugin.AvifImageFile,
        check=integrity.check_boxes,
        decoder="a Pillow with AVIF",
        has_decoder=lambda: bool(features.check("avif")),
    ),
    ImageFormat(
        name="HEIF",
        suffixes=(".heic", ".heif", ".hif"),
        magic=re.compile(rb"....ftyp(hei[cxms]|hev[cx]|mif1|msf1)", re.DOTALL),
        opener=_open_heif,
        check=integrity.check_boxes,
        decoder="pillow-heif",
        has_decoder=lambda: importlib.util.find_spec("pillow_heif") is not None,
    ),
)

_BY_SUFFIX = {suffix: row for row in FORMATS for suffix in row.suffixes}


def format_of_content(data: bytes) -> ImageFormat | None:
    """Return the format that the first bytes of a file have, or None if it is not in the table."""
    return next((row for row in FORMATS if row.magic.match(data)), None)


def format_of_path(path: Path) -> ImageFormat | None:
    """Return the format of the suffix of a path; None if it is not in the table or can't be decoded."""
    row = _BY_SUFFIX.get(path.suffix.lower())
    return row if row and row.has_decoder() else None


def missing_decoder(suffix: str) -> str:
    """Return what must be installed to decode files with a suffix, such as ".heic"; empty if nothing would help."""
    row = _BY_SUFFIX.get(suffix)
    return row.decoder if row and not row.has_decoder() else ""


def format_named(name: str) -> ImageFormat:
    """Return the format of a name, such as "PNG"; raise KeyError if it is not in the table."""
    return {row.name: row for row in FORMATS}[name]


def describe_files(paths: Iterable[Path]) -> str:
    """Return a line that counts the files left out and names their suffixes; empty if there are none."""
    counts = Counter(path.suffix.lower() or "no suffix" for path in paths)
    if not counts:
        return ""
    total = sum(counts.values())
    needed = {suffix: need for suffix in sorted(counts) if (need := missing_decoder(suffix))}
    hint = f" (to open {', '.join(needed)}: install {', '.join(sorted({*needed.values()}))})" if needed else ""
    suffixes = ", ".join(files.printable(suffix) for suffix in sorted(counts))
    return f"{total} file{'s' if total > 1 else ''} left out: {suffixes}{hint}"
