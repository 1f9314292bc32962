"""One alignment of a reference with the target: what it shows, and the confidence in each pixel."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from toolbox.color import array_luma
from toolbox.guidance.agreement import Agreement, compare
from toolbox.guidance.alignment import Alignment, align, exposure_fields, reduce_to_scale, scaling, warp, warp_mask
from toolbox.guidance.fields import ramp, weighted_blur
from toolbox.guidance.tone import Tone

# The least that shows the same scene: the share of the evidence that supports it; the share of the target whose texture
# agrees; the correlation of luma. Chosen on development photographs (docs/restore.md has the figures).
MIN_SHARE = 0.5
MIN_TARGET_SHARE = 0.02
MIN_CORRELATION = 0.6
_HOLE_CONFIDENCE = (0.55, 0.85)
_HOLE_STRETCH = (0.15, 0.05)
# An exact copy: this share of the pixels has the same luma, within one level.
_EXACT_SHARE = 0.995


@dataclass(frozen=True, kw_only=True, eq=False)
class Target:
    """The photograph to restore, at the size at which photographs are aligned.

    Attributes:
        luma: (h, w) float32 in [0, 1].
        lost: (h, w) bool.
    """

    luma: np.ndarray
    lost: np.ndarray


@dataclass(frozen=True, kw_only=True, eq=False)
class Layer:
    """A reference that is aligned with the target.

    Attributes:
        homography: (3, 3) from the target's pixels at the size of alignment to the reference's own pixels.
        correction: (h, w, 2) as in `alignment.Alignment`.
        tone: for luma; colours take `tone.for_colors()`.
        gain: (h, w) float32, local contrast on top of the tone.
        offset: (h, w) float32, local brightness; in holes, so that the reference joins the known pixels without a step.
        confidence: (h, w) float32 in [0, 1], holes included.
        agreement: how far the luma agrees.
        exact: the reference is a copy, moved by whole pixels: taken as it is.
    """

    homography: np.ndarray
    correction: np.ndarray
    tone: Tone
    gain: np.ndarray
    offset: np.ndarray
    confidence: np.ndarray
    agreement: Agreement
    exact: bool = False


def make_layer(
    target: Target, rgb: np.ndarray, homography: np.ndarray, damage: np.ndarray | None = None
) -> Layer | None:
    """Align a reference and test it; None where it hardly overlaps or nothing agrees.

    Args:
        target: the photograph to restore.
        rgb: (H, W, 3) the reference, uint8 or uint16, of any size.
        homography: (3, 3) from the target's pixels to the reference's.
        damage: (H, W) bool, what the reference itself has lost; None: nothing.
    """
    small, to_small = reduce_to_scale(rgb, homography, target.luma.shape)
    small = small.astype(np.float32) / np.float32(np.iinfo(rgb.dtype).max)
    copy = _exact_copy(target, small, to_small, damage, scaling(small.shape, rgb.shape))
    if copy is not None:
        alignment: Alignment | None = copy
    else:
        alignment = align(target.luma, target.lost, small, to_small)
    if alignment is None:
        return None
    warped = warp(small, alignment.homography, alignment.correction)
    to_reference = scaling(small.shape, rgb.shape) @ alignment.homography
    valid = _intact(warped.valid, damage, to_reference, alignment.correction)
    known = valid & ~target.lost
    weight = known.astype(np.float32)
    luma = alignment.tone.luma(warped.rgb)
    gain, offset = np.ones_like(luma), np.zeros_like(luma)
    if copy is None:
        gain, offset = exposure_fields(luma, target.luma, weight)
    agreement = compare(target.luma, gain * luma + offset, known, alignment.stretch)
    if copy is None and agreement.confidence.any():
        # The second time, without the pixels that differ.
        gain, offset = exposure_fields(luma, target.luma, agreement.confidence)
        agreement = compare(target.luma, gain * luma + offset, known, alignment.stretch)
    if not agreement.confidence.any():
        return None
    confidence = agreement.confidence + _hole_confidence(agreement.confidence, valid, target.lost, alignment.stretch)
    if copy is None:
        offset = offset + _joint(target.luma - gain * luma - offset, agreement.confidence, target.lost)
    return Layer(
        homography=to_reference,
        correction=alignment.correction,
        tone=alignment.tone,
        gain=gain,
        offset=offset,
        confidence=confidence * _feather(valid),
        agreement=agreement,
        exact=copy is not None,
    )


def shows_the_scene(agreement: Agreement) -> bool:
    """Return whether a reference shows the target's scene; only then are its pixels used."""
    return (
        agreement.share >= MIN_SHARE
        and agreement.target_share >= MIN_TARGET_SHARE
        and agreement.correlation >= MIN_CORRELATION
    )


