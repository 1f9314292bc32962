"""Blend copied pixels: keep their gradients, meet the known pixels, and spread the difference smoothly."""

from __future__ import annotations

import numpy as np

from toolbox import check_cancelled

MOVES = ((0, 1), (0, -1), (1, 0), (-1, 0))
ITERATIONS = 150
TOLERANCE = 1e-5


def blend(image: np.ndarray, lost: np.ndarray, sources: np.ndarray, start: np.ndarray | None = None) -> np.ndarray:
    """Return the lost pixels (n, C) with the gradients of their sources: a discrete Poisson equation.

    Across a seam the gradient is the mean of both sources. Towards a known pixel it is that of the lost pixel's source.
    Solved by conjugate gradients with a diagonal preconditioner.

    Args:
        image: (h * w, C) float32; the values of lost pixels are not used.
        lost: (h, w) bool.
        sources: (n,) index of the pixel that each lost pixel, in raster order, is copied from.
        start: (n, C) first estimate of the correction that is added to the copies; None for zero.

    Reference: Pérez et al., "Poisson Image Editing", SIGGRAPH 2003.
    """
    indices = np.flatnonzero(lost.ravel())
    degrees, right_side, neighbours = _equations(image, lost, indices, sources)
    count = len(indices)

    def apply_laplacian(values: np.ndarray) -> np.ndarray:
        padded = np.concatenate([values, np.zeros((1, values.shape[1]), values.dtype)])
        total = degrees * values
        for neighbour in neighbours:
            total -= padded[neighbour]
        return total

    values = image[sources] if start is None else image[sources] + start
    residual = right_side - apply_laplacian(values)
    step = residual / degrees
    direction, residual_power = step.copy(), (residual * step).sum(0)
    tolerance = TOLERANCE * np.maximum(residual_power, count)
    for _ in range(ITERATIONS):
        check_cancelled()
        if (residual_power <= tolerance).all():
            break
        laplacian_of_direction = apply_laplacian(direction)
        length = residual_power / np.maximum((direction * laplacian_of_direction).sum(0), np.float32(1e-12))
        values += length * direction
        residual -= length * laplacian_of_direction
        step = residual / degrees
        previous_power, residual_power = residual_power, (residual * step).sum(0)
        direction = step + (residual_power / np.maximum(previous_power, np.float32(1e-12))) * direction
    return values


def _equations(
    image: np.ndarray, lost: np.ndarray, indices: np.ndarray, sources: np.ndarray
) -> tuple[np.ndarray, np.ndarray, list[np.ndarray]]:
    """Return the number of neighbours (n, 1), the right-hand side (n, C), and the lost neighbours by direction."""
    height, width = lost.shape
    lost_flat, count = lost.ravel(), len(indices)
    row_of = np.full(lost.size, count)
    row_of[indices] = np.arange(count)
    source_of = np.arange(lost.size)
    source_of[indices] = sources
    y, x = np.divmod(indices, width)
    degrees = np.zeros((count, 1), np.float32)
    right_side = np.zeros((count, image.shape[1]), np.float32)
    neighbours = []
    for down, across in MOVES:
        inside = _within(y + down, x + across, lost.shape)
        neighbour = np.where(inside, indices + down * width + across, indices)
        neighbour_source = source_of[neighbour]
        moved_source, moved_known = _shift_indices(sources, down, across, lost_flat, lost.shape)
        moved_back, moved_back_known = _shift_indices(neighbour_source, -down, -across, lost_flat, lost.shape)
        moved_known &= inside
        moved_back_known &= inside & lost_flat[neighbour]
        slope = np.where(moved_known[:, None], image[sources] - image[moved_source], 0)
        slope += np.where(moved_back_known[:, None], image[moved_back] - image[neighbour_source], 0)
        right_side += slope / np.maximum(moved_known.astype(np.float32) + moved_back_known, 1)[:, None]
        right_side += np.where((inside & ~lost_flat[neighbour])[:, None], image[neighbour], 0)
        degrees += inside[:, None]
        neighbours.append(np.where(inside & lost_flat[neighbour], row_of[neighbour], count))
    return np.maximum(degrees, 1), right_side, neighbours


def _shift_indices(
    indices: np.ndarray, down: int, across: int, lost: np.ndarray, shape: tuple[int, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """Return the indices moved by one step, and whether they are in the image and known."""
    y, x = np.divmod(indices, shape[1])
    inside = _within(y + down, x + across, shape)
    shifted = np.where(inside, indices + down * shape[1] + across, indices)
    return shifted, inside & ~lost[shifted]


def _within(y: np.ndarray, x: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    return (y >= 0) & (y < shape[0]) & (x >= 0) & (x < shape[1])
