"""Restore with guidance: references give lost pixels before the generator runs; colours are mixed in after it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from toolbox.guidance import provenance
from toolbox.guidance.guide import MIN_CONFIDENCE, Guide
from toolbox.imaging.chroma_upsampling import Strips, compose_rgb
from toolbox.inference.hole_filling import blend_into
from toolbox.inference.photo_view import PhotoView

# Changes the colours of strips, with the luma (H, W) that they are composed with.
Mix = Callable[[Strips, np.ndarray], Strips]


@dataclass(frozen=True, kw_only=True, eq=False)
class Restoration:
    """A restored photograph.

    Attributes:
        pixels: (H, W, 3) RGB of the photograph's type.
        origin: (H, W) uint8, where each pixel comes from: `toolbox.guidance.provenance.Origin`.
        notes: a line for each reference and palette that is not used, or not fully.
        source: (H, W) int16, which of `names` a pixel comes from if `origin` says that it comes from a reference; None:
            there is no reference.
        names: the references, in the order in which they were given.
    """

    pixels: np.ndarray
    origin: np.ndarray
    notes: tuple[str, ...] = ()
    source: np.ndarray | None = None
    names: tuple[str, ...] = ()

    @property
    def used(self) -> tuple[tuple[str, float], ...]:
        """The fraction of the pixels that comes from each reference, by its name; without those not used."""
        if self.source is None:
            return ()
        sources = self.source[np.isin(self.origin, provenance.FROM_REFERENCE)]
        counts = np.bincount(sources + 1, minlength=len(self.names) + 1)[1:]
        return tuple((name, float(n) / self.origin.size) for name, n in zip(self.names, counts, strict=True) if n)


def plain_origin(view: PhotoView, keep: str) -> np.ndarray:
    """Return the origin of each pixel, (H, W) uint8, of a photograph that is restored without guidance."""
    return provenance.without_guide(view.mask, colours=keep != "rgb")


def check_keep(keep: str, *, reference: bool, hints: bool, palette: bool) -> None:
    """Raise ValueError for guides that can't be used with `keep`."""
    if reference and keep == "none":
        raise ValueError('A reference needs keep = "luma" or "rgb": with "none", no pixel of the photograph is known.')
    if hints and keep != "luma":
        raise ValueError(f'Hints need keep = "luma", which gives new colours; it is "{keep}".')
    if palette and keep != "luma":
        raise ValueError(f'A palette needs keep = "luma", which gives new colours; it is "{keep}".')


def run_guided(view: PhotoView, guide: Guide, keep: str, run: Callable[[PhotoView, Mix], np.ndarray]) -> Restoration:
    """Restore a photograph with guidance.

    Args:
        view: the photograph.
        guide: its guides.
        keep: what of the photograph is not changed: "luma" or "rgb".
        run: restores a view, in which the pixels that a reference shows are known; a `Mix` changes its colours.
    """
    guided, found = _add_found(view, guide, keep)
    pixels = run(guided, guide.mix)
    if keep == "rgb":
        origin = np.where(found, np.uint8(provenance.Origin.FILLED_FROM_REFERENCE), plain_origin(view, keep))
    else:
        origin = guide.provenance()
    if guide.result is None:
        return Restoration(pixels=pixels, origin=origin, notes=guide.notes)
    source, names = guide.result.source, guide.result.names
    return Restoration(pixels=pixels, origin=origin, notes=guide.notes, source=source, names=names)


def _add_found(view: PhotoView, guide: Guide, keep: str) -> tuple[PhotoView, np.ndarray]:
    """Return the view with the lost pixels that a reference shows, and where these are, (H, W) bool."""
    found, result = guide.found, guide.result
    is_color = view.image.ndim == 3
    if keep == "rgb" and is_color and result is not None:
        # The colours of a colour photograph are known: a lost pixel needs colours too.
        found = found & (result.confidence >= MIN_CONFIDENCE)
    if result is None or not found.any():
        return view, found
    image = view.image.copy()
    if keep == "rgb" and is_color:
        rgb = compose_rgb(result.luma, [(slice(0, len(image)), result.differences)])
        blend_into(image, rgb / np.float32(np.iinfo(rgb.dtype).max), found, view.mask)
    else:
        image[found] = result.luma[found][:, None] if is_color else result.luma[found]
    return replace(view, image=image, mask=view.mask & ~found), found
