"""`toolbox restore` from end to end with tiny weights: results, refusals, protected files."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import zipfile

import numpy as np
import pytest
from click.testing import CliRunner
from pictures import smooth
from PIL import Image
from standins import StandIn, install, run_restore
from toolbox_plugins.default.lost_region import damage

from toolbox.cli import main
from toolbox.color import integer_luma
from toolbox.data import sample
from toolbox.imaging.io import find_images, read, read_rgb, write_png


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Train one step of a tiny generator and return its run folder."""
    folder = tmp_path_factory.mktemp("weights")
    tiny = ["--set", "generator.width=4", "--set", "generator.levels=2", "--set", "discriminator.enabled=false"]
    tiny += ["--set", "losses.lsgan.enabled=false", "--set", "penalties.gradient.enabled=false", "--size", "32"]
    arguments = ["run", *tiny, "--steps", "1", "--set", "data.repeat=1", "--device", "cpu", "--out", folder / "run"]
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    return folder / "run"


@pytest.fixture
def restore(weights):
    def call(*arguments, code=0):
        words = ["restore", "--weights", weights, "--device", "cpu", *arguments]
        result = CliRunner().invoke(main, [str(word) for word in words])
        assert result.exit_code == code, result.output
        return result

    return call


def truth(index=0, height=60, width=80):
    path = find_images(sample.folder() / "photos")[index]
    return read_rgb(path)[:height, :width]


@pytest.fixture
def gray(tmp_path):
    """Write a gray photograph with a lost region; return its path, its pixels and the mask."""
    pixels, mask = damage(truth(), np.random.default_rng(1))
    (tmp_path / "in").mkdir()
    write_png(tmp_path / "in" / "old.png", pixels)
    return tmp_path / "in" / "old.png", pixels, mask


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_gray_photo_gets_colours_and_keeps_its_luma(tmp_path, gray, restore):
    path, pixels, mask = gray
    before = digest(path)
    result = restore(path, "-o", tmp_path / "out")
    restored = read_rgb(tmp_path / "out" / "old.png")
    assert restored.shape == (*pixels.shape, 3)
    assert np.array_equal(integer_luma(restored)[~mask], pixels[~mask])
    assert not np.array_equal(integer_luma(restored)[mask], pixels[mask])
    assert f"{100 * mask.mean():.1f} % lost" in result.output and "(gray," in result.output
    assert digest(path) == before


def test_photographs_that_are_left_as_they_are_count_as_undamaged_too(tmp_path, restore):
    (tmp_path / "in").mkdir()
    write_png(tmp_path / "in" / "gray.png", integer_luma(truth()))
    write_png(tmp_path / "in" / "colour.png", smooth(48, 64))
    output = restore(tmp_path / "in", "-o", tmp_path / "out").output
    assert "1 left as it is, 1 restored" in output and "No lost region was found in 2 of 2." in output
    assert "No lost region" not in restore(tmp_path / "in" / "colour.png", "-o", tmp_path / "one").output


def test_photographs_that_were_not_examined_do_not_count_as_undamaged(tmp_path, restore):
    (tmp_path / "in").mkdir()
    write_png(tmp_path / "in" / "a.png", integer_luma(truth()))
    restore(tmp_path / "in", "-o", tmp_path / "out")
    write_png(tmp_path / "in" / "b.png", integer_luma(truth()))
    (tmp_path / "in" / "c.png").write_bytes(b"no picture")
    output = restore(tmp_path / "in", "-o", tmp_path / "out", code=3).output
    assert "1 there already" in output and "1 failed" in output and "No lost region was found in 1 of 1." in output


def test_without_a_lost_region_a_hint_is_printed(tmp_path, restore):
    (tmp_path / "in").mkdir()
    write_png(tmp_path / "in" / "undamaged.png", integer_luma(truth()))
    hint = "No lost region was found in 1 of 1. Find scratches and stains with --repair."
    assert hint in restore(tmp_path / "in", "-o", tmp_path / "out").output
    assert hint not in restore(tmp_path / "in", "-o", tmp_path / "other", "--mask", "none").output


