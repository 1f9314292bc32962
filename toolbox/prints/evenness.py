"""Uneven light over the sheet: a vignette, a shadow of glue, a light from one side.

The unevenness is a smooth factor. Its logarithm is a sum of few smooth functions. Their gradient is fitted to that of
the logarithm of the luma with the L1 norm: edges and texture of the scene have no preferred direction, and count little
(after Zheng, Yu, Kang, Lin and Kambhamettu, "Single-image vignetting correction using radial gradient symmetry", CVPR
2008).
"""

from __future__ import annotations

import cv2
import numpy as np

from toolbox.prints.working_copy import WorkingCopy, make_working_copy

_SIDE = 128
# Added to the luma before its logarithm, in levels of 255: noise of black pixels must not count.
_LUMA_OFFSET = 12.0
_ROUNDS = 12
# The residual below which the norm is quadratic.
_RESIDUAL = 0.003
# The regularisation of the coefficients, per measured gradient. It is weaker for radial fields: other fields are often
# those of the scene, such as a sky above and a field below.
_RADIAL_RIDGE, _OTHER_RIDGE = 0.02, 1.0
_FREQUENCIES = ((1, 0), (0, 1), (1, 1), (2, 0), (0, 2))
# The largest factor by which a dark part is made lighter.
_MAX_GAIN = 3.0
# The part of the sheet that keeps its brightness is the lightest: its percentile of the field.
_KEPT_PERCENTILE = 90
_STRIP_ROWS = 256


def fit_unevenness(copy: WorkingCopy) -> np.ndarray:
    """Return the coefficients of the unevenness, (7,) float64: of r², r⁴ and of five cosines.

    r is the distance from the centre, 1 in the corners. `unevenness_field` makes the field of them.
    """
    log_luma = np.log(cv2.blur(copy.luma, (3, 3)) + _LUMA_OFFSET)
    basis = _basis(*log_luma.shape)
    steps, targets = [], []
    for axis in (0, 1):
        if log_luma.shape[axis] < 2:
            continue
        kept = np.delete(copy.measured, 0, axis) & np.delete(copy.measured, -1, axis)
        steps.append(np.diff(basis, axis=axis)[kept])
        targets.append(np.diff(log_luma, axis=axis)[kept])
    if not steps or not sum(map(len, targets)):
        return np.zeros(basis.shape[2])
    matrix, target = np.concatenate(steps) * max(log_luma.shape), np.concatenate(targets) * max(log_luma.shape)
    ridge = np.diag([_RADIAL_RIDGE] * 2 + [_OTHER_RIDGE] * len(_FREQUENCIES))
    coefficients = np.zeros(basis.shape[2])
    scale = _RESIDUAL * max(log_luma.shape)
    for _ in range(_ROUNDS):
        weights = 1 / np.maximum(np.abs(target - matrix @ coefficients), scale)
        normal = (matrix * weights[:, None]).T
        pull = ridge * weights.sum() * np.square(matrix).mean()
        coefficients = np.linalg.solve(normal @ matrix + pull + 1e-12 * np.eye(len(pull)), normal @ target)
    return coefficients


def unevenness_field(coefficients: np.ndarray, height: int, width: int) -> np.ndarray:
    """Return the logarithm of the factor of each pixel, (height, width): at most about 0; negative in dark parts."""
    field = _basis(height, width) @ coefficients
    return np.clip(field - np.percentile(field, _KEPT_PERCENTILE), -np.log(_MAX_GAIN), None)


def correct_evenness(pixels: np.ndarray, strength: float, lost: np.ndarray | None = None) -> np.ndarray:
    """Return (H, W) or (H, W, 3) pixels, uint8 or uint16, with uneven light evened out, of the same type.

    Args:
        pixels: the photograph, from 1x1.
        strength: from 0 (no change) to 1.
        lost: (H, W) bool, pixels that do not count for the measurement, or None.
    """
    if not strength:
        return pixels
    copy = make_working_copy(pixels, lost, _SIDE)
    field = unevenness_field(fit_unevenness(copy), *copy.measured.shape)
    return divide_by_field(pixels, field, strength)


def divide_by_field(pixels: np.ndarray, field: np.ndarray, strength: float) -> np.ndarray:
    """Return pixels divided by ``exp(strength * field)``; the field is (h, w) and is stretched to their size."""
    height, width = pixels.shape[:2]
    gain = np.exp(-strength * field).astype(np.float32)
    columns = cv2.resize(gain, (width, len(gain)), interpolation=cv2.INTER_LINEAR)
    position = (np.arange(height) + 0.5) * len(gain) / height - 0.5
    above = np.clip(np.floor(position).astype(int), 0, len(gain) - 2) if len(gain) > 1 else np.zeros(height, int)
    share = np.clip(position - above, 0, 1).astype(np.float32)[:, None]
    highest = np.float32(np.iinfo(pixels.dtype).max)
    out = np.empty_like(pixels)
    for start in range(0, height, _STRIP_ROWS):
        rows = slice(start, start + _STRIP_ROWS)
        first, second = columns[above[rows]], columns[np.minimum(above[rows] + 1, len(gain) - 1)]
        factor = first + share[rows] * (second - first)
        factor = factor if pixels.ndim == 2 else factor[..., None]
        out[rows] = np.rint(np.minimum(pixels[rows] * factor, highest))
    return out


def _basis(height: int, width: int) -> np.ndarray:
    """Return the smooth functions at each pixel, (height, width, 7)."""
    y, x = ((np.arange(size) + 0.5) / size for size in (height, width))
    # In a sheet that is not square a lens darkens by the distance in pixels.
    long = max(height, width)
    dy, dx = (y - 0.5)[:, None] * height / long, (x - 0.5)[None] * width / long
    radius = (dy**2 + dx**2) / ((height / long) ** 2 + (width / long) ** 2) * 4
    waves = [np.outer(np.cos(np.pi * j * y), np.cos(np.pi * i * x)) for i, j in _FREQUENCIES]
    return np.stack([radius, radius**2, *waves], axis=2)
