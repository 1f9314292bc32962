"""Say where the colours of a result come from, if a person may expect others, or why it has no new ones."""

from __future__ import annotations

from toolbox.imaging.sepia import Toning
from toolbox.inference.options import Keep, RestoreOptions
from toolbox.inference.output_paths import Job
from toolbox.inference.photo_search import is_same_path
from toolbox.utils import surface

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
    if options.references and all(is_same_path(path, job.photo) for path in options.references):
        name = surface.words(command="--reference", page="the second photo")
        notes.append(f"{name} is the photo itself and gives no colours")
    if toning.kind == "toned" and keep == "luma":
        notes.append("tone kept" if keeps_tone else "tone replaced by colours")
        if toning.has_weak_colors and not keeps_tone:
            option = surface.words(command="--keep rgb", page="“Keep the brown tone”")
            notes.append(f"it may be a faded photo in colour; {option} keeps its own colours")
    elif toning.kind == "colour" and keep in ("luma", "none"):
        remedy = surface.words(
            command=f"without --keep {keep} they stay", page="without “Give this colour photo new colours” they stay"
        )
        notes.append(f"its own colours discarded; {remedy}")
    if toning.marks >= _MIN_MARKS and keep != "rgb" and not keeps_tone:
        remedy = surface.words(command="; --keep rgb keeps them", page="")
        notes.append(f"other colours on {100 * toning.marks:.1f} % of it discarded{remedy}")
    return notes


def reason_to_leave(toning: Toning, *, keeps_tone: bool) -> str:
    """Return why a photograph without a lost part is left as it is, and what to do for another result."""
    if keeps_tone:
        cause = "its tone is kept"
    elif toning.kind == "colour":
        cause = "in colour"
    else:
        cause = surface.words(command="--keep rgb", page="its colours are kept")
    tool = surface.words(command="--mask", page="the brush")
    remedy = how_to_color(keeps_tone=keeps_tone)
    return f"{cause}, and nothing of it is lost; mark what is lost with {tool}, or {remedy}"


def how_to_color(*, keeps_tone: bool) -> str:
    """Return what to do so that a photograph that keeps its tone or its colours gets new ones."""
    if keeps_tone:
        return surface.words(command="leave out --tone keep", page="turn off “Keep the brown tone”")
    option = surface.words(command="--keep luma", page="“Give this colour photo new colours”")
    return f"give it new colours with {option}"
