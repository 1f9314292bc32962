"""Give a restored photograph the hue histogram that is expected for its colours, by changes of about one level.

A network that minimises a distance predicts mean colours, so its hue histogram has fewer and higher peaks than that of
a photograph. In nearly gray pixels the hue of an 8-bit picture depends on single levels, so invisible changes suffice.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate

import cv2
import numpy as np
import torch
from safetensors.numpy import load_file

from toolbox import weights_path
from toolbox.color import CB_RANGE, CR_RANGE, INTEGER_LUMA_WEIGHTS, LUMA_WEIGHTS, cbcr

from .classes import shares

WEIGHTS = "expected-hues"
BINS = 180  # OpenCV's hues of 8-bit pictures: half the angle in degrees
SIDE = 128  # longest side, in pixels, at which the colours of a photograph are classified
SAMPLE = 20_000  # pixels that the weights of the hues are fitted to
ROUNDS = 20  # of that fit
FLOOR = 1e-5  # share of a hue that counts as none
LIMIT = 1e4  # largest weight of a hue
BLUR = 3.0  # standard deviation, in pixels, of the blur of the noise: so neighbouring pixels get similar changes
ROWS = 128  # rows that are changed at a time


@dataclass(frozen=True, kw_only=True)
class Changes:
    """Changes of a pixel that can keep its integer luma, in the order of the hue that they shift to.

    Attributes:
        levels: of R, G and B, (K, 3) int.
        prior: weight of each change, (K,); large changes are rare.
    """

    levels: np.ndarray
    prior: np.ndarray

    @classmethod
    def up_to(cls, strength: float) -> Changes:
        """Return the changes whose distance in Cb and Cr is at most `strength` levels; "no change" is one of them."""
        side = np.arange(-math.ceil(2 * strength), math.ceil(2 * strength) + 1)
        levels = np.stack(np.meshgrid(side, side, side, indexing="ij"), axis=-1).reshape(-1, 3)
        y = levels @ np.array(LUMA_WEIGHTS)
        cb, cr = (levels[:, 2] - y) / CB_RANGE, (levels[:, 0] - y) / CR_RANGE
        size = np.hypot(cb, cr)
        kept = (np.abs(y) < 1) & (size <= strength)
        order = np.argsort(np.arctan2(cr, cb)[kept], kind="stable")
        prior = np.exp(-0.5 * (size / strength) ** 2).astype(np.float32)
        return cls(levels=levels[kept][order], prior=prior[kept][order])

    def apply(self, pixels: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield `pixels` (N, 3) uint8 after each change, and its prior where it keeps the luma, else 0, (N,)."""
        y = sum(weight * pixels[:, channel].astype(np.int32) for channel, weight in enumerate(INTEGER_LUMA_WEIGHTS))
        remainder = (y + 32768) & 65535
        for change, prior in zip(self.levels, self.prior, strict=True):
            difference = int(change @ INTEGER_LUMA_WEIGHTS)
            # remainder + difference is the new remainder; outside 0 to 65535 the luma is another one.
            valid = remainder < 65536 - difference if difference >= 0 else remainder >= -difference
            for channel, step in enumerate(change):
                if step:
                    valid &= pixels[:, channel] <= 255 - step if step > 0 else pixels[:, channel] >= -step
            yield pixels + change.astype(np.uint8), valid * prior


@dataclass(frozen=True, kw_only=True)
class HueMap:
    """A linear map from the colours of a restored photograph to the hue histogram of its truth.

    Attributes:
        weight: (COUNT, 180), of the shares of the colour classes.
        bias: (180,).
    """

    weight: np.ndarray
    bias: np.ndarray

    @classmethod
    def load(cls) -> HueMap:
        """Return the map of the weights `expected-hues`."""
        tensors = load_file(weights_path(WEIGHTS))
        return cls(weight=tensors["weight"].astype(np.float32), bias=tensors["bias"].astype(np.float32))

    def predict(self, colors: np.ndarray) -> np.ndarray:
        """Return the expected histogram, (..., 180), for shares of the colour classes, (..., COUNT)."""
        return (colors @ self.weight + self.bias).clip(0)


