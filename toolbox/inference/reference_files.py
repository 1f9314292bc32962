"""Find and read reference photographs and palettes, from files and from what a Python program gives."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from os import PathLike
from pathlib import Path

import numpy as np
from PIL import Image

from toolbox.errors import DataError
from toolbox.guidance.guide import References
from toolbox.guidance.reference import MAX_NOTES, Reference
from toolbox.imaging import io
from toolbox.imaging.io import Photo
from toolbox.imaging.pixels import as_rgb
from toolbox.imaging.sepia import measure_toning
from toolbox.inference.photo_arrays import PhotoLike, ReferencesLike, as_photo, native
from toolbox.inference.photo_search import LeftOut, find_photos, is_same_photo
from toolbox.masks.detectors import find_painted_shape
from toolbox.masks.sources import transparent_pixels
from toolbox.smooth_fill import fill_array
from toolbox.utils import files, surface


def find_references(paths: Sequence[Path], left_out: LeftOut, *, out: Path | None = None) -> tuple[Path, ...]:
    """Return the photographs that `--reference` names: files, and folders with their subfolders.

    Args:
        paths: the files and folders.
        left_out: gets the other files, the folders of results and those that can't be read, unless it has them already.
        out: the folder of results, which are no references.

    Raises:
        UsageError: a path does not exist.
        DataError: a folder has no photograph.
    """
    unique: dict[Path, None] = {}
    for path in paths:
        files.require_readable(path, "--reference")
        others = LeftOut()
        photos = find_photos(path, others, skip=() if out is None else (out,)) if path.is_dir() else [path]
        if not photos:
            raise DataError(f"--reference {files.printable(path)}: {others.why_none()}")
        left_out.add_references(others)
        unique |= dict.fromkeys(photos)
    return tuple(unique)


def read_references(
    paths: Sequence[Path],
    photo: Path,
    unreadable: list[Path],
    *,
    max_pixels: int = io.MAX_PIXELS,
    warn: Callable[[str], None] = lambda _: None,
) -> Iterator[Reference]:
    """Yield the references of a photograph. A photograph is not a reference of itself, also not as a copy.

    Args:
        paths: the files of the references.
        photo: the file of the photograph.
        unreadable: gets the files that can't be read, which are skipped; see `unreadable_notes`.
        max_pixels: a larger reference is not read.
        warn: called with a line for each caution about a file; about the first `MAX_NOTES` files only.

    Raises:
        DataError: the only reference can't be read.
    """
    warned = 0
    for path in paths:
        try:
            if is_same_photo(path, photo):
                continue
            opened = io.read(path, max_pixels=max_pixels, accept_cut=True)
        except DataError:
            if len(paths) == 1:
                raise
            unreadable.append(path)
            continue
        warned += bool(opened.cautions)
        for line in io.caution_lines(opened, path) if warned <= MAX_NOTES else ():
            warn(line)
        yield Reference(name=str(path), rgb=as_rgb(opened.pixels), damage=_damage(opened))


def as_reference(references: ReferencesLike | None) -> References | None:
    """Return references for `toolbox.guidance.guide.as_references`: paths and PIL images become a `Reference`.

    Raises:
        DataError: the file of a path can't be read.
        TypeError: it is something else.
    """
    if references is None:
        return None
    if isinstance(references, str | PathLike | Image.Image | np.ndarray | Reference):
        return _one_reference(references, 1)
    if not isinstance(references, Iterable) or isinstance(references, Mapping | bytes):
        raise TypeError(
            f"a reference is a path, a PIL image or a NumPy array, or several, not a {type(references).__name__}"
        )
    return [_one_reference(reference, number) for number, reference in enumerate(references, 1)]


def _one_reference(reference: PhotoLike | Reference, number: int) -> np.ndarray | Reference:
    if isinstance(reference, Reference):
        return reference
    if isinstance(reference, np.ndarray):
        return native(reference)
    name = str(reference) if isinstance(reference, str | PathLike) else f"reference {number}"
    photo = as_photo(reference)
    return Reference(name=name, rgb=as_rgb(photo.pixels), damage=_damage(photo))


def unreadable_notes(paths: Sequence[Path]) -> list[str]:
    """Return a line for each reference that can't be read, or one line instead of many."""
    if len(paths) > MAX_NOTES:
        return [f"{len(paths)} references can't be read: not used"]
    return [f"{files.printable(path)} can't be read: not used" for path in paths]


def read_palette(
    path: Path, *, max_pixels: int = io.MAX_PIXELS, warn: Callable[[str], None] = lambda _: None
) -> np.ndarray:
    """Return a photograph whose colours are used, (H, W, 3) uint8; `warn` is called with each caution about the file.

    Raises:
        DataError: it can't be read, or is gray.
    """
    palette = palette_pixels(io.read_with_cautions(path, warn, max_pixels=max_pixels, accept_cut=True))
    if measure_toning(palette).kind == "gray":
        option = surface.words(command="--palette ", python="", page="")
        raise DataError(f"{option}{files.printable(path)} is gray; choose a photo in colour")
    return palette


def palette_pixels(photo: Photo) -> np.ndarray:
    """Return the pixels of a palette, (H, W, 3) uint8. Its transparent parts get the colours around them."""
    rgb, hidden = io.to_rgb8(photo), transparent_pixels(photo)
    if not hidden.any():
        return rgb
    filled = fill_array(rgb.astype(np.float32), ~hidden)
    return np.where(hidden[..., None], filled.round().astype(np.uint8), rgb)


def _damage(photo: Photo) -> np.ndarray:
    """Return what a reference itself has lost, (H, W) bool: what is transparent or, if it is gray, painted over."""
    rgb = io.to_rgb8(photo)
    damage = transparent_pixels(photo)
    painted = find_painted_shape(rgb)
    # In a colour photograph a flat shape may be part of the scene.
    if painted.any() and measure_toning(rgb, damage | painted).kind != "colour":
        damage |= painted
    return damage
