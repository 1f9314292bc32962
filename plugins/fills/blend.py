"""Join copied pixels: keep their gradients, meet what is known, and spread what does not fit smoothly."""

from __future__ import annotations

import numpy as np

MOVES = ((0, 1), (0, -1), (1, 0), (-1, 0))
ITERATIONS = 150
TOLERANCE = 1e-5


def blended(image: np.ndarray, lost: np.ndarray, sources: np.ndarray, start: np.ndarray | None = None) -> np.ndarray:
    """Return the lost pixels (n, C) with the gradients of their sources: a discrete Poisson equation.

    Across a seam the gradient is the mean of both sources'; towards a known pixel it is the lost one's source's.
    Solved by conjugate gradients with a diagonal preconditioner.

    Args:
        image: (h * w, C) float32; only what is not lost is looked at.
        lost: (h, w) bool.
        sources: (n,) index of the pixel that each lost one, in raster order, is a copy of.
        start: (n, C) what to add to the copies to begin with; nothing, if None.

    Reference: Pérez et al., "Poisson Image Editing", SIGGRAPH 2003.
    """
    places = np.flatnonzero(lost.ravel())
    degrees, wanted, neighbours = _equations(image, lost, places, sources)
    count = len(places)

    def applied(values: np.ndarray) -> np.ndarray:
        padded = np.concatenate([values, np.zeros((1, values.shape[1]), values.dtype)])
        total = degrees * values
        for beside in neighbours:
            total -= padded[beside]
        return total

    values = image[sources] if start is None else image[sources] + start
    rest = wanted - applied(values)
    step = rest / degrees
    direction, power = step.copy(), (rest * step).sum(0)
    enough = TOLERANCE * np.maximum(power, count)
    for _ in range(ITERATIONS):
        if (power <= enough).all():
            break
        image_of = applied(direction)
        length = power / np.maximum((direction * image_of).sum(0), np.float32(1e-12))
        values += length * direction
        rest -= length * image_of
        step = rest / degrees
        before, power = power, (rest * step).sum(0)
        direction = step + (power / np.maximum(before, np.float32(1e-12))) * direction
    return values


def _equations(
    image: np.ndarray, lost: np.ndarray, places: np.ndarray, sources: np.ndarray
) -> tuple[np.ndarray, np.ndarray, list[np.ndarray]]:
    """Return the numbers of neighbours (n, 1), the right-hand side (n, C), and the lost neighbours by direction."""
    height, width = lost.shape
    flat, count = lost.ravel(), len(places)
    number = np.full(lost.size, count)
    number[places] = np.arange(count)
    source_of = np.arange(lost.size)
    source_of[places] = sources
    y, x = np.divmod(places, width)
    degrees = np.zeros((count, 1), np.float32)
    wanted = np.zeros((count, image.shape[1]), np.float32)
    neighbours = []
    for down, across in MOVES:
        inside = _within(y + down, x + across, lost.shape)
        beside = np.where(inside, places + down * width + across, places)
        of_beside = source_of[beside]
        one, one_there = _moved(sources, down, across, flat, lost.shape)
        other, other_there = _moved(of_beside, -down, -across, flat, lost.shape)
        one_there &= inside
        other_there &= inside & flat[beside]
        slope = np.where(one_there[:, None], image[sources] - image[one], 0)
        slope += np.where(other_there[:, None], image[other] - image[of_beside], 0)
        wanted += slope / np.maximum(one_there.astype(np.float32) + other_there, 1)[:, None]
        wanted += np.where((inside & ~flat[beside])[:, None], image[beside], 0)
        degrees += inside[:, None]
        neighbours.append(np.where(inside & flat[beside], number[beside], count))
    return np.maximum(degrees, 1), wanted, neighbours


def _moved(
    places: np.ndarray, down: int, across: int, lost: np.ndarray, shape: tuple[int, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """Return the places one step on, and whether they are in the image and known."""
    y, x = np.divmod(places, shape[1])
    inside = _within(y + down, x + across, shape)
    there = np.where(inside, places + down * shape[1] + across, places)
    return there, inside & ~lost[there]


def _within(y: np.ndarray, x: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    return (y >= 0) & (y < shape[0]) & (x >= 0) & (x < shape[1])