def test_results_are_written_into_a_submission(tmp_path, gray, restore):
    shutil.copy(gray[0], gray[0].with_name("two.png"))
    archive = tmp_path / "zips" / "submission.zip"
    assert f"Submission: {archive}" in restore(gray[0].parent, "-o", tmp_path / "out", "--zip", archive).output
    with zipfile.ZipFile(archive) as zipped:
        assert zipped.namelist() == ["old.png", "two.png"]
        assert zipped.read("old.png") == (tmp_path / "out" / "old.png").read_bytes()
    words = [gray[0].parent, "-o", tmp_path / "out", "--zip"]
    assert "exists; remove it, or choose another name" in restore(*words, archive, code=2).stderr
    # An existing file is never replaced.
    assert "must end in .zip" in restore(*words, gray[0], code=2).stderr
    # A result that cannot be a member is refused before anything is restored.
    Image.fromarray(gray[1]).save(gray[0].with_name("three.tif"))
    assert "three.tif becomes .tif" in restore(*words, tmp_path / "new.zip", code=1).stderr
    Image.fromarray(gray[1]).save(gray[0].with_name("two.jpg"))
    assert "would both be two.png" in restore(*words, tmp_path / "new.zip", code=1).stderr
    assert not (tmp_path / "out" / "three.tif").exists() and not (tmp_path / "new.zip").exists()


def test_a_submission_that_is_not_what_the_run_has_scored_is_said(tmp_path, gray, monkeypatch):
    line = "add --keep none"
    for number, (keep, words, is_said) in enumerate(
        [
            ("none", [], True),
            ("none", ["--keep", "none"], False),
            ("none", ["--keep", "luma"], False),
            ("luma", [], False),
        ]
    ):
        install(monkeypatch, StandIn(keep=keep))
        archive = tmp_path / f"{number}.zip"
        output = run_restore(gray[0], "-o", tmp_path / str(number), "--zip", archive, *words).output
        assert (line in output) == is_said, (keep, words)
    install(monkeypatch, StandIn(keep="none"))
    assert line not in run_restore(gray[0], "-o", tmp_path / "plain").output


def test_a_folder_that_takes_no_submission_is_refused_before_the_work(tmp_path, gray, restore):
    words = [gray[0].parent, "-o", tmp_path / "out", "--zip", gray[0] / "new.zip"]
    assert "a part of its path is a file" in restore(*words, code=1).stderr
    assert not (tmp_path / "out").exists()


def test_a_submission_needs_every_photograph(tmp_path, gray, restore):
    write_png(gray[0].with_name("colour.png"), truth(1))
    words = [gray[0].parent, "-o", tmp_path / "out", "--zip", tmp_path / "new.zip"]
    message = restore(*words, code=1).stderr
    assert "No submission was written, because these were left as they are" in message and "colour.png. To" in message
    assert "with --overwrite and --keep luma, or --keep none" in message and not (tmp_path / "new.zip").exists()
    (gray[0].parent / "broken.png").write_bytes(b"x")
    assert "No submission was written, because these failed: " in restore(*words, code=3).output
    (gray[0].parent / "broken.png").unlink()
    restore(*words, "--overwrite", "--keep", "luma")
    assert (tmp_path / "new.zip").exists()


def test_a_colour_photo_keeps_its_known_pixels_bit_for_bit(tmp_path, restore):
    photo = truth(1)
    mask = np.zeros(photo.shape[:2], bool)
    mask[10:30, 20:50] = True
    damaged = photo.copy()
    damaged[mask] = 255
    write_png(tmp_path / "a.png", damaged)
    write_png(tmp_path / "m.png", mask)
    restore(tmp_path / "a.png", "-o", tmp_path / "out", "--mask", tmp_path / "m.png")
    restored = read_rgb(tmp_path / "out" / "a.png")
    assert np.array_equal(restored[~mask], photo[~mask])
    assert not (restored[mask] == 255).all()
    # The same with a colour instead of a mask, and with transparency.
    restore(tmp_path / "a.png", "-o", tmp_path / "color", "--color", "#ffffff", "--tolerance", 0)
    by_color = damaged.min(axis=2) == 255
    assert np.array_equal(read_rgb(tmp_path / "color" / "a.png")[~by_color], photo[~by_color])
    write_png(tmp_path / "rgba.png", photo, alpha=np.where(mask, 0, 255).astype(np.uint8))
    result = restore(tmp_path / "rgba.png", "-o", tmp_path / "out")
    assert f"{100 * mask.mean():.1f} % lost" in result.output
    assert np.array_equal(read_rgb(tmp_path / "out" / "rgba.png")[~mask], photo[~mask])


def test_an_undamaged_colour_photo_is_left_with_a_reason(tmp_path, restore):
    write_png(tmp_path / "a.png", truth(1))
    result = restore(tmp_path / "a.png", "-o", tmp_path / "out")
    assert "left as it is: in colour, and nothing of it is lost" in result.output
    assert not (tmp_path / "out" / "a.png").exists()


def test_grow_widens_the_lost_region(tmp_path, gray, restore):
    path, _, mask = gray
    report = []
    for name, extra in (("a", []), ("b", ["--grow", "3"])):
        restore(path, "-o", tmp_path / name, *extra)
        report.append(json.loads((tmp_path / name / "report.json").read_text("utf-8"))["photos"][0]["lost"])
    assert report[0] == pytest.approx(mask.mean()) and report[1] > report[0]


