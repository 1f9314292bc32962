"""Say where the colours of a result come from, if a person may expect others, or why it has no new ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from toolbox.imaging.sepia import Toning
from toolbox.inference.options import Keep, RestoreOptions
from toolbox.inference.output_paths import Job
from toolbox.inference.photo_search import is_same_photo
from toolbox.utils import surface

if TYPE_CHECKING:
    from toolbox.inference.restorer import Restorer

# Smaller marks, as a fraction of the photograph, are not mentioned.
_MIN_MARKS = 0.002


def color_notes(job: Job, options: RestoreOptions, toning: Toning, keep: Keep, *, keeps_tone: bool) -> list[str]:
    """Return the notes on the colours of a result.

    Args:
        job: the photograph.
        options: how it was restored.
        toning: its toning before.
        keep: what stayed unchanged.
        keeps_tone: whether it kept the tone of a toned photograph.
    """
    notes = []
    if options.references and all(is_same_photo(path, job.photo) for path in options.references):
        name = surface.option("reference", page="the second photo")
        notes.append(f"{name} is the photo itself and gives no colours")
    if toning.kind == "toned" and keep == "luma":
        if not keeps_tone:
            notes.append("tone replaced by colours")
        elif options.corrections.cast:
            option = surface.option("cast", page="“Remove yellowing”")
            notes.append(f"{option} removed {100 * options.corrections.cast:.0f} % of the tone; the rest is kept")
        else:
            notes.append("tone kept")
        if toning.has_weak_colors and not keeps_tone:
            option = surface.words(command="--keep rgb", python="keep='rgb'", page="“Keep the brown tone”")
            notes.append(f"it may be a faded photo in colour; {option} keeps its own colours")
    elif toning.kind == "colour" and keep in ("luma", "none"):
        remedy = surface.words(
            command=f"without --keep {keep} they stay",
            python=f"without keep={keep!r} they stay",
            page="without “Give this colour photo new colours” they stay",
        )
        notes.append(f"its own colours discarded; {remedy}")
    if options.corrections.cast and toning.kind == "gray":
        option = surface.option("cast", page="“Remove yellowing”")
        notes.append(f"{option} has no effect on a photo without colours")
    if toning.marks >= _MIN_MARKS and keep != "rgb" and not keeps_tone:
        remedy = surface.words(command="; --keep rgb keeps them", python="; keep='rgb' keeps them", page="")
        notes.append(f"other colours on {100 * toning.marks:.1f} % of it discarded{remedy}")
    return notes


def unused_options(options: RestoreOptions, restorer: Restorer, mask: np.ndarray, *, keeps_tone: bool) -> list[str]:
    """Return a line on the options that have no effect on a photograph that gets no new colours; none if all have one.

    Args:
        options: how it is restored.
        restorer: with its saturation, and what fills the lost region.
        mask: (H, W) bool, its lost region.
        keeps_tone: whether the photograph keeps its tone; else it keeps its colours.
    """
    has_lost = bool(mask.any())
    # The network predicts colours of a photograph that keeps its own only if it fills its holes.
    saturates = restorer.saturation != 1 and (keeps_tone or restorer.filler is not None or not has_lost)
    given = [
        ("--variants", bool(options.variants)),
        (surface.option("palette", page="the second photo"), options.palette is not None),
        (surface.option("reference", page="the second photo"), bool(options.references) and not has_lost),
        (surface.option("saturation", page="“Strength”"), saturates),
    ]
    names = [name for name, is_given in given if is_given]
    if not names:
        return []
    verb, kept = "have" if len(names) > 1 else "has", "tone" if keeps_tone else "colours"
    return [f"{' and '.join(names)} {verb} no effect: the photo keeps its {kept}"]


def reason_to_leave(toning: Toning, *, keeps_tone: bool) -> str:
    """Return why a photograph without a lost part is left as it is, and what to do for another result."""
    if keeps_tone:
        cause = "its tone is kept"
    elif toning.kind == "colour":
        cause = "in colour"
    else:
        cause = surface.words(command="--keep rgb", python="keep='rgb'", page="its colours are kept")
    tool = surface.option("mask", page="the brush")
    remedy = how_to_color(keeps_tone=keeps_tone)
    return f"{cause}, and nothing of it is lost; mark what is lost with {tool}, or {remedy}"


def reason_to_copy(*, keeps_tone: bool) -> str:
    """Return why a photograph is copied with `auto`, and what to do so that it gets new colours."""
    reason = "it needs nothing"
    more = f"{reason}; or {how_to_color(keeps_tone=keeps_tone)}"
    return surface.words(command=more, python=more, page=reason)


def how_to_color(*, keeps_tone: bool) -> str:
    """Return what to do so that a photograph that keeps its tone or its colours gets new ones."""
    if keeps_tone:
        return surface.words(
            command="leave out --tone keep", python="leave out tone='keep'", page="turn off “Keep the brown tone”"
        )
    option = surface.words(command="--keep luma", python="keep='luma'", page="“Give this colour photo new colours”")
    return f"give it new colours with {option}"
