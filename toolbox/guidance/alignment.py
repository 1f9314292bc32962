"""Align a reference with the target: by a homography, then by a smooth dense correction that is found on luma.

A correction moves each pixel of the target before the homography is applied: reference = homography(x + correction).
It comes from dense optical flow (DIS, Kroeger et al. 2016), and is smoothed with the confidence in the flow as weight.
So it follows the lens, the paper and the relief of the scene, and not objects that moved.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np

from toolbox.guidance.fields import blur, weighted_blur
from toolbox.guidance.tone import Tone, fit_tone

_ROUNDS = 3
# Deviation in pixels of the smoothing of the flow, by round.
_SMOOTHING = (12.0, 8.0, 5.0)
MAX_CORRECTION = 0.04  # of the target's longer side
_STRIP_ROWS = 256
_NOISE = 8 / 255  # deviation of luma after the flow beyond which it is not trusted


@dataclass(frozen=True, kw_only=True, eq=False)
class Alignment:
    """Where each pixel of the target lies in the reference.

    Attributes:
        homography: (3, 3) from the target's pixels to the reference's.
        correction: (h, w, 2) float32, x and y in pixels of the target, added before the homography is applied.
        tone: maps the tones of the reference to those of the target.
        stretch: (h, w) float32, how far the correction changes from pixel to pixel.
    """

    homography: np.ndarray
    correction: np.ndarray
    tone: Tone
    stretch: np.ndarray


@dataclass(frozen=True, kw_only=True, eq=False)
class Warped:
    """The reference at the pixels of the target.

    Attributes:
        rgb: (h, w, 3) float32 in [0, 1].
        valid: (h, w) bool, True where the reference has a pixel.
    """

    rgb: np.ndarray
    valid: np.ndarray


def warp(rgb: np.ndarray, homography: np.ndarray, correction: np.ndarray, rows: slice | None = None) -> Warped:
    """Return the reference's pixels at the positions of the target's.

    Args:
        rgb: (H, W, 3) the reference, uint8, uint16 or float32 in [0, 1].
        homography: (3, 3) from the target's pixels to those of `rgb`.
        correction: (h, w, 2) as in `Alignment`; (rows, w, 2) with `rows`.
        rows: the rows of the target; None is all of them.
    """
    height, width = correction.shape[:2]
    first = 0 if rows is None else rows.start
    highest = np.float32(np.iinfo(rgb.dtype).max) if rgb.dtype.kind == "u" else np.float32(1)
    out = np.empty((height, width, 3), np.float32)
    valid = np.empty((height, width), bool)
    for start in range(0, height, _STRIP_ROWS):
        strip = slice(start, min(start + _STRIP_ROWS, height))
        u, v = _positions(homography, correction[strip], first + start)
        # OpenCV interpolates at 32nds of a pixel.
        valid[strip] = (u > -1 / 64) & (v > -1 / 64) & (u < rgb.shape[1] - 1 + 1 / 64) & (v < rgb.shape[0] - 1 + 1 / 64)
        out[strip] = cv2.remap(rgb, u, v, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    out /= highest
    return Warped(rgb=out.clip(0, 1), valid=valid)


def warp_mask(mask: np.ndarray, homography: np.ndarray, correction: np.ndarray) -> np.ndarray:
    """Return a mask (H, W) bool of the reference at the target's pixels, (h, w) bool; arguments as in `warp`."""
    u, v = _positions(homography, correction, 0)
    return cv2.remap(mask.astype(np.uint8), u, v, cv2.INTER_NEAREST, borderMode=cv2.BORDER_CONSTANT) > 0


def _positions(homography: np.ndarray, correction: np.ndarray, first_row: int) -> tuple[np.ndarray, np.ndarray]:
    """Return x and y in the reference, float32, of the target's rows from `first_row` on; -1e6 behind the camera."""
    height, width = correction.shape[:2]
    x = correction[..., 0].astype(np.float64) + np.arange(width)
    y = correction[..., 1].astype(np.float64) + (first_row + np.arange(height))[:, None]
    rows = homography.astype(np.float64)
    depth = rows[2, 0] * x + rows[2, 1] * y + rows[2, 2]
    behind = depth <= 1e-6
    depth[behind] = 1
    u, v = ((row[0] * x + row[1] * y + row[2]) / depth for row in rows[:2])
    u[behind] = v[behind] = -1e6
    return u.clip(-1e6, 1e6).astype(np.float32), v.clip(-1e6, 1e6).astype(np.float32)


