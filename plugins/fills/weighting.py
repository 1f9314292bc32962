"""Weight extrapolations by what surrounds each pixel, with a small network that was trained for structural similarity.

The mean of several extrapolations is split into bands of detail. For each pixel, the network reads how strong and how
certain the detail is, and returns a factor for each band and a weight for each extrapolation. Uncertain faint detail is
weakened and strong detail is strengthened: the mean of many extrapolations has too little contrast.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from safetensors.numpy import load_file

from toolbox.smooth_fill import fill_array

# Standard deviations in pixels of the Gaussians between which the bands of detail lie.
SIGMAS = (1.0, 2.0, 4.0, 8.0)
# The similarity is that of windows of 7 pixels along a row.
WINDOW = (7, 1)
MAX_DEPTH = 64
# Pixels across which factors and weights are averaged.
BLUR = 5
FEATURES = 6
# The network is computed for this many rows at a time, to limit the memory.
ROWS = 64

Layers = tuple[tuple[np.ndarray, np.ndarray], ...]


def load_layers(path: Path) -> Layers:
    """Return the weights (inputs, outputs) and biases (outputs,) of the layers, float32, from a safetensors file."""
    state = load_file(path)
    names = sorted({name.partition(".")[0] for name in state})
    return tuple(
        (state[f"{name}.weight"].astype(np.float32), state[f"{name}.bias"].astype(np.float32)) for name in names
    )


def weighted_mean(planes: np.ndarray, luma: np.ndarray, lost: np.ndarray, layers: Layers) -> np.ndarray:
    """Return the luma (h, w) float32 with its lost pixels filled by the weighted extrapolations.

    Args:
        planes: (n, h, w) float32, 0 to 255: the luma with its lost pixels filled in several ways.
        luma: (h, w) float32; the values of lost pixels are not used.
        lost: (h, w) bool.
        layers: as `load_layers` returns them, with 4 + n outputs.
    """
    details, features = describe(planes, luma, lost)
    change = (cv2.blur(apply(layers, features), (BLUR, BLUR)) * details).sum(2)
    return np.where(lost, planes.mean(0) + change, luma)


def describe(planes: np.ndarray, luma: np.ndarray, lost: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return what is weighted, (h, w, 4 + n), and what decides the weights, (h, w, FEATURES), both float32.

    The first are the bands of detail of the mean and the differences of each plane from the mean. The second are
    the contrast of the mean in a window and around it, the disagreement of the planes, the contrast of the known
    surroundings, the distance to a known pixel and the vertical gradient. Arguments as in `weighted_mean`.
    """
    mean = np.where(lost, planes.mean(0), luma)
    scales = [mean, *(cv2.GaussianBlur(mean, (0, 0), sigma) for sigma in SIGMAS)]
    bands = [fine - coarse for fine, coarse in zip(scales, scales[1:], strict=False)]
    differences = [np.where(lost, plane - mean, np.float32(0)) for plane in planes]
    weight = cv2.GaussianBlur(lost.astype(np.float32), (0, 0), 2)
    disagreement = cv2.GaussianBlur(planes.std(0) * lost, (0, 0), 2) / np.maximum(weight, np.float32(0.05))
    contrast = row_contrast(mean)
    is_known_window = cv2.blur((~lost).astype(np.float32), WINDOW) > 0.999
    surroundings = cv2.GaussianBlur(fill_array(row_contrast(luma), is_known_window), (0, 0), 4)
    depth = cv2.distanceTransform(lost.view(np.uint8), cv2.DIST_L2, 3).clip(0, MAX_DEPTH)
    gradient = np.abs(cv2.filter2D(scales[2], -1, np.array([[-0.5], [0], [0.5]]), borderType=cv2.BORDER_REPLICATE))
    strengths = contrast, cv2.GaussianBlur(contrast, (0, 0), 3), disagreement, surroundings
    features = [_compress(values) for values in strengths] + [depth / 16 - 1, _compress(gradient)]
    return np.stack([*bands, *differences], 2), np.stack(features, 2).astype(np.float32)


def row_contrast(luma: np.ndarray) -> np.ndarray:
    """Return the standard deviation of the window around each pixel of a luma (h, w) float32, along its row."""
    mean = cv2.blur(luma, WINDOW)
    count = WINDOW[0]
    variance = np.maximum(cv2.blur(luma * luma, WINDOW) - mean * mean, 0) * np.float32(count / (count - 1))
    return np.sqrt(variance)


def apply(layers: Layers, features: np.ndarray) -> np.ndarray:
    """Return the outputs of the network, (h, w, outputs) float32, for features (h, w, FEATURES)."""
    result = np.empty((*features.shape[:2], len(layers[-1][1])), np.float32)
    for start in range(0, len(features), ROWS):
        values = features[start : start + ROWS]
        for number, (weights, bias) in enumerate(layers):
            if number:
                values = values * (0.5 + 0.5 * np.tanh(values / 2))  # SiLU, in a form that does not overflow
            values = values @ weights + bias
        result[start : start + ROWS] = values
    return result


def _compress(values: np.ndarray) -> np.ndarray:
    return np.log1p(np.maximum(values, 0)) - np.float32(1.5)
