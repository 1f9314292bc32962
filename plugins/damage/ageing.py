"""Make a photograph look old before it is damaged, and scanned afterwards: sound and damaged prints both look so."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.random import Generator

from .strokes import smooth_noise


def age(gray: np.ndarray, random: Generator) -> np.ndarray:
    """Return the photograph (H, W) uint8 softer, with other tones, a vignette and grain, each by chance."""
    image: np.ndarray = gray.astype(np.float32)
    if random.random() < 0.4:
        image = cv2.GaussianBlur(image, (0, 0), random.uniform(0.4, 1.6))
    if random.random() < 0.3:
        image = 255 * (image / 255) ** np.exp(random.normal(0, 0.3))
    if random.random() < 0.4:
        dark, light = random.uniform(0, 70), random.uniform(170, 255)
        image = dark + image * ((light - dark) / 255)
    if random.random() < 0.25:
        image = image + random.uniform(2, 12) * smooth_noise(gray.shape, min(gray.shape) / 2, random)
    if random.random() < 0.5:
        grain: np.ndarray = random.standard_normal(gray.shape, np.float32)
        if random.random() < 0.6:
            grain = cv2.GaussianBlur(grain, (0, 0), random.uniform(0.5, 1.1))
            grain = grain / (grain.std() + 1e-6)
        image = image + random.uniform(1, 12) * grain
    return np.rint(np.clip(image, 0, 255)).astype(np.uint8)


def scan(gray: np.ndarray, random: Generator) -> np.ndarray:
    """Return the print (H, W) uint8 as a scanner sees it: a little soft and noisy, and coded as JPEG, by chance."""
    image: np.ndarray = gray
    if random.random() < 0.4:
        image = cv2.GaussianBlur(image, (0, 0), random.uniform(0.3, 0.8))
    if random.random() < 0.3:
        noise = random.standard_normal(gray.shape, np.float32) * random.uniform(0.5, 3)
        image = np.rint(np.clip(image + noise, 0, 255)).astype(np.uint8)
    if random.random() < 0.5:
        coded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, int(random.integers(60, 98))])[1]
        image = np.asarray(cv2.imdecode(coded, cv2.IMREAD_GRAYSCALE))
    return image


def rescan(gray: np.ndarray, random: Generator) -> np.ndarray:
    """Return the print (H, W) uint8 as a poor copy of it: soft, with a halftone screen or grain, and mottled shadows.

    It is for training only. Mottled shadows (silvering) have no label: filling them would destroy more than it repairs.
    """
    image: np.ndarray = gray.astype(np.float32)
    height, width = gray.shape
    if random.random() < 0.3:
        area = np.clip(smooth_noise(gray.shape, min(gray.shape) / 3, random), 0, 1)
        image = image + random.uniform(5, 40) * area * (1 - image / 255) ** 2
    if random.random() < 0.6:
        factor = random.uniform(0.45, 0.9)
        small = cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
        image = cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)
    if random.random() < 0.15:
        row, column = np.arange(height, dtype=np.float32)[:, None], np.arange(width, dtype=np.float32)[None]
        rate, turn = 2 * np.pi / random.uniform(2.2, 6), random.uniform(0, np.pi)
        cos, sin = np.float32(rate * np.cos(turn)), np.float32(rate * np.sin(turn))
        screen = np.sin(column * cos + row * sin) * np.sin(row * cos - column * sin)
        image = image + random.uniform(3, 25) * screen
    if random.random() < 0.4:
        image = image + random.uniform(1, 8) * random.standard_normal(gray.shape, np.float32)
    return np.rint(np.clip(image, 0, 255)).astype(np.uint8)
