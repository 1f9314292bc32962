"""The one place where image files are read and written: bytes in, uint8 or uint16 out.

A file from a stranger is checked before it is decoded (what it is, whether it is whole, how large), decoded
from memory, and turned upright in sRGB. Every way in which that can fail is a DataError of one line that
opens with the file's name; nothing of Pillow's or OpenCV's comes through.
"""

from __future__ import annotations

import contextlib
import struct
import warnings
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from stat import S_ISREG

import cv2
import numpy as np
from PIL import Image

from toolbox.errors import DataError
from toolbox.imaging import integrity
from toolbox.imaging.decode import open_bytes, pixels_of
from toolbox.utils import files

MAX_PIXELS = 50_000_000
SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp")

# Room for text, profiles and previews beside eight bytes a pixel, the most that a picture can need.
_SIDE_BYTES = 64 << 20
_PNG_LEVEL = 3
_STRIP = 256


@dataclass(frozen=True, kw_only=True, eq=False)
class Photo:
    """A decoded picture, upright and in sRGB.

    Attributes:
        pixels: (H, W) gray or (H, W, 3) RGB, uint8 or uint16, the full range of the type.
        format: PNG, JPEG, WEBP, TIFF or BMP.
        alpha: (H, W) of the same type, 0 where transparent; None if the file has no transparency.
        exif: EXIF to write beside the result (it opens with ``Exif``), without orientation and thumbnail.
        notes: what was changed, as "orientation applied".
    """

    pixels: np.ndarray
    format: str
    alpha: np.ndarray | None = None
    exif: bytes | None = None
    notes: tuple[str, ...] = ()


def read(path: str | Path, *, max_pixels: int = MAX_PIXELS) -> Photo:
    """Read one image file; raises DataError of one line that names it."""
    return decode(_bytes_of(path, max_pixels), str(path), max_pixels=max_pixels)


def decode(data: bytes, name: str, *, max_pixels: int = MAX_PIXELS) -> Photo:
    """Decode the bytes of one image file.

    Args:
        data: the whole file.
        name: what to call it in errors.
        max_pixels: the most pixels that are decoded.

    Raises:
        DataError: not an image, cut short, damaged, too large, or of a kind that is not supported.
    """
    with _refused(name):
        opened = open_bytes(data, max_pixels)
        pixels, alpha, changes = pixels_of(opened)
    notes = (*opened.notes, *changes)
    return Photo(pixels=pixels, alpha=alpha, format=opened.format, exif=opened.exif, notes=notes)


def size_of(path: str | Path, *, max_pixels: int = MAX_PIXELS) -> tuple[int, int]:
    """Return the upright (width, height) in pixels without decoding; raises DataError as `read` does."""
    data = _bytes_of(path, max_pixels)
    with _refused(str(path)):
        return open_bytes(data, max_pixels).size


