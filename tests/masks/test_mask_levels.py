"""Masks of labels, and of dark levels beside white. About 2 s."""

from __future__ import annotations

import io as streams

import cv2
import numpy as np
import pytest
from mask_pictures import SIZE, strokes
from pictures import saved
from PIL import Image

from toolbox.imaging import io
from toolbox.imaging.mask_meaning import UndecidedMaskError, lost_pixels


def labels():
    """Return a picture of the labels 0, 1 and 2."""
    mask = (strokes() > 0).astype(np.uint8)
    mask[2:8, 40:60] = 2
    return mask


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("numbers", [(0, 1, 2), (0, 2, 5), (0, 3, 31)])
def test_all_labels_but_0_are_lost(restore, dtype, numbers):
    io.write_png("m.png", np.array(numbers, dtype)[labels()])
    output, (mask,) = restore("--mask", "m.png")
    assert np.array_equal(mask, labels() > 0) and f"{100 * mask.mean():.1f} % lost" in output


@pytest.mark.parametrize("numbers", [(1, 2), (2, 3), (3, 7), (5, 9), (100, 101)])
def test_the_lighter_of_two_dark_levels_is_lost(restore, numbers):
    io.write_png("m.png", np.array(numbers, np.uint8)[(labels() > 0).astype(int)])
    assert np.array_equal(restore("--mask", "m.png")[1][0], labels() > 0)


@pytest.mark.parametrize("numbers", [(1, 2, 3), (2, 4, 8), (9, 10, 12)])
def test_labels_without_0_are_refused(restore, numbers):
    io.write_png("m.png", np.array(numbers, np.uint8)[labels()])
    output, masks = restore("--mask", "m.png", code=1)
    assert f"m.png marks nothing: white is lost, from 128 on, and its lightest pixel has {numbers[2]}" in output
    assert not masks


def test_labels_in_lines_of_one_pixel():
    lines = np.zeros(SIZE, np.uint8)
    cv2.line(lines, (2, 5), (60, 5), 1)
    cv2.line(lines, (10, 10), (10, 40), 2)
    assert np.array_equal(lost_pixels(lines, None), lines > 0)


def test_noise_of_a_black_mask_is_not_lost():
    noise = np.random.default_rng(0).integers(0, 4, SIZE).astype(np.uint8)
    assert not lost_pixels(np.where(strokes() > 0, 0, noise).astype(np.uint8), None).any()


@pytest.mark.parametrize("numbers", [(0, 1, 255), (0, 100, 255), (0, 127, 254), (30, 60, 200)])
def test_dark_areas_beside_white_ones_are_not_dropped_in_silence(restore, numbers):
    mask = np.zeros(SIZE, np.uint8)
    mask[4:12, 4:14], mask[34:44, 48:60] = 1, 2
    io.write_png("m.png", np.array(numbers, np.uint8)[mask])
    output, masks = restore("--mask", "m.png", code=1)
    assert f"m.png has areas of the level {numbers[1]} of 255, which may be lost or not; paint what is lost" in output
    assert "a.png.preview.png shows it in red (from left to right: white, all)" in output and not masks
    assert np.array_equal(restore("--mask", "m.png", "--mask-means", "white")[1][0], mask == 2)


def test_a_low_label_of_16_bits_beside_a_high_one_is_not_black(tmp_path):
    mask = np.zeros(SIZE, np.uint16)
    mask[4:12, 4:14], mask[34:44, 48:60] = 11, 40000
    io.write_png(tmp_path / "m.png", mask)
    with pytest.raises(UndecidedMaskError, match="has areas of the level 1 of 255"):
        io.read_mask(tmp_path / "m.png")


@pytest.mark.parametrize("quality", [10, 30, 60, 90])
@pytest.mark.parametrize("blur", [0, 3])
def test_soft_edges_and_the_noise_of_jpeg_are_no_dark_areas(quality, blur):
    mask = cv2.resize(strokes(), (256, 192), interpolation=cv2.INTER_NEAREST)
    soft = cv2.GaussianBlur(mask, (0, 0), blur) if blur else mask
    for pixels in (soft, np.repeat(soft[..., None], 3, axis=2)):
        stored = np.asarray(Image.open(streams.BytesIO(saved(pixels, "JPEG", quality=quality))))
        assert (lost_pixels(stored, None) != (mask > 0)).mean() < 0.03
