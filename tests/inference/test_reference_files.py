"""`toolbox restore --reference --hints --provenance` with files. About 5 s."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scenes import scene, second_photo, square_hole, tint_restorer
from standins import read_report, run_restore

from toolbox.color import integer_luma
from toolbox.errors import DataError
from toolbox.guidance.provenance import COLOURS, Origin
from toolbox.imaging import io
from toolbox.inference.hint_files import read_hints
from toolbox.inference.reference_files import read_references, unreadable_notes

SIDE = 320
HOLE = square_hole(SIDE, 130, 180)


@pytest.fixture
def album(tmp_path, monkeypatch):
    """A gray photograph with a flat shape, and a folder with its scene in colour, another scene, and no image."""
    monkeypatch.setattr("toolbox.inference.loading.load_restorer", lambda *_, **__: tint_restorer("luma"))
    gray = integer_luma(scene())
    gray[HOLE] = 99
    io.write_png(tmp_path / "photo.png", gray)
    (tmp_path / "others").mkdir()
    io.write_png(tmp_path / "others" / "a.png", scene(5))
    io.write_png(tmp_path / "others" / "b.png", second_photo(scene()))
    io.write_png(tmp_path / "others" / "copy.png", gray)
    (tmp_path / "others" / "c.png").write_bytes(b"no image")
    return tmp_path


def test_a_folder_of_references(album):
    out = album / "out"
    run_restore(album / "photo.png", "-o", out, "--reference", album / "others", "--provenance")
    restored, gray = io.read_rgb(out / "photo.png"), io.read_gray(album / "photo.png")
    assert np.array_equal(integer_luma(restored)[~HOLE], gray[~HOLE])
    assert np.abs(restored.astype(float) - scene()).mean() < 12
    (record,) = read_report(out)["photos"]
    assert list(record["references"]) == [str(album / "others" / "b.png")]
    assert record["origins"]["colour from reference"] > 0.7
    assert record["origins"]["filled from reference"] == pytest.approx(HOLE.mean(), rel=0.1)
    drawn = io.read_rgb(out / "photo.png.provenance.png")
    assert (drawn[155, 155] == COLOURS[Origin.FILLED_FROM_REFERENCE]).all()
    with Image.open(out / "photo.png") as opened:
        assert "digitalsourcetype/compositeWithTrainedAlgorithmicMedia" in opened.info["XML:com.adobe.xmp"]


def test_a_kept_tone_has_no_colours_from_a_reference(album):
    sepia = np.dstack([np.clip(io.read_gray(album / "photo.png").astype(int) + step, 0, 255) for step in (20, 5, -20)])
    io.write_png(album / "sepia.png", sepia.astype(np.uint8))
    reference = album / "others" / "b.png"
    run_restore(album / "sepia.png", "-o", album / "out", "--reference", reference, "--tone", "keep")
    (record,) = read_report(album / "out")["photos"]
    assert record["kind"] == "toned" and "colour from reference" not in record["origins"]
    assert record["references"] == {str(reference): record["origins"]["filled from reference"]}


def test_another_scene_gives_the_same_file(album):
    run_restore(album / "photo.png", "-o", album / "alone")
    run_restore(album / "photo.png", "-o", album / "out", "--reference", album / "others" / "a.png")
    assert (album / "out" / "photo.png").read_bytes() == (album / "alone" / "photo.png").read_bytes()
    assert "same scene" in read_report(album / "out")["photos"][0]["notes"][0]


@pytest.mark.parametrize("name", ["photo.png", "others/copy.png"])
def test_a_photo_is_no_reference_of_itself(album, name):
    assert not list(read_references([album / name], album / "photo.png", []))
    run_restore(album / "photo.png", "-o", album / "out", "--reference", album / name)
    (record,) = read_report(album / "out")["photos"]
    assert "the photo itself" in " ".join(record["notes"])
    assert "colour from reference" not in record["origins"]


def test_the_flat_shape_of_a_gray_reference_is_damage(album):
    (reference,) = read_references([album / "others" / "copy.png"], album / "others" / "a.png", [])
    assert np.array_equal(reference.damage, HOLE)


def test_an_unreadable_reference_fails_only_if_it_is_the_only_one(album):
    paths = [album / "others" / "c.png", album / "others" / "a.png"]
    unreadable = []
    assert len(list(read_references(paths, album / "photo.png", unreadable))) == 1 and unreadable == paths[:1]
    with pytest.raises(DataError, match=r"c\.png"):
        list(read_references(paths[:1], album / "photo.png", []))


@pytest.mark.parametrize("named", ["others", "others/b.png others/c.png"])
def test_references_that_are_not_used_are_named(album, monkeypatch, named):
    monkeypatch.chdir(album)
    for name in ("d.gif", "notes.txt"):
        (album / "others" / name).write_bytes(b"x")
    words = [word for path in named.split() for word in ("--reference", path)]
    result = run_restore("photo.png", "-o", "out", *words)
    assert "others/c.png can't be read: not used" in read_report(album / "out")["photos"][0]["notes"]
    assert ("1 file left out: .gif\n" in result.stdout) == (named == "others")


def test_a_folder_of_references_with_one_that_can_not_be_read(album, monkeypatch):
    (album / "others" / "locked").mkdir()
    original = Path.iterdir

    def iterdir(self):
        if self.name == "locked":
            raise PermissionError(13, "Permission denied")
        return original(self)

    monkeypatch.setattr(Path, "iterdir", iterdir)
    monkeypatch.chdir(album)
    for dry in ((), ("--dry-run",)):
        output = run_restore("photo.png", "-o", "out", "--reference", "others", *dry).output
        assert "others/locked can't be read as a folder: Permission denied\n" in output
    assert list(read_report(album / "out")["photos"][0]["references"]) == ["others/b.png"]
    assert read_report(album / "out")["left out"] == ["others/locked"]
    alone = run_restore("photo.png", "-o", "two", "--reference", "others/locked", code=1).output
    assert "--reference others/locked: others/locked can't be read as a folder: Permission denied" in alone


def test_many_unreadable_references_share_a_line():
    lines = unreadable_notes([Path(f"{number}.png") for number in range(9)])
    assert lines == ["9 references can't be read: not used"]


def test_a_reference_that_is_not_there_and_one_with_keep_none_are_refused(album):
    photo = album / "photo.png"
    result = run_restore(photo, "-o", album / "out", "--reference", album / "missing", code=2)
    assert "there is no such file or folder" in result.output
    result = run_restore(photo, "-o", album / "out", "--reference", album / "others", "--keep", "none", code=2)
    assert "leave one out" in result.output


def write_layer(path, *, side=SIDE, strokes=True, alpha=True, opacity=255):
    layer = np.zeros((side, side, 3), np.uint8)
    layer[60:63, 60:80] = (220, 30, 30)
    drawn = np.zeros((side, side), np.uint8)
    drawn[60:63, 60:80] = opacity * strokes
    io.write_png(path, layer, alpha=drawn if alpha else None)
    return path


def test_strokes_of_a_file(album):
    layer = write_layer(album / "hints.png")
    run_restore(album / "photo.png", "-o", album / "out", "--hints", layer, "--provenance")
    restored, gray = io.read_rgb(album / "out" / "photo.png"), io.read_gray(album / "photo.png")
    assert np.array_equal(integer_luma(restored)[~HOLE], gray[~HOLE])
    red, green, _ = restored[60:63, 60:80].astype(int).mean((0, 1))
    assert red > green + 30
    assert read_report(album / "out")["photos"][0]["origins"]["colour from hint"] > 0.001


def test_a_provenance_picture_does_not_replace_the_result(album):
    run_restore(album / "photo.png", "-o", album / "out")
    before = (album / "out" / "photo.png").read_bytes()
    run_restore(album / "photo.png", "-o", album / "out", "--provenance")
    assert (album / "out" / "photo.png").read_bytes() == before
    assert (album / "out" / "photo.png.provenance.png").exists()
    note = "it has no Digital Source Type: write it again with --overwrite"
    assert note in read_report(album / "out")["photos"][0]["notes"]


@pytest.mark.parametrize("suffix", [".png", ".tif", ".jpg", ".webp"])
def test_a_result_that_says_what_its_pixels_come_from_gets_no_note(album, suffix):
    photo = album / f"a{suffix}"
    Image.fromarray(io.read_gray(album / "photo.png")).save(photo)
    words = [photo, "-o", album / "out", "--provenance", "--format", "keep"]
    run_restore(*words)
    next((album / "out").glob("*.provenance.png")).unlink()
    run_restore(*words)
    notes = " ".join(read_report(album / "out")["photos"][0]["notes"])
    assert "the result is there already" in notes and "Digital Source Type" not in notes


def test_a_palette_that_is_gray_missing_or_without_use_is_refused(album):
    photo = album / "photo.png"
    result = run_restore(photo, "-o", album / "out", "--palette", photo, code=1)
    assert "is gray; choose a photo in colour" in result.output
    result = run_restore(photo, "-o", album / "out", "--palette", album / "missing", code=2)
    assert "there is no such file" in result.output
    result = run_restore(photo, "-o", album / "out", "--palette", photo, "--keep", "rgb", code=2)
    assert "no new colours" in result.output
    # These weights predict no classes of colours.
    result = run_restore(photo, "-o", album / "out", "--palette", album / "others" / "b.png", code=1)
    assert "predict classes of colours" in result.output


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"side": 300}, "300x300 and the photo 320x320"),
        ({"alpha": False}, "no strokes on a transparent layer"),
        ({"strokes": False}, "no strokes on a transparent layer"),
        ({"opacity": 100}, "no stroke that is at least half opaque; draw with full opacity"),
    ],
)
def test_a_layer_that_is_no_layer_of_strokes_is_refused(tmp_path, options, message):
    with pytest.raises(DataError, match=message):
        read_hints(write_layer(tmp_path / "hints.png", **options), (SIDE, SIDE))


def test_hints_are_for_one_photo_with_new_colours(album):
    layer = write_layer(album / "hints.png")
    result = run_restore(album / "others", "-o", album / "out", "--hints", layer, code=2)
    assert "for one photo, not for 4" in result.output
    result = run_restore(album / "photo.png", "-o", album / "out", "--hints", layer, "--keep", "rgb", code=2)
    assert "no new colours" in result.output
    result = run_restore(album / "others" / "b.png", "-o", album / "out", "--hints", layer, "--mask", layer, code=1)
    assert "keeps its colours" in result.output


def test_many_references_are_chosen_by_an_index(album, monkeypatch):
    monkeypatch.setenv("TOOLBOX_CACHE", str(album / "cache"))
    monkeypatch.setattr("toolbox.inference.reference_index.MIN_PHOTOS", 3)
    monkeypatch.setattr("toolbox.inference.reference_index.CANDIDATES", 2)
    run_restore(album / "photo.png", "-o", album / "out", "--reference", album / "others")
    (record,) = read_report(album / "out")["photos"]
    assert list(record["references"]) == [str(album / "others" / "b.png")]
    assert len(list((album / "cache" / "references").iterdir())) == 1
