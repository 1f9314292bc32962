"""Read and write image files: bytes in, uint8 or uint16 pixels out. All other modules use this one.

A file may be malicious. It is checked before it is decoded (format, completeness, size), decoded from memory,
converted to sRGB and turned upright. Every error is an ImageFileError of one line that begins with the file's name.
"""

from __future__ import annotations

import contextlib
import re
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from stat import S_ISREG

import numpy as np

from toolbox.color import integer_luma
from toolbox.errors import DataError, ImageFileError, ToolboxError
from toolbox.imaging import mask_meaning
from toolbox.imaging.decode import decode_opened, open_bytes
from toolbox.imaging.encode import encode_png as encode_png
from toolbox.imaging.formats import format_named, format_of_path
from toolbox.imaging.integrity import BrokenFileError
from toolbox.imaging.left_out import EXTRA_CHANNEL_NOTE
from toolbox.imaging.pixels import as_rgb, to_8bit
from toolbox.utils import files
from toolbox.utils.image_ref import ImageRef
from toolbox.utils.limits import MAX_PIXELS as MAX_PIXELS
from toolbox.utils.memory import is_out_of_memory

# A picture needs at most eight bytes per pixel; text, profiles and previews are added.
_MAX_BYTES_PER_PIXEL = 8
_MAX_SIDE_BYTES = 64 << 20
# The filter, as `warnings.filters` has it, that hides what the modules that decode warn of.
_DECODERS = ("ignore", None, Warning, re.compile(r"(PIL|pillow_heif|toolbox\.imaging)\b"), 0)
# Files that are often beside photographs, and are no pictures.
_NOTES = {".csv", ".db", ".ini", ".json", ".jsonl", ".log", ".md", ".toml", ".txt", ".xml", ".xmp", ".yaml", ".yml"}


@dataclass(frozen=True, kw_only=True, eq=False)
class Photo:
    """A decoded photograph, upright and in sRGB.

    Attributes:
        pixels: (H, W) gray or (H, W, 3) RGB, uint8 or uint16, the full range of the type.
        format: the name of its format in `toolbox.imaging.formats`, such as "PNG".
        alpha: (H, W) of the same type, 0 where it is transparent; None if the file has no transparency.
        exif: EXIF for the result (it begins with ``Exif``), without orientation and thumbnail.
        notes: what was changed, such as "orientation applied".
        cautions: what the picture may lack: the file has several pictures, or its end is missing.
    """

    pixels: np.ndarray
    format: str
    alpha: np.ndarray | None = None
    exif: bytes | None = None
    notes: tuple[str, ...] = ()
    cautions: tuple[str, ...] = ()


def read(path: str | Path | ImageRef, *, max_pixels: int = MAX_PIXELS, accept_cut: bool = False) -> Photo:
    """Read an image file; arguments and errors as those of `decode`."""
    return decode(read_bytes(path, max_pixels), _name(path), max_pixels=max_pixels, accept_cut=accept_cut)


def decode(data: bytes, name: str, *, max_pixels: int = MAX_PIXELS, accept_cut: bool = False) -> Photo:
    """Decode the bytes of an image file.

    Args:
        data: the whole file.
        name: its name in errors.
        max_pixels: a larger picture is refused.
        accept_cut: whether a JPEG whose end is missing is decoded. Missing pixels are transparent, and `cautions` says
            how many there are.

    Raises:
        ImageFileError: not an image, cut short, damaged, too large, or of a kind that is not supported.
    """
    with _data_errors(name):
        opened = open_bytes(data, max_pixels, accept_cut=accept_cut)
        decoded = decode_opened(opened)
    return Photo(
        pixels=decoded.pixels,
        alpha=decoded.alpha,
        format=opened.format.name,
        exif=opened.exif.data,
        notes=(*opened.notes, *decoded.notes),
        cautions=decoded.cautions,
    )


def read_size(
    path: str | Path | ImageRef, *, max_pixels: int = MAX_PIXELS, accept_cut: bool = False
) -> tuple[int, int]:
    """Return width and height in pixels, upright, without decoding; arguments and errors as those of `decode`."""
    data = read_bytes(path, max_pixels)
    with _data_errors(_name(path)):
        return open_bytes(data, max_pixels, accept_cut=accept_cut).size