def test_depth_exif_and_orientation(tmp_path, restore):
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "grandmother"
    deep = (truth()[..., 0].astype(np.uint16) * 257) ^ 1
    write_png(tmp_path / "deep.png", deep)
    Image.fromarray(integer_luma(truth())).save(tmp_path / "turned.jpg", quality=95, exif=exif)
    restore(tmp_path / "deep.png", tmp_path / "turned.jpg", "-o", tmp_path / "out", "--mask", "none")
    found = read(tmp_path / "out" / "deep.png")
    assert found.pixels.dtype == np.uint16 and found.pixels.shape == (*deep.shape, 3)
    with Image.open(tmp_path / "out" / "turned.png") as opened:
        assert opened.size == (60, 80)  # upright
        kept = opened.getexif()
        assert kept[0x010E] == "grandmother" and kept.get(0x0112, 1) == 1


@pytest.mark.parametrize(("name", "kind"), [("a.jpg", "PNG"), ("a.webp", "PNG"), ("a.bmp", "PNG"), ("a.tif", "TIFF")])
def test_the_format_of_the_result(tmp_path, restore, name, kind):
    Image.fromarray(integer_luma(truth())).save(tmp_path / name)
    restore(tmp_path / name, "-o", tmp_path / "out", "--mask", "none")
    (result,) = [path for path in (tmp_path / "out").iterdir() if path.suffix != ".json"]
    with Image.open(result) as opened:
        assert opened.format == kind and opened.mode == "RGB"
    result = restore(tmp_path / name, "-o", tmp_path / "kept", "--mask", "none", "--format", "keep")
    (path,) = [path for path in (tmp_path / "kept").iterdir() if path.suffix != ".json"]
    assert path.suffix == (".png" if name == "a.bmp" else f".{name[2:]}")
    assert ("loses a little" in result.output) == (name in ("a.jpg", "a.webp"))


