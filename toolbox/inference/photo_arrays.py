"""Read a photograph or a mask from any form in which it may be given: an array, a PIL image, a path."""

from __future__ import annotations

import io as streams
from os import PathLike, fspath

import numpy as np
from PIL import Image, ImageOps

from toolbox.imaging import io
from toolbox.imaging.io import Photo
from toolbox.masks.sources import check_mask_size

PhotoLike = str | PathLike[str] | Image.Image | np.ndarray


def photo_array(photo: PhotoLike) -> np.ndarray:
    """Return a photograph as (H, W) or (H, W, 3), upright; an array (H, W, 1) becomes (H, W); see `as_photo`."""
    return as_photo(photo).pixels


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
        pixels = drop_single_channel(photo)
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
        upright = ImageOps.exif_transpose(photo)
        known = ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")
        stream = streams.BytesIO()
        (upright if upright.mode in known else upright.convert("RGB")).save(stream, "PNG")
        return io.decode(stream.getvalue(), "the image")
    return io.read(_path(photo, "photo"))


def _path(value: object, word: str) -> str:
    if not isinstance(value, str | PathLike):
        raise TypeError(f"a {word} is a path, a PIL image or a NumPy array, not a {type(value).__name__}")
    return fspath(value)


def as_mask(mask: PhotoLike, size: tuple[int, ...]) -> np.ndarray:
    """Return a mask as (H, W) bool; see `toolbox.restore`. Raise DataError if it does not have the size (H, W)."""
    if isinstance(mask, np.ndarray):
        flat = drop_single_channel(mask)
        if flat.ndim != 2 or flat.dtype not in (np.bool_, np.uint8):
            raise ValueError(f"a mask is (H, W) or (H, W, 1), bool or uint8, not {mask.shape} {mask.dtype}")
        # Masks of 0 and 1 are common too; as levels of 255, they would mark nothing.
        threshold = 128 if flat.dtype == np.uint8 and flat.max(initial=0) > 1 else 1
        lost = flat if flat.dtype == np.bool_ else flat >= threshold
    elif isinstance(mask, Image.Image):
        lost = np.asarray(mask.convert("L")) >= 128
    else:
        lost = io.read_mask(_path(mask, "mask"))
    check_mask_size(lost, size)
    return lost