def expected_hues(restored: np.ndarray, hue_map: HueMap, strength: float, seed: int = 0) -> np.ndarray:
    """Return RGB (H, W, 3) uint8 with nearly the expected hue histogram; the integer luma does not change.

    Args:
        restored: the restored photograph. One of 16 bits is returned unchanged: the histogram is that of 8-bit pixels.
        hue_map: predicts the histogram.
        strength: largest change of a colour, in levels of Cb and Cr.
        seed: of the noise that chooses a change for each pixel.
    """
    if restored.dtype != np.uint8:
        return restored.copy()
    random, changes = np.random.default_rng(seed), Changes.up_to(strength)
    pixels = restored.reshape(-1, 3)
    sample = pixels[random.integers(0, len(pixels), min(len(pixels), SAMPLE))]
    histogram = hue_map.predict(class_shares(restored))
    of_hues = fit_weights(sample, changes, histogram / max(float(histogram.sum()), FLOOR))
    # The blur of white noise of variance 1 has the standard deviation 1 / (2 sqrt(pi) BLUR).
    white = random.standard_normal(restored.shape[:2], np.float32) * np.float32(2 * math.sqrt(math.pi) * BLUR)
    noise = cv2.GaussianBlur(white, (0, 0), BLUR)
    result = np.empty_like(restored)
    for start in range(0, len(restored), ROWS):
        rows = slice(start, start + ROWS)
        chance = torch.special.ndtr(torch.from_numpy(noise[rows])).numpy().reshape(-1)
        chosen = choose(restored[rows].reshape(-1, 3), changes, of_hues, chance)
        result[rows] = chosen.reshape(-1, *restored.shape[1:])
    return result


def fit_weights(pixels: np.ndarray, changes: Changes, histogram: np.ndarray) -> np.ndarray:
    """Return weights of the hues, (180,), for which the changed `pixels` (N, 3) have nearly the histogram (180,).

    Iterative proportional fitting (Deming and Stephan, 1940), damped by a square root.
    """
    hue, prior = (np.stack(rows) for rows in zip(*[(hues(each), w) for each, w in changes.apply(pixels)], strict=True))
    of_hues = np.ones(BINS, np.float32)
    for _ in range(ROUNDS):
        weights = of_hues[hue] * prior
        weights /= weights.sum(0)
        present = np.bincount(hue.reshape(-1), weights.reshape(-1), BINS) / len(pixels)
        ratio = np.sqrt((histogram + FLOOR) / (present + FLOOR))
        of_hues = (of_hues * ratio).clip(1 / LIMIT, LIMIT).astype(np.float32)
    return of_hues


def choose(pixels: np.ndarray, changes: Changes, of_hues: np.ndarray, chance: np.ndarray) -> np.ndarray:
    """Return `pixels` (N, 3), each after the change that its `chance`, (N,) in [0, 1], selects by the weights."""
    sums = list(accumulate(of_hues[hues(each)] * prior for each, prior in changes.apply(pixels)))
    limit, number = chance * sums[-1], np.zeros(len(pixels), np.intp)
    for weight in sums[:-1]:
        number += weight < limit
    return pixels + changes.levels[number].astype(np.uint8)


def class_shares(restored: np.ndarray) -> np.ndarray:
    """Return the mean shares of the colour classes, (COUNT,), of RGB (H, W, 3) uint8."""
    height, width = restored.shape[:2]
    scale = min(1.0, SIDE / max(height, width))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    small = torch.from_numpy(cv2.resize(restored, size, interpolation=cv2.INTER_AREA))
    chroma = cbcr(small[None].permute(0, 3, 1, 2).float() / 255)
    return shares(chroma).mean((0, 2, 3)).numpy()


def hues(pixels: np.ndarray) -> np.ndarray:
    """Return OpenCV's hues, (N,), of RGB (N, 3) uint8."""
    return cv2.cvtColor(pixels[None], cv2.COLOR_RGB2HSV)[0, :, 0]