def test_7_of_100_fail_and_a_rerun_restores_the_missing_ones(tmp_path, restore):
    folder = tmp_path / "in"
    folder.mkdir()
    small = integer_luma(truth(0, 33, 35))
    for index in range(100):
        write_png(folder / f"{index:03d}.png", np.roll(small, index))
    bad = [f"{index:03d}.png" for index in (3, 17, 40, 41, 60, 88, 99)]
    for name in bad:
        data = (folder / name).read_bytes()
        (folder / name).write_bytes(data[: len(data) // 2])
    originals = {path.name: digest(path) for path in folder.iterdir()}
    result = restore(folder, "-o", tmp_path / "out", "--mask", "none", code=3)
    assert "93 restored, 7 failed" in result.output
    assert [line.split(":")[1].strip() for line in result.output.splitlines() if line.startswith("  failed")] == [
        str(folder / name) for name in bad
    ]
    report = json.loads((tmp_path / "out" / "report.json").read_text("utf-8"))
    assert report["restored"] == 93 and report["failed"] == 7
    assert all(record["reason"] for record in report["photos"] if record["status"] == "failed")
    assert len(list((tmp_path / "out").glob("*.png"))) == 93
    assert originals == {path.name: digest(path) for path in folder.iterdir()}
    # One photograph is repaired and one result is removed: the rerun restores these two.
    write_png(folder / bad[0], small)
    (tmp_path / "out" / "000.png").unlink()
    stamp = (tmp_path / "out" / "001.png").stat().st_mtime_ns
    again = restore(folder, "-o", tmp_path / "out", "--mask", "none", code=3)
    assert "92 there already" in again.output and "2 restored" in again.output and "6 failed" in again.output
    assert (tmp_path / "out" / "001.png").stat().st_mtime_ns == stamp
    restore(folder, "-o", tmp_path / "out", "--mask", "none", "--overwrite", code=3)
    assert (tmp_path / "out" / "001.png").stat().st_mtime_ns != stamp


def test_a_dry_run_writes_nothing_and_loads_nothing(tmp_path, gray):
    path, _, _ = gray
    words = ["restore", str(path), "-o", str(tmp_path / "out"), "--dry-run", "--weights", "no-such"]
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 0 and f"{path} -> {tmp_path / 'out' / 'old.png'} (would be written)" in result.output
    assert not (tmp_path / "out").exists()


def test_results_do_not_replace_originals(tmp_path, gray, restore):
    path, _, _ = gray
    before = digest(path)
    assert "own folder" in restore(path, "-o", path.parent, code=2).stderr
    (tmp_path / "link").symlink_to(path.parent)
    assert "own folder" in restore(path.parent, "-o", tmp_path / "link", code=2).stderr
    # A hard link in the output folder is the photograph itself.
    (tmp_path / "out").mkdir()
    os.link(path, tmp_path / "out" / "old.png")
    result = restore(path, "-o", tmp_path / "out", "--overwrite", code=1)
    assert "is one of the photographs;" in result.output
    assert digest(path) == before


def test_the_before_and_after_picture_has_both_side_by_side(tmp_path, gray, restore):
    path, pixels, _ = gray
    restore(path, "-o", tmp_path / "out", "--before-after")
    both = read_rgb(tmp_path / "out" / "old.png.before-after.png")
    assert both.shape == (60, 2 * 80 + 8, 3)
    assert np.array_equal(both[:, :80, 0], pixels)
    assert np.array_equal(both[:, 88:], read_rgb(tmp_path / "out" / "old.png"))


def test_a_sepia_photo_is_coloured_or_keeps_its_tone(tmp_path, restore):
    gray = integer_luma(truth(0, 128, 160)).astype(float)
    sepia = np.clip(gray[..., None] * [1.07, 0.95, 0.78], 0, 255).astype(np.uint8)
    mask = np.zeros(gray.shape, bool)
    mask[40:60, 50:80] = True
    write_png(tmp_path / "s.png", np.where(mask[..., None], np.uint8(255), sepia))
    write_png(tmp_path / "m.png", mask)
    result = restore(tmp_path / "s.png", "-o", tmp_path / "c", "--mask", tmp_path / "m.png")
    assert "(toned," in result.output and "tone replaced by colours" in result.output
    restore(tmp_path / "s.png", "-o", tmp_path / "t", "--mask", tmp_path / "m.png", "--tone", "keep")
    kept = read_rgb(tmp_path / "t" / "s.png")
    assert np.array_equal(kept[~mask], sepia[~mask])
    # Sepia has more red than blue.
    assert (kept[mask][:, 0].astype(int) - kept[mask][:, 2]).mean() > 10


def test_stdout_has_only_json(tmp_path, gray, restore):
    found = json.loads(restore(gray[0], "-o", tmp_path / "out", "--json").stdout)
    assert [record["status"] for record in found["photos"]] == ["restored"] and found["restored"] == 1
    assert found == json.loads((tmp_path / "out" / "report.json").read_text("utf-8"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["{tmp}/none.png", "-o", "{tmp}/out"], "none.png: there is no such file or folder."),
        (["{photo}", "-o", "{tmp}/out", "--mask", "{tmp}/no"], "--mask {tmp}/no: there is no such file or folder"),
        (["{photo}", "{photo2}", "-o", "{tmp}/out", "--mask", "{photo}"], "is one mask for 2 photos"),
        (["{photo}", "-o", "{tmp}/out", "--color", "white"], "--color white is not a colour; write it as '#ffffff'"),
        (["{photo}", "-o", "{tmp}/out", "--weights", "lumma"], "'lumma' is not known"),
        (["{photo}", "-o", "{photo2}/x"], "can't"),
    ],
)
def test_wrong_input_is_one_line(tmp_path, gray, restore, arguments, message):
    path = gray[0]
    other = tmp_path / "other.png"
    shutil.copy(path, other)
    values = {"tmp": tmp_path, "photo": path, "photo2": other}
    result = restore(*[word.format(**values) for word in arguments], code=2 if "can't" not in message else 1)
    assert message.format(**values) in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


def test_the_message_for_a_wrong_mask_size_has_both_sizes(tmp_path, gray, restore):
    write_png(tmp_path / "m.png", np.ones((10, 12), bool))
    result = restore(gray[0], "-o", tmp_path / "out", "--mask", tmp_path / "m.png", code=1)
    assert "m.png is 12x10 and" in result.output and "old.png 80x60; a mask must have the size" in result.output


def test_a_folder_of_masks_needs_one_for_each_photograph(tmp_path, gray, restore):
    path, pixels, mask = gray
    write_png(path.parent / "two.png", pixels)
    (tmp_path / "masks").mkdir()
    write_png(tmp_path / "masks" / "old.png", mask)
    result = restore(path.parent, "-o", tmp_path / "out", "--mask", tmp_path / "masks", code=3)
    assert "1 restored, 1 failed" in result.output and "has no mask for two.png" in result.output


def test_transparency_of_an_image_editor_is_a_mask(tmp_path, gray, restore):
    path, pixels, mask = gray
    stream = io.BytesIO()
    Image.fromarray(np.dstack([pixels, np.where(mask, 0, 255).astype(np.uint8)]), "LA").save(stream, "PNG")
    (tmp_path / "la.png").write_bytes(stream.getvalue())
    restore(tmp_path / "la.png", "-o", tmp_path / "out")
    restored = read_rgb(tmp_path / "out" / "la.png")
    assert np.array_equal(integer_luma(restored)[~mask], pixels[~mask])
