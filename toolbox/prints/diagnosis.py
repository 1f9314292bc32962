"""What a photograph of a print needs: a diagnosis by figures, and the corrections that are certainly needed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import cv2
import numpy as np

from toolbox.imaging.pixels import resize_mask, shrink
from toolbox.imaging.sepia import measure_toning
from toolbox.prints.corrections import Corrections, faded_toning
from toolbox.prints.evenness import fit_unevenness, unevenness_field
from toolbox.prints.fading import is_certainly_faded
from toolbox.prints.levels import LIGHT_LEVEL, SHADOW_LEVEL, tone_points
from toolbox.prints.sheet import Sheet, cut_sheet, find_sheet
from toolbox.prints.working_copy import WorkingCopy, make_working_copy

# Chosen on the development photographs: the figures are in docs/prints.md. The shadows of a faded print have a cast if
# their chroma in L*a*b* is over this. In one that is not faded, a cast can't be distinguished from the light and the
# colours of the scene.
_MIN_CAST_CHROMA = 8.0
# A sheet is certain with this fraction of its outline, of the photograph, and of surroundings that look like a table.
CERTAIN_SUPPORT, _CERTAIN_AREA, _CERTAIN_SURROUNDINGS = 0.94, 0.12, 0.95
# The side at which a photograph is diagnosed, in pixels.
_SIDE = 512
_CORNER = 0.12


@dataclass(frozen=True, kw_only=True, eq=False)
class Diagnosis:
    """The state of a print. Fractions and strengths are from 0 to 1.

    Attributes:
        kind: "gray", "toned" (as a sepia print) or "colour".
        sheet: the sheet, if the photograph certainly shows a print on a table, else None.
        contrast: the contrast that is left, as a fraction of that of a good print.
        is_faded: whether it is certainly faded.
        cast: the chroma of its shadows in L*a*b*, 0 for a gray or toned print.
        has_cast: whether its dyes have certainly faded differently.
        darker_corners: by which fraction the corners are darker than the lightest part; the light of the scene can be
            the cause.
        damage: the fraction of the pixels with each kind of damage that a detector found.
    """

    kind: Literal["gray", "toned", "colour"]
    sheet: Sheet | None
    contrast: float
    is_faded: bool
    cast: float
    has_cast: bool
    darker_corners: float
    damage: Mapping[str, float] = field(default_factory=dict)

    @property
    def corrections(self) -> Corrections:
        """The corrections that the print certainly needs. Uneven light is never certain."""
        return Corrections(
            crop="print" if self.sheet is not None else "none",
            contrast=float(self.is_faded),
            cast=float(self.has_cast),
        )


def diagnose(rgb: np.ndarray, lost: np.ndarray | None = None, *, may_be_on_table: bool = True) -> Diagnosis:
    """Return the diagnosis of a photograph, without damage.

    Args:
        rgb: (H, W, 3) uint8, from 1x1; a gray photograph has three equal channels.
        lost: (H, W) bool, pixels that do not count, or None.
        may_be_on_table: whether the sheet of a print on a table is looked for.
    """
    sheet = find_certain_sheet(rgb) if may_be_on_table else None
    height, width = rgb.shape[:2]
    rgb = shrink(rgb, _SIDE)
    lost = None if lost is None else resize_mask(lost, rgb.shape)
    if sheet is not None:
        corners = (sheet.corners + 0.5) * (rgb.shape[1] / width, rgb.shape[0] / height) - 0.5
        rgb, lost = cut_sheet(rgb, corners), None if lost is None else cut_sheet(lost, corners)
    copy = make_working_copy(rgb, lost)
    shadows, lights = tone_points(copy)
    shadow, light = shadows[3], lights[3]
    toning = measure_toning(rgb, lost)
    is_faded = is_certainly_faded(copy, in_color=toning.kind == "colour")
    kind = (faded_toning(rgb, lost, toning) if is_faded else toning).kind
    cast = shadow_chroma(copy) if kind == "colour" else 0.0
    return Diagnosis(
        kind=kind,
        sheet=sheet,
        contrast=float(np.clip((light - shadow) / (LIGHT_LEVEL - SHADOW_LEVEL), 0, 1)),
        is_faded=is_faded,
        cast=cast,
        has_cast=is_faded and cast > _MIN_CAST_CHROMA,
        darker_corners=_darker_corners(rgb, lost),
    )


def find_certain_sheet(rgb: np.ndarray) -> Sheet | None:
    """Return the sheet of a print on a table, in a photograph (H, W, 3) uint8 RGB; None unless it is certain."""
    sheet = find_sheet(rgb)
    if sheet is None or sheet.support < CERTAIN_SUPPORT or sheet.area < _CERTAIN_AREA:
        return None
    return sheet if sheet.surroundings >= _CERTAIN_SURROUNDINGS else None


def shadow_chroma(copy: WorkingCopy) -> float:
    """Return the chroma in L*a*b* of the mean of the darkest twentieth of a picture."""
    lab = cv2.cvtColor(copy.values / np.float32(255), cv2.COLOR_RGB2LAB)[copy.measured]
    return float(np.hypot(*lab[lab[:, 0] <= np.percentile(lab[:, 0], 5)].mean(axis=0)[1:]))


def _darker_corners(rgb: np.ndarray, lost: np.ndarray | None) -> float:
    copy = make_working_copy(rgb, lost, 128)
    height, width = copy.measured.shape
    field_ = unevenness_field(fit_unevenness(copy), height, width)
    rows, columns = (max(1, round(_CORNER * side)) for side in (height, width))
    ends = [(slice(size), slice(-size, None)) for size in (rows, columns)]
    corners = [field_[y, x].mean() for y in ends[0] for x in ends[1]]
    return float(np.clip(1 - np.exp(np.mean(corners)), 0, 1))
