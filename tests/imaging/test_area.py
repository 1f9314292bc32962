"""The means of areas: those of OpenCV, and exact where a mean is halfway between two levels."""

from __future__ import annotations

from fractions import Fraction

import cv2
import numpy as np
import pytest

from toolbox.imaging.area import shrink_levels


def exact(pixels, height, width):
    """Return the rounded means of (H, W) by fractions, halves to even numbers."""

    def shares(length, target):
        scale = Fraction(length, target)
        for index in range(target):
            start, end = index * scale, (index + 1) * scale
            yield {
                pixel: min(end, pixel + 1) - max(start, pixel)
                for pixel in range(length)
                if min(end, pixel + 1) > max(start, pixel)
            }

    rows, columns = (list(shares(*pair)) for pair in zip(pixels.shape, (height, width), strict=True))
    area = Fraction(pixels.size, height * width)
    means = [
        [sum(int(pixels[i, j]) * a * b for i, a in row.items() for j, b in column.items()) / area for column in columns]
        for row in rows
    ]
    return np.array([[round(mean) for mean in row] for row in means], np.uint8)


@pytest.mark.parametrize(
    ("size", "target"), [((30, 42), (20, 28)), ((25, 35), (10, 14)), ((36, 24), (6, 4)), ((37, 41), (13, 17))]
)
def test_halves_are_rounded_to_even_numbers(size, target):
    # Few levels, so that many means are halfway between two of them.
    pixels = np.random.default_rng(0).integers(0, 3, size).astype(np.uint8)
    np.testing.assert_array_equal(shrink_levels(pixels, *target), exact(pixels, *target))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [(), (3,)])
@pytest.mark.parametrize("target", [(20, 30), (13, 17), (33, 47)])
def test_other_means_are_those_of_opencv(dtype, channels, target):
    pixels = np.random.default_rng(1).integers(0, 256, (40, 60, *channels)).astype(dtype)
    found = shrink_levels(pixels, *target).astype(int)
    expected = cv2.resize(pixels, target[::-1], interpolation=cv2.INTER_AREA)
    assert found.shape == expected.shape and np.abs(found - expected).max() <= 1
    assert (found != expected).mean() < 0.01
    if target == (20, 30):  # exactly half the size: halves are rounded upwards
        np.testing.assert_array_equal(found, expected)
