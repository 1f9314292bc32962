"""Lay faint and broad damage over a photograph, as real prints have it; used for training only.

The detector is measured by the plain damage of `simulate.lay_damage`, which must not change.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import cv2
import numpy as np
from numpy.random import Generator

from .creases import draw_craquelure, draw_crease, draw_cross_folds, draw_kinks, draw_tramlines
from .kinds import KINDS, Kind
from .patches import draw_dust, draw_flakes, draw_foxing, draw_stain
from .strokes import draw_hair, draw_scratch, smooth_noise

# A pixel counts as damaged if its relief is this part of the strongest, and the change is this many levels of 255 and
# this part of the local contrast of the photograph: fainter damage can't be told from texture.
MIN_RELIEF, MIN_CHANGE, MIN_CONTRAST = 0.35, 4.0, 0.75


def draw_abrasion(size: tuple[int, int], side: float, random: Generator) -> np.ndarray:
    """Return the worn parts of corners and edges, (H, W) float32 in [0, 1]: rubbed off in flecks, less further in."""
    height, width = size
    row = np.arange(height, dtype=np.float32)[:, None]
    column = np.arange(width, dtype=np.float32)[None]
    distances = [row + 0 * column, height - 1 - row + 0 * column, column + 0 * row, width - 1 - column + 0 * row]
    depth = side * random.uniform(0.01, 0.07)
    if random.random() < 0.5:
        vertical, horizontal = distances[int(random.integers(0, 2))], distances[int(random.integers(2, 4))]
        distance, depth = np.hypot(vertical, horizontal), 2 * depth
    else:
        distance = np.minimum.reduce([distances[n] for n in random.permutation(4)[: random.integers(1, 5)]])
    noise = smooth_noise(size, random.uniform(1.5, 4), random) + smooth_noise(size, 0.03 * side + 2, random)
    alpha = (1 - distance / np.float32(depth) + np.float32(random.uniform(0.15, 0.5)) * noise) / random.uniform(
        0.1, 0.6
    )
    return np.asarray(np.clip(alpha, 0, 1) * np.clip(0.85 + 0.2 * noise, 0.3, 1) * (distance < 2.5 * depth), np.float32)


_Draw = Callable[[tuple[int, int], float, Generator], np.ndarray]
# What is drawn, as which kind, with which chance, and the greatest contrast as a fraction of 255.
_WEAR: tuple[tuple[_Draw, Kind, float, float], ...] = (
    (draw_crease, "fold", 0.22, 0.35),
    (draw_cross_folds, "fold", 0.10, 0.3),
    (draw_craquelure, "fold", 0.03, 0.4),
    (draw_tramlines, "scratch", 0.10, 0.35),
    (draw_kinks, "scratch", 0.04, 0.35),
    (draw_scratch, "scratch", 0.05, 0.25),
    (draw_hair, "scratch", 0.03, 0.25),
    (draw_abrasion, "tear", 0.04, 0.8),
    (draw_foxing, "stain", 0.12, 0.2),
    (draw_stain, "stain", 0.10, 0.25),
    (draw_dust, "dust", 0.10, 0.4),
    (draw_flakes, "dust", 0.07, 0.6),
)
# The least contrast, as a fraction of 255.
LOW = 0.02
# Gaps in the label of a crease up to this part of the shorter side are damaged too: between its light and dark side.
JOINED = 0.015
# Each damage is drawn this many times, and the most visible is used: faint damage is seen in a smooth sky.
TRIALS = 2


def lay_wear(
    gray: np.ndarray, random: Generator, *, labels: np.ndarray | None = None, scale: float = 1.0
) -> tuple[np.ndarray, np.ndarray]:
    """Return a worn photograph (H, W) uint8 and its labels (H, W) uint8: 0, or the index in `KINDS` plus 1.

    Args:
        gray: the photograph, (H, W) uint8.
        random: the only source of randomness.
        labels: the labels of damage that it has already.
        scale: size of the damage, as for `simulate.lay_damage`.
    """
    image: np.ndarray = gray.astype(np.float32)
    side = scale * min(gray.shape)
    labels = np.zeros(gray.shape, np.uint8) if labels is None else labels.copy()
    chances = np.array([chance for *_, chance, _ in _WEAR])
    texture = cv2.blur(np.abs(image - cv2.GaussianBlur(image, (0, 0), 4)), (15, 15))
    for number in random.choice(len(_WEAR), random.integers(1, 4), p=chances / chances.sum(), replace=False):
        draw, kind, _, high = _WEAR[int(number)]
        contrast = LOW * math.exp(random.uniform(0, math.log(high / LOW)))
        sign = 1 if random.random() < 0.65 else -1
        trials = (_wear(image, texture, draw(gray.shape, side, random), sign * contrast) for _ in range(TRIALS))
        image, is_damaged, _ = max(trials, key=lambda trial: trial[2])
        if draw in (draw_crease, draw_cross_folds):
            is_damaged = _join(is_damaged, JOINED * side)
        labels[is_damaged] = KINDS.index(kind) + 1
    return np.rint(image).astype(np.uint8), labels


def _wear(
    image: np.ndarray, texture: np.ndarray, relief: np.ndarray, contrast: float
) -> tuple[np.ndarray, np.ndarray, float]:
    """Return the image with a relief, where that can be seen, (H, W) bool, and as which part of the relief."""
    worn = np.clip(image + np.float32(255 * contrast) * relief, 0, 255)
    change = cv2.blur(np.abs(worn - image), (3, 3))
    is_relief = np.abs(relief) >= MIN_RELIEF
    is_visible = is_relief & (change >= np.maximum(MIN_CHANGE, MIN_CONTRAST * texture))
    return worn, is_visible, float(is_visible.sum()) / max(1, int(is_relief.sum()))


def _join(mask: np.ndarray, gap: float) -> np.ndarray:
    """Return a mask (H, W) bool with the gaps of up to `gap` pixels closed."""
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * math.ceil(gap / 2) + 1,) * 2)
    return np.asarray(cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_CLOSE, kernel) > 0)
