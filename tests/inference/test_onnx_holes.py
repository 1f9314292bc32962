"""The regions of holes as tensors are those of `hole_regions`, whatever their shapes."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from toolbox.inference.hole_filling import hole_regions
from toolbox.inference.onnx_holes import connect, find_runs, hole_table


def spiral(size):
    """Return a mask with one long line of one pixel, which takes many rounds to be connected."""
    mask = np.zeros((size, size), np.uint8)
    turns = np.linspace(0, 12 * np.pi, 4000)
    radius = turns / turns[-1] * (size / 2 - 2)
    points = np.column_stack([np.cos(turns), np.sin(turns)]) * radius[:, None] + size / 2
    cv2.polylines(mask, [points.astype(np.int32)], isClosed=False, color=1)
    return mask > 0


def random_mask(seed):
    """Return a mask of rectangles and dust, of any size."""
    random = np.random.default_rng(seed)
    mask = np.zeros(random.integers(50, 400, 2), bool)
    for _ in range(random.integers(1, 12)):
        row, column = (random.integers(0, side) for side in mask.shape)
        height, width = random.integers(1, 90, 2)
        mask[row : row + height, column : column + width] = True
    return mask | (random.random(mask.shape) < 0.002 * (seed % 2))


def as_tensor_regions(mask, at_once, fill_side, tile):
    lost = torch.from_numpy(mask).float()[None]
    *runs, own, first, second = find_runs(lost)
    regions, table = hole_table(lost, runs, connect(own, first, second), torch.tensor(at_once), fill_side, tile)
    return regions.numpy(), table.numpy()


@pytest.mark.parametrize(
    "mask", [*map(random_mask, range(8)), spiral(150), np.ones((40, 60), bool)], ids=lambda mask: str(mask.shape)
)
@pytest.mark.parametrize(("fill_side", "tile"), [(192, 640), (32, 64)])
def test_the_regions_are_those_of_the_restorer(mask, fill_side, tile):
    regions, table = as_tensor_regions(mask, False, fill_side, tile)
    expected = {
        (
            *((end.start, end.stop) for box in (region.context_box, region.hole_box) for end in box),
            region.working_side,
        ): (region.holes)
        for region in hole_regions(mask, fill_side, tile)
    }
    assert len(table) == len(expected) > 0
    for row in table:
        spans = [(row[index], row[index + 1]) for index in range(1, 9, 2)]
        rows, columns = (slice(*span) for span in spans[2:])
        np.testing.assert_array_equal(regions[rows, columns] == row[0], expected[(*spans, row[9])])


def test_a_photograph_that_is_seen_at_once_is_one_region():
    mask = random_mask(3)
    regions, table = as_tensor_regions(mask, True, 192, 640)
    height, width = mask.shape
    assert table.tolist() == [[0, 0, height, 0, width, 0, height, 0, width, max(mask.shape)]]
    np.testing.assert_array_equal(regions == 0, mask)
