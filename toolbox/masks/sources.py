"""Find the mask of a photograph: from a file, from transparency, from a colour, or by a detector."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from toolbox.errors import DataError, UsageError
from toolbox.imaging import io
from toolbox.imaging.formats import describe_files
from toolbox.imaging.io import Photo
from toolbox.imaging.mask_meaning import MaskError, MaskMeaning, UndecidedMaskError, border_share
from toolbox.masks.detectors import PAINTED_SHAPE, LoadedDetector
from toolbox.utils import files, surface
from toolbox.utils.file_names import comparable, comparable_stem

_COLOR = re.compile(r"#?([0-9a-fA-F]{6})")
TOLERANCE = 12  # how much each channel may differ from a colour that marks what is lost
# The largest lost region, as a fraction of the photograph.
MAX_LOST = 0.6
# A mask looks inverted if it marks this fraction of the photograph, and this fraction of its outermost pixels.
_INVERTED_SHARE = 0.4
_INVERTED_BORDER = 0.9


def check_mask_size(
    mask: np.ndarray, size: tuple[int, ...], *, name: str = "the mask", photo_name: str = "the photo"
) -> None:
    """Raise DataError if a mask does not have the size (height, width) of its photograph."""
    if mask.shape != size:
        raise DataError(
            f"{name} is {mask.shape[1]}x{mask.shape[0]} and {photo_name} {size[1]}x{size[0]}; "
            "a mask must have the size of the upright photo"
        )


class RefusedMaskError(MaskError):
    """A mask that would probably destroy the photograph."""


@dataclass(frozen=True, kw_only=True)
class MaskOptions:
    """How the lost region is marked. Transparent pixels are always lost.

    Attributes:
        path: the mask of the one photograph, or a folder with a mask for each: in the same subfolder, with the same
            name or stem, or with the stem of its result. None: there is no mask file.
        color: (R, G, B), 0 to 255, of the pixels that are lost, or None.
        tolerance: how much each channel may differ from `color`.
        search: whether the detector is used if there is neither a mask file nor a colour.
        detector: finds the lost region.
        repair: finds damage that is lost too, whatever else marks the lost region; None: no damage is looked for.
        grow: by how many pixels the lost region is widened.
        meaning: which pixels of a mask file are lost; see `toolbox.imaging.mask_meaning`.
        allow_large: whether a mask is accepted that looks inverted or marks more than `MAX_LOST` of the photograph.
        max_pixels: a larger mask file is refused.
        warn: called with a line for each caution about a mask file.
    """

    path: Path | None = None
    color: tuple[int, int, int] | None = None
    tolerance: int = TOLERANCE
    search: bool = True
    detector: LoadedDetector = PAINTED_SHAPE
    repair: LoadedDetector | None = None
    grow: int = 0
    meaning: MaskMeaning = "auto"
    allow_large: bool = False
    max_pixels: int = io.MAX_PIXELS
    warn: Callable[[str], None] = lambda _: None

    @property
    def searches(self) -> bool:
        """Whether the detector is used."""
        return self.search and self.path is None and self.color is None


def parse_color(text: str) -> tuple[int, int, int]:
    """Return (R, G, B) of "#ffffff"; raise UsageError if it is no such colour."""
    match = _COLOR.fullmatch(str(text).strip())
    if match is None:
        option = surface.option("color")
        raise UsageError(
            f"{option} {files.printable(str(text))} is not a colour; "
            "write it as '#ffffff', red, green and blue from 00 to ff."
        )
    red, green, blue = bytes.fromhex(match[1])
    return red, green, blue


def transparent_pixels(photo: Photo) -> np.ndarray:
    """Return which pixels of a photograph are less than half opaque, (H, W) bool."""
    if photo.alpha is None:
        return np.zeros(photo.pixels.shape[:2], bool)
    transparent: np.ndarray = photo.alpha < (np.iinfo(photo.alpha.dtype).max + 1) // 2
    return transparent


def mask_from_options(
    photo: Photo, rgb: np.ndarray, options: MaskOptions, *, path: Path, relative_path: Path, result: Path | None = None
) -> np.ndarray:
    """Return the pixels of a photograph that are marked as lost, (H, W) bool: by transparency and by the options.

    Args:
        photo: the photograph.
        rgb: the same as (H, W, 3) uint8.
        options: how the lost region is marked.
        path: the file of the photograph.
        relative_path: its path below the folder that was named, and of its mask below the folder of masks.
        result: the path of its result, whose stem its mask may have.

    Raises:
        DataError: its mask does not exist, can't be read, or has another size.
        RefusedMaskError: its mask has several readings, or looks inverted.
    """
    mask = transparent_pixels(photo)
    if options.path is not None:
        mask |= _read_mask(options, mask_file(options, path, relative_path, result), path, rgb.shape[:2])
    elif options.color is not None:
        low, high = (np.clip(np.array(options.color) + sign * options.tolerance, 0, 255) for sign in (-1, 1))
        mask |= cv2.inRange(rgb, low, high) > 0
    return mask


def mask_file(options: MaskOptions, path: Path, relative_path: Path, result: Path | None = None) -> Path:
    """Return the mask file of a photograph; `options` name a file or a folder. See `mask_from_options`.

    Raises:
        DataError: the folder of masks has none for this photograph, or several.
    """
    assert options.path is not None
    return _find_mask(options.path, path, relative_path, result) if os.path.isdir(options.path) else options.path


def grow_mask(mask: np.ndarray, pixels: int) -> np.ndarray:
    """Return a mask (H, W) bool widened by a disc of this radius in pixels."""
    if not pixels or not mask.any():
        return mask
    side = 2 * pixels + 1
    return cv2.dilate(mask.astype(np.uint8), cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))) > 0


def check_share(mask: np.ndarray, options: MaskOptions) -> None:
    """Raise RefusedMaskError if a mask (H, W) bool leaves too little of a photograph: more than `MAX_LOST` is lost."""
    share = float(mask.mean())
    if share == 1:
        if options.path is not None:
            remedy = surface.words(
                command="mark only what is lost; in a mask, that is white",
                python="mark only what is lost; in a mask, that is white",
                page="erase the marks where it is not damaged",
            )
        elif options.color is not None:
            remedy = surface.words(
                command="choose another --color, or lower --tolerance",
                python="choose another color, or lower tolerance",
            )
        else:
            remedy = "mark less; transparent pixels of the photograph count too"
        remedy += f", or lower {surface.option('grow')}" if options.grow else ""
        raise RefusedMaskError(
            f"all of it counts as lost, so there is nothing to restore it from; {remedy}", {"lost": mask}
        )
    if share > MAX_LOST and not options.allow_large:
        hint = "" if options.path is None else ": a mask is white where the photo is lost"
        remedy = surface.words(
            command="If this is right, add --allow-large",
            python="If this is right, add allow_large=True",
            page="Erase the marks where it is not damaged; if all of them are right, paint over one of them",
        )
        raise RefusedMaskError(
            f"{100 * share:.1f} % counts as lost, more than {MAX_LOST:.0%}{hint}. {remedy}", {"lost": mask}
        )


def _read_mask(options: MaskOptions, path: Path, photo: Path, size: tuple[int, ...]) -> np.ndarray:
    undecided: UndecidedMaskError | None = None
    try:
        mask = io.read_mask(path, meaning=options.meaning, max_pixels=options.max_pixels, warn=options.warn)
    except UndecidedMaskError as error:
        undecided, mask = error, error.readings["white"]
    check_mask_size(mask, size, name=files.printable(path), photo_name=files.printable(photo))
    if undecided is not None:
        raise RefusedMaskError(str(undecided), undecided.readings)
    check_not_inverted(mask, files.printable(path), options)
    return mask


def looks_inverted(mask: np.ndarray) -> bool:
    """Return whether a mask (H, W) bool marks much, and nearly all of the border, but not everything."""
    return _INVERTED_SHARE < float(mask.mean()) < 1 and border_share(mask) >= _INVERTED_BORDER


def check_not_inverted(mask: np.ndarray, name: str, options: MaskOptions) -> None:
    """Raise RefusedMaskError if a mask (H, W) bool looks inverted, unless the options allow it."""
    if looks_inverted(mask) and not options.allow_large:
        raise RefusedMaskError(
            f"{name} looks inverted: it marks {100 * mask.mean():.1f} % and nearly all of the border. A mask is white "
            "where the photo is lost; invert it"
            + surface.words(
                command=", or add --allow-large if this is right",
                python=", or add allow_large=True if this is right",
                page="",
            ),
            {"lost": mask},
        )


def _find_mask(folder: Path, photo: Path, relative_path: Path, result: Path | None) -> Path:
    """Return the mask of a photograph in a folder of masks.

    It has the stem of the result, as `toolbox mask` writes it, the name of the photograph, its name and a suffix, or
    its stem.
    """
    subfolder = folder / relative_path.parent
    images, others = io.list_images(subfolder) if subfolder.is_dir() else ([], [])
    name, stem = relative_path.name, relative_path.stem
    for candidate in dict.fromkeys((name if result is None or result.stem == stem else result.stem, name, stem)):
        exact = subfolder / candidate
        # The mask a.png of a photograph a.png is not the only one if there is a mask a.tif and no photograph a.tif.
        matches = [path for path in images if comparable_stem(path) == comparable(candidate)]
        if exact in images:
            matches = [path for path in images if path.stem == exact.stem and not _is_of_other(path, exact, photo)]
            if matches == [exact]:
                return exact
        if len(matches) > 1:
            raise DataError(
                f"{files.printable(subfolder)} has {len(matches)} masks for {files.printable(name)}: "
                + ", ".join(files.printable(path.name) for path in matches)
            )
        if matches:
            _require_own_mask(matches[0], photo)
            return matches[0]
    left_out = describe_files(path for path in others if path.stem in (name, stem))
    line = f"{files.printable(folder)} has no mask for {files.printable(relative_path)}"
    raise DataError(f"{line} ({left_out}; save it as PNG)" if left_out else line)


def _is_of_other(mask: Path, exact: Path, photo: Path) -> bool:
    """Return whether a mask with the stem of a photograph has the name of another photograph beside it."""
    return mask != exact and (photo.parent / mask.name).is_file()


def _require_own_mask(mask: Path, photo: Path) -> None:
    """Raise DataError if a mask has the name of another photograph beside this one, as a.png has beside a.jpg."""
    other = photo.parent / mask.name
    if other.is_file() and not any(os.path.samefile(other, path) for path in (mask, photo)):
        raise DataError(
            f"{files.printable(mask)} may be the mask of {files.printable(mask.name)}, not of "
            f"{files.printable(photo.name)}; name the mask {files.printable(photo.name)}.png"
        )