def reduce_to_scale(rgb: np.ndarray, homography: np.ndarray, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Return the reference no finer than the target, and the homography to it.

    Args:
        rgb: (H, W, 3), the reference.
        homography: (3, 3) from the target's pixels to the reference's.
        size: height and width of the target.
    """
    corners = np.array([[[0, 0], [size[1] - 1, 0], [size[1] - 1, size[0] - 1], [0, size[0] - 1]]], np.float64)
    there = cv2.perspectiveTransform(corners, homography)[0]
    area = abs(cv2.contourArea(there.astype(np.float32)))
    times = np.sqrt(area / ((size[0] - 1) * (size[1] - 1)))
    if not 1.2 < times < 1e3:
        return rgb, homography
    height, width = (max(1, round(side / times)) for side in rgb.shape[:2])
    small = cv2.resize(rgb, (width, height), interpolation=cv2.INTER_AREA)
    return small, scaling(rgb.shape[:2], (height, width)) @ homography


def scaling(size: tuple[int, ...], to: tuple[int, ...]) -> np.ndarray:
    """Return the homography (3, 3) of resizing from `size` to `to` (height, width): centres of pixels keep theirs."""
    down, across = to[0] / size[0], to[1] / size[1]
    return np.array([[across, 0, (across - 1) / 2], [0, down, (down - 1) / 2], [0, 0, 1.0]])


def align(luma: np.ndarray, lost: np.ndarray, rgb: np.ndarray, homography: np.ndarray) -> Alignment | None:
    """Return the alignment of a reference, refined from a homography; None if the photographs hardly overlap.

    Args:
        luma: (h, w) float32 in [0, 1], the target at the size at which photographs are aligned.
        lost: (h, w) bool, where `luma` means nothing.
        rgb: (H, W, 3) float32 in [0, 1], the reference, at about the same scale.
        homography: (3, 3) from the target's pixels to the reference's.
    """
    correction = np.zeros((*luma.shape, 2), np.float32)
    flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    alignment = Alignment(homography=homography, correction=correction, tone=Tone(), stretch=np.zeros_like(luma))
    tone = Tone()
    for number in range(_ROUNDS):
        warped = warp(rgb, homography, correction)
        known = (warped.valid & ~lost).astype(np.float32)
        if known.mean() < 0.02:
            return None
        tone = fit_tone(blur(warped.rgb, 2.0), blur(luma, 2.0), known)
        matched = match_exposure(tone.luma(warped.rgb), luma, known)
        moved, trust = _flow(flow, luma, matched, known)
        if not trust.any():
            break
        smooth = weighted_blur(moved, trust, _SMOOTHING[number])
        correction = smooth + _sample(correction, smooth)
        limit = MAX_CORRECTION * max(luma.shape)
        correction = correction.clip(-limit, limit)
    alignment = replace(alignment, correction=correction, tone=tone, stretch=_stretch(correction))
    return alignment


def match_exposure(reference: np.ndarray, luma: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Return the reference's luma (h, w) with the local brightness and contrast of the target's where both are known.

    The surroundings are an eighth of the picture: this corrects a shadow, a vignette or fading, not a single object.
    """
    gain, offset = exposure_fields(reference, luma, weight)
    return gain * reference + offset


def exposure_fields(reference: np.ndarray, luma: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return gain and offset (h, w) that `match_exposure` applies to the reference's luma."""
    sigma = max(luma.shape) / 16
    values = np.dstack([reference, luma, reference * reference, reference * luma])
    mean_r, mean_l, square, product = cv2.split(weighted_blur(values, weight, sigma))
    variance, covariance = square - mean_r * mean_r, product - mean_r * mean_l
    gain = ((covariance + 0.002) / (variance + 0.002)).clip(0.6, 1.6)
    gain = blur(gain, sigma / 2)
    return gain, mean_l - gain * mean_r


def _flow(
    method: cv2.DISOpticalFlow, luma: np.ndarray, matched: np.ndarray, known: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the flow (h, w, 2) from the target to the reference, and the confidence in it (h, w)."""
    shown = np.where(known > 0, luma, matched)  # no flow where only one of them is known
    one, other = ((255 * values).clip(0, 255).astype(np.uint8) for values in (shown, matched))
    start = np.zeros((*luma.shape, 2), np.float32)
    there, back = method.calc(one, other, start.copy()), method.calc(other, one, start)
    # Where the flow there and the flow back do not cancel, they are wrong.
    error = there + _sample(back, there)
    returns = np.exp(-(error**2).sum(2))
    before, after = (blur((values - shown) ** 2, 2.0) for values in (matched, _sample(matched, there)))
    # Pixels that fit already are not moved: noise alone causes some flow.
    stays = before <= np.maximum(1.3 * after, (2 / 255) ** 2)
    there[stays] = 0
    # Only pixels whose whole surroundings are known count.
    inside = cv2.erode(known, np.ones((9, 9), np.uint8))
    corner = _corner_strength(shown)
    trust = inside * np.where(stays, 1, returns) * corner / (corner + (3 / 255) ** 2)
    residual = np.where(stays, before, after)
    return there, (trust / (1 + residual / _NOISE**2) ** 2).astype(np.float32)


def _corner_strength(luma: np.ndarray) -> np.ndarray:
    """Return the smaller eigenvalue of the structure tensor, (h, w): along an edge, flow can't be measured."""
    dx, dy = (cv2.Scharr(luma, cv2.CV_32F, *order, scale=1 / 32) for order in ((1, 0), (0, 1)))
    xx, yy, xy = cv2.split(blur(np.dstack([dx * dx, dy * dy, dx * dy]), 2.5))
    return np.maximum((xx + yy) / 2 - np.sqrt(((xx - yy) / 2) ** 2 + xy * xy), 0)


def _sample(values: np.ndarray, flow: np.ndarray) -> np.ndarray:
    """Return `values` (h, w) or (h, w, C) at every pixel moved by `flow` (h, w, 2)."""
    height, width = flow.shape[:2]
    x = flow[..., 0] + np.arange(width, dtype=np.float32)
    y = flow[..., 1] + np.arange(height, dtype=np.float32)[:, None]
    return cv2.remap(values, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def _stretch(correction: np.ndarray) -> np.ndarray:
    """Return the norm of the correction's derivative, (h, w)."""
    total = np.zeros(correction.shape[:2], np.float32)
    for channel in cv2.split(correction):
        for order in ((1, 0), (0, 1)):
            total += cv2.Sobel(channel, cv2.CV_32F, *order, scale=1 / 8) ** 2
    return np.sqrt(total)
