"""Take a photograph in the forms in which people have it: an array, a PIL image, a path."""

from __future__ import annotations

from os import PathLike, fspath

import numpy as np
from PIL import Image

from toolbox.imaging import io

PhotoLike = str | PathLike[str] | Image.Image | np.ndarray


def photo_array(photo: PhotoLike) -> np.ndarray:
    """Return a photograph as (H, W) or (H, W, 3); an array (H, W, 1) becomes (H, W), other arrays stay as they are.

    Raises:
        DataError: the file of a path can't be read.
    """
    if isinstance(photo, str | PathLike):
        return io.read(fspath(photo)).pixels
    if isinstance(photo, Image.Image):
        is_gray = photo.mode in ("1", "L", "LA")
        return np.array(photo.convert("L" if is_gray else "RGB"))
    array = photo
    return array[..., 0] if getattr(array, "ndim", 0) == 3 and array.shape[2] == 1 else array
