"""Spread values over a grid whose neighbours are linked by weights: a sparse linear system, solved by multigrid.

The system is that of Levin, Lischinski and Weiss ("Colorization using Optimization", 2004), with four neighbours and
with a pull to zero. Conjugate gradients are preconditioned by a V-cycle over aggregates of 2 x 2 pixels. The link of
two aggregates is the sum of the links between them, so an edge stays an edge at each scale.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

_DAMPING = 0.8  # of the Jacobi smoother
_SWEEPS = 2
# A correction from piecewise constant aggregates is too small; see Braess, "Towards algebraic multigrid", 1995.
_OVERCORRECTION = 2.0
_COARSEST = 100  # unknowns that are solved directly


@dataclass(frozen=True, kw_only=True, eq=False)
class Grid:
    """The system at one scale: sum over neighbours of link x (x_i - x_j), plus pull x x_i.

    Attributes:
        pull: (h, w) float32, more than 0.
        right: (h, w - 1) float32, the link of each pixel to its right neighbour.
        down: (h - 1, w) float32, the link to the neighbour below.
        diagonal: (h, w) float32, the sum of all of these at a pixel.
    """

    pull: np.ndarray
    right: np.ndarray
    down: np.ndarray
    diagonal: np.ndarray

    @classmethod
    def of(cls, pull: np.ndarray, right: np.ndarray, down: np.ndarray) -> Grid:
        """Return the grid with its diagonal."""
        diagonal = pull.copy()
        diagonal[:, :-1] += right
        diagonal[:, 1:] += right
        diagonal[:-1] += down
        diagonal[1:] += down
        return cls(pull=pull, right=right, down=down, diagonal=diagonal)

    def apply(self, x: np.ndarray) -> np.ndarray:
        """Return the product of the system's matrix and each of the vectors x (C, h, w)."""
        y = np.multiply(self.diagonal, x, order="C")
        # Flat vectors, one after the other, stay in the cache of the processor: a third of the time.
        width = x.shape[2]
        right, down = self._flat_right, self.down.ravel()
        for flat_x, flat_y in zip(x.reshape(len(x), -1), y.reshape(len(x), -1), strict=True):
            flat_y[:-1] -= right * flat_x[1:]
            flat_y[1:] -= right * flat_x[:-1]
            flat_y[:-width] -= down * flat_x[width:]
            flat_y[width:] -= down * flat_x[:-width]
        return y

    @cached_property
    def _flat_right(self) -> np.ndarray:
        """`right` as the links of neighbours in the flat grid, 0 from the end of a row to the next, (h * w - 1,)."""
        return np.pad(self.right, ((0, 0), (0, 1))).ravel()[:-1]

    def solve_directly(self, source: np.ndarray) -> np.ndarray:
        """Return the exact solution (C, h, w) for right-hand sides; for a small grid."""
        values = source.reshape(len(source), -1).astype(np.float64) @ self._inverse
        return values.reshape(source.shape).astype(np.float32)

    @cached_property
    def _inverse(self) -> np.ndarray:
        """The inverse of the system's matrix, which is symmetric, (h * w, h * w) float64."""
        size = self.pull.size
        matrix = self.apply(np.eye(size, dtype=np.float32).reshape(size, *self.pull.shape)).reshape(size, size)
        return np.linalg.inv(matrix.astype(np.float64))

    def coarser(self) -> Grid:
        """Return the grid of the aggregates of 2 x 2 pixels; the height and the width must be even."""
        right = self.right[:, 1::2]
        down = self.down[1::2]
        return Grid.of(_sum_blocks(self.pull), right[::2] + right[1::2], down[:, ::2] + down[:, 1::2])


def solve(
    pull: np.ndarray,
    right: np.ndarray,
    down: np.ndarray,
    source: np.ndarray,
    *,
    rounds: int = 25,
    tolerance: float = 0.001,
) -> np.ndarray:
    """Solve the system of `Grid` for several right-hand sides.

    Args:
        pull: (h, w), as in `Grid`.
        right: (h, w - 1), as in `Grid`.
        down: (h - 1, w), as in `Grid`.
        source: (C, h, w) float32.
        rounds: of conjugate gradients at most.
        tolerance: of the residual, relative to the source, at which it stops.

    Returns:
        (C, h, w) float32.
    """
    height, width = pull.shape
    grids = _build(pull, right, down)
    padded = np.zeros((len(source), *grids[0].pull.shape), np.float32)
    padded[:, :height, :width] = source
    x = np.zeros_like(padded)
    residual = padded.copy()
    limit = tolerance * np.sqrt(_dot(padded, padded))
    direction = step = np.zeros_like(padded)
    before = np.ones(len(source), np.float64)
    for number in range(rounds):
        step = _v_cycle(grids, residual)
        now = _dot(residual, step)
        direction = step if number == 0 else step + _wide(now / np.maximum(before, 1e-30)) * direction
        before = now
        moved = grids[0].apply(direction)
        length = _wide(now / np.maximum(_dot(direction, moved), 1e-30))
        x += length * direction
        residual -= length * moved
        if (np.sqrt(_dot(residual, residual)) <= limit).all():
            break
    return x[:, :height, :width]


def _build(pull: np.ndarray, right: np.ndarray, down: np.ndarray) -> list[Grid]:
    """Return the grids from fine to coarse, padded by pixels without links so that each size can be halved."""
    levels = 0
    while pull.size / 4**levels > _COARSEST and min(pull.shape) >> levels > 2:
        levels += 1
    unit = 1 << levels
    rows, columns = (-side % unit for side in pull.shape)
    grids = [
        Grid.of(
            np.pad(pull.astype(np.float32), ((0, rows), (0, columns)), constant_values=1),
            np.pad(right.astype(np.float32), ((0, rows), (0, columns))),
            np.pad(down.astype(np.float32), ((0, rows), (0, columns))),
        )
    ]
    for _ in range(levels):
        grids.append(grids[-1].coarser())
    return grids


def _v_cycle(grids: list[Grid], source: np.ndarray) -> np.ndarray:
    """Return an approximate solution of the first grid's system, (C, h, w)."""
    grid = grids[0]
    if len(grids) == 1:
        return grid.solve_directly(source)
    factor = np.float32(_DAMPING) / grid.diagonal
    x = factor * source
    for _ in range(_SWEEPS - 1):
        x += factor * (source - grid.apply(x))
    coarse = _v_cycle(grids[1:], _sum_blocks(source - grid.apply(x)))
    x += np.float32(_OVERCORRECTION) * np.repeat(np.repeat(coarse, 2, axis=1), 2, axis=2)
    for _ in range(_SWEEPS):
        x += factor * (source - grid.apply(x))
    return x


def _sum_blocks(values: np.ndarray) -> np.ndarray:
    """Return the sums over blocks of 2 x 2 of the last two axes."""
    rows = values[..., ::2, :] + values[..., 1::2, :]
    return rows[..., ::2] + rows[..., 1::2]


def _dot(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return the dot product of each pair of vectors (C, h, w), as (C,) float64."""
    return np.einsum("chw,chw->c", first, second, dtype=np.float64)


def _wide(values: np.ndarray) -> np.ndarray:
    return values.astype(np.float32)[:, None, None]
