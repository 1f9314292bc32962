"""Combine what guides the restoration of one photograph: references, strokes of colour, a palette."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from toolbox.guidance import provenance
from toolbox.guidance.color_layer import ColorLayer
from toolbox.guidance.hints import Strokes, check_hints, find_strokes, spread_strokes
from toolbox.guidance.reference import Reference, ReferenceResult, apply_reference
from toolbox.imaging.chroma_upsampling import Strips
from toolbox.imaging.pixels import as_rgb

# Below this confidence in a reference, a lost pixel is filled as without it.
MIN_CONFIDENCE = 0.5

# A palette that colours less than this fraction of the pixels is of little use.
MIN_PALETTE = 0.01

References = np.ndarray | Reference | Iterable[np.ndarray | Reference]
# Gives the colours of a palette for a photograph of the luma (H, W), uint8 or uint16.
PaletteLayer = Callable[[np.ndarray], ColorLayer]


@dataclass(kw_only=True, eq=False)
class Guide:
    """What guides the restoration of a photograph of (H, W) pixels.

    Attributes:
        mask: (H, W) bool, the lost region.
        result: what the references show, aligned and tested; None: there is no reference.
        found: (H, W) bool, the lost pixels that are taken from a reference.
        strokes: strokes of colour; None: there are none.
        hinted: (H, W) bool, where strokes decide the colour. `mix` sets it.
        palette: the palette of another scene; None: there is none.
        matched: (H, W) bool, where the palette decides the colour. `mix` sets it.
    """

    mask: np.ndarray
    result: ReferenceResult | None
    found: np.ndarray
    strokes: Strokes | None
    hinted: np.ndarray
    palette: PaletteLayer | None
    matched: np.ndarray

    def mix(self, strips: Strips, luma: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
        """Yield strips for `compose_rgb`: strokes come before references, these before the palette and the network.

        Args:
            strips: rows, and R - Y and B - Y of the network, (h, W, 2).
            luma: (H, W) uint8 or uint16, with the lost region filled.
        """
        hints = None if self.strokes is None else spread_strokes(luma, self.strokes)
        palette = None if self.palette is None else self.palette(luma)
        for rows, differences in strips:
            if palette is not None:
                differences, self.matched[rows] = _lay_over(palette, rows, differences)
            if self.result is not None:
                confidence = self.result.confidence[rows, :, None]
                differences = confidence * self.result.differences[rows] + (1 - confidence) * differences
            if hints is not None:
                differences, self.hinted[rows] = _lay_over(hints, rows, differences)
            yield rows, differences

    def provenance(self) -> np.ndarray:
        """Return where each pixel of a photograph with new colours comes from, (H, W) uint8 of `Origin`."""
        origin = provenance.without_guide(self.mask)
        origin[~self.mask & self.matched] = provenance.Origin.COLOUR_FROM_PALETTE
        if self.result is not None:
            origin[~self.mask & (self.result.confidence >= MIN_CONFIDENCE)] = provenance.Origin.COLOUR_FROM_REFERENCE
        origin[~self.mask & self.hinted] = provenance.Origin.COLOUR_FROM_HINT
        origin[self.found] = provenance.Origin.FILLED_FROM_REFERENCE
        return origin

    @property
    def notes(self) -> tuple[str, ...]:
        """A line for each reference that is not used, or not fully, and for a palette of little use; after `mix`."""
        notes = () if self.result is None else self.result.notes
        if self.palette is not None and self.matched.mean() < MIN_PALETTE:
            notes += ("the palette has almost nothing like this photo",)
        return notes


def make_guide(
    luma: np.ndarray,
    mask: np.ndarray,
    references: References | None = None,
    hints: np.ndarray | None = None,
    palette: PaletteLayer | None = None,
) -> Guide:
    """Align the references to a photograph and test them, and check the hints.

    Args:
        luma: (H, W) uint8 or uint16, the photograph.
        mask: (H, W) bool, its lost region.
        references: see `as_references`.
        hints: (H, W, 4) RGBA uint8 or uint16, opaque where there is a stroke.
        palette: gives the colours of another scene.

    Raises:
        ValueError: an array of another type or shape; hints without a stroke.
    """
    if hints is not None:
        check_hints(hints, mask.shape)
    result = None if references is None else apply_reference(luma, mask, as_references(references))
    nowhere = np.zeros(mask.shape, bool)
    found = nowhere if result is None else mask & (result.luma_confidence >= MIN_CONFIDENCE)
    return Guide(
        mask=mask,
        result=result,
        found=found,
        strokes=None if hints is None else find_strokes(hints),
        hinted=nowhere.copy(),
        palette=palette,
        matched=nowhere.copy(),
    )


def _lay_over(layer: ColorLayer, rows: slice, differences: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return R - Y and B - Y (h, W, 2) under a layer of colours, and where the layer decides, (h, W) bool."""
    colors, weight = layer.rows(rows)
    return colors + (1 - weight) * differences, weight[..., 0] >= MIN_CONFIDENCE


def as_references(references: References) -> Iterator[Reference]:
    """Yield references: each is a `Reference`, or an array of any size.

    An array is (H, W) or (H, W, 1) gray or (H, W, 3) RGB, uint8 or uint16.

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
        rgb = as_rgb(reference[..., 0] if reference.shape[2:] == (1,) else reference)
        if rgb.shape[2] != 3:
            raise ValueError(f"A reference is (H, W) or (H, W, 3), not {rgb.shape}.")
        yield Reference(name=f"reference {number}", rgb=rgb)
