"""How reliable each pixel of an aligned reference is, by the luma that is known in both photographs.

Three tests, all of which a pixel must pass:

1. The difference of luma around it is no larger than noise, a small shift and a fraction of the texture cause.
2. Where there is texture, the textures correlate; where there is none, those of the nearest textured regions do. Two
clear skies agree by chance, two houses do not. 3. The dense correction is smooth there.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from toolbox.guidance.fields import blur, ramp, weighted_blur

# Deviation in pixels of the surroundings whose luma is compared.
_NEAR = 3.0
_NOISE = (2.0 / 255, 7.0 / 255)  # smallest and largest deviation that counts as noise
_SHIFT = 0.35  # pixels: a smaller shift is no disagreement
_TEXTURE_SHARE = 0.08  # fraction of the variance of a texture that may differ
_RESIDUAL = (1.0, 3.0)  # times what is allowed: full confidence below the first, none above the second
_CORRELATION = (0.55, 0.8)
_CONTRAST = 2.0  # times the noise: the deviation of luma at which surroundings count as textured
_SUPPORT = (0.35, 0.65)


@dataclass(frozen=True, kw_only=True, eq=False)
class Agreement:
    """How far the luma of a reference agrees with the target.

    Attributes:
        confidence: (h, w) float32 in [0, 1]; 0 where the reference has no pixel.
        share: of the textured surroundings where both are known, those that agree, in [0, 1].
        target_share: the same as a share of the whole target, in [0, 1].
        correlation: of the luma of both, detail and shading alike, where both are known.
    """

    confidence: np.ndarray
    share: float
    target_share: float
    correlation: float


def compare(luma: np.ndarray, reference: np.ndarray, known: np.ndarray, stretch: np.ndarray) -> Agreement:
    """Return how far a reference agrees with the target.

    Args:
        luma: (h, w) float32 in [0, 1], the target.
        reference: (h, w) float32, the reference's luma, aligned, its exposure matched.
        known: (h, w) bool, where both are known.
        stretch: (h, w) float32, as in `alignment.Alignment`.
    """
    weight = known.astype(np.float32)
    near = np.maximum(blur(weight, _NEAR), 1e-3)

    def mean(values: np.ndarray) -> np.ndarray:
        return blur(values * weight, _NEAR) / near

    mean_l, mean_r = mean(luma), mean(reference)
    var_l = np.maximum(mean(luma * luma) - mean_l * mean_l, 0)
    var_r = np.maximum(mean(reference * reference) - mean_r * mean_r, 0)
    cov = mean(luma * reference) - mean_l * mean_r
    residual = mean((luma - reference) ** 2)
    noise = float(np.clip(np.sqrt(np.median(residual[known])), *_NOISE))
    slope = mean(_slope(luma))
    allowed = noise**2 + _SHIFT**2 * slope + _TEXTURE_SHARE * np.minimum(var_l, var_r)
    luma_agrees = ramp(residual / allowed, _RESIDUAL[1], _RESIDUAL[0])
    # The correlation without the effect of noise. Evidence for: texture that both have, above the noise.
    # Evidence against: luma that differs. A flat region that does not differ is no evidence.
    shared = np.maximum(cov, 0) / (np.maximum(var_l, var_r) + noise**2)
    strength = np.maximum(var_l, var_r)
    strength = weight * strength / (strength + (_CONTRAST * noise) ** 2)
    supporting = strength * ramp(shared, *_CORRELATION) * luma_agrees
    opposing = weight * (1 - luma_agrees)
    evidence = supporting + opposing
    total = float(evidence.sum())
    if total < 1:
        return Agreement(confidence=np.zeros_like(luma), share=0.0, target_share=0.0, correlation=0.0)
    support = weighted_blur(supporting / np.maximum(evidence, 1e-6), evidence, 3 * _NEAR)
    confidence = luma_agrees * ramp(support, *_SUPPORT) * ramp(stretch, 0.25, 0.1) * weight
    values_l, values_r = luma[known].astype(np.float64), reference[known].astype(np.float64)
    spread = values_l.std() * values_r.std()
    return Agreement(
        confidence=confidence.astype(np.float32),
        share=float(supporting.sum()) / total,
        target_share=float(supporting.mean()),
        correlation=float(np.mean((values_l - values_l.mean()) * (values_r - values_r.mean())) / spread)
        if spread > 0
        else 0.0,
    )


def _slope(luma: np.ndarray) -> np.ndarray:
    """Return the squared gradient of luma per pixel, (h, w)."""
    return sum(
        cv2.Scharr(luma, cv2.CV_32F, *order, scale=1 / 32, borderType=cv2.BORDER_REFLECT) ** 2
        for order in ((1, 0), (0, 1))
    )  # type: ignore[return-value]
