"""From the bytes of one image file to pixels: which decoder for what, and what each needs to be told.

Pillow decodes eight bits and less. It reduces 16-bit colour to eight, so that goes through OpenCV, which in
turn believes cut PNG data and turns some TIFFs by itself: it is given only what was checked, without side
information. `images` is the way in; it turns whatever is raised here into a DataError.
"""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from PIL import (
    BmpImagePlugin,
    Image,
    ImageCms,
    ImageFile,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from toolbox.imaging import integrity
from toolbox.imaging.icc import to_srgb8, to_srgb16
from toolbox.imaging.integrity import BrokenFileError

# By class and not by Image.open, which tries every format that it knows and has a limit of its own.
_PLUGINS: dict[str, type[ImageFile.ImageFile]] = {
    "PNG": PngImagePlugin.PngImageFile,
    "JPEG": JpegImagePlugin.JpegImageFile,
    "WEBP": WebPImagePlugin.WebPImageFile,
    "TIFF": TiffImagePlugin.TiffImageFile,
    "BMP": BmpImagePlugin.BmpImageFile,
}
# OpenCV 4 has its log level at the top, OpenCV 5 in a module.
_OPENCV_LOG: Any = getattr(cv2.utils, "logging", cv2)
_ORIENTATION, _PHOTOMETRIC, _PLANES, _EXTRA_SAMPLES = 274, 262, 284, 338
# A TIFF's own directory doubles as EXIF; these of its tags speak of the photo, the rest of the file's layout.
_PHOTO_TAGS = {270, 271, 272, 282, 283, 296, 305, 306, 315, 33432, 34665, 34853, *range(40091, 40096)}


class _Bytes(str):
    """Text that is written as the bytes that it was read from.

    Pillow reads any text of EXIF as Latin-1 and would write "?" for what is not ASCII; given bytes instead, it would
    no longer call them text.
    """

    def encode(self, encoding: str = "", errors: str = "") -> bytes:
        return super().encode("latin-1")


def as_read(value: object) -> object:
    """Return a value of EXIF in such a form that Pillow writes the very bytes that it read."""
    return _Bytes(value) if isinstance(value, str) else value


@dataclass(frozen=True, kw_only=True)
class Opened:
    """An image file that was checked as far as it can be without decoding.

    Attributes:
        format: PNG, JPEG, WEBP, TIFF or BMP. data: the whole file. size: upright (width, height).
        image: Pillow's handle, not loaded yet. png: what the walk through a PNG found.
        orientation: EXIF's, 1 to 8. exif: without orientation and thumbnail. icc: the colour profile.
        notes: what was left out so far.
    """

    format: str
    data: bytes
    size: tuple[int, int]
    image: ImageFile.ImageFile
    png: integrity.Png | None
    orientation: int
    exif: bytes | None
    icc: bytes | None
    notes: tuple[str, ...]


def open_bytes(data: bytes, max_pixels: int) -> Opened:
    """Check a file's bytes: known, whole, not too large; raises Broken, or what Pillow raises."""
    if not data:
        raise BrokenFileError("is empty")
    kind = integrity.format_of(data)
    if kind is None:
        raise BrokenFileError("is not an image of a known format (PNG, JPEG, WebP, TIFF, BMP)")
    png = integrity.read_png(data) if kind == "PNG" else None
    if kind == "JPEG":
        integrity.check_jpeg(data)
    elif kind in ("WEBP", "BMP"):
        integrity.check_stated_size(kind, data)
    try:
        image = _PLUGINS[kind](io.BytesIO(png.data if png else data))
    except SyntaxError as error:  # Pillow's word for a header that it can't follow
        raise BrokenFileError(f"is damaged or of a kind that is not supported: {kind} header ({error})") from error
    width, height = image.size
    if width * height > max_pixels:
        raise BrokenFileError(
            f"has {width} x {height} pixels, more than the limit of {max_pixels}: "
            f"raise it with --max-pixels {width * height}"
        )
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        integrity.check_tiff(data, image.tag_v2)
    orientation, exif, note = _exif(image)
    # Pillow gives a TIFF's size upright already, but the others' as stored.
    upright = (height, width) if orientation >= 5 and kind != "TIFF" else (width, height)
    return Opened(
        format=kind,
        data=data,
        size=upright,
        image=image,
        png=png,
        orientation=orientation,
        exif=exif,
        icc=png.icc if png else image.info.get("icc_profile"),
        notes=(*(png.notes if png else ()), *note),
    )


def pixels_of(opened: Opened) -> tuple[np.ndarray, np.ndarray | None, tuple[str, ...]]:
    """Decode, bring to sRGB and turn upright.

    Returns:
        (H, W) or (H, W, 3) uint8 or uint16; alpha (H, W) of the same type or None; what was changed.
    """
    notes: list[str] = []
    orientation, image = opened.orientation, opened.image
    if opened.png is not None and opened.png.depth == 16:
        pixels, alpha = _png16(opened.png)
    elif isinstance(image, TiffImagePlugin.TiffImageFile) and 16 in image.tag_v2.get(258, ()):
        pixels, alpha = _tiff16(opened.data, image)
    else:
        image.load()
        if opened.format == "TIFF" and orientation != 1:
            notes.append("orientation applied")
            orientation = 1
        pixels, alpha = _eight(opened, notes)
    if pixels.dtype == np.uint16:
        notes.append("16-bit")
        if opened.icc:
            pixels, note = to_srgb16(pixels, opened.icc)
            notes.extend(note)
    if orientation != 1:
        notes.append("orientation applied")
        pixels = _upright(pixels, orientation)
        alpha = None if alpha is None else _upright(alpha, orientation)
    if getattr(image, "is_animated", False):
        notes.append("only the first picture taken")
    return pixels, alpha, tuple(notes)


def _eight(opened: Opened, notes: list[str]) -> tuple[np.ndarray, np.ndarray | None]:
    image: Image.Image = opened.image
    alpha = None
    if image.mode in ("P", "PA"):
        image = image.convert("RGBA" if "transparency" in image.info or image.mode == "PA" else "RGB")
        notes.append("palette expanded")
    elif image.mode in ("1", "RGBX", "YCbCr"):
        image = image.convert("L" if image.mode == "1" else "RGB")
    elif image.mode in ("La", "RGBa"):
        image = image.convert(image.mode.upper())
    elif image.mode == "LAB":
        lab, srgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
        image = ImageCms.buildTransform(lab, srgb, "LAB", "RGB").apply(image)
        notes.append("LAB converted")
    if image.mode in ("LA", "RGBA"):
        alpha = np.array(image.getchannel("A"))
        image = image.convert(image.mode[:-1])
    if image.mode not in ("L", "RGB", "CMYK"):
        raise BrokenFileError(f"has samples of a kind that is not supported ({image.mode}): save it with 8 or 16 bits")
    if opened.png is not None and opened.png.transparent:
        scale = 255 // ((1 << opened.png.depth) - 1)
        alpha = _keyed(np.asarray(image), tuple(v * scale for v in opened.png.transparent))
    if opened.icc:
        image, note = to_srgb8(image, opened.icc)
        notes.extend(note)
    if opened.image.mode == "CMYK":
        image = image.convert("RGB")
        notes.append("CMYK converted")
    return np.array(image), alpha


def _png16(png: integrity.Png) -> tuple[np.ndarray, np.ndarray | None]:
    integrity.check_png_stream(png)
    found = _by_opencv(png.data)
    if png.color in (0, 2):
        pixels = found if png.color == 0 else np.ascontiguousarray(found[..., 2::-1])
        return pixels, _keyed(pixels, png.transparent) if png.transparent else None
    pixels = found[..., 0] if png.color == 4 else found[..., 2::-1]
    return np.ascontiguousarray(pixels), np.ascontiguousarray(found[..., 3])


def _tiff16(data: bytes, image: TiffImagePlugin.TiffImageFile) -> tuple[np.ndarray, np.ndarray | None]:
    tags = image.tag_v2
    samples = tags.get(277, 1)
    if tags.get(_PLANES, 1) != 1 and samples > 1:
        raise BrokenFileError("holds its 16-bit colours in separate planes: save it with them interleaved")
    orientation = tags.get(_ORIENTATION, 1)
    if orientation != 1:
        # Whether OpenCV turns it depends on its version, so it is told that there is nothing to turn.
        order = "<" if data[:2] == b"II" else ">"
        count = "Q" if b"+" in data[2:4] else "I"  # the larger kind of TIFF counts in 64 bits
        entry = struct.pack(f"{order}HH{count}", _ORIENTATION, 3, 1)
        place = data.index(entry) + len(entry)
        data = data[:place] + struct.pack(f"{order}H", 1) + data[place + 2 :]
    found = _by_opencv(data)
    size = image.size[::-1] if orientation >= 5 else image.size
    shape = (size[1], size[0]) if samples == 1 else (size[1], size[0], samples)
    if found.shape != shape or image.mode == "CMYK":
        raise BrokenFileError("is a 16-bit TIFF of a kind that is not supported: save it as RGB or gray")
    if samples == 1:
        return (np.invert(found) if tags.get(_PHOTOMETRIC) == 0 else found), None
    pixels = np.ascontiguousarray(found[..., 2::-1])
    meaning = tags.get(_EXTRA_SAMPLES, (0,))[0]
    if samples == 3 or meaning == 0:
        return pixels, None
    alpha = np.ascontiguousarray(found[..., 3])
    if meaning == 1:  # the colours were stored multiplied by it
        share = np.maximum(alpha, 1).astype(np.float32)[..., None] / 65535
        pixels = np.minimum(np.rint(pixels / share), 65535).astype(np.uint16)
    return pixels, alpha


def _by_opencv(data: bytes) -> np.ndarray:
    level = _OPENCV_LOG.getLogLevel()
    _OPENCV_LOG.setLogLevel(0)
    try:
        found = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    finally:
        _OPENCV_LOG.setLogLevel(level)
    if found is None or found.dtype != np.uint16:
        raise BrokenFileError("is damaged: its 16-bit data can't be decoded")
    return found


def _keyed(pixels: np.ndarray, key: tuple[int, ...]) -> np.ndarray:
    hit = pixels == key[0] if pixels.ndim == 2 else (pixels == np.array(key, pixels.dtype)).all(axis=-1)
    return np.where(hit, 0, np.iinfo(pixels.dtype).max).astype(pixels.dtype)


def _upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    if orientation >= 5:
        pixels = pixels.swapaxes(0, 1)
    # Where the first stored row and column stand in the upright picture: EXIF 2.32, section 4.6.4.
    down = -1 if orientation in (3, 4, 7, 8) else 1
    right = -1 if orientation in (2, 3, 6, 7) else 1
    return np.ascontiguousarray(pixels[::down, ::right])


def _exif(image: ImageFile.ImageFile) -> tuple[int, bytes | None, tuple[str, ...]]:
    is_tiff = isinstance(image, TiffImagePlugin.TiffImageFile)
    if not is_tiff and not image.info.get("exif"):
        return 1, None, ()
    orientation = 1
    try:
        if is_tiff:
            exif = image.getexif()
        else:
            exif = Image.Exif()
            exif.load(image.info["exif"])
        stated = exif.get(_ORIENTATION, 1)
        orientation = stated if stated in range(1, 9) else 1
        kept = Image.Exif()
        for tag, value in exif.items():
            if tag != _ORIENTATION and (not is_tiff or tag in _PHOTO_TAGS):
                inner = tag in (34665, 34853)
                kept[tag] = {k: as_read(v) for k, v in exif.get_ifd(tag).items()} if inner else as_read(value)
        return orientation, kept.tobytes() if len(kept) else None, ()
    except Exception:  # EXIF comes from anywhere; a photo isn't refused for it
        return orientation, None, ("unreadable EXIF left out",)
