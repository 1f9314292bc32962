"""Gray and toned prints with a coloured mount, a stain or handwriting are judged by the picture. About 2 s."""

from __future__ import annotations

import re

import cv2
import numpy as np
import pytest
from pictures import saved
from standins import install_stand_in, run_restore

from toolbox.color import integer_luma
from toolbox.data import sample
from toolbox.imaging import io
from toolbox.imaging.sepia import measure_toning


def photo(index=0):
    path = io.find_images(sample.folder() / "photos")[index]
    rgb = io.read_rgb(path)
    return rgb[: rgb.shape[0] // 2 * 2 : 2, ::2].copy() if min(rgb.shape[:2]) > 500 else rgb


def print_of(kind, index=0):
    luma = integer_luma(photo(index)).astype(float)[..., None]
    return np.clip(luma * ([1.07, 0.95, 0.78] if kind == "toned" else [1, 1, 1]), 0, 255).astype(np.uint8)


def framed(rgb, color=(30, 60, 130)):
    marked, width = rgb.copy(), round(0.05 * min(rgb.shape[:2]))
    marked[:width], marked[-width:], marked[:, :width], marked[:, -width:] = color, color, color, color
    return marked


def stained(rgb, color=(60, 90, 160)):
    height, width = rgb.shape[:2]
    mask = np.zeros((height, width), np.float32)
    cv2.ellipse(mask, (width // 3, height // 2), (width // 12, height // 14), 30, 0, 360, 1, -1)
    mask = cv2.GaussianBlur(mask, (0, 0), 2)[..., None] * 0.7
    return (rgb * (1 - mask) + mask * np.array(color)).astype(np.uint8)


def soft_stained(rgb):
    """Return a picture with a soft brown stain over some 5 % of it, through which the picture is seen."""
    height, width = rgb.shape[:2]
    mask = np.zeros((height, width), np.float32)
    cv2.circle(mask, (width // 2, height // 2), round(np.sqrt(0.05 * height * width / np.pi)), 0.6, -1)
    mask = cv2.GaussianBlur(mask, (0, 0), 5)[..., None]
    return (rgb * (1 - mask * np.array([0.1, 0.35, 0.7]))).astype(np.uint8)


def signed(rgb, color=(30, 40, 160)):
    marked = rgb.copy()
    height, width = rgb.shape[:2]
    cv2.putText(marked, "Anna 1921", (width // 2, height - 20), cv2.FONT_HERSHEY_SCRIPT_SIMPLEX, 0.9, color, 2)
    return marked


MARKS = {
    "framed": framed,
    "stained": stained,
    "soft stained": soft_stained,
    "signed": signed,
    "both": lambda rgb: signed(framed(rgb)),
    "all three": lambda rgb: framed(signed(soft_stained(rgb))),
}


@pytest.mark.parametrize("kind", ["gray", "toned"])
@pytest.mark.parametrize("mark", MARKS)
def test_marks_do_not_make_a_print_a_colour_photograph(kind, mark):
    for index in range(2):
        marked = MARKS[mark](print_of(kind, index))
        assert not np.array_equal(marked, print_of(kind, index))
        scan = io.to_rgb8(io.decode(saved(marked, "JPEG", quality=85), "a"))
        assert measure_toning(scan).kind == kind, index


@pytest.mark.parametrize("mark", MARKS)
def test_colour_photographs_stay_in_colour(mark):
    for index in range(3):
        assert measure_toning(MARKS[mark](photo(index))).kind == "colour", index


def test_a_photograph_of_weak_colours_with_one_strong_colour_is_in_colour():
    for index in range(2):
        luma = integer_luma(photo(index)).astype(float)[..., None]
        weak = np.clip(luma + 0.25 * (photo(index) - luma), 0, 255).astype(np.uint8)
        assert measure_toning(soft_stained(weak)).kind == "colour", index


def test_the_mask_and_its_growth_do_not_change_the_kind(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    install_stand_in(monkeypatch)
    marked = signed(print_of("toned"))
    io.write_png("a.png", marked)
    io.write_png("m.png", (marked != print_of("toned")).any(axis=2))
    for grow in (0, 2):
        output = run_restore("a.png", "-o", f"out{grow}", "--mask", "m.png", "--grow", grow).output
        assert "(toned," in output and "tone replaced by colours" in output


def test_what_to_type_and_what_is_discarded_are_said(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    install_stand_in(monkeypatch)
    io.write_png("a.png", photo())
    assert "or give it new colours with --keep luma" in run_restore("a.png", "-o", "out").output
    output = run_restore("a.png", "-o", "out", "--keep", "luma").output
    assert "its own colours discarded; without --keep luma they stay" in output
    output = run_restore("a.png", "-o", "out2", "--keep", "none").output
    assert "its own colours discarded; without --keep none they stay" in output


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--variants", "3"], "--variants has no effect: the photo keeps its colours"),
        (["--palette", "a.png", "--saturation", "0.5"], "--palette and --saturation have no effect"),
        (["--reference", "b.png"], "--reference has no effect: the photo keeps its colours"),
        (["--variants", "3", "--tone", "keep"], "--variants has no effect: the photo keeps its tone"),
        (["--variants", "3", "--mask", "m.png"], "--variants has no effect: the photo keeps its colours"),
    ],
)
def test_options_without_effect_on_a_photograph_that_keeps_its_colours_are_said(tmp_path, monkeypatch, options, words):
    monkeypatch.chdir(tmp_path)
    stand_in = install_stand_in(monkeypatch)
    object.__setattr__(stand_in, "predicts_classes", True)
    object.__setattr__(stand_in, "saturation", 0.5 if "--saturation" in options else 1)
    io.write_png("a.png", photo())
    io.write_png("b.png", photo(1))
    io.write_png("toned.png", print_of("toned"))
    hole = np.zeros(photo().shape[:2], np.uint8)
    hole[5:9, 5:9] = 255
    io.write_png("m.png", hole)
    assert words in run_restore("toned.png" if "keep" in options else "a.png", "-o", "out", *options).output


def test_a_cast_of_a_gray_photograph_and_a_kept_tone_with_kept_colours(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    install_stand_in(monkeypatch)
    io.write_png("gray.png", print_of("gray"))
    io.write_png("toned.png", print_of("toned"))
    words = "--cast has no effect on a photo without colours"
    assert words in run_restore("gray.png", "-o", "out", "--cast", "0.5").output
    assert words not in run_restore("toned.png", "-o", "out", "--cast", "0.5").output
    for keep in ("rgb", "none"):
        output = run_restore("toned.png", "-o", "two", "--tone", "keep", "--keep", keep, code=2).output
        assert f"--tone keep and --keep {keep} can't be combined" in output


@pytest.mark.parametrize("kind", ["gray", "toned"])
def test_colours_in_a_print_that_are_discarded_are_said(tmp_path, monkeypatch, kind):
    monkeypatch.chdir(tmp_path)
    install_stand_in(monkeypatch)
    plain = print_of(kind)
    height, width = plain.shape[:2]
    sign = plain.copy()
    sign[height // 2 : height // 2 + height // 10, width // 2 : width // 2 + width // 10] = (200, 30, 30)
    faint = np.clip(plain.astype(int) + (5, 0, -5), 0, 255).astype(np.uint8)
    for name, rgb in {"plain": plain, "sign": sign, "framed": framed(plain), "faint": faint}.items():
        io.write_png(f"{name}.png", rgb)
        output = run_restore(f"{name}.png", "-o", "out", "--keep", "luma", "--mask", "none").output
        assert ("% of it discarded; --keep rgb keeps them" in output) == (name in ("sign", "framed")), name
    output = run_restore("sign.png", "-o", "again", "--mask", "none").output
    assert re.search(r"other colours on 1\.[0-4] % of it discarded", output)  # of one hundredth, and its soft edge
    if kind == "toned":
        assert "discarded" not in run_restore("sign.png", "-o", "kept", "--tone", "keep", "--mask", "none").output
    # Lost pixels have no colours of their own.
    io.write_png("m.png", (sign != plain).any(axis=2))
    assert "discarded" not in run_restore("sign.png", "-o", "masked", "--mask", "m.png", "--grow", 2).output


def faded(rgb):
    """Return a photograph with half of its colours, on yellow paper."""
    luma = integer_luma(rgb).astype(float)[..., None]
    return ((luma + 0.35 * (rgb - luma)) * [0.84, 0.78, 0.72] + [50, 44, 38]).clip(0, 255).astype(np.uint8)


def test_a_faded_photograph_in_colour_is_told_from_a_toned_print(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    count = len(io.find_images(sample.folder() / "photos"))
    toned = [index for index in range(count) if measure_toning(faded(photo(index))).kind == "toned"]
    weak = [index for index in toned if measure_toning(faded(photo(index))).has_weak_colors]
    assert weak
    for index in range(8):
        for mark in MARKS.values():
            noisy = mark(print_of("toned", index)) + rng.normal(0, 3, (*photo(index).shape[:2], 1))
            assert not measure_toning(noisy.clip(0, 255).astype(np.uint8)).has_weak_colors
    monkeypatch.chdir(tmp_path)
    install_stand_in(monkeypatch)
    io.write_png("a.png", faded(photo(weak[0])))
    note = "it may be a faded photo in colour; --keep rgb keeps its own colours"
    assert note in run_restore("a.png", "-o", "out").output
    assert note not in run_restore("a.png", "-o", "kept", "--tone", "keep").output
