"""A diagnosis in words and as a picture, and the options of `toolbox restore` that help."""

from __future__ import annotations

import cv2
import numpy as np

from toolbox.prints.corrections import correct_tones
from toolbox.prints.diagnosis import Diagnosis
from toolbox.prints.sheet import cut_sheet

_KINDS = {
    "gray": "gray: `toolbox restore` adds colours and keeps the brightness",
    "toned": "toned, as a sepia print: `toolbox restore` replaces the tone by colours; --tone keep keeps it",
    "colour": "in colour: `toolbox restore` keeps the colours",
}
# From these figures on, a property is named although it may be that of the scene.
_VISIBLE_CORNERS, _VISIBLE_CAST, _LOW_CONTRAST = 0.25, 12.0, 0.6
_RED = (255, 0, 0)


def describe_diagnosis(diagnosis: Diagnosis) -> list[tuple[str, str]]:
    """Return (subject, sentence) for each part of a diagnosis."""
    contrast = f"{100 * diagnosis.contrast:.0f} % of a good print's is left"
    lines = [("colours", _KINDS[diagnosis.kind])]
    if diagnosis.sheet is not None:
        lines.append(("sheet", f"a print on a table, on {100 * diagnosis.sheet.area:.0f} % of the photo: --crop print"))
    if diagnosis.is_faded:
        lines.append(("contrast", f"faded, {contrast}: --contrast 1"))
    elif diagnosis.contrast < _LOW_CONTRAST:
        lines.append(("contrast", f"{contrast}; if it is not fog or dim light: --contrast 0.7"))
    else:
        lines.append(("contrast", f"{contrast}, nothing to do"))
    if diagnosis.has_cast:
        lines.append(("cast", "the dyes have faded differently: --cast 1"))
    elif diagnosis.cast > _VISIBLE_CAST:
        lines.append(("cast", "the shadows are coloured; if this is not the scene: --cast 0.7"))
    if diagnosis.darker_corners > _VISIBLE_CORNERS:
        dark = f"the corners are about {100 * diagnosis.darker_corners:.0f} % darker"
        lines.append(("light", f"{dark}; if this is the print and not the scene: --evenness 1"))
    for kind, share in diagnosis.damage.items():
        lines.append(("damage", f"{kind} on {100 * share:.2f} % of the picture: --repair"))
    return lines


def helpful_options(diagnosis: Diagnosis) -> list[str]:
    """Return the options of `toolbox restore` that the print certainly needs."""
    needed = diagnosis.corrections
    options = ["--crop print"] if needed.crop == "print" else []
    options += [f"--{name} {getattr(needed, name):g}" for name in ("contrast", "cast") if getattr(needed, name)]
    return [*options, *(["--repair"] if diagnosis.damage else [])]


def draw_diagnosis(rgb: np.ndarray, diagnosis: Diagnosis) -> list[np.ndarray]:
    """Return the photograph with the outline of the sheet in red, and the print with what it needs, (h, w, 3) uint8.

    Both have the height of the photograph.
    """
    outlined = rgb.copy()
    cut = rgb
    if diagnosis.sheet is not None:
        width = max(1, round(max(rgb.shape[:2]) / 300))
        cv2.polylines(outlined, [np.rint(diagnosis.sheet.corners).astype(np.int32)], True, _RED, width, cv2.LINE_AA)
        cut = cut_sheet(rgb, diagnosis.sheet.corners)
    corrected = correct_tones(cut, diagnosis.corrections)
    height = len(rgb)
    size = max(1, round(corrected.shape[1] * height / len(corrected))), height
    return [outlined, corrected if size == corrected.shape[1::-1] else cv2.resize(corrected, size)]
