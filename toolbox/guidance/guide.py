"""Combine what guides the restoration of one photograph: reference photographs and strokes of colour."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from toolbox.guidance import provenance
from toolbox.guidance.reference import Reference, ReferenceResult, apply_reference
from toolbox.imaging.chroma_upsampling import Strips

# A lost pixel is taken from a reference from this belief on; otherwise it is filled as without a reference.
MIN_BELIEF = 0.5

References = np.ndarray | Reference | Iterable[np.ndarray | Reference]


@dataclass(frozen=True, kw_only=True, eq=False)
class Guide:
    """What the references give for a photograph of (H, W) pixels.

    Attributes:
        result: what the references show, aligned and tested.
        found: (H, W) bool, the lost pixels that are taken from a reference.
    """

    result: ReferenceResult
    found: np.ndarray

    def mix(self, strips: Strips) -> Iterator[tuple[slice, np.ndarray]]:
        """Yield strips for `compose_rgb`, with the colours of the references as far as they are believed."""
        for rows, differences in strips:
            belief = self.result.belief[rows, :, None]
            if belief.any():
                differences = belief * self.result.differences[rows] + (1 - belief) * differences
            yield rows, differences

    def provenance(self, mask: np.ndarray) -> np.ndarray:
        """Return where each pixel comes from, (H, W) uint8 of `provenance.Origin`; `mask` is the lost region (H, W)."""
        origin = provenance.without_guide(mask)
        origin[~mask & (self.result.belief >= MIN_BELIEF)] = provenance.Origin.COLOUR_FROM_REFERENCE
        origin[self.found] = provenance.Origin.FILLED_FROM_REFERENCE
        return origin


def make_guide(luma: np.ndarray, mask: np.ndarray, references: References) -> Guide:
    """Align the references to a photograph and test them.

    Args:
        luma: (H, W) uint8 or uint16, the photograph.
        mask: (H, W) bool, its lost region.
        references: see `toolbox.guidance.guide.as_references`.

    Raises:
        ValueError: an array of another type or shape.
    """
    result = apply_reference(luma, mask, as_references(references))
    return Guide(result=result, found=mask & (result.luma_belief >= MIN_BELIEF))


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
        rgb = np.repeat(reference[..., None], 3, axis=2) if reference.ndim == 2 else reference
        if rgb.shape[2] != 3:
            raise ValueError(f"A reference is (H, W) or (H, W, 3), not {rgb.shape}.")
        yield Reference(name=f"reference {number}", rgb=rgb)
