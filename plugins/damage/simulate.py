"""Simulate the damage of prints: lay it over a gray photograph, and return where each kind lies."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import cv2
import numpy as np
from numpy.random import Generator

from .ageing import age, rescan, scan
from .artefacts import Artefacts
from .kinds import KINDS
from .lookalikes import add_lookalike
from .patches import draw_dust, draw_foxing, draw_stain, draw_tear
from .strokes import draw_crack, draw_fold, draw_hair, draw_scratch, smooth_noise
from .structures import add_structure
from .wear import lay_wear

# Where two kinds overlap, the later one counts. A label map has 0 for undamaged, else the index of the kind plus 1.
_ORDER = ("stain", "dust", "scratch", "fold", "tear")
# A pixel counts as damaged if damage covers this part of it and has changed it by these levels of 255.
MIN_ALPHA = 0.3
MIN_CHANGE = 6.0

_DRAW: dict[str, tuple[Callable[[tuple[int, int], float, Generator], np.ndarray], ...]] = {
    "scratch": (draw_scratch, draw_scratch, draw_hair),
    "fold": (draw_fold, draw_fold, draw_crack),
    "dust": (draw_dust,),
    "stain": (draw_stain, draw_stain, draw_foxing),
    "tear": (draw_tear,),
}
# Chances of each kind in a damaged print; and that a print looks scanned.
CHANCES = {"scratch": 0.34, "fold": 0.26, "dust": 0.28, "stain": 0.26, "tear": 0.18}
SCANNED = 0.6
# The most objects of a kind in one photograph.
_MOST = {"scratch": 6, "fold": 3, "dust": 3, "stain": 4, "tear": 2}


def lay_damage(
    gray: np.ndarray,
    random: Generator,
    *,
    kinds: Sequence[str] = KINDS,
    low: float = 0.05,
    high: float = 1.0,
    scale: float = 1.0,
    artefacts: Artefacts | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Return a damaged photograph (H, W) uint8 and its labels (H, W) uint8: 0, or the index in `KINDS` plus 1.

    Args:
        gray: the photograph, (H, W) uint8.
        random: the only source of randomness.
        kinds: the kinds that are drawn, each at least once.
        low: the least contrast between damage and photograph, as a fraction of 255. It is drawn evenly.
        high: the greatest contrast.
        scale: size of the damage; 1 fits a photograph, more fits a crop of a larger one.
        artefacts: real artefacts, used for half of the objects; None: all objects are drawn.
    """
    image, side = gray.astype(np.float32), scale * min(gray.shape)
    labels = np.zeros(gray.shape, np.uint8)
    for kind in (name for name in _ORDER if name in kinds):
        for _ in range(random.integers(1, _MOST[kind], endpoint=True)):
            alpha = _draw(gray.shape, side, kind, random, artefacts)
            damaged = _paint(image, alpha, kind, random.uniform(low, high), random)
            labels[(alpha >= MIN_ALPHA) & (np.abs(damaged - image) >= MIN_CHANGE)] = KINDS.index(kind) + 1
            image = damaged
    return np.rint(np.clip(image, 0, 255)).astype(np.uint8), labels


def simulate_print(
    gray: np.ndarray,
    random: Generator,
    *,
    low: float,
    high: float,
    sound: float,
    lookalikes: float,
    aged: float,
    worn: float,
    artefacts: Artefacts | None,
) -> tuple[np.ndarray, np.ndarray]:
    """Return an old print (H, W) uint8 of a photograph (H, W) uint8, and its labels as `lay_damage`.

    `sound`, `lookalikes` and `aged` are the chances that it is undamaged, has something that looks like damage, and
    looks old; `worn` is that of faint and broad damage in a damaged print, and of other structures in each; the others
    as in `lay_damage`.
    """
    if random.random() < lookalikes:
        gray = add_lookalike(gray, random)
    if worn and random.random() < worn:
        gray = add_structure(gray, random)
    if random.random() < aged:
        gray = age(gray, random)
    labels = np.zeros(gray.shape, np.uint8)
    if random.random() >= sound:
        kinds = [kind for kind in KINDS if random.random() < CHANCES[kind]] or [KINDS[int(random.integers(len(KINDS)))]]
        # With damage of twice the size, a training crop is like a part of a photograph of twice the size.
        scale = math.exp(random.uniform(0, math.log(2.2)))
        gray, labels = lay_damage(gray, random, kinds=kinds, low=low, high=high, scale=scale, artefacts=artefacts)
        if worn and random.random() < worn:
            gray, labels = lay_wear(gray, random, labels=labels, scale=scale)
            gray = rescan(gray, random) if random.random() < SCANNED else gray
    if random.random() < SCANNED:
        gray = scan(gray, random)
    return gray, labels


def _draw(size: tuple[int, int], side: float, kind: str, random: Generator, artefacts: Artefacts | None) -> np.ndarray:
    if artefacts is not None and artefacts.has(kind) and random.random() < 0.5:
        return artefacts.draw(size, side, kind, random)
    drawers = _DRAW[kind]
    return drawers[int(random.integers(len(drawers)))](size, side, random)


def _paint(image: np.ndarray, alpha: np.ndarray, kind: str, contrast: float, random: Generator) -> np.ndarray:
    """Return the image with damage of this contrast: lighter or darker, wherever there is room for it."""
    weight = float(alpha.sum())
    if weight == 0:
        return image
    mean = float((image * alpha).sum()) / weight
    sign = 1 if random.random() < 0.6 else -1
    if not 0 <= mean + sign * 255 * contrast <= 255:
        sign = 1 if mean < 128 else -1
    level = np.clip(mean + sign * 255 * contrast, 0, 255)
    if kind == "tear" or random.random() < 0.5:
        texture = random.uniform(0, 6) * smooth_noise(image.shape[:2], random.uniform(1, 12), random)
        painted = image + alpha * (np.clip(level + texture, 0, 255) - image)
    else:
        painted = np.clip(image + alpha * (level - mean), 0, 255)
    if kind in ("fold", "tear") and random.random() < 0.4:
        painted = _shade(painted, alpha, random)
    return np.asarray(painted, np.float32)


def _shade(image: np.ndarray, alpha: np.ndarray, random: Generator) -> np.ndarray:
    """Return the image with a soft shadow or shine beside the damage, as of paper that is bent."""
    width = max(3, round(min(alpha.shape) * random.uniform(0.01, 0.04))) * 2 + 1
    moved = np.roll(cv2.blur(alpha, (width, width)), random.integers(-width, width + 1, 2), (0, 1))
    return np.clip(image + random.uniform(-25, 25) * np.clip(3 * moved, 0, 1) * (1 - alpha), 0, 255)
