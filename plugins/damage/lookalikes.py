"""Draw things that look like damage: wires, lines, bars, text, stamps, borders, perforations, rain, stars."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.random import Generator

from .strokes import draw_polyline, smooth_noise

_FONTS = (
    cv2.FONT_HERSHEY_SIMPLEX,
    cv2.FONT_HERSHEY_DUPLEX,
    cv2.FONT_HERSHEY_COMPLEX,
    cv2.FONT_HERSHEY_TRIPLEX,
    cv2.FONT_HERSHEY_SCRIPT_SIMPLEX,
    cv2.FONT_HERSHEY_SCRIPT_COMPLEX,
)
_LETTERS = "ABCDEFGHIKLMNOPRSTUVWabcdefghiklmnoprstuvwz0123456789 .,-"


def add_lookalike(gray: np.ndarray, random: Generator) -> np.ndarray:
    """Return the photograph (H, W) uint8 with one thing that looks like damage."""
    draw = DRAWERS[int(random.integers(len(DRAWERS)))]
    return draw(gray, random)


def _blend(gray: np.ndarray, alpha: np.ndarray, level: float) -> np.ndarray:
    return np.rint(gray + alpha * (level - gray)).astype(np.uint8)


def _add_wires(gray: np.ndarray, random: Generator) -> np.ndarray:
    """Return the photograph with wires: thin, of even strength, from edge to edge, often several that sag equally."""
    height, width = gray.shape
    alpha, level = np.zeros(gray.shape, np.float32), random.uniform(0, 90) if random.random() < 0.8 else 230.0
    left, right = random.uniform(-0.2, 1.2, 2) * height
    sag = random.uniform(0, 0.15) * height
    along, thick = np.linspace(0, 1, 24), random.choice((0.6, 1, 1, 2, 3))
    for _ in range(random.integers(1, 6)):
        y = left + (right - left) * along + 4 * sag * along * (1 - along)
        alpha = np.maximum(alpha, draw_polyline(gray.shape, np.stack([along * width, y], 1), thick))
        left, right = left + random.uniform(4, 40), right + random.uniform(4, 40)
    if random.random() < 0.3:
        alpha = np.ascontiguousarray(cv2.resize(alpha.T, (width, height)))
    return _blend(gray, alpha * random.uniform(0.4, 1), level)


def _add_lines(gray: np.ndarray, random: Generator) -> np.ndarray:
    """Return the photograph with lines of a court, a window or a fence: straight, even, parallel or crossing."""
    height, width = gray.shape
    alpha, level = np.zeros(gray.shape, np.float32), random.choice((10.0, 40.0, 235.0, 250.0))
    thick, angle = random.uniform(1, 7), random.uniform(0, np.pi)
    for turn in (0, np.pi / 2)[: random.integers(1, 3)]:
        direction = np.array([np.cos(angle + turn), np.sin(angle + turn)])
        gap, count = random.uniform(12, 90), random.integers(1, 8)
        centre = random.uniform(0, 1, 2) * (width, height)
        half_length = random.choice((40, 100, 1000))
        for number in range(count):
            middle = centre + gap * number * direction[::-1] * (-1, 1)
            ends = np.stack([middle - half_length * direction, middle + half_length * direction])
            alpha = np.maximum(alpha, draw_polyline(gray.shape, ends, thick))
    return _blend(gray, alpha * random.uniform(0.5, 1), level)


def _add_text(gray: np.ndarray, random: Generator) -> np.ndarray:
    """Return the photograph with lines of letters, on a strip or on the photograph itself, at any angle."""
    height, width = gray.shape
    canvas = np.zeros(gray.shape, np.uint8)
    scale, font = random.uniform(0.3, 1.4), _FONTS[int(random.integers(len(_FONTS)))]
    y = int(random.uniform(0.05, 0.95) * height)
    for line in range(random.integers(1, 4)):
        text = "".join(random.choice(list(_LETTERS), random.integers(3, 30)))
        origin = (int(random.uniform(0, 0.5) * width), y + int(28 * scale * line))
        cv2.putText(canvas, text, origin, font, scale, 255, int(random.integers(1, 3)), cv2.LINE_AA)
    turn = random.choice((0, 0, 90, random.uniform(-30, 30)))
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), turn, 1)
    alpha = cv2.warpAffine(canvas, matrix, (width, height)).astype(np.float32) / 255
    level = random.choice((0.0, 20.0, 60.0, 220.0, 255.0))
    if random.random() < 0.3:
        gray = gray.copy()
        gray[max(0, y - int(25 * scale)) : y + int(60 * scale)] = 255 - level
    return _blend(gray, alpha * random.uniform(0.5, 1), level)


def _add_border(gray: np.ndarray, random: Generator) -> np.ndarray:
    """Return the photograph with an even border, with straight edges and square or round corners; some have text."""
    height, width = gray.shape
    inner: np.ndarray = np.zeros(gray.shape, np.uint8)
    top, bottom, left, right = (np.maximum(0, random.uniform(-0.06, 0.14, 4)) * min(gray.shape)).astype(int)
    radius = int(random.choice((0, 0, 0.03, 0.1)) * min(gray.shape))
    cv2.rectangle(
        inner, (left + radius, top + radius), (width - 1 - right - radius, height - 1 - bottom - radius), 255, -1
    )
    if radius:
        inner = cv2.dilate(inner, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1,) * 2))
    alpha = 1 - cv2.GaussianBlur(inner, (0, 0), random.uniform(0.3, 2)).astype(np.float32) / 255
    level = random.choice((0.0, 15.0, 120.0, 215.0, 240.0, 255.0))
    texture = random.uniform(0, 4) * smooth_noise(gray.shape, random.uniform(1, 30), random)
    framed = np.rint(np.clip(gray + alpha * (np.clip(level + texture, 0, 255) - gray), 0, 255)).astype(np.uint8)
    if random.random() < 0.5:
        ink = 255 - level
        place = (int(random.uniform(0, 0.6) * width), height - 2 - int(bottom * 0.2))
        words = "".join(random.choice(list(_LETTERS), random.integers(4, 24)))
        cv2.putText(framed, words, place, _FONTS[int(random.integers(6))], max(0.25, bottom / 40), ink, 1, cv2.LINE_AA)
    return framed


def _add_stamp(gray: np.ndarray, random: Generator) -> np.ndarray:
    """Return the photograph with a round stamp: rings, and letters inside."""
    height, width = gray.shape
    canvas, radius = np.zeros(gray.shape, np.uint8), int(min(gray.shape) * random.uniform(0.08, 0.2))
    centre = (int(random.uniform(0, 1) * width), int(random.uniform(0, 1) * height))
    for part in (1, random.uniform(0.6, 0.9)):
        cv2.circle(canvas, centre, int(radius * part), 255, int(random.integers(1, 4)), cv2.LINE_AA)
    text = "".join(random.choice(list(_LETTERS), 6))
    cv2.putText(canvas, text, (centre[0] - radius // 2, centre[1]), _FONTS[0], radius / 60, 255, 1, cv2.LINE_AA)
    return _blend(gray, canvas.astype(np.float32) / 255 * random.uniform(0.3, 1), random.choice((20.0, 70.0, 230.0)))


def _add_perforations(gray: np.ndarray, random: Generator) -> np.ndarray:
    """Return the photograph with the perforation of a film along one or two edges."""
    height, width = gray.shape
    film, level = gray.copy(), random.choice((0, 12, 245))
    hole, gap = int(random.uniform(0.02, 0.06) * height) + 2, int(random.uniform(0.05, 0.12) * width) + 4
    band = 2 * hole
    for rows in (slice(0, band), slice(height - band, height))[: random.integers(1, 3)]:
        film[rows] = level
        for x in range(int(random.integers(0, gap)), width, gap):
            film[rows][band // 4 : band // 4 + hole, x : x + gap // 2] = 255 - level
    return film if random.random() < 0.5 else np.ascontiguousarray(cv2.resize(film.T, (width, height)))


def _add_streaks(gray: np.ndarray, random: Generator) -> np.ndarray:
    """Return the photograph with rain or blades of grass: very many short streaks with nearly the same direction."""
    alpha = np.zeros(gray.shape, np.uint8)
    angle, length = random.normal(np.pi / 2, 0.3), min(gray.shape) * random.uniform(0.03, 0.12)
    starts = random.uniform(0, 1, (random.integers(150, 500), 2)) * gray.shape[::-1]
    turns = angle + random.normal(0, random.uniform(0.01, 0.2), len(starts))
    ends = starts + length * np.stack([np.cos(turns), np.sin(turns)], 1)
    lines = np.rint(np.stack([starts, ends], 1) * 16).astype(np.int32)
    cv2.polylines(alpha, list(lines), False, 255, 1, cv2.LINE_AA, 4)
    return _blend(gray, alpha.astype(np.float32) / 255 * random.uniform(0.2, 0.7), random.choice((30.0, 200.0, 240.0)))


def _add_stars(gray: np.ndarray, random: Generator) -> np.ndarray:
    """Return a dark sky with very many stars or lights over a part of the photograph."""
    points = np.zeros(gray.shape, np.float32)
    count = random.integers(60, 400)
    y, x = (random.integers(0, length, count) for length in gray.shape)
    points[y, x] = random.exponential(1.0, count)
    glow = cv2.GaussianBlur(points, (0, 0), random.uniform(0.5, 1.3))
    dark = gray.astype(np.float32) * random.uniform(0.05, 0.5)
    return np.rint(np.clip(dark + 900 * glow * random.uniform(0.3, 1), 0, 255)).astype(np.uint8)


DRAWERS = (
    *(_add_wires, _add_wires, _add_lines, _add_lines, _add_text, _add_text, _add_border, _add_border),
    *(_add_stamp, _add_perforations, _add_streaks, _add_stars),
)
