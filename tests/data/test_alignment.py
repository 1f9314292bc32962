"""Truths that are shifted by some pixels, and a single truth of a photograph that looks alike, are named."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from commands import invoke_error

from toolbox.color import integer_luma
from toolbox.data import alignment, broken_files, folders, photo_check, sample
from toolbox.diagnostics.data_folder import inspect_folder
from toolbox.errors import DataError
from toolbox.imaging import io

SIZE = 240


@pytest.fixture(scope="module")
def truths():
    """The sample photographs as squares."""
    paths = sorted((sample.folder() / "photos").glob("*.jpg"))
    return [cv2.resize(io.read_rgb(path), (SIZE, SIZE), interpolation=cv2.INTER_AREA) for path in paths]


def damaged(truth, number):
    gray = integer_luma(truth)
    top, left, height, width = np.random.default_rng(number).integers(20, 90, 4)
    gray[top : top + height, left : left + width] = 37
    return gray


def jpeg(gray, quality):
    return cv2.imdecode(cv2.imencode(".jpg", gray, [cv2.IMWRITE_JPEG_QUALITY, quality])[1], cv2.IMREAD_GRAYSCALE)


CHANGES = {
    "as it is": lambda gray: gray,
    "JPEG of quality 50": lambda gray: jpeg(gray, 50),
    "JPEG of quality 20": lambda gray: jpeg(gray, 20),
    "faded": lambda gray: (90 + 0.45 * gray).astype(np.uint8),
    "grainy": lambda gray: (gray + np.random.default_rng(0).normal(0, 12, gray.shape)).clip(0, 255).astype(np.uint8),
    "blurred": lambda gray: cv2.GaussianBlur(gray, (0, 0), 1.5),
    "shifted by one pixel": lambda gray: np.roll(gray, 1, axis=1),
}


def write_pairs(folder, inputs, truths):
    for name, pictures in (("train_input", inputs), ("train_gt", truths)):
        (folder / name).mkdir()
        for number, picture in enumerate(pictures):
            io.write_png(folder / name / f"{number:02d}.png", np.ascontiguousarray(picture))
    return folder


@pytest.mark.parametrize("change", CHANGES)
def test_true_pairs_are_neither_shifted_nor_outliers(truths, change):
    grays = [CHANGES[change](damaged(truth, number)) for number, truth in enumerate(truths)]
    found = [alignment.align(gray, integer_luma(truth)) for gray, truth in zip(grays, truths, strict=True)]
    lowest = alignment.lowest_expected(found)
    assert not [one for one in found if one.shift or one.correlation is not None and one.correlation < lowest]


@pytest.mark.parametrize("change", list(CHANGES)[:-1])
@pytest.mark.parametrize("shift", [(2, 0), (-3, 2), (0, -5), (8, 8)])
def test_shifted_truths_are_named_with_their_shift(truths, change, shift):
    found = [
        alignment.align(CHANGES[change](damaged(truth, number)), np.roll(integer_luma(truth), shift[::-1], (0, 1)))
        for number, truth in enumerate(truths)
    ]
    assert sum(one.shift == shift for one in found) >= 0.8 * len(truths)


def test_a_shift_in_words():
    assert alignment.describe_shift((3, 2)) == "3 pixels to the right and 2 down"
    assert alignment.describe_shift((-1, 0)) == "1 pixel to the left"
    assert alignment.describe_shift((0, -4)) == "4 pixels up"


def test_a_run_and_doctor_say_that_truths_are_shifted(tmp_path, truths):
    inputs = [damaged(truth, number) for number, truth in enumerate(truths)]
    shifted = [np.roll(truth, (2, 5), (0, 1)) if number == 3 else truth for number, truth in enumerate(truths)]
    source = folders.open_folder(write_pairs(tmp_path, inputs, shifted))
    (line,) = broken_files.check_pairing(source)
    assert line.startswith(f"warning: 1 of {len(truths)} truths that were checked are shifted against their inputs")
    assert "(03.png: 5 pixels to the right and 2 down)" in line
    (finding,) = [one for one in inspect_folder(tmp_path) if one.what == "alignment"]
    assert not finding.ok and f"1 of {len(truths)} truths are shifted" in finding.detail


def test_one_truth_of_another_photograph_that_looks_alike(tmp_path, truths):
    """The other photograph has the same large shapes, so that thumbnails do not tell it."""
    inputs = [damaged(truth, number) for number, truth in enumerate(truths)]
    rough = cv2.GaussianBlur(truths[4].astype(np.float32), (0, 0), 8)
    other = np.roll(truths[5], 77, 0).astype(np.float32)
    alike = (rough + other - cv2.GaussianBlur(other, (0, 0), 8)).clip(0, 255).astype(np.uint8)
    pairs = [alike if number == 4 else truth for number, truth in enumerate(truths)]
    source = folders.open_folder(write_pairs(tmp_path, inputs, pairs))
    found = photo_check.examine(source.items)
    assert {one.item.name: one.kind for one in found if one.kind} == {"04.png": "unrelated"}
    with pytest.raises(DataError, match="1 of .* 04.png: the truth shows another photograph"):
        broken_files.check_pairing(source)
    assert "04.png" in invoke_error("run", "--data", tmp_path, code=1)


def test_few_pairs_are_not_called_outliers():
    alone = [alignment.Alignment(correlation=value) for value in (0.9, 0.95, 0.01)]
    assert alignment.lowest_expected(alone) == -1
    assert alignment.lowest_expected([*alone, *[alignment.Alignment(correlation=0.1)] * 20]) == -1
    assert alignment.lowest_expected([]) == -1
    flat = np.full((64, 64), 90, np.uint8)
    assert alignment.align(flat, flat) == alignment.align(flat[:9], flat[:9]) == alignment.Alignment()
