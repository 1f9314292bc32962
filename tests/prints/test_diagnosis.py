"""The diagnosis of prints: what is found, what is left alone, its words and its picture. 2 s."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest
from click.testing import CliRunner
from prints import fade, on_table, picture, vignette
from standins import gray_to_rgb

from toolbox import Detection
from toolbox.cli import main
from toolbox.color import integer_luma
from toolbox.imaging import io
from toolbox.prints.corrections import Corrections
from toolbox.prints.diagnosis import diagnose
from toolbox.prints.fading import fading_score, is_certainly_faded
from toolbox.prints.words import describe_diagnosis, draw_diagnosis, helpful_options
from toolbox.prints.working_copy import make_working_copy

EVEN = {"low": (100, 100, 100), "high": (200, 200, 200)}


@pytest.fixture
def no_damage(monkeypatch):
    monkeypatch.setattr("toolbox.cli.photo_diagnosis._damage", lambda rgb, sheet, catalog: {})


def doctor(*arguments, code=0):
    result = CliRunner().invoke(main, ["doctor", *map(str, arguments)])
    assert result.exit_code == code, (result.output, result.exception)
    return result.output


def test_a_sound_photo_needs_nothing():
    diagnosis = diagnose(picture())
    assert diagnosis.kind == "colour" and not diagnosis.corrections and not helpful_options(diagnosis)
    assert diagnosis.contrast > 0.9


@pytest.mark.parametrize("low", [0, 40])
def test_a_picture_of_low_contrast_with_dark_shadows_may_be_fog_or_night(low):
    dim = fade(picture(), (low,) * 3, (low + 90,) * 3)
    diagnosis = diagnose(dim)
    assert diagnosis.contrast < 0.6 and not diagnosis.corrections
    assert dict(describe_diagnosis(diagnosis))["contrast"].endswith("if it is not fog or dim light: --contrast 0.7")


def test_a_faded_print():
    diagnosis = diagnose(fade(picture(), **EVEN))
    assert diagnosis.corrections == Corrections(contrast=1)
    gray = diagnose(gray_to_rgb(integer_luma(fade(picture(), **EVEN))))
    assert gray.kind == "gray" and gray.corrections == Corrections(contrast=1)


def test_in_fog_the_shadows_end_softly():
    """Both pictures have nothing dark: 0.5 % of the pixels are below about 110 of 255. Only one ends abruptly."""
    smooth = cv2.GaussianBlur(integer_luma(picture()).astype(np.float32), (0, 0), 2)
    ranks = (smooth.ravel().argsort().argsort() + 1) / smooth.size
    fog = np.rint(225 + 22 * np.log(ranks)).reshape(smooth.shape).astype(np.uint8)
    faded = np.rint(105 + 120 * ranks).reshape(smooth.shape).astype(np.uint8)
    assert np.percentile(fog, 0.5) > 105 and np.percentile(faded, 0.5) > 105
    scores = [fading_score(make_working_copy(each)) for each in (fog, faded)]
    assert scores[0] < 1 and scores[1] > 4
    assert not diagnose(gray_to_rgb(fog)).is_faded and diagnose(gray_to_rgb(faded)).is_faded


def test_a_gray_print_needs_less_certainty_than_a_colour_photograph():
    copy = make_working_copy(fade(picture(), (62,) * 3, (205,) * 3))
    assert 1.4 < fading_score(copy) < 3.25
    assert is_certainly_faded(copy, in_color=False) and not is_certainly_faded(copy, in_color=True)


def test_dyes_that_have_faded_differently():
    assert diagnose(fade(picture(), (120, 85, 80), (220, 190, 150))).corrections == Corrections(contrast=1, cast=1)


def test_a_faded_colour_print_is_not_taken_as_toned():
    aged = np.rint(fade(picture(), (120, 112, 95), (215, 205, 160))).astype(np.uint8)
    diagnosis = diagnose(aged)
    assert diagnosis.kind == "colour" and diagnosis.corrections == Corrections(contrast=1, cast=1)


def test_a_faded_sepia_print_stays_toned():
    sepia = np.rint(integer_luma(picture())[..., None] * (1, 0.88, 0.7)).astype(np.uint8)
    diagnosis = diagnose(fade(sepia, (110, 104, 92), (220, 212, 190)))
    assert diagnosis.kind == "toned" and diagnosis.corrections == Corrections(contrast=1)


def test_vivid_colours_on_white_are_not_faded():
    vivid = np.full((120, 160, 3), 235, np.uint8)
    y, x = np.mgrid[-60:60, -80:80]
    disc = x**2 + y**2 < 40**2
    vivid[disc] = np.rint(picture()[disc] * (0.4, 0.3, 0.02) + (120, 70, 4))
    assert not diagnose(vivid).corrections


def test_a_sunset_has_no_cast():
    sunset = np.rint(picture() * (1, 0.55, 0.3)).astype(np.uint8)
    assert not diagnose(sunset).corrections


def test_a_vignette_is_named_and_not_corrected():
    diagnosis = diagnose(vignette(picture(160, 200), 0.35))
    assert 0.4 < diagnosis.darker_corners < 0.8 and not diagnosis.corrections.evenness
    assert "--evenness 1" in dict(describe_diagnosis(diagnosis))["light"]


def test_a_faded_print_on_a_table():
    photo, corners = on_table(fade(picture(240, 320), **EVEN))
    diagnosis = diagnose(photo)
    assert diagnosis.corrections == Corrections(crop="print", contrast=1)
    outlined, corrected = draw_diagnosis(photo, diagnosis)
    assert outlined.shape == photo.shape and corrected.shape[0] == photo.shape[0]
    x, y = np.rint((corners[0] + corners[1]) / 2).astype(int)
    assert (outlined[y - 3 : y + 4, x] == (255, 0, 0)).all(axis=1).any()


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (33, 2), (40, 40)])
def test_any_size(size):
    flat = diagnose(np.full((*size, 3), 128, np.uint8))
    assert flat.kind == "gray" and flat.sheet is None
    diagnose(np.zeros((*size, 3), np.uint8), np.ones(size, bool))


def test_doctor_prints_the_diagnosis_and_the_command(tmp_path, no_damage):
    io.write_png(tmp_path / "a.png", fade(picture(), **EVEN))
    output = doctor("--photo", "a.png", "--picture", "look/b.png")
    assert "contrast: faded, 40 % of a good print's is left: --contrast 1" in output
    assert "command: toolbox restore a.png -o restored --contrast 1" in output
    assert io.read_rgb("look/b.png").shape == (120, 328, 3)
    record = json.loads(doctor("--photo", "a.png", "--json"))
    assert record["is faded"] and record["kind"] == "colour" and record["sheet"] is None
    io.write_png(tmp_path / "sound.png", picture())
    assert "no correction is clearly needed" in doctor("--photo", "sound.png")


def test_doctor_names_damage(tmp_path, monkeypatch):
    found = {"scratch": np.zeros((120, 160), np.float32), "dust": np.zeros((120, 160), np.float32)}
    found["scratch"][:, 40:42] = 0.9
    found["dust"][3, 3] = 0.9
    detection = Detection(mask=found["scratch"] + found["dust"] > 0.5, probabilities=found)
    monkeypatch.setattr("toolbox.inference.detectors.damage_detector", lambda *_: lambda image: detection)
    io.write_png(tmp_path / "a.png", picture())
    output = doctor("--photo", "a.png")
    assert "damage: scratch on 1.25 % of the picture: --repair" in output and "dust" not in output
    assert "command: toolbox restore a.png -o restored --repair" in output


def test_doctor_says_what_it_cant_read(tmp_path):
    assert "gone.png does not exist" in doctor("--photo", "gone.png", code=1)
    assert "--picture shows a diagnosis; add --photo FILE." in doctor("--picture", "b.png", code=2)


@pytest.mark.parametrize("name", ["a.png", "./a.png", "other.png", "link.png"])
def test_no_file_is_replaced_by_the_picture(tmp_path, no_damage, name):
    io.write_png(tmp_path / "a.png", picture())
    io.write_png(tmp_path / "other.png", picture())
    (tmp_path / "link.png").symlink_to("a.png")
    before = [(tmp_path / each).read_bytes() for each in ("a.png", "other.png")]
    assert "exists and is not replaced" in doctor("--photo", "a.png", "--picture", name, code=2)
    assert before == [(tmp_path / each).read_bytes() for each in ("a.png", "other.png")]
    assert "must end in .png" in doctor("--photo", "a.png", "--picture", "notes.txt", code=2)
