"""JPEG files that are cut: what of the picture they have.

Every viewer opens such a file, and fills what is missing with gray. Which part that is can't be asked of the decoder.
So the picture is decoded twice, with different bytes in the place of those that are missing: what differs was made up.
Source: ITU-T T.81, annexes B and G.
"""

from __future__ import annotations

import io
import random

import numpy as np
from PIL import JpegImagePlugin

from toolbox.imaging.integrity import BrokenFileError, CutJpegError, JpegScan, check_jpeg, jpeg_scans

_END_OF_IMAGE = b"\xff\xd9"
_FILLER = bytes(random.Random(0).choices(range(1, 255), k=4096))
# A disc that was read in part gives zeros; fewer may be part of the picture.
_MIN_ZEROS = 16
# What libjpeg decodes where nothing is left: a coefficient of zero.
_NOTHING_LEFT = 128
_BLOCK = 8
_COEFFICIENTS = 64


def close_jpeg(data: bytes) -> tuple[bytes, bool]:
    """Return a JPEG file with an end marker, and whether it had none.

    Raises:
        BrokenFileError: it is no JPEG, or it is cut before the first or between two parts of the picture.
    """
    try:
        check_jpeg(data)
    except CutJpegError:
        kept = data.rstrip(b"\0")
        kept = data if len(data) - len(kept) < _MIN_ZEROS else kept
        if not _shows_colors(jpeg_scans(kept)):
            raise
        return kept + _END_OF_IMAGE, True
    return data, False


def is_suspect(image: JpegImagePlugin.JpegImageFile) -> bool:
    """Return whether a decoded picture ends with what libjpeg makes where no data are left."""
    last = np.asarray(image.getpixel((image.width - 1, image.height - 1)))
    return bool((np.abs(last - _NOTHING_LEFT) <= 1).all())


def find_missing(data: bytes) -> tuple[np.ndarray, bool]:
    """Return what a JPEG file with an end marker lacks of its picture.

    Returns:
        Which pixels are made up, (H, W) bool, as they are stored; and whether the others lack detail, because passes of
        a progressive file that refine them are missing or cut.
    """
    end = data.rfind(_END_OF_IMAGE)
    # A stuffed byte that is cut in two is made whole.
    filled = data[:end] + (b"\0" if data[end - 1 : end] == b"\xff" else b"") + _FILLER + _END_OF_IMAGE
    as_it_is, layers = _channels(data)
    differs = as_it_is != _channels(filled)[0]
    missing, scans = np.zeros(differs.shape[:2], bool), jpeg_scans(data)
    if not differs.any() or not _is_first_pass(scans):
        return missing, bool(differs.any()) or not _is_refined(scans)
    shown = differs[..., 0]  # not subsampled, so that it ends where the blocks do
    height, width = (_BLOCK * max(layer[axis] for layer in layers) for axis in (2, 1))
    top = int(shown.any(1).argmax()) // height * height
    left = int(shown[top : top + height].any(0).argmax()) // width * width
    missing[top : top + height, left:] = shown.any()
    missing[top + height :] = shown.any()
    return missing, not _is_refined(scans)


def _is_refined(scans: list[JpegScan]) -> bool:
    """Return whether a picture has all its passes: always true for a file that is not progressive."""
    if not scans or not scans[0].is_progressive:
        return True
    bits: dict[tuple[int, int], int] = {}
    for scan in scans:
        for component in scan.components:
            bits |= {(component, index): scan.low_bit for index in range(scan.first, scan.last + 1)}
    return all(bits.get((one, index)) == 0 for one in scans[0].all_components for index in range(_COEFFICIENTS))


def _shows_colors(scans: list[JpegScan]) -> bool:
    """Return whether the first pass over all components of the picture has begun."""
    return bool(scans) and {one for scan in scans for one in scan.components} >= set(scans[0].all_components)


def _is_first_pass(scans: list[JpegScan]) -> bool:
    """Return whether the last scan is the one that shows the picture, and not one that refines it."""
    return bool(scans) and (not scans[-1].is_progressive or (scans[-1].first == 0 and scans[-1].high_bit == 0))


def _channels(data: bytes) -> tuple[np.ndarray, list[tuple[int, int, int, int]]]:
    """Return the channels of a JPEG file as they are stored, (H, W, C), and the sampling of each."""
    image = JpegImagePlugin.JpegImageFile(io.BytesIO(data))
    if image.mode == "RGB":
        image.draft("YCbCr", image.size)
    image.load()
    pixels = np.asarray(image)
    return pixels if pixels.ndim == 3 else pixels[..., None], image.layer


def describe_missing(missing: np.ndarray, *, lacks_detail: bool) -> str:
    """Return in words what a cut file lacks of its picture; `missing` is (H, W) bool."""
    if missing.any():
        return f"the file is cut short: {_share(missing)} of the picture is missing at its end"
    if lacks_detail:
        return "the file is cut short: the whole picture is there, with less detail"
    return "the end marker of the JPEG is missing; the picture is complete"


def require_whole(missing: np.ndarray) -> None:
    """Raise BrokenFileError if pixels (H, W) bool are missing."""
    if missing.any():
        raise BrokenFileError(f"is cut short: {_share(missing)} of the picture is missing")


def _share(missing: np.ndarray) -> str:
    return f"{max(100 * missing.mean(), 0.1):.1f} %"
