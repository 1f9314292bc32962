"""Pairs whose truth is turned, has exchanged channels, or whose input shows nothing, are named before they train."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from commands import invoke_error

from toolbox.data import broken_files, folders, photo_check, sample
from toolbox.diagnostics.data_folder import inspect_folder
from toolbox.imaging import io

TURNS = {
    "is mirrored": lambda truth: truth[:, ::-1],
    "is upside down": lambda truth: truth[::-1, ::-1],
    "is mirrored top to bottom": lambda truth: truth[::-1],
    "is turned by 90 degrees": lambda truth: np.rot90(truth, 3),
    "is turned by 270 degrees": np.rot90,
    "is a negative of the input (dark and light are inverted)": lambda truth: 255 - truth,
    "is a negative of the input (dark and light are inverted) and mirrored": lambda truth: 255 - truth[:, ::-1],
}


@pytest.fixture(scope="module")
def truths():
    """The sample photographs as squares of 128 pixels."""
    paths = sorted((sample.folder() / "photos").glob("*.jpg"))
    return [cv2.resize(io.read_rgb(path), (128, 128), interpolation=cv2.INTER_AREA) for path in paths]


def damaged(truth, number, code=cv2.COLOR_RGB2GRAY):
    """Return a truth in gray with a flat rectangle."""
    gray = cv2.cvtColor(truth, code)
    top, left, height, width = np.random.default_rng(number).integers(10, 60, 4)
    gray[top : top + height, left : left + width] = 37
    return np.repeat(gray[..., None], 3, axis=2)


def examined(tmp_path, inputs, truths):
    """Write pairs to a folder and examine them."""
    for name, pictures in (("train_input", inputs), ("train_gt", truths)):
        (tmp_path / name).mkdir()
        for number, picture in enumerate(pictures):
            io.write_png(tmp_path / name / f"{number:02d}.png", np.ascontiguousarray(picture))
    return photo_check.examine(folders.open_folder(tmp_path).items)


@pytest.mark.parametrize("reason", TURNS)
def test_turned_truths_are_named(tmp_path, truths, reason):
    inputs = [damaged(truth, number) for number, truth in enumerate(truths)]
    found = examined(tmp_path, inputs, [TURNS[reason](truth) for truth in truths])
    assert {one.reason for one in found} == {f"the truth {reason}"}


def test_negatives_without_details_are_named(tmp_path, truths):
    blurred = [cv2.GaussianBlur(truth, (0, 0), 6) for truth in truths]
    inputs = [damaged(truth, number) for number, truth in enumerate(blurred)]
    found = examined(tmp_path, inputs, [255 - truth for truth in blurred])
    assert {one.reason for one in found} == {"the truth is a negative of the input (dark and light are inverted)"}


@pytest.mark.parametrize("kind", ["hole", "faded and grainy", "average gray", "red only"])
def test_true_pairs_are_not_taken_for_turned_or_exchanged(tmp_path, truths, kind):
    noise = np.random.default_rng(0).normal(0, 12, truths[0].shape[:2])
    gray = {
        "hole": lambda truth: damaged(truth, 3)[..., 0],
        "faded and grainy": lambda truth: (0.5 * cv2.cvtColor(truth, cv2.COLOR_RGB2GRAY) + 90 + noise).clip(0, 255),
        "average gray": lambda truth: truth.mean(2),
        "red only": lambda truth: truth[..., 0],
    }[kind]
    inputs = [np.repeat(gray(truth).astype(np.uint8)[..., None], 3, axis=2) for truth in truths]
    assert [one.reason for one in examined(tmp_path, inputs, truths) if one.kind] == []
    assert broken_files.check_pairing(folders.open_folder(tmp_path)) == []


@pytest.mark.parametrize("wrong", ["truths", "inputs"])
def test_exchanged_channels_are_named(tmp_path, truths, wrong):
    inputs = [
        damaged(truth, n, cv2.COLOR_BGR2GRAY if wrong == "inputs" else cv2.COLOR_RGB2GRAY)
        for n, truth in enumerate(truths)
    ]
    examined(tmp_path, inputs, [truth[..., ::-1] if wrong == "truths" else truth for truth in truths])
    (line,) = broken_files.check_pairing(folders.open_folder(tmp_path))
    assert "fit their truths only with red and blue exchanged" in line
    assert any(finding.what == "channels" and not finding.ok for finding in inspect_folder(tmp_path))


def test_an_input_that_shows_nothing_is_named(tmp_path, truths):
    inputs = [damaged(truth, number) for number, truth in enumerate(truths)]
    inputs[4] = np.full_like(inputs[4], 255)
    found = [one for one in examined(tmp_path, inputs, truths) if one.kind]
    assert [(one.item.name, one.reason) for one in found] == [
        ("04.png", "the input shows nothing, it is one even tone")
    ]


@pytest.mark.parametrize("number", [1, 6])
def test_truths_that_show_nothing_are_named(tmp_path, truths, number):
    """They were taken for pairs with another gray formula."""
    inputs = [damaged(truth, number) for number, truth in enumerate(truths)]
    even = [np.full_like(truth, 90) if index < number else truth for index, truth in enumerate(truths)]
    found = [one for one in examined(tmp_path, inputs, even) if one.kind]
    assert [one.item.name for one in found] == [f"{index:02d}.png" for index in range(number)]
    assert {one.reason for one in found} == {"the truth shows nothing, it is one even tone"}


def test_a_pair_of_one_even_tone_with_a_lost_region_is_a_pair(tmp_path, truths):
    even = [np.full_like(truth, (200, 90, 20)) for truth in truths]
    inputs = [damaged(truth, number) for number, truth in enumerate(even)]
    assert [one.reason for one in examined(tmp_path, inputs, even) if one.kind] == []


def test_exchanged_columns_of_the_table_are_named(competition):
    rows = (competition / "train.csv").read_text("utf-8").splitlines()
    columns = rows[0].split(",")
    exchanged = {"input_image_path": "gt_image_path", "gt_image_path": "input_image_path"}
    rows[0] = ",".join(exchanged.get(column, column) for column in columns)
    (competition / "train.csv").write_text("\n".join(rows), "utf-8")
    message = invoke_error("run", "--data", competition, code=1)
    assert "The columns of train.csv seem to be exchanged; correct its header." in message
