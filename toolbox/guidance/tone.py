"""How the tones of a reference photograph become those of the target: exposure, contrast, white balance.

Only the luma of the target is known. It still limits each channel of the reference, because luma is a
weighted sum of the channels: a reference with too much red is too bright in red parts.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from toolbox.color import LUMA_WEIGHTS

_SAMPLES = 20_000
_GAMMAS = np.exp(np.linspace(np.log(0.45), np.log(2.2), 17))
# The prior: how far a channel's gain deviates from the mean gain, and the offset from 0. The weight of the pixels
# against it depends on the residual of the fit, and on how many pixels count as independent.
_GAIN_PRIOR = 0.1
_OFFSET_PRIOR = 0.05
_INDEPENDENT = 300
# A larger ratio of two channels' gains comes from the film's response to colours, not from the white balance.
_MAX_CAST = 1.35
_ROUNDS = 4


@dataclass(frozen=True, kw_only=True)
class Tone:
    """target luma = offset + sum of weight x gain x channel ^ gamma, all in [0, 1].

    Attributes:
        gains: for red, green and blue.
        gamma: of all three.
        offset: added to the luma.
        error: the root mean square of what remains, outliers weighted down.
    """

    gains: tuple[float, float, float] = (1.0, 1.0, 1.0)
    gamma: float = 1.0
    offset: float = 0.0
    error: float = 0.0

    def apply(self, rgb: np.ndarray) -> np.ndarray:
        """Return RGB (..., 3) float32 in the tones of the target."""
        if self.gains == (1.0, 1.0, 1.0) and self.gamma == 1.0 and self.offset == 0.0:
            return rgb
        curved = rgb if self.gamma == 1.0 else np.power(rgb.clip(0, None), np.float32(self.gamma))
        return curved * np.array(self.gains, np.float32) + np.float32(self.offset)

    def luma(self, rgb: np.ndarray) -> np.ndarray:
        """Return the luma (...) of RGB (..., 3) in the tones of the target."""
        return self.apply(rgb) @ np.array(LUMA_WEIGHTS, np.float32)

    def for_colors(self) -> Tone:
        """Return the tone for colours: with equal gains if they are too unequal for a white balance."""
        if max(self.gains) <= _MAX_CAST * max(min(self.gains), 1e-6):
            return self
        mean = float(np.dot(LUMA_WEIGHTS, self.gains))
        return Tone(gains=(mean, mean, mean), gamma=self.gamma, offset=self.offset, error=self.error)


def fit_tone(rgb: np.ndarray, luma: np.ndarray, weight: np.ndarray) -> Tone:
    """Return the tone that brings the reference's colours to the target's luma.

    Args:
        rgb: (h, w, 3) float32 in [0, 1], the reference, aligned.
        luma: (h, w) float32 in [0, 1], the target.
        weight: (h, w) float32, how far each pixel counts.
    """
    chosen = np.flatnonzero(weight.ravel() > 0)
    chosen = chosen[:: max(1, len(chosen) // _SAMPLES)]
    if len(chosen) < 16:
        return Tone()
    x, y = rgb.reshape(-1, 3)[chosen].astype(np.float64), luma.ravel()[chosen].astype(np.float64)
    w = weight.ravel()[chosen].astype(np.float64)
    best = min((_fit_gains(x, y, w, float(gamma)) for gamma in _GAMMAS), key=lambda tone: tone.error)
    step = float(np.log(_GAMMAS[1] / _GAMMAS[0]))
    for _ in range(3):
        step /= 2
        near = [_fit_gains(x, y, w, best.gamma * float(np.exp(sign * step))) for sign in (-1, 1)]
        best = min([best, *near], key=lambda tone: tone.error)
    plain = _error(x @ np.array(LUMA_WEIGHTS) - y, w)
    return Tone(error=plain) if plain <= max(1.02 * best.error, 0.5 / 255) else best


def _fit_gains(x: np.ndarray, y: np.ndarray, w: np.ndarray, gamma: float) -> Tone:
    """Return the tone of least error for a gamma, by least squares that are weighted anew each round."""
    curved = x.clip(0, None) ** gamma
    weights = np.array(LUMA_WEIGHTS)
    columns = np.column_stack([curved * weights, np.ones(len(x))])
    # Rows of the prior: each channel's gain is the mean gain; the offset is 0.
    prior = np.zeros((4, 4))
    prior[:3, :3] = (np.eye(3) - weights[None, :]) / _GAIN_PRIOR
    prior[3, 3] = 1 / _OFFSET_PRIOR
    pull = prior.T @ prior
    trust = w
    noise = 0.02
    for _ in range(_ROUNDS):
        normal = (columns * trust[:, None]).T @ columns + noise**2 * (w.sum() / _INDEPENDENT) * pull
        solution = np.linalg.solve(normal + 1e-9 * np.eye(4), columns.T @ (trust * y))
        residual = columns @ solution - y
        scale = 1.5 * np.median(np.abs(residual)) + 1 / 255
        noise = scale
        trust = w / (1 + (residual / scale) ** 2) ** 2
    gains = np.maximum(solution[:3], 0)
    red, green, blue = (float(value) for value in gains)
    return Tone(
        gains=(red, green, blue), gamma=gamma, offset=float(solution[3]), error=_error(columns @ solution - y, w)
    )


def _error(residual: np.ndarray, w: np.ndarray) -> float:
    """Return a robust root mean square: large differences (people who moved) hardly count."""
    scale = 0.05
    return float(np.sqrt((w * (residual**2 / (1 + (residual / scale) ** 2))).sum() / w.sum()))
