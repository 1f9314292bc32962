"""Say where the colours of a result come from, if a person may expect others."""

from __future__ import annotations

from toolbox.imaging.sepia import Toning
from toolbox.inference.options import Keep, RestoreOptions
from toolbox.inference.output_paths import Job
from toolbox.inference.photo_search import is_same_path

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
        notes.append("--reference is the photo itself and gives no colours")
    if toning.kind == "toned" and keep == "luma":
        notes.append("tone kept" if keeps_tone else "tone replaced by colours")
        if toning.has_weak_colors and not keeps_tone:
            notes.append("it may be a faded photo in colour; --keep rgb keeps its own colours")
    elif toning.kind == "colour" and keep in ("luma", "none"):
        notes.append(f"its own colours discarded; without --keep {keep} they stay")
    if toning.marks >= _MIN_MARKS and keep != "rgb" and not keeps_tone:
        notes.append(f"other colours on {100 * toning.marks:.1f} % of it discarded; --keep rgb keeps them")
    return notes
