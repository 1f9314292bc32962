"""Take colours and lost pixels from other photographs of the same scene.

A reference is used only where its luma agrees with the known luma of the target, see `agreement`. Elsewhere the
caller's colours stay.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np

from toolbox.color import integer_luma
from toolbox.guidance.alignment import scaling
from toolbox.guidance.compose import PlacedLayer, compose
from toolbox.guidance.layer import Layer, Target, make_layer, shows_the_scene
from toolbox.guidance.matching import Features, find_features, find_homographies
from toolbox.imaging import io
from toolbox.imaging.pixels import to_8bit
from toolbox.imaging.sepia import measure_toning
from toolbox.utils.cancelling import check_cancelled
from toolbox.utils.files import printable

# Photographs are aligned at this size at most, in pixels; colours and the alignment's correction are smooth.
ALIGNED_PIXELS = 800_000
# A reference is searched for features at up to this many pixels: the target may be a small part of it.
FEATURE_PIXELS = 1_500_000
# A reference is of no use if the mean confidence over the target is below this.
MIN_MEAN_CONFIDENCE = 0.01
# More references of other scenes than this share one line.
MAX_NOTES = 3
_OTHER_SCENE = "does not show the same scene: not used"


@dataclass(frozen=True, kw_only=True, eq=False)
class Reference:
    """A photograph that may show the scene of the target.

    Attributes:
        name: what it is called in messages and reports.
        rgb: (H, W, 3) uint8 or uint16, of any size.
        damage: (H, W) bool, what is lost of it; None: nothing.
    """

    name: str
    rgb: np.ndarray
    damage: np.ndarray | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class ReferenceResult:
    """What references show of a photograph of (H, W) pixels.

    Attributes:
        differences: (H, W, 2) float32, R - Y and B - Y in [-1, 1], for `toolbox.imaging.chroma_upsampling.compose_rgb`.
        confidence: (H, W) float32 in [0, 1], the confidence in `differences`, their weight; the caller's colours get
            the rest.
        luma: (H, W) of the target's type: the target's, and in its lost region the references', where the confidence is
            above 0.
        luma_confidence: (H, W) float32 in [0, 1], the confidence in `luma` in the lost region; 0 outside it.
        source: (H, W) int16, which of `names` a pixel comes from, -1 where from none.
        names: the references, in the order in which they were given.
        notes: a line for each reference that is not used, or not fully.
    """

    differences: np.ndarray
    confidence: np.ndarray
    luma: np.ndarray
    luma_confidence: np.ndarray
    source: np.ndarray
    names: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def is_empty(self) -> bool:
        """Whether no pixel comes from a reference."""
        return not (self.confidence.any() or self.luma_confidence.any())


def apply_reference(gray: np.ndarray, lost: np.ndarray, references: Iterable[Reference]) -> ReferenceResult:
    """Return what the references show of a gray photograph; equal inputs give equal results.

    Args:
        gray: (H, W) uint8 or uint16, the target. It is not written to.
        lost: (H, W) bool, True where the target is lost.
        references: photographs, the likeliest first. One is held at a time, and those that are used.

    Raises:
        ValueError: an array of another type or shape.
    """
    _check(gray, lost)
    target = _target(gray, lost)
    features = find_features((255 * target.luma).round().astype(np.uint8), target.lost)
    placed: list[PlacedLayer] = []
    names: list[str] = []
    notes: list[str] = []
    for source, reference in enumerate(references):
        names.append(reference.name)
        layers = _layers(target, features, reference)
        kind = measure_toning(io.to_rgb8(io.Photo(pixels=reference.rgb, format=""))).kind
        note = _note(target, layers, kind)
        if note:
            notes.append(f"{printable(reference.name)} {note}")
        if layers and (kind == "colour" or lost.any()):
            colored = kind == "colour"
            placed += [PlacedLayer(layer=layer, rgb=reference.rgb, source=source, colored=colored) for layer in layers]
    placed.sort(key=lambda placed_layer: -float(placed_layer.layer.confidence.sum()))
    composed = compose(gray, lost, placed)
    return ReferenceResult(
        differences=composed.differences,
        confidence=composed.confidence,
        luma=composed.luma,
        luma_confidence=composed.luma_confidence,
        source=composed.source,
        names=tuple(names),
        notes=_shorten_notes(notes),
    )


def _shorten_notes(notes: list[str]) -> tuple[str, ...]:
    """Return the notes, or one line instead of many on other scenes: in a folder most photographs are."""
    unused = [note for note in notes if note.endswith(_OTHER_SCENE)]
    if len(unused) <= MAX_NOTES:
        return tuple(notes)
    return (*(note for note in notes if note not in unused), f"{len(unused)} references: other scenes, not used")


def _check(gray: np.ndarray, lost: np.ndarray) -> None:
    if gray.ndim != 2 or gray.dtype not in (np.uint8, np.uint16) or not gray.size:
        raise ValueError(f"A target is (H, W) of uint8 or uint16, not {gray.shape} {gray.dtype}.")
    if lost.shape != gray.shape or lost.dtype != bool:
        raise ValueError(f"A mask is bool of the target's size {gray.shape}, not {lost.shape} {lost.dtype}.")


def _target(gray: np.ndarray, lost: np.ndarray) -> Target:
    """Return the photograph at the size at which photographs are aligned."""
    top = np.float32(np.iinfo(gray.dtype).max)
    scale = min(1.0, (ALIGNED_PIXELS / gray.size) ** 0.5)
    if scale == 1:
        return Target(luma=gray.astype(np.float32) / top, lost=lost)
    size = (max(1, round(gray.shape[1] * scale)), max(1, round(gray.shape[0] * scale)))
    luma = cv2.resize(gray, size, interpolation=cv2.INTER_AREA).astype(np.float32) / top
    share = cv2.resize(lost.astype(np.float32), size, interpolation=cv2.INTER_AREA)
    return Target(luma=luma, lost=share > 0)


def _layers(target: Target, features: Features, reference: Reference) -> list[Layer]:
    """Return the layers of a reference over the target, one for each plane of the scene; none for another scene."""
    rgb, damage = reference.rgb, reference.damage
    scale = min(1.0, (FEATURE_PIXELS / (rgb.shape[0] * rgb.shape[1])) ** 0.5)
    gray = integer_luma(to_8bit(rgb))
    size = tuple(max(1, round(side * scale)) for side in gray.shape)
    small = gray if scale == 1 else cv2.resize(gray, size[::-1], interpolation=cv2.INTER_AREA)
    to_reference = scaling(small.shape, gray.shape)
    layers: list[Layer] = []
    small_damage = None
    if damage is not None and damage.any():
        small_damage = cv2.resize(damage.astype(np.float32), small.shape[::-1], interpolation=cv2.INTER_AREA) > 0
    for homography in find_homographies(features, find_features(small, small_damage)):
        check_cancelled()
        layer = make_layer(target, rgb, to_reference @ homography, damage)
        # A plane other than the main one is compared where the reference shows the main one too.
        if layer is None or not (layers or shows_the_scene(layer.agreement)):
            break
        layers.append(layer)
        if layer.exact:
            break
    return layers


def _note(target: Target, layers: list[Layer], kind: str) -> str:
    """Return what the user should know of a reference, an empty string if there is nothing."""
    confidence = max((float(layer.confidence.mean()) for layer in layers), default=0.0)
    if confidence < MIN_MEAN_CONFIDENCE:
        return _OTHER_SCENE
    if kind == "colour":
        return ""
    what = "is gray" if kind == "gray" else "has one tone instead of colours"
    if target.lost.any():
        return f"{what}: it helps to fill the lost region, and has no colours to give"
    return f"{what} and nothing is lost: of no use"
