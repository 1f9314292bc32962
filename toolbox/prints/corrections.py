"""Which corrections a print gets, and how strong; and apply them in order: crop, evenness, contrast, cast."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Literal

import numpy as np

from toolbox.errors import UsageError
from toolbox.imaging.io import Photo
from toolbox.imaging.pixels import resize_mask, shrink, to_8bit
from toolbox.imaging.sepia import Toning, measure_toning
from toolbox.prints.evenness import correct_evenness
from toolbox.prints.levels import apply_levels, remove_tone
from toolbox.prints.sheet import cut_sheet
from toolbox.prints.working_copy import make_working_copy
from toolbox.utils.arguments import is_between

# The side at which the toning of a faded print is measured, in pixels.
_TONING_SIDE = 512
# Up to this distance from the tone, in levels of 255, JPEG is the cause, which looks like colours at full contrast.
# Chosen on simulated prints: docs/prints.md.
_MAX_JPEG_DISTANCE = 3.0
Crop = Literal["none", "print"]
# The corrections that a diagnosis can ask for. Uneven light can't be distinguished from that of the scene.
DIAGNOSED = ("crop", "contrast", "cast")


@dataclass(frozen=True, kw_only=True)
class Corrections:
    """The corrections of a print. Each is off by default, and a strength of 0 changes no pixel.

    Attributes:
        crop: "print" cuts out the sheet of a print on a table and straightens it.
        evenness: how far uneven light is evened out, 0 to 1.
        contrast: how far a faded contrast is restored, 0 to 1.
        cast: how far yellowing or a cast is removed, 0 to 1.
    """

    crop: Crop = "none"
    evenness: float = 0.0
    contrast: float = 0.0
    cast: float = 0.0

    def __post_init__(self) -> None:
        """Raise UsageError if a value is not possible."""
        if self.crop not in ("none", "print"):
            raise UsageError(f"crop is '{self.crop}'; it must be none or print.")
        for name in ("evenness", "contrast", "cast"):
            if not is_between(getattr(self, name), 0, 1):
                raise UsageError(f"{name} is {getattr(self, name)!r}; it must be from 0 to 1.")

    def __bool__(self) -> bool:
        """Return whether any correction is on."""
        return any(getattr(self, field.name) != field.default for field in fields(self))

    @property
    def changes_tones(self) -> bool:
        """Whether evenness, contrast or a cast is corrected."""
        return bool(self.evenness or self.contrast or self.cast)


def chosen_corrections(
    *,
    auto: bool,
    crop: Crop | None = None,
    evenness: float | None = None,
    contrast: float | None = None,
    cast: float | None = None,
) -> tuple[Corrections, frozenset[str] | None]:
    """Return the corrections that a person chose, and the names of those that a diagnosis decides; None without `auto`.

    Args:
        auto: whether a diagnosis decides what is None.
        crop: as in `Corrections`; None: not chosen. The same holds for the others.
        evenness: as in `Corrections`. No diagnosis decides it.
        contrast: as in `Corrections`.
        cast: as in `Corrections`.
    """
    chosen = {"crop": crop, "evenness": evenness, "contrast": contrast, "cast": cast}
    corrections = Corrections(**{name: value for name, value in chosen.items() if value is not None})  # type: ignore[arg-type]
    return corrections, frozenset(name for name in DIAGNOSED if chosen[name] is None) if auto else None


def crop_photo(photo: Photo, corners: np.ndarray) -> Photo:
    """Return a photograph cut to the sheet with these corners, and straight."""
    alpha = None if photo.alpha is None else cut_sheet(photo.alpha, corners, exact=True)
    return replace(photo, pixels=cut_sheet(photo.pixels, corners), alpha=alpha)


def correct_tones(pixels: np.ndarray, corrections: Corrections, lost: np.ndarray | None = None) -> np.ndarray:
    """Return pixels with evenness, contrast and cast corrected, of the same shape and type.

    Args:
        pixels: (H, W) or (H, W, 3), uint8 or uint16, from 1x1. They are not changed.
        corrections: how strong; with 0 for all three, `pixels` themselves are returned.
        lost: (H, W) bool, pixels that do not count for the measurement, or None.
    """
    pixels = correct_evenness(pixels, corrections.evenness, lost)
    if not (corrections.contrast or corrections.cast):
        return pixels
    toning = faded_toning(to_8bit(pixels), lost) if pixels.ndim == 3 and corrections.cast else None
    is_color = toning is not None and toning.kind == "colour"
    if toning is not None and toning.kind == "toned":
        pixels = remove_tone(pixels, toning, corrections.cast)
    cast = corrections.cast if is_color else 0.0
    if not (corrections.contrast or cast):
        return pixels
    return apply_levels(pixels, make_working_copy(pixels, lost), contrast=corrections.contrast, cast=cast)


def faded_toning(rgb: np.ndarray, lost: np.ndarray | None = None, toning: Toning | None = None) -> Toning:
    """Return the toning of a print that may be faded, (H, W, 3) uint8; pixels in `lost`, (H, W) bool, do not count.

    The colours of a faded colour print are weak beside its cast, so it looks toned. It is in colour if it has more than
    JPEG leaves, and if colours are left without the cast and at full contrast. `toning` is what `measure_toning` gave,
    if it is known.
    """
    toning = toning or measure_toning(rgb, lost)
    if toning.kind != "toned" or toning.distance <= _MAX_JPEG_DISTANCE:
        return toning
    small = shrink(rgb, _TONING_SIDE)
    lost = None if lost is None else resize_mask(lost, small.shape)
    neutral = apply_levels(small, make_working_copy(small, lost), contrast=1, cast=1)
    return replace(toning, kind="colour") if measure_toning(neutral, lost).kind == "colour" else toning


def describe(corrections: Corrections, *, cropped: bool) -> list[str]:
    """Return notes on the corrections, for the report of a photograph.

    Args:
        corrections: the corrections.
        cropped: whether a sheet was found and cut out.
    """
    strengths = {name: getattr(corrections, name) for name in ("evenness", "contrast", "cast")}
    phrases = [f"{name} {strength:g}" for name, strength in strengths.items() if strength]
    notes = [f"corrected: {', '.join(phrases)}"] if phrases else []
    if cropped:
        notes.insert(0, "cropped to the sheet")
    elif corrections.crop == "print":
        notes.insert(0, "not cropped: no sheet on a table was found")
    return notes