def read_rgb(path: str | Path | ImageRef, *, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """Read an image file as (H, W, 3) uint8 RGB, see `to_rgb8`."""
    return to_rgb8(read(path, max_pixels=max_pixels))


def read_gray(path: str | Path | ImageRef, *, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """Read an image file as (H, W) uint8, see `to_gray8`."""
    return to_gray8(read(path, max_pixels=max_pixels))


def caution_lines(photo: Photo, name: str | Path) -> list[str]:
    """Return the cautions about a file that is not the photograph itself, each with its name."""
    return [f"{files.printable(name)}: {caution}" for caution in photo.cautions]


def read_with_cautions(
    path: str | Path, warn: Callable[[str], None], *, max_pixels: int = MAX_PIXELS, accept_cut: bool = False
) -> Photo:
    """Read a file that is not the photograph itself, as `read`; `warn` is called with a line for each caution."""
    photo = read(path, max_pixels=max_pixels, accept_cut=accept_cut)
    for line in caution_lines(photo, path):
        warn(line)
    return photo


def read_mask(
    path: str | Path,
    *,
    meaning: mask_meaning.MaskMeaning = "auto",
    max_pixels: int = MAX_PIXELS,
    warn: Callable[[str], None] = lambda _: None,
) -> np.ndarray:
    """Read a mask as (H, W) bool, True where the picture is lost; see `mask_meaning.lost_pixels`.

    `warn` is called with a line for each caution about the file.

    Raises:
        DataError: as `decode` does.
        UndecidedMaskError: it can be read in several ways.
    """
    photo = read_with_cautions(path, warn, max_pixels=max_pixels)
    if EXTRA_CHANNEL_NOTE in photo.notes:
        warn(
            f"{files.printable(path)}: its extra channel, such as a saved selection, is not read; if it marks what is "
            "lost, save it as a picture in white on black"
        )
    return lost_pixels(photo, files.printable(path), meaning)


def lost_pixels(photo: Photo, name: str, meaning: mask_meaning.MaskMeaning = "auto") -> np.ndarray:
    """Return what a decoded mask marks as lost, (H, W) bool; errors as `read_mask`, about `name`."""
    alpha = None if photo.alpha is None else to_8bit(photo.alpha)
    # Some programs write masks of 16 bits with the levels 0 to 255, or 0 and 1.
    is_short = photo.pixels.max() < 256
    # A low label beside a high one is not black.
    pixels = photo.pixels.astype(np.uint8) if is_short else np.maximum(to_8bit(photo.pixels), photo.pixels > 0)
    try:
        return mask_meaning.lost_pixels(pixels, alpha, meaning)
    except mask_meaning.UndecidedMaskError as error:
        raise mask_meaning.UndecidedMaskError(f"{name} {error}", error.readings) from error
    except DataError as error:
        raise DataError(f"{name} {error}") from error


def to_rgb8(photo: Photo) -> np.ndarray:
    """Return a photograph as (H, W, 3) uint8 RGB: gray in three channels, 16 bits rounded to 8, no transparency."""
    return as_rgb(to_8bit(photo.pixels))


def to_gray8(photo: Photo) -> np.ndarray:
    """Return a photograph as (H, W) uint8: a single channel as it is stored, three channels by their luma."""
    pixels = to_8bit(photo.pixels)
    return integer_luma(pixels) if pixels.ndim == 3 else pixels


def find_images(folder: str | Path) -> list[Path]:
    """Return the image files directly in `folder`, by their suffix, sorted. Hidden files are left out.

    Raises:
        DataError: the folder does not exist or can't be read.
    """
    return list_images(folder)[0]


def list_images(folder: str | Path) -> tuple[list[Path], list[Path]]:
    """Return the image files directly in `folder`, as `find_images` does, and the other files that may be pictures.

    Notes are no pictures: text, tables and the like. A broken link and a pipe count as files, so that reading them
    reports what is wrong.

    Raises:
        DataError: the folder does not exist or can't be read.
    """
    try:
        visible = [path for path in sorted(Path(folder).iterdir()) if path.name[0] != "." and not path.is_dir()]
    except (OSError, ValueError) as error:
        raise DataError(f"{files.printable(folder)} can't be read as a folder: {_first_line(error)}") from error
    images = [path for path in visible if format_of_path(path)]
    others = [path for path in visible if not format_of_path(path) and path.suffix.lower() not in _NOTES]
    return images, others


def encode(
    pixels: np.ndarray, format_name: str, exif: bytes | None = None, xmp: bytes | None = None
) -> tuple[bytes, tuple[str, ...]]:
    """Encode (H, W, 3) RGB, uint8 or uint16; the same pixels give the same bytes.

    Args:
        pixels: the picture; 16 bits are rounded to 8 for a format that has no more.
        format_name: the name of a format that has an encoder, such as "PNG".
        exif: as in `Photo`.
        xmp: an XMP packet, see `toolbox.imaging.xmp`.

    Returns:
        The bytes of the file, and a line for each thing that the format cannot hold.

    Raises:
        OutputError: the format does not take a picture of that size.
    """
    row = format_named(format_name)
    assert row.encode is not None
    depth_notes: tuple[str, ...] = ()
    if pixels.dtype == np.uint16 and row.max_bits < 16:
        pixels = to_8bit(pixels)
        depth_notes = (f"16 bits became 8: {row.name} has no more",)
    data, notes = row.encode(pixels, exif, xmp)
    return data, (*depth_notes, *notes)


def write_png(
    path: str | Path, pixels: np.ndarray, *, alpha: np.ndarray | None = None, exif: bytes | None = None
) -> None:
    """Write pixels as PNG, completely or not at all; see `encode_png`; raise OutputError if it fails."""
    files.write_bytes(path, encode_png(pixels, alpha=alpha, exif=exif))


def _name(path: str | Path | ImageRef) -> str:
    return str(path) if isinstance(path, str | Path) else path.name


def read_bytes(path: str | Path | ImageRef, max_pixels: int) -> bytes:
    """Return the content of an image file; ImageFileError if it can't be read, or is a pipe or far too large."""
    if not isinstance(path, str | Path):
        try:
            return path.read()
        except ToolboxError:
            raise
        except Exception as error:  # a plugin may raise anything
            raise ImageFileError(f"{path.name} can't be read: {type(error).__name__}: {_first_line(error)}") from error
    name = files.printable(path)
    try:
        state = Path(path).stat()
        if Path(path).is_dir():
            raise ImageFileError(f"{name} is a folder, not an image file")
        if not S_ISREG(state.st_mode):
            raise ImageFileError(f"{name} is not a plain file")
        if state.st_size > max_pixels * _MAX_BYTES_PER_PIXEL + _MAX_SIDE_BYTES:
            raise ImageFileError(
                f"{name} has {state.st_size >> 20} MiB, too many for a photo of at most {max_pixels} pixels: save a "
                "smaller copy"
            )
        return Path(path).read_bytes()
    except FileNotFoundError as error:
        raise ImageFileError(f"{name} does not exist: check the path") from error
    except PermissionError as error:
        raise ImageFileError(f"{name} can't be read: no permission") from error
    except MemoryError as error:
        raise _too_large(name) from error
    except (OSError, ValueError) as error:
        raise ImageFileError(f"{name} can't be read: {_first_line(error)}") from error


@contextlib.contextmanager
def _data_errors(name: str) -> Iterator[None]:
    """Turn whatever is raised inside into an ImageFileError about the file `name`."""
    name = files.printable(name)
    # Pillow warns of things that are refused or noted here. `catch_warnings` is not for several threads: what one sets
    # would stay when another one puts back what it found.
    if _DECODERS not in warnings.filters:
        warnings.filterwarnings("ignore", module=_DECODERS[3].pattern)
    try:
        yield
    except BrokenFileError as error:
        raise ImageFileError(f"{name} {_first_line(error)}") from error
    except Exception as error:  # the decoders raise almost any type on a hostile file
        if is_out_of_memory(error):
            raise _too_large(name) from error
        raise ImageFileError(f"{name} can't be decoded: {_first_line(error)}") from error


def _too_large(name: str) -> ImageFileError:
    return ImageFileError(f"{name} needs more memory than there is: close other programs, or save a smaller copy")


def _first_line(error: BaseException) -> str:
    reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return files.printable(reason.strip().splitlines()[0])
