"""Which part of a photograph is lost: found, given as a file, transparent, or of one colour."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from toolbox.color import integer_luma
from toolbox.errors import DataError, UsageError
from toolbox.imaging import io
from toolbox.imaging.io import Photo
from toolbox.masks import lost_region
from toolbox.utils import files

_COLOR = re.compile(r"#?([0-9a-fA-F]{6})")
# A shape that was painted over a photograph has one colour; so much of it.
_ONE_COLOR = 0.99


@dataclass(frozen=True, kw_only=True)
class MaskOptions:
    """How the lost part is told; what is transparent is lost in any case.

    Attributes:
        given: None finds it; False is none; a file is the mask of the one photograph, a folder has a mask for each, at
            the same place below it and of the same name or stem.
        color: what has this colour is lost, (R, G, B) of 0 to 255, or None. Nothing is found then.
        tolerance: by how much a channel may differ from it.
        grow: by how many pixels the lost part is widened.
        max_pixels: of a mask file.
    """

    given: Path | None | bool = None
    color: tuple[int, int, int] | None = None
    tolerance: int = 12
    grow: int = 0
    max_pixels: int = io.MAX_PIXELS

    @property
    def finds(self) -> bool:
        """Whether a shape that was painted over a gray or toned photograph is looked for."""
        return self.given is None and self.color is None


def parse_color(text: str) -> tuple[int, int, int]:
    """Return (R, G, B) of "#ffffff"; UsageError if it is not such a colour."""
    match = _COLOR.fullmatch(text.strip())
    if match is None:
        raise UsageError(
            f"--color {files.printable(text)} is not a colour; "
            "write it as '#ffffff', red, green and blue from 00 to ff."
        )
    value = bytes.fromhex(match[1])
    return value[0], value[1], value[2]


def mask_from_options(photo: Photo, path: Path, place: Path, rgb: np.ndarray, choice: MaskOptions) -> np.ndarray:
    """Return what is told to be lost of a photograph, (H, W) bool: what is transparent, and what `choice` says.

    Args:
        photo: as it was read.
        path: where from.
        place: where it lies below the folder that was given, as its mask does in a folder of masks.
        rgb: it as (H, W, 3) uint8.
        choice: how it is told.

    Raises:
        DataError: its mask is not there, can't be read, or is of another size.
    """
    mask = np.zeros(rgb.shape[:2], bool)
    if photo.alpha is not None:
        mask |= photo.alpha < (np.iinfo(photo.alpha.dtype).max + 1) // 2
    if isinstance(choice.given, Path):
        mask |= _read(choice.given, path, place, rgb.shape[:2], choice.max_pixels)
    elif choice.color is not None:
        least, most = ([value + sign * choice.tolerance for value in choice.color] for sign in (-1, 1))
        mask |= cv2.inRange(rgb, np.clip(least, 0, 255), np.clip(most, 0, 255)) > 0
    return mask


def find_painted_shape(rgb: np.ndarray) -> np.ndarray:
    """Return the flat shape of one colour that was painted over (H, W, 3) uint8 RGB, (H, W) bool; all False if none.

    Search the luma with `lost_region.find_lost_region`. In a colour photograph that also finds shapes that
    belong to the picture, so a shape counts only if it has one colour.
    """
    mask = lost_region.find_lost_region(integer_luma(rgb))
    inside = rgb[mask]
    if len(inside) and (inside == np.median(inside, axis=0)).all(axis=1).mean() < _ONE_COLOR:
        return np.zeros_like(mask)
    return mask


def grow_mask(mask: np.ndarray, pixels: int) -> np.ndarray:
    """Return a mask (H, W) bool widened by a disc of so many pixels."""
    if not pixels or not mask.any():
        return mask
    side = 2 * pixels + 1
    return cv2.dilate(mask.astype(np.uint8), cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))) > 0


def _read(given: Path, photo: Path, place: Path, size: tuple[int, ...], max_pixels: int) -> np.ndarray:
    path = _of(given, place) if given.is_dir() else given
    mask = io.read_mask(path, max_pixels=max_pixels)
    if mask.shape != size:
        raise DataError(
            f"{files.printable(path)} is {mask.shape[1]}x{mask.shape[0]} and "
            f"{files.printable(photo)} {size[1]}x{size[0]}; a mask must be of the photo's size, upright"
        )
    return mask


def _of(folder: Path, place: Path) -> Path:
    """Return the mask at a photograph's place in `folder`: of its name, its name and an ending, or its stem."""
    here = folder / place.parent
    there = io.find_images(here) if here.is_dir() else []
    for wanted in (place.name, place.stem):
        if here / wanted in there:
            return here / wanted
        found = [path for path in there if path.stem == wanted]
        if len(found) > 1:
            raise DataError(
                f"{files.printable(here)} has {len(found)} masks for {files.printable(place.name)}: "
                + ", ".join(files.printable(path.name) for path in found)
            )
        if found:
            return found[0]
    raise DataError(f"{files.printable(folder)} has no mask for {files.printable(place)}")