def _hole_confidence(confidence: np.ndarray, valid: np.ndarray, lost: np.ndarray, stretch: np.ndarray) -> np.ndarray:
    """Return the confidence inside the holes (h, w): that of their borders, where the alignment is smooth."""
    if not lost.any():
        return np.zeros_like(confidence)
    near = cv2.dilate(lost.view(np.uint8), cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (13, 13))) > 0
    # Pixels beside the lost region can't be tested: part of their surroundings is lost.
    border = (near & ~lost & valid).astype(np.float32)
    if not border.any():
        return np.zeros_like(confidence)
    inside = ramp(weighted_blur(confidence, border, 4.0), *_HOLE_CONFIDENCE) * ramp(stretch, *_HOLE_STRETCH)
    return (inside * (lost & valid)).astype(np.float32)


def _joint(residual: np.ndarray, confidence: np.ndarray, lost: np.ndarray) -> np.ndarray:
    """Return what to add to the reference's luma inside the holes, so that it joins the known pixels without a step."""
    if not lost.any() or not confidence.any():
        return np.zeros_like(residual)
    return weighted_blur(residual, confidence, 3.0) * lost


def _feather(valid: np.ndarray) -> np.ndarray:
    """Return a weight (h, w) that falls to 0 at the reference's own border, but not at the target's."""
    width = max(valid.shape) / 64
    distance = cv2.distanceTransform(valid.astype(np.uint8), cv2.DIST_L2, 3)
    return ramp(distance, 0, width)


def _intact(valid: np.ndarray, damage: np.ndarray | None, homography: np.ndarray, correction: np.ndarray) -> np.ndarray:
    """Return `valid` (h, w) without what the reference itself has lost."""
    if damage is None or not damage.any():
        return valid
    # Widened, so that neither enlarging nor interpolating uses damaged pixels.
    grown = warp_mask(damage, homography, correction).astype(np.uint8)
    return valid & (cv2.dilate(grown, np.ones((7, 7), np.uint8)) == 0)


def _exact_copy(
    target: Target, rgb: np.ndarray, homography: np.ndarray, damage: np.ndarray | None, to_full: np.ndarray
) -> Alignment | None:
    """Return the alignment by whole pixels, if the reference then has the same luma as the target."""
    moved = homography / homography[2, 2]
    if np.abs(moved - np.eye(3))[:, :2].max() > 0.01:
        return None
    shift = np.eye(3)
    height, width = target.luma.shape
    centre = cv2.perspectiveTransform(np.array([[[width / 2, height / 2]]]), moved)[0, 0]
    shift[:2, 2] = np.rint(centre - (width / 2, height / 2))
    correction = np.zeros((height, width, 2), np.float32)
    warped = warp(rgb, shift, correction)
    known = _intact(warped.valid, damage, to_full @ shift, correction) & ~target.lost
    if known.mean() < 0.02:
        return None
    apart = np.abs(array_luma(warped.rgb) - target.luma)[known]
    if np.mean(apart <= 1.01 / 255) < _EXACT_SHARE:
        return None
    return Alignment(
        homography=shift, correction=correction, tone=Tone(), stretch=np.zeros((height, width), np.float32)
    )
