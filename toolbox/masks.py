"""Which part of a photograph is lost: found, given as a file, transparent, or of one colour."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from toolbox import damage, files, images
from toolbox.errors import DataError, UsageError
from toolbox.images import Photo

_COLOR = re.compile(r"#?([0-9a-fA-F]{6})")


@dataclass(frozen=True, kw_only=True)
class Choice:
    """How the lost part is told.

    Attributes:
        given: None finds it; False is none, what is transparent apart; a file is the mask of the one photograph, a
            folder has a mask for each, of the same name or stem.
        color: what has this colour is lost, (R, G, B) of 0 to 255, or None.
        tolerance: by how much a channel may differ from it.
        grow: by how many pixels the lost part is widened.
        max_pixels: of a mask file.
    """

    given: Path | None | bool = None
    color: tuple[int, int, int] | None = None
    tolerance: int = 12
    grow: int = 0
    max_pixels: int = images.MAX_PIXELS


def parse_color(text: str) -> tuple[int, int, int]:
    """Return (R, G, B) of "#ffffff"; UsageError if it is not such a colour."""
    match = _COLOR.fullmatch(text.strip())
    if match is None:
        raise UsageError(f"--color {text} is not a colour; write it as '#ffffff', red, green and blue from 00 to ff.")
    value = bytes.fromhex(match[1])
    return value[0], value[1], value[2]


def lost(photo: Photo, path: Path, rgb: np.ndarray, gray: bool, choice: Choice) -> np.ndarray:
    """Return what is lost of a photograph, (H, W) bool.

    Args:
        photo: as it was read.
        path: where from, which tells its mask in a folder of masks.
        rgb: it as (H, W, 3) uint8.
        gray: whether it counts as gray, so that a flat shape painted over it can be found.
        choice: how it is told.

    Raises:
        DataError: its mask is not there, can't be read, or is of another size.
    """
    mask = np.zeros(rgb.shape[:2], bool)
    if photo.alpha is not None:
        mask |= photo.alpha < (np.iinfo(photo.alpha.dtype).max + 1) // 2
    if isinstance(choice.given, Path):
        mask |= _read(choice.given, path, rgb.shape[:2], choice.max_pixels)
    elif choice.color is not None:
        apart = np.abs(rgb.astype(np.int16) - np.array(choice.color, np.int16)).max(axis=2)
        mask |= apart <= choice.tolerance
    elif choice.given is None and gray and not mask.any():
        mask |= damage.find_lost_region(images.luma(rgb))
    if choice.grow and mask.any():
        side = 2 * choice.grow + 1
        mask = cv2.dilate(mask.astype(np.uint8), cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))) > 0
    return mask


def _read(given: Path, photo: Path, size: tuple[int, ...], max_pixels: int) -> np.ndarray:
    path = _of(given, photo) if given.is_dir() else given
    mask = images.read_mask(path, max_pixels=max_pixels)
    if mask.shape != size:
        raise DataError(
            f"{files.shown(path)} is {mask.shape[1]}x{mask.shape[0]} and {files.shown(photo)} {size[1]}x{size[0]}; "
            "a mask must be of the photo's size, upright"
        )
    return mask


def _of(folder: Path, photo: Path) -> Path:
    """Return the mask in `folder` of the photo's name, or else of its stem."""
    if (folder / photo.name).is_file():
        return folder / photo.name
    found = [path for path in images.find(folder) if path.stem in (photo.stem, photo.name)]
    if not found:
        raise DataError(f"{files.shown(folder)} has no mask for {files.shown(photo.name)}")
    if len(found) > 1:
        raise DataError(
            f"{files.shown(folder)} has {len(found)} masks for {files.shown(photo.name)}: "
            + ", ".join(files.shown(path.name) for path in found)
        )
    return found[0]
