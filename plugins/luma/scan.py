"""An augmentation: marks of age, film and scanners in the gray input; the colours of the truth stay the same."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np

from toolbox import Degradation, Sample

BORDERED = 0.08  # share of the aged photographs with a border


def scan(share: float, film: float) -> Degradation:
    """Return the degradation that gives photographs the look of scanned old prints.

    A share `film` of the photographs is turned gray with other weights of red, green and blue than luma, because films
    respond to colours differently. A share `share` is aged; see `age`.
    """

    def degrade(sample: Sample, random: np.random.Generator) -> Sample:
        # Always draw both numbers, so that one share does not change the random numbers of the other.
        film_draw, age_draw = random.random(2)
        gray = sample.image[..., 0].astype(np.float32)
        if film_draw < film:
            gray = np.where(sample.mask, gray, sample.truth.astype(np.float32) @ film_weights(random))
        if age_draw < share:
            gray = age(gray, random)
        rounded = np.rint(gray).clip(0, 255).astype(np.uint8)
        result = replace(sample, image=cv2.cvtColor(rounded, cv2.COLOR_GRAY2RGB))
        return add_border(result, random) if age_draw < BORDERED * share else result

    return degrade


def film_weights(random: np.random.Generator) -> np.ndarray:
    """Draw the weights (3,) of red, green and blue in the gray of a film; their sum is 1."""
    return random.dirichlet([2, 3, 2]).astype(np.float32)


def age(gray: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Return a gray picture (H, W) float32, 0 to 255, with random marks of `MARKS`."""
    for chance, mark in MARKS:
        if random.random() < chance:
            gray = mark(gray, random)
    return gray


def fade(gray: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Lower the contrast and shift the brightness."""
    return (gray - 128) * np.float32(random.uniform(0.55, 1)) + np.float32(128 + random.uniform(-25, 25))


def change_gamma(gray: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Change the tone curve by a power."""
    return 255 * (gray / 255).clip(0, 1) ** np.float32(np.exp(random.uniform(-0.35, 0.35)))


def blur(gray: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Blur with a deviation of 0.4 to 1.2 pixels."""
    return cv2.GaussianBlur(gray, (0, 0), random.uniform(0.4, 1.2))


def add_grain(gray: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Add grain with a deviation of 2 to 12 levels, blurred by up to one pixel."""
    grain: np.ndarray = random.standard_normal(gray.shape, np.float32)
    width = random.uniform(0, 1)
    if width > 0.4:
        softer = cv2.GaussianBlur(grain, (0, 0), width)
        grain = softer / max(1e-6, float(softer.std()))
    return gray + grain * np.float32(random.uniform(2, 12))


def compress(gray: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Add the artifacts of JPEG with a quality of 30 to 84."""
    quality = [cv2.IMWRITE_JPEG_QUALITY, int(random.integers(30, 85))]
    done, data = cv2.imencode(".jpg", np.rint(gray).clip(0, 255).astype(np.uint8), quality)
    back = cv2.imdecode(data, cv2.IMREAD_GRAYSCALE) if done else None
    return gray if back is None else back.astype(np.float32)


def darken_corners(gray: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Darken the corners, as lenses do (vignetting)."""
    height, width = gray.shape
    y, x = np.linspace(-1, 1, height, dtype=np.float32), np.linspace(-1, 1, width, dtype=np.float32)
    return gray * (1 - np.float32(random.uniform(0.05, 0.25)) * (y[:, None] ** 2 + x**2))


def add_border(sample: Sample, random: np.random.Generator) -> Sample:
    """Paint a uniform border around input and truth, 2 to 8 % of the short side wide."""
    height, width = sample.image.shape[:2]
    wide = max(1, round(min(height, width) * random.uniform(0.02, 0.08)))
    level = int(random.integers(215, 256) if random.random() < 0.7 else random.integers(0, 31))
    inner = (slice(wide, height - wide), slice(wide, width - wide))
    image, truth = np.full_like(sample.image, level), np.full_like(sample.truth, level)
    image[inner], truth[inner] = sample.image[inner], sample.truth[inner]
    return replace(sample, image=image, truth=truth)


MARKS = (
    (0.3, fade),
    (0.25, change_gamma),
    (0.2, blur),
    (0.3, add_grain),
    (0.2, compress),
    (0.15, darken_corners),
)
