"""Inputs whose damage was saved as JPEG: good pairs are not refused, and wrong ones still are."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from toolbox.color import integer_luma
from toolbox.data import alignment, broken_files, folders, photo_check, sample
from toolbox.imaging import io

SIZE = 192


@pytest.fixture(scope="module")
def truths():
    """The sample photographs as squares."""
    paths = sorted((sample.folder() / "photos").glob("*.jpg"))
    return [cv2.resize(io.read_rgb(path), (SIZE, SIZE), interpolation=cv2.INTER_AREA) for path in paths]


def damaged(truth, number, blur=0.0):
    """Return a truth in gray with a rectangle of up to 45 % of the area, black in a light one, white in a dark one."""
    gray = integer_luma(truth)
    random = np.random.default_rng(number)
    height, width = random.integers(SIZE // 2, int(0.67 * SIZE), 2)
    top, left = random.integers(0, SIZE - height), random.integers(0, SIZE - width)
    hole = np.zeros(gray.shape, np.float32)
    hole[top : top + height, left : left + width] = 1
    hole = cv2.GaussianBlur(hole, (0, 0), blur) if blur else hole
    return (gray * (1 - hole) + (0 if gray.mean() > 110 else 255) * hole).round().astype(np.uint8)


def examined(tmp_path, inputs, truths, quality):
    """Write pairs with inputs as JPEG to a folder and examine them."""
    for name in ("train_input", "train_gt"):
        (tmp_path / name).mkdir()
    for number, (gray, truth) in enumerate(zip(inputs, truths, strict=True)):
        data = cv2.imencode(".jpg", gray, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()
        (tmp_path / f"train_input/{number:02d}.jpg").write_bytes(data)
        io.write_png(tmp_path / f"train_gt/{number:02d}.png", np.ascontiguousarray(truth))
    return photo_check.examine(folders.open_folder(tmp_path).items)


@pytest.mark.parametrize("quality", [95, 75])
@pytest.mark.parametrize("blur", [0.0, 4.0])
def test_good_pairs_have_no_fault(tmp_path, truths, quality, blur):
    inputs = [damaged(truth, number, blur) for number, truth in enumerate(truths)]
    found = examined(tmp_path, inputs, truths, quality)
    assert {one.item.name: one.reason or one.shift for one in found if one.kind or one.shift} == {}
    assert broken_files.check_pairing(folders.open_folder(tmp_path)) == []


def test_good_pairs_of_blurred_photographs_have_no_fault(tmp_path, truths):
    """They have too few details to judge, so the damage has to be found in the input."""
    truths = [cv2.GaussianBlur(truth, (0, 0), 16) for truth in truths]
    inputs = [damaged(truth, number) for number, truth in enumerate(truths)]
    pairs = zip(inputs, truths, strict=True)
    assert None in [alignment.align(gray, integer_luma(truth)).correlation for gray, truth in pairs]
    assert {one.item.name: one.reason for one in examined(tmp_path, inputs, truths, 90) if one.kind} == {}


@pytest.mark.parametrize(
    ("reason", "change"),
    [
        ("shows another photograph", lambda truths: truths[1:] + truths[:1]),
        ("is mirrored", lambda truths: [truth[:, ::-1] for truth in truths]),
        ("is turned by 90 degrees", lambda truths: [np.rot90(truth, 3) for truth in truths]),
    ],
)
def test_wrong_pairs_are_named(tmp_path, truths, reason, change):
    inputs = [damaged(truth, number) for number, truth in enumerate(truths)]
    found = examined(tmp_path, inputs, change(truths), 90)
    named = sum(reason in one.reason for one in found)
    assert named >= (len(truths) - 1 if "another" in reason else len(truths))  # two of them may look alike


def test_two_exchanged_truths_are_named(tmp_path, truths):
    inputs = [damaged(truth, number) for number, truth in enumerate(truths)]
    exchanged = [*truths[:3], truths[7], *truths[4:7], truths[3], *truths[8:]]
    found = examined(tmp_path, inputs, exchanged, 90)
    assert [one.item.name for one in found if one.kind] == ["03.jpg", "07.jpg"]
