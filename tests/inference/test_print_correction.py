"""`toolbox restore --contrast --cast --evenness --crop print` and `toolbox.restore` with a stand-in. 2 s."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from pictures import smooth
from prints import fade, on_table, picture, vignette, yellowed
from standins import FILL, install_stand_in, run_restore

import toolbox
from toolbox.color import integer_luma
from toolbox.imaging import io
from toolbox.prints.corrections import Corrections, correct_tones
from toolbox.prints.sheet import cut_sheet, find_sheet


@pytest.fixture
def stand_in(monkeypatch):
    return install_stand_in(monkeypatch)


def report(folder):
    return json.loads(Path(folder, "report.json").read_text("utf-8"))


def test_the_corrected_luma_is_what_the_restorer_gets(tmp_path, stand_in):
    faded = vignette(integer_luma(fade(picture())))
    io.write_png(tmp_path / "a.png", faded)
    result = run_restore(tmp_path / "a.png", "-o", "out", "--contrast", 1, "--evenness", 0.5, "--mask", "none")
    expected = correct_tones(faded, Corrections(contrast=1, evenness=0.5), np.zeros(faded.shape, bool))
    assert np.array_equal(stand_in.calls[0][1], expected) and not np.array_equal(expected, faded)
    assert "corrected: evenness 0.5, contrast 1" in result.output
    (record,) = report("out")["photos"]
    assert record["notes"] == ["corrected: evenness 0.5, contrast 1"]
    assert report("out")["results"]["a.png"]["flags"]["contrast"] == "1.0"


def test_strength_0_changes_nothing(tmp_path, stand_in):
    io.write_png(tmp_path / "a.png", integer_luma(fade(picture())))
    run_restore(tmp_path / "a.png", "-o", "plain")
    run_restore(tmp_path / "a.png", "-o", "zero", "--contrast", 0, "--cast", 0, "--evenness", 0, "--crop", "none")
    assert Path("plain/a.png").read_bytes() == Path("zero/a.png").read_bytes()


def test_a_gray_photo_has_no_cast_to_correct(tmp_path, stand_in):
    io.write_png(tmp_path / "a.png", integer_luma(picture()))
    result = run_restore(tmp_path / "a.png", "-o", "out", "--cast", 1)
    assert "corrected" not in result.output and np.array_equal(stand_in.calls[0][1], integer_luma(picture()))


def test_a_colour_photo_is_written_if_it_is_corrected(tmp_path, stand_in):
    faded = fade(picture())
    io.write_png(tmp_path / "a.png", faded)
    run_restore(tmp_path / "a.png", "-o", "out", "--contrast", 0.7, "--cast", 0.7, "--before-after")
    assert not stand_in.calls
    expected = correct_tones(faded, Corrections(contrast=0.7, cast=0.7), np.zeros(faded.shape[:2], bool))
    assert np.array_equal(io.read_rgb("out/a.png"), expected)
    both = io.read_rgb("out/a.png.before-after.png")
    assert np.array_equal(both[:, :160], faded) and np.array_equal(both[:, -160:], expected)


def test_a_mask_is_cut_with_the_sheet(tmp_path, stand_in):
    photo, _ = on_table(picture(240, 320))
    marked = np.zeros(photo.shape[:2], bool)
    marked[150:170, 200:240] = True
    io.write_png(tmp_path / "a.png", photo)
    io.write_png(tmp_path / "m.png", marked)
    result = run_restore(tmp_path / "a.png", "-o", "out", "--crop", "print", "--mask", tmp_path / "m.png", "--grow", 2)
    assert "cropped to the sheet" in result.output
    sheet = find_sheet(photo)
    keep, image, mask = stand_in.calls[0]
    assert keep == "rgb" and np.array_equal(image, cut_sheet(photo, sheet.corners))
    assert (mask >= cut_sheet(marked, sheet.corners)).all() and 0 < mask.mean() < 0.03
    assert io.read_rgb("out/a.png").shape == image.shape


def test_without_a_sheet_the_photo_is_not_cut(tmp_path, stand_in):
    io.write_png(tmp_path / "a.png", picture(240, 320))
    result = run_restore(tmp_path / "a.png", "-o", "out", "--crop", "print")
    assert "left as it is" in result.output and not stand_in.calls
    assert report("out")["photos"][0]["notes"] == ["not cropped: no sheet on a table was found"]


def test_a_second_run_adds_the_comparison_of_the_cut_print(tmp_path, stand_in):
    io.write_png(tmp_path / "a.png", on_table(picture(240, 320))[0])
    run_restore(tmp_path / "a.png", "-o", "out", "--crop", "print")
    run_restore(tmp_path / "a.png", "-o", "out", "--crop", "print", "--before-after")
    assert Path("out/a.png.before-after.png").exists()


def test_the_python_interface_gives_the_same(tmp_path, stand_in, monkeypatch):
    photo = fade(on_table(picture(240, 320))[0])
    marked = np.zeros(photo.shape[:2], bool)
    marked[150:170, 200:240] = True
    for name, pixels in (("a", photo), ("m", marked)):
        io.write_png(tmp_path / f"{name}.png", pixels)
    flags = ("--crop", "print", "--contrast", 1, "--cast", 1, "--mask", tmp_path / "m.png")
    run_restore(tmp_path / "a.png", "-o", "out", *flags)
    monkeypatch.setattr("toolbox.inference.arrays.load_restorer", lambda *a, **k: stand_in)
    pixels = toolbox.restore(tmp_path / "a.png", marked, crop="print", contrast=1, cast=1)
    assert np.array_equal(pixels, io.read_rgb("out/a.png")) and (pixels == FILL).any()


# ---- a yellowed gray print


YELLOWED = [
    ("--contrast 1", {"contrast": 1}),
    ("--cast 1", {"cast": 1}),
    ("--evenness 1", {"evenness": 1}),
    ("--contrast 1 --cast 0.5 --evenness 1", {"contrast": 1, "cast": 0.5, "evenness": 1}),
    ("--auto", {"auto": True}),
]


def write_strokes(path, shape):
    alpha = np.zeros(shape[:2], np.uint8)
    alpha[50:60, 30:90] = 255
    io.write_png(path, smooth(*alpha.shape), alpha=alpha)
    return path


@pytest.mark.parametrize(("flags", "options"), YELLOWED)
def test_a_yellowed_print_gets_colours_also_if_it_is_corrected(tmp_path, stand_in, monkeypatch, flags, options):
    photo = yellowed(picture())
    io.write_png(tmp_path / "a.png", photo)
    strokes = write_strokes(tmp_path / "strokes.png", photo.shape)
    result = run_restore(tmp_path / "a.png", "-o", "out", *flags.split(), "--hints", strokes)
    assert "toned" in result.output and "tone replaced by colours" in result.output and "no effect" not in result.output
    assert report("out")["photos"][0]["kind"] == "toned"
    monkeypatch.setattr("toolbox.inference.arrays.load_restorer", lambda *a, **k: stand_in)
    toolbox.restore(photo, hints=strokes, **options)
    asked = Corrections(**{"contrast": 1} if "auto" in options else options)
    corrected = integer_luma(correct_tones(photo, asked))
    assert len(stand_in.calls) == 2
    for keep, image, _ in stand_in.calls:
        assert keep == "luma" and np.array_equal(image, corrected)


def test_a_yellowed_print_on_a_table_gets_colours(tmp_path, stand_in):
    photo = on_table(yellowed(picture(240, 320)))[0]
    io.write_png(tmp_path / "a.png", photo)
    result = run_restore(tmp_path / "a.png", "-o", "out", "--crop", "print", "--contrast", 1)
    assert "cropped to the sheet" in result.output and "tone replaced by colours" in result.output
    assert [keep for keep, *_ in stand_in.calls] == ["luma"]


def test_a_corrected_print_that_keeps_its_tone_gets_no_colours(tmp_path, stand_in):
    photo, lost = yellowed(picture()), np.zeros((120, 160), bool)
    lost[40:60, 50:90] = True
    io.write_png(tmp_path / "a.png", photo)
    io.write_png(tmp_path / "m.png", lost)
    for number, corrections in enumerate((Corrections(contrast=1), Corrections(cast=1))):
        flags = ("--contrast", corrections.contrast, "--cast", corrections.cast, "--mask", tmp_path / "m.png")
        run_restore(tmp_path / "a.png", "-o", f"out{number}", "--tone", "keep", *flags)
        restored, corrected = io.read_rgb(f"out{number}/a.png"), correct_tones(photo, corrections, lost)
        assert np.array_equal(restored[~lost], corrected[~lost])
        # The filled part has the tone that known pixels of its luma have.
        known = corrected[~lost & (np.abs(integer_luma(corrected).astype(int) - FILL) <= 1)]
        assert np.abs(restored[lost].mean(0) - known.mean(0)).max() < 4


def test_strokes_on_a_corrected_photo_that_keeps_its_colours_are_refused(tmp_path, stand_in):
    io.write_png(tmp_path / "colour.png", picture())
    io.write_png(tmp_path / "toned.png", yellowed(picture()))
    strokes = write_strokes(tmp_path / "strokes.png", picture().shape)
    for name, *flags in (("colour",), ("colour", "--contrast", 1), ("toned", "--contrast", 1, "--tone", "keep")):
        result = run_restore(tmp_path / f"{name}.png", "-o", "out", *flags, "--hints", strokes, code=1)
        assert "strokes.png can't be used: the photo keeps its colours" in result.output
    # A gray photograph has no tone to keep, so it gets colours.
    io.write_png(tmp_path / "gray.png", integer_luma(picture()))
    run_restore(tmp_path / "gray.png", "-o", "out", "--tone", "keep", "--hints", strokes)
    assert len(stand_in.calls) == 1


def test_a_correction_that_has_no_effect_is_not_reported(tmp_path, stand_in):
    io.write_png(tmp_path / "a.png", integer_luma(picture()))
    assert "corrected" not in run_restore(tmp_path / "a.png", "-o", "out", "--cast", 1, "--keep", "rgb").output


# ---- --auto


def test_auto_does_what_is_needed_and_says_it(tmp_path, stand_in):
    album = tmp_path / "album"
    album.mkdir()
    faded = integer_luma(fade(picture(), (100,) * 3, (200,) * 3))
    io.write_png(album / "faded.png", faded)
    io.write_png(album / "gray.png", integer_luma(picture()))
    io.write_png(album / "sound.png", picture())
    io.write_png(album / "table.png", on_table(picture(240, 320))[0])
    result = run_restore(album, "-o", "out", "--auto", "--mask", "none")
    assert "--auto does not correct damage, uneven light and casts: `toolbox doctor --photo FILE`" in result.output
    lines = {line.split(" -> ")[0].rpartition("/")[2]: line for line in result.output.splitlines() if " -> " in line}
    assert "corrected: contrast 1" in lines["faded.png"] and "corrected" not in lines["gray.png"]
    assert "copied: it needs nothing; or give it new colours with --keep luma" in lines["sound.png"]
    assert "cropped to the sheet" in lines["table.png"]
    assert np.array_equal(io.read_rgb("out/sound.png"), picture())
    assert np.array_equal(stand_in.calls[0][1], correct_tones(faded, Corrections(contrast=1)))
    statuses = report("out")
    assert (statuses["restored"], statuses["copied"]) == (3, 1)
    # What needs nothing has the same pixels as without --auto.
    run_restore(album / "gray.png", "-o", "plain", "--mask", "none")
    assert Path("plain/gray.png").read_bytes() == Path("out/gray.png").read_bytes()
    again = run_restore(album, "-o", "out", "--auto", "--mask", "none")
    assert "4 there already" in again.output


def test_a_given_strength_is_not_changed_by_auto(tmp_path, stand_in):
    io.write_png(tmp_path / "a.png", integer_luma(fade(picture(), (100,) * 3, (200,) * 3)))
    result = run_restore(tmp_path / "a.png", "-o", "out", "--auto", "--contrast", 0)
    assert "corrected" not in result.output


def test_auto_from_python(tmp_path):
    faded = fade(picture(), (100,) * 3, (200,) * 3)
    assert np.array_equal(toolbox.restore(faded, auto=True), correct_tones(faded, Corrections(contrast=1)))
    assert np.array_equal(toolbox.restore(picture(), auto=True), picture())


def test_the_metadata_says_that_a_corrected_print_is_enhanced(tmp_path, stand_in):
    io.write_png(tmp_path / "a.png", fade(picture()))
    run_restore(tmp_path / "a.png", "-o", "out", "--contrast", 1, "--provenance")
    assert b"digitalsourcetype/algorithmicallyEnhanced" in Path("out/a.png").read_bytes()