def read_rgb(path: str | Path, *, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """Read a file as (H, W, 3) uint8 RGB, see `rgb_of`."""
    return rgb_of(read(path, max_pixels=max_pixels))


def rgb_of(photo: Photo) -> np.ndarray:
    """Return a photo as (H, W, 3) uint8 RGB: gray thrice, 16 bits rounded to 8, transparency left out."""
    pixels = eight_bits(photo.pixels)
    return pixels if pixels.ndim == 3 else np.repeat(pixels[..., None], 3, axis=2)


def eight_bits(pixels: np.ndarray) -> np.ndarray:
    """Return uint8 or uint16 pixels as uint8, 16 bits rounded."""
    if pixels.dtype == np.uint8:
        return pixels
    small = np.empty(pixels.shape, np.uint8)
    # By strips, since it takes several times the memory of the picture.
    for start in range(0, len(pixels), _STRIP):
        rows = slice(start, start + _STRIP)
        # 65535 = 255 x 257, so this rounds to the nearest of the 256 levels.
        small[rows] = (pixels[rows].astype(np.uint32) + 128) // 257
    return small


def read_gray(path: str | Path, *, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """Read a file as (H, W) uint8: one channel as it is stored, three by `luma`."""
    return _gray(read(path, max_pixels=max_pixels))


def read_mask(path: str | Path, *, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """Read a mask as (H, W) bool, True where the picture is lost: white (from 128 on), or transparent."""
    photo = read(path, max_pixels=max_pixels)
    lost = _gray(photo) >= 128
    return lost if photo.alpha is None else lost | (eight_bits(photo.alpha) < 128)


def luma(rgb: np.ndarray) -> np.ndarray:
    """Return the ITU-R 601 luma of (H, W, 3) uint8 as (H, W) uint8, rounded as Pillow's convert("L")."""
    return np.array(Image.fromarray(rgb).convert("L"))


def find(folder: str | Path) -> list[Path]:
    """Return the image files directly in `folder` by their suffix, sorted; hidden files are left out.

    Raises:
        DataError: the folder is not there or can't be read.
    """
    try:
        entries = sorted(Path(folder).iterdir())
        return [p for p in entries if p.suffix.lower() in SUFFIXES and p.name[0] != "." and p.is_file()]
    except OSError as error:
        raise DataError(f"{files.printable(folder)} can't be read as a folder: {error.strerror}") from error


def encode_png(pixels: np.ndarray, *, alpha: np.ndarray | None = None, exif: bytes | None = None) -> bytes:
    """Encode (H, W) or (H, W, 3) RGB, uint8, uint16 or bool (as 0 and 255), as PNG.

    The same pixels give the same bytes. `alpha` is (H, W) of the same type, `exif` as in Photo.
    """
    if pixels.dtype == bool:
        pixels = pixels.astype(np.uint8) * 255
    if alpha is not None:
        rgb = pixels if pixels.ndim == 3 else np.repeat(pixels[..., None], 3, axis=2)
        pixels = np.dstack([rgb, alpha])
    order = {3: [2, 1, 0], 4: [2, 1, 0, 3]}.get(pixels.shape[-1]) if pixels.ndim == 3 else None
    stored = pixels if order is None else np.ascontiguousarray(pixels[..., order])
    data = cv2.imencode(".png", stored, [cv2.IMWRITE_PNG_COMPRESSION, _PNG_LEVEL])[1].tobytes()
    if exif is None:
        return data
    body = b"eXIf" + exif.removeprefix(b"Exif\0\0")
    part = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
    return data[:33] + part + data[33:]


def write_png(
    path: str | Path, pixels: np.ndarray, *, alpha: np.ndarray | None = None, exif: bytes | None = None
) -> None:
    """Write `encode_png` of the pixels to `path`, whole or not at all; raises OutputError."""
    files.write_bytes(path, encode_png(pixels, alpha=alpha, exif=exif))


def _gray(photo: Photo) -> np.ndarray:
    pixels = eight_bits(photo.pixels)
    return luma(pixels) if pixels.ndim == 3 else pixels


def _bytes_of(path: str | Path, max_pixels: int) -> bytes:
    name = files.printable(path)
    try:
        state = Path(path).stat()
        if Path(path).is_dir():
            raise DataError(f"{name} is a folder, not an image file")
        if not S_ISREG(state.st_mode):
            raise DataError(f"{name} is not a plain file")
        if state.st_size > max_pixels * 8 + _SIDE_BYTES:
            raise DataError(f"{name} has {state.st_size >> 20} MiB, too many for a photo within --max-pixels")
        return Path(path).read_bytes()
    except FileNotFoundError as error:
        raise DataError(f"{name} is not there: check the path") from error
    except PermissionError as error:
        raise DataError(f"{name} can't be read: no permission") from error
    except (OSError, ValueError, MemoryError) as error:
        raise DataError(f"{name} can't be read: {_line(error)}") from error


@contextlib.contextmanager
def _refused(name: str) -> Iterator[None]:
    name = files.printable(name)
    try:
        # Pillow warns of what is refused or noted here anyway.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except integrity.BrokenFileError as error:
        raise DataError(f"{name} {_line(error)}") from error
    except MemoryError as error:
        raise DataError(f"{name} needs more memory than there is: lower --max-pixels to refuse it") from error
    except Exception as error:  # the decoders raise nearly everything on a hostile file
        raise DataError(f"{name} can't be decoded: {_line(error)}") from error


def _line(error: BaseException) -> str:
    reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return files.printable(reason.strip().splitlines()[0])
