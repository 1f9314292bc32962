"""Prints simulated from photographs: faded, with a cast, and photographed on a table."""

from __future__ import annotations

import cv2
import numpy as np

# The density of black, and the exponent between light and stored values.
_BLACK_DENSITY = 2.0
_EXPONENT = 2.2


def fade(image: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Return a photograph, (H, W) or (H, W, 3) uint8, with 30 to 60 % of its contrast.

    In half of them the range of levels is compressed, in the others the range of densities, as dyes and silver fade.
    """
    contrast, lightness = random.uniform(0.3, 0.6), random.uniform(0.5, 1)
    values = image.astype(np.float32) / 255
    if random.random() < 0.5:
        values = (1 - contrast) * lightness + contrast * values
    else:
        values = 10 ** (-contrast * _density(values) / _EXPONENT) * (1 - 0.3 * (1 - lightness))
    return _levels(values)


def cast(image: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Return a photograph, (H, W, 3) uint8, that has yellowed, whose dyes have faded differently, or both."""
    values = image.astype(np.float32) / 255
    kind = random.integers(3)
    if kind > 0:
        faded = np.ones(3, np.float32)
        faded[random.integers(3)] = random.uniform(0.4, 0.7)
        faded[random.integers(3)] *= random.uniform(0.8, 1)
        values = 10 ** (-faded * _density(values) / _EXPONENT)
    if kind != 1:
        blue = random.uniform(0.55, 0.8)
        values = values * np.array([1, 1 - (1 - blue) * random.uniform(0.2, 0.5), blue], np.float32)
    return _levels(values)


def on_table(image: np.ndarray, random: np.random.Generator, side: int = 600) -> tuple[np.ndarray, np.ndarray]:
    """Return a photograph of a print of an image on a table, and the corners of the print, (4, 2) x and y.

    The print may have a white border. It is turned by up to 12 degrees and seen slightly from the side. The table is
    plain, grained, rough or checked; the print throws a soft shadow.
    """
    if random.random() < 0.6:
        border = max(2, int(random.uniform(0.03, 0.08) * min(image.shape[:2])))
        paper = np.array([1, 0.98, 0.93]) * random.uniform(205, 250)
        framed = np.tile(paper, (image.shape[0] + 2 * border, image.shape[1] + 2 * border, 1))
        framed[border:-border, border:-border] = image
    else:
        framed = image.astype(np.float64)
    size = (side, round(side * 4 / 3)) if random.random() < 0.7 else (round(side * 4 / 3), side)
    corners = _corners(framed.shape[:2], size, random)
    height, width = framed.shape[:2]
    # OpenCV's coordinates refer to the centres of pixels.
    outline = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32) - 0.5
    matrix = cv2.getPerspectiveTransform(outline, corners.astype(np.float32))
    share = cv2.warpPerspective(np.ones((height, width), np.float32), matrix, size[::-1])
    shift = np.array([[1, 0, random.uniform(-4, 4)], [0, 1, random.uniform(-4, 4)]])
    shadow = cv2.warpAffine(cv2.GaussianBlur(share, (0, 0), 3), shift, size[::-1])
    table = _table(size, random) * (1 - random.uniform(0.1, 0.5) * shadow[..., None])
    sheet = cv2.warpPerspective(framed.astype(np.float32), matrix, size[::-1], borderMode=cv2.BORDER_REPLICATE)
    both = table * (1 - share[..., None]) + sheet * share[..., None]
    both = cv2.GaussianBlur(both, (0, 0), 0.6) + random.normal(0, 1.5, both.shape)
    return np.rint(np.clip(both, 0, 255)).astype(np.uint8), corners


def overlap(first: np.ndarray, second: np.ndarray, shape: tuple[int, ...]) -> float:
    """Return the area of the intersection of two quadrilaterals, (4, 2) each, over that of their union."""
    masks = []
    for corners in (first, second):
        mask = np.zeros(shape[:2], np.uint8)
        cv2.fillPoly(mask, [np.rint(corners * 8).astype(np.int32)], 1, shift=3)
        masks.append(mask > 0)
    return float((masks[0] & masks[1]).sum() / max((masks[0] | masks[1]).sum(), 1))


def _corners(print_size: tuple[int, int], size: tuple[int, int], random: np.random.Generator) -> np.ndarray:
    """Return the corners of a print on a table of this height and width, with room around it."""
    (height, width), room = print_size, np.array(size[::-1])
    scale = random.uniform(0.55, 0.9) * min(room[0] / width, room[1] / height)
    angle = np.deg2rad(random.uniform(-12, 12))
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    corners = np.array([[-width, -height], [width, -height], [width, height], [-width, height]]) / 2 * scale @ turn.T
    corners += random.uniform(-0.04, 0.04, (4, 2)) * min(width, height) * scale
    extent = np.ptp(corners, axis=0)
    if (room - extent < 12).any():
        corners *= (0.93 * room / extent).min()
        extent = np.ptp(corners, axis=0)
    return corners - corners.min(axis=0) + random.uniform(0.1, 0.9, 2) * (room - extent)


def _table(size: tuple[int, int], random: np.random.Generator) -> np.ndarray:
    """Return a table, (*size, 3), levels of 0 to 255: plain, grained wood, rough, or a checked cloth."""
    kind = random.integers(4)
    noise = random.normal(0, 1, size).astype(np.float32)
    y, x = np.mgrid[: size[0], : size[1]].astype(np.float32)
    if kind == 0:
        texture = 3 * noise
    elif kind == 3:
        period = random.uniform(20, 60)
        waves = [np.sin(2 * np.pi * axis / period) > 0 for axis in (x, y)]
        texture = waves[0] * random.uniform(6, 20) + waves[1] * random.uniform(6, 20) + 3 * noise
    else:
        widths = (size[1] / 10, 1.2) if kind == 1 else (random.uniform(0.8, 3),) * 2
        smooth = cv2.GaussianBlur(noise, (0, 0), sigmaX=widths[0], sigmaY=widths[1])
        texture = smooth / smooth.std() * random.uniform(3, 12)
    base = random.uniform(30, 225, 3) / 2 + random.uniform(30, 225) / 2
    angle = random.uniform(0, 2 * np.pi)
    slope = (x / size[1] - 0.5) * np.cos(angle) + (y / size[0] - 0.5) * np.sin(angle)
    light = 1 + random.uniform(0, 0.25) * slope
    return np.clip((base + texture[..., None]) * light[..., None], 0, 255)


def _density(values: np.ndarray) -> np.ndarray:
    return np.minimum(-_EXPONENT * np.log10(np.maximum(values, 1e-3)), _BLACK_DENSITY)


def _levels(values: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(values * 255), 0, 255).astype(np.uint8)
