"""Record where each pixel of a restored photograph comes from, and draw it."""

from __future__ import annotations

from enum import IntEnum

import numpy as np

from toolbox.imaging.encode import encode_indexed_png
from toolbox.imaging.xmp import DigitalSourceType


class Origin(IntEnum):
    """Where a pixel comes from. Of a gray photograph, known luma gets colours from one of four sources."""

    KNOWN = 0
    COLOUR_FROM_NETWORK = 1
    COLOUR_FROM_HINT = 2
    COLOUR_FROM_REFERENCE = 3
    FILLED = 4
    FILLED_FROM_REFERENCE = 5
    COLOUR_FROM_PALETTE = 6


FROM_REFERENCE = (Origin.COLOUR_FROM_REFERENCE, Origin.FILLED_FROM_REFERENCE)

# RGB of each origin in the picture: they differ in lightness too, for colour-blind people.
COLOURS = {
    Origin.KNOWN: (255, 255, 255),
    Origin.COLOUR_FROM_NETWORK: (190, 190, 190),
    Origin.COLOUR_FROM_HINT: (240, 228, 66),
    Origin.COLOUR_FROM_REFERENCE: (86, 180, 233),
    Origin.FILLED: (213, 94, 0),
    Origin.FILLED_FROM_REFERENCE: (0, 90, 140),
    Origin.COLOUR_FROM_PALETTE: (0, 158, 115),
}


def without_guide(mask: np.ndarray, *, colours: bool = True) -> np.ndarray:
    """Return the origins of a photograph that the network alone restores, (H, W) uint8.

    Args:
        mask: (H, W) bool, the lost region.
        colours: whether known pixels get colours.
    """
    known = Origin.COLOUR_FROM_NETWORK if colours else Origin.KNOWN
    return np.where(mask, np.uint8(Origin.FILLED), np.uint8(known))


def encode_picture(origin: np.ndarray) -> bytes:
    """Return a PNG of origins (H, W) uint8: one flat colour each, see `COLOURS`."""
    return encode_indexed_png(origin, [COLOURS[kind] for kind in Origin])


def fractions(origin: np.ndarray) -> dict[str, float]:
    """Return the fraction of the pixels of each origin that occurs, by its name in lower case with spaces."""
    counts = {kind: int(np.count_nonzero(origin == kind)) for kind in Origin}
    return {
        kind.name.lower().replace("_", " "): round(counts[kind] / origin.size, 6) for kind in Origin if counts[kind]
    }


def source_type(origin: np.ndarray, *, is_corrected: bool = False) -> DigitalSourceType:
    """Return the IPTC's term for a photograph whose pixels (H, W) uint8 have these origins.

    Any pixel from the network makes it a composite with media from a trained algorithm, as the IPTC calls a photograph
    with a part that was filled in. So does a palette, whose colours the network places. Without these,
    pixels of a reference make it a composite of captures. One whose contrast, cast or evenness was corrected,
    `is_corrected`, and nothing else, is enhanced by an algorithm.
    """
    kinds = set(np.unique(origin).tolist())
    if kinds & {Origin.COLOUR_FROM_NETWORK, Origin.COLOUR_FROM_PALETTE, Origin.FILLED}:
        return "compositeWithTrainedAlgorithmicMedia"
    if kinds & set(FROM_REFERENCE):
        return "compositeCapture"
    if Origin.COLOUR_FROM_HINT in kinds:
        return "humanEdits"
    return "algorithmicallyEnhanced" if is_corrected else "digitalCapture"
