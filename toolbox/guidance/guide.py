"""Combine what guides the restoration of one photograph: reference photographs and strokes of colour."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from toolbox.guidance import provenance
from toolbox.guidance.hints import check_hints, spread_hints
from toolbox.guidance.reference import Reference, ReferenceResult, apply_reference
from toolbox.imaging.chroma_upsampling import Strips
from toolbox.imaging.pixels import as_rgb

# A lost pixel is taken from a reference from this belief on; otherwise it is filled as without a reference.
MIN_BELIEF = 0.5

References = np.ndarray | Reference | Iterable[np.ndarray | Reference]


@dataclass(kw_only=True, eq=False)
class Guide:
    """What guides the restoration of a photograph of (H, W) pixels.

    Attributes:
        mask: (H, W) bool, the lost region.
        result: what the references show, aligned and tested; None: there is no reference.
        found: (H, W) bool, the lost pixels that are taken from a reference.
        hints: (H, W, 4) RGBA, strokes of colour; None: there are none.
        hinted: (H, W) bool, where strokes decide the colour. `mix` sets it.
    """

    mask: np.ndarray
    result: ReferenceResult | None
    found: np.ndarray
    hints: np.ndarray | None
    hinted: np.ndarray

    def mix(self, strips: Strips, luma: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
        """Yield strips for `compose_rgb` with the colours of the references and, before these, of the strokes.

        Args:
            strips: rows, and R - Y and B - Y of the network, (h, W, 2).
            luma: (H, W) uint8 or uint16, with the lost region filled.
        """
        layer = None if self.hints is None else spread_hints(luma, self.hints)
        for rows, differences in strips:
            if self.result is not None:
                belief = self.result.belief[rows, :, None]
                differences = belief * self.result.differences[rows] + (1 - belief) * differences
            if layer is not None:
                colors, weight = layer.rows(rows)
                differences = colors + (1 - weight) * differences
                self.hinted[rows] = weight[..., 0] >= MIN_BELIEF
            yield rows, differences

    def provenance(self) -> np.ndarray:
        """Return where each pixel of a photograph with new colours comes from, (H, W) uint8 of `Origin`."""
        origin = provenance.without_guide(self.mask)
        if self.result is not None:
            origin[~self.mask & (self.result.belief >= MIN_BELIEF)] = provenance.Origin.COLOUR_FROM_REFERENCE
        origin[~self.mask & self.hinted] = provenance.Origin.COLOUR_FROM_HINT
        origin[self.found] = provenance.Origin.FILLED_FROM_REFERENCE
        return origin


def make_guide(
    luma: np.ndarray, mask: np.ndarray, references: References | None = None, hints: np.ndarray | None = None
) -> Guide:
    """Align the references to a photograph and test them, and check the hints.

    Args:
        luma: (H, W) uint8 or uint16, the photograph.
        mask: (H, W) bool, its lost region.
        references: see `as_references`.
        hints: (H, W, 4) RGBA uint8 or uint16, opaque where there is a stroke.

    Raises:
        ValueError: an array of another type or shape; hints without a stroke.
    """
    if hints is not None:
        check_hints(hints, mask.shape)
    result = None if references is None else apply_reference(luma, mask, as_references(references))
    nowhere = np.zeros(mask.shape, bool)
    found = nowhere if result is None else mask & (result.luma_belief >= MIN_BELIEF)
    return Guide(mask=mask, result=result, found=found, hints=hints, hinted=nowhere.copy())


def as_references(references: References) -> Iterator[Reference]:
    """Yield references: each is a `Reference`, or an array (H, W) gray or (H, W, 3) RGB, uint8 or uint16, of any size.

    Raises:
        ValueError: an array of another type or shape.
    """
    if isinstance(references, np.ndarray | Reference):
        references = (references,)
    for number, reference in enumerate(references, 1):
        if isinstance(reference, Reference):
            yield reference
            continue
        if reference.dtype not in (np.uint8, np.uint16) or reference.ndim not in (2, 3) or not reference.size:
            raise ValueError(
                f"A reference is (H, W) or (H, W, 3) of uint8 or uint16, not {reference.shape} {reference.dtype}."
            )
        rgb = as_rgb(reference)
        if rgb.shape[2] != 3:
            raise ValueError(f"A reference is (H, W) or (H, W, 3), not {rgb.shape}.")
        yield Reference(name=f"reference {number}", rgb=rgb)
