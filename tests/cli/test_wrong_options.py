"""Options that are wrong, or that would be ignored, end a command with one line and a remedy that works."""

from __future__ import annotations

import pytest
from commands import invoke, invoke_error
from PIL import Image


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / "photo.png"
    Image.new("L", (40, 30), 90).save(path)
    return path


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--photo", "{photo}", "--recipe", "default"], "--photo and --recipe can't be combined; leave one out."),
        (["--photo", "{photo}", "--data", ".", "--device", "cpu"], "--photo and --data, --device can't be combined"),
        (["--set", "seed=1"], "--set is for the step of --recipe or --repeat; add one of them."),
        (["--device", "cpu"], "--device is for the step of --recipe or --repeat"),
    ],
)
def test_no_option_of_doctor_is_ignored(photo, words, message):
    assert message in invoke_error("doctor", *[word.format(photo=photo) for word in words])


@pytest.mark.parametrize("option", ["--zip=a.zip", "--report", "--before-after", "--provenance", "--variants=2"])
def test_a_preview_has_none_of_what_is_written_beside_results(photo, tmp_path, option):
    error = invoke_error("restore", photo, "-o", tmp_path / "out", "--preview", option)
    assert f"{option.partition('=')[0]} and --preview can't be combined" in error


@pytest.mark.parametrize("option", ["--hints", "--palette"])
def test_a_folder_in_the_place_of_a_file_is_named(photo, tmp_path, option):
    error = invoke_error("restore", photo, "-o", tmp_path / "out", option, tmp_path)
    assert error.endswith(f"{option} {tmp_path} is a folder; name a file.")


def test_weights_that_find_no_damage_are_named_as_such(photo, tmp_path):
    words = ["mask", photo, "-o", tmp_path / "out", "--damage", "--damage-weights", "luma"]
    assert "they are weights of 'luma-unet', not of 'damage-net'; choose others." in invoke_error(*words, code=1)


@pytest.mark.parametrize("value", ["nan", "inf"])
@pytest.mark.parametrize(
    "words",
    [
        ["restore", "p.png", "-o", "o", "--contrast"],
        ["restore", "p.png", "-o", "o", "--saturation"],
        ["restore", "p.png", "-o", "o", "--repair", "--sensitivity"],
        ["run", "--minutes"],
        ["bench", "--seconds"],
    ],
)
def test_numbers_that_are_not_finite_are_refused(words, value):
    text = invoke(*words, value, code=2).stderr
    assert f"Invalid value for '{words[-1]}': " in text and value in text
