"""Restore with guidance: take what reference photographs show of a photograph before the generator does the rest."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from toolbox.color import integer_luma
from toolbox.guidance import provenance
from toolbox.guidance.guide import MIN_BELIEF, Guide, References, make_guide
from toolbox.imaging.chroma_upsampling import compose_rgb
from toolbox.inference.hole_filling import blend_into
from toolbox.inference.photo_view import PhotoView


@dataclass(frozen=True, kw_only=True, eq=False)
class Restoration:
    """A restored photograph.

    Attributes:
        pixels: (H, W, 3) RGB of the photograph's type.
        origin: (H, W) uint8, where each pixel comes from: `toolbox.guidance.provenance.Origin`.
        notes: a line for each reference that is not used, or not fully.
        used: the fraction of the pixels that comes from each reference, by its name; without those not used.
    """

    pixels: np.ndarray
    origin: np.ndarray
    notes: tuple[str, ...] = ()
    used: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True, kw_only=True, eq=False)
class GuidedView:
    """A photograph with its references.

    Attributes:
        view: the photograph. Lost pixels that a reference shows are known in it.
        guide: what the references show.
        origin: as in `Restoration`.
    """

    view: PhotoView
    guide: Guide
    origin: np.ndarray


def plain_origin(view: PhotoView, keep: str) -> np.ndarray:
    """Return the origin of each pixel of a photograph that is restored without guidance."""
    return provenance.without_guide(view.mask, colours=keep != "rgb")


def add_references(view: PhotoView, references: References, keep: str) -> GuidedView:
    """Return a photograph with its references; raise ValueError as `toolbox.inference.restorer.Restorer` does."""
    if keep == "none":
        raise ValueError('A reference needs keep = "luma" or "rgb": with "none" no pixel of the photograph is known.')
    is_gray = view.image.ndim == 2
    luma = view.image if is_gray else integer_luma(view.image)
    guide = make_guide(luma, view.mask, references)
    found, result = guide.found, guide.result
    origin = guide.provenance(view.mask)
    if keep == "rgb":
        # The colours of a colour photograph are known: the lost pixels of a reference need colours too.
        found = found if is_gray else found & (result.belief >= MIN_BELIEF)
        origin = np.where(found, np.uint8(provenance.Origin.FILLED_FROM_REFERENCE), plain_origin(view, keep))
    if not found.any():
        return GuidedView(view=view, guide=guide, origin=origin)
    image = view.image.copy()
    if keep == "rgb" and not is_gray:
        rgb = compose_rgb(result.luma, [(slice(0, len(luma)), result.differences)])
        blend_into(image, rgb / np.float32(np.iinfo(rgb.dtype).max), found, view.mask)
    else:
        image[found] = result.luma[found] if is_gray else result.luma[found][:, None]
    return GuidedView(view=replace(view, image=image, mask=view.mask & ~found), guide=guide, origin=origin)
