"""Read a photograph or a mask from any form in which it may be given: an array, a PIL image, a path."""

from __future__ import annotations

import io as streams
import warnings
from collections.abc import Iterable
from os import PathLike, fspath

import numpy as np
from PIL import Image, ImageOps, TiffImagePlugin
from PIL.ExifTags import Base as Tag

from toolbox.errors import DataError, one_line
from toolbox.guidance.reference import Reference
from toolbox.imaging import io
from toolbox.imaging.decode import FIRST_OF_SEVERAL
from toolbox.imaging.decode_16bit import WHITE_IS_ZERO
from toolbox.imaging.exif import read_exif
from toolbox.imaging.io import Photo
from toolbox.imaging.mask_meaning import MaskMeaning
from toolbox.imaging.png_color import adobe_rgb_profile, profile_of_pil_info
from toolbox.masks.sources import check_mask_size

PhotoLike = str | PathLike[str] | Image.Image | np.ndarray
ReferencesLike = PhotoLike | Reference | Iterable[PhotoLike | Reference]


def photo_array(photo: PhotoLike) -> np.ndarray:
    """Return a photograph as (H, W) or (H, W, 3), upright; an array (H, W, 1) becomes (H, W); see `as_photo`."""
    return as_photo(photo).pixels


def native(array: np.ndarray) -> np.ndarray:
    """Return an array in the byte order of this machine; files of the other order give arrays such as ">u2"."""
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def drop_single_channel(array: np.ndarray) -> np.ndarray:
    """Return (H, W, 1) as (H, W), and every other array as it is."""
    return array[..., 0] if getattr(array, "ndim", 0) == 3 and array.shape[2] == 1 else array


def as_photo(photo: PhotoLike) -> Photo:
    """Return a path, a PIL image or an array as a decoded photograph; see `toolbox.restore`.

    Raises:
        DataError: the file of a path can't be read.
        ValueError: an array of another shape or type, or without pixels.
        TypeError: it is something else.
    """
    if isinstance(photo, np.ndarray):
        _require_no_masked_array(photo, "photo")
        pixels = drop_single_channel(native(photo))
        is_picture = pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] == 3)
        if not is_picture or pixels.dtype not in (np.uint8, np.uint16):
            remedy = "; if its values are from 0 to 1: (255 * photo).round().astype(np.uint8)" if is_picture else ""
            raise ValueError(
                f"a photo is (H, W), (H, W, 1) or (H, W, 3), uint8 or uint16, not {photo.shape} {photo.dtype}{remedy}"
            )
        if not pixels.size:
            raise ValueError(f"the photo is empty: {photo.shape}")
        return Photo(pixels=np.ascontiguousarray(pixels), format="PNG")
    if isinstance(photo, Image.Image):
        return _decode_image(photo)
    path = _path(photo, "photo")
    decoded = io.read(path, accept_cut=True)
    _warn(io.caution_lines(decoded, path))
    return decoded


def _decode_image(image: Image.Image) -> Photo:
    """Return a PIL image as a decoded photograph, by way of a PNG: so it is read as the same file would be."""
    if not image.width or not image.height:
        raise ValueError(f"the photo is empty: {image.width}x{image.height}")
    if image.mode == "F":
        raise ValueError("a PIL image of mode F has no level for white; convert its levels, as in image.convert('L')")
    try:
        # A later picture was chosen with `seek`.
        is_first_of_several = getattr(image, "n_frames", 1) > 1 and image.tell() == 0
        upright = ImageOps.exif_transpose(image)
        if upright.mode == "I" or upright.mode.startswith("I;16"):
            values = np.asarray(upright)
            upright = _with_levels(np.invert(values) if _is_negative(image) else values)
        elif upright.mode in ("La", "RGBa", "PA"):
            upright = upright.convert("LA" if upright.mode == "La" else "RGBA")
        elif upright.mode not in ("1", "L", "LA", "P", "RGB", "RGBA"):
            upright = upright.convert("RGB")
        stream = streams.BytesIO()
        upright.save(stream, "PNG", icc_profile=_profile_of(image))
    except OSError as error:  # PIL decodes a file only now
        raise DataError(f"the image can't be decoded: {one_line(error)}") from error
    if is_first_of_several:
        _warn([f"the image: {FIRST_OF_SEVERAL}"])
    return io.decode(stream.getvalue(), "the image")


def _warn(lines: Iterable[str]) -> None:
    for line in lines:
        warnings.warn(line, stacklevel=2)


def _profile_of(image: Image.Image) -> bytes | None:
    """Return the ICC profile of a PIL image, or one for what its file states otherwise; None for sRGB."""
    if image.info.get("icc_profile"):
        return bytes(image.info["icc_profile"])
    if image.info.get("exif") and image.format != "PNG" and read_exif(image).is_adobe_rgb:
        return adobe_rgb_profile()
    return profile_of_pil_info(image.info, is_gray=image.mode in ("1", "L", "LA", "I") or image.mode.startswith("I;16"))


def _is_negative(image: Image.Image) -> bool:
    """Return whether 0 is white in the 16 bits of an opened TIFF: Pillow inverts 8 bits alone."""
    if not isinstance(image, TiffImagePlugin.TiffImageFile) or not image.mode.startswith("I;16"):
        return False
    return image.tag_v2.get(Tag.PhotometricInterpretation) == WHITE_IS_ZERO


def _with_levels(values: np.ndarray) -> Image.Image:
    """Return whole numbers (H, W) as an image of 8 bits, or of 16 if one is over 255: PIL would make those white."""
    if values.min() < 0 or values.max() > np.iinfo(np.uint16).max:
        raise ValueError(f"a photo has levels from 0 to 65535, and this image from {values.min()} to {values.max()}")
    return Image.fromarray(values.astype(np.uint8 if values.max() < 256 and values.dtype != np.uint16 else np.uint16))


def _require_no_masked_array(array: np.ndarray, word: str) -> None:
    if isinstance(array, np.ma.MaskedArray):
        raise TypeError(f"a {word} is no masked array; pass its `data`, and what is lost as the mask")


def _path(value: object, word: str) -> str:
    if not isinstance(value, str | PathLike):
        raise TypeError(f"a {word} is a path, a PIL image or a NumPy array, not a {type(value).__name__}")
    if not fspath(value):
        raise ValueError(f"the path of a {word} is empty")
    return fspath(value)


def as_mask(mask: PhotoLike, size: tuple[int, ...], meaning: MaskMeaning = "auto") -> np.ndarray:
    """Return a mask as (H, W) bool; see `toolbox.restore`.

    Raises:
        DataError: it does not have the size (H, W), can't be read, or is an image that has several meanings.
        ValueError: an array of another shape or type.
        TypeError: it is something else.
    """
    if isinstance(mask, np.ndarray):
        _require_no_masked_array(mask, "mask")
        lost = drop_single_channel(mask)
        if lost.ndim != 2 or lost.dtype not in (np.bool_, np.uint8):
            raise ValueError(f"a mask is (H, W) or (H, W, 1), bool or uint8, not {mask.shape} {mask.dtype}")
        if lost.dtype == np.uint8 and lost.size:
            lost = io.lost_pixels(Photo(pixels=lost, format="PNG"), "the mask", "white")
    elif isinstance(mask, Image.Image):
        lost = io.lost_pixels(as_photo(mask), "the mask", meaning)
    else:
        lost = io.read_mask(_path(mask, "mask"), meaning=meaning, warn=lambda line: _warn([line]))
    check_mask_size(lost, size)
    return lost
