"""A mask in the folder never passes for that of another photograph, and each photograph of an album gets its own."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from commands import invoke, invoke_error
from pictures import saved
from standins import run_restore

from toolbox import Detection, DetectorSpec
from toolbox.errors import DataError
from toolbox.hooks.catalog import Entry
from toolbox.imaging import io
from toolbox.inference.batch import make_report
from toolbox.masks.detectors import LoadedDetector
from toolbox.utils import locks


@pytest.fixture
def folders(tmp_path):
    """Two folders with different photographs of the same name and size, and one of another size."""
    for number, shape in enumerate(((20, 24, 3), (20, 24, 3), (24, 20, 3))):
        pixels = np.random.default_rng(number).integers(0, 256, shape, np.uint8)
        (tmp_path / f"in{number}").mkdir()
        io.write_png(tmp_path / f"in{number}" / "photo.png", pixels)
    return [tmp_path / f"in{number}" / "photo.png" for number in range(3)]


def test_a_second_command_knows_its_own_masks(folders):
    invoke("mask", folders[0], "-o", "masks")
    assert "there already" in invoke("mask", folders[0], "-o", "masks").stdout


def test_a_detector_that_is_the_default_is_no_other_option(folders):
    invoke("mask", folders[0], "-o", "masks")
    assert "there already" in invoke("mask", folders[0], "-o", "masks", "--detector", "painted-shape").stdout


@pytest.mark.parametrize("name", ["photo.png", "photo.damage.png"])
def test_a_mask_or_a_picture_beside_it_that_can_not_be_read_is_made_again(folders, name):
    invoke("mask", folders[0], "-o", "masks", "--damage")
    path = Path("masks") / name
    made = path.read_bytes()
    for left in (b"", made[:-20]):
        path.write_bytes(left)
        assert "there already" not in invoke("mask", folders[0], "-o", "masks", "--damage").stdout
        assert path.read_bytes() == made


def test_transparent_parts_are_in_the_mask_as_restore_fills_them(tmp_path):
    pixels = np.random.default_rng(1).integers(0, 256, (20, 24), np.uint8)
    alpha = np.full((20, 24), 255, np.uint8)
    alpha[3:9, 4:12] = 127
    io.write_png(tmp_path / "a.png", pixels, alpha=alpha)
    assert "10.00 % lost, 10.00 % transparent" in invoke("mask", tmp_path / "a.png", "-o", "masks").stdout
    assert np.array_equal(io.read_mask(tmp_path / "masks" / "a.png"), alpha == 127)
    damage = invoke("mask", tmp_path / "a.png", "-o", "two", "--damage").stdout
    assert "10.00 % transparent" in damage and io.read_mask(tmp_path / "two" / "a.png")[alpha == 127].all()


def test_what_is_missing_of_a_jpeg_is_not_called_transparent(tmp_path):
    data = saved(np.random.default_rng(1).integers(0, 256, (160, 120), np.uint8), "JPEG")
    (tmp_path / "a.jpg").write_bytes(data[: len(data) // 2])
    said = invoke("mask", tmp_path / "a.jpg", "-o", "masks").stdout
    assert "% lost; the file is cut short: " in said and "transparent" not in said


def test_max_pixels_changes_the_limit_and_no_mask(folders, tmp_path):
    small = invoke_error("mask", folders[0], "-o", "masks", "--max-pixels", 100, code=1)
    assert "more than the limit of 100: save a smaller copy, or raise the limit of `toolbox restore` and" in small
    invoke("mask", folders[0], "-o", "masks", "--max-pixels", 480)
    assert "there already" in invoke("mask", folders[0], "-o", "masks").stdout


def test_a_mask_of_another_photograph_is_refused(folders):
    invoke("mask", folders[0], "-o", "masks")
    error = invoke_error("mask", folders[1], "-o", "masks", code=1)
    assert f"is the mask of {folders[0]}; replace it with --overwrite" in error
    invoke("mask", folders[1], "-o", "masks", "--overwrite")
    assert "there already" in invoke("mask", folders[1], "-o", "masks").stdout


def test_a_mask_of_an_earlier_version_of_the_photograph_is_refused(folders):
    invoke("mask", folders[0], "-o", "masks")
    folders[0].write_bytes(folders[1].read_bytes())
    assert "an earlier version of this photograph" in invoke_error("mask", folders[0], "-o", "masks", code=1)


def test_a_mask_of_other_options_is_refused(folders):
    invoke("mask", folders[0], "-o", "masks")
    words = ("mask", folders[0], "-o", "masks", "--damage", "--sensitivity", "0.4")
    assert "made with other options (--damage default, now True; --sensitivity" in invoke_error(*words, code=1)
    invoke(*words, "--overwrite")
    assert "there already" in invoke(*words).stdout
    assert "--sensitivity 0.4, now 0.6" in invoke_error(*words[:-1], "0.6", code=1)


@pytest.mark.parametrize("record", [None, b"{", b"[1]", b'{"photo.png": 3}', b'{"photo.png": {"x": 1}}'])
def test_a_mask_without_a_record_is_judged_by_its_size(folders, tmp_path, record):
    (tmp_path / "masks").mkdir()
    io.write_png(tmp_path / "masks" / "photo.png", np.full((20, 24), 255, np.uint8))
    if record is not None:
        (tmp_path / "masks" / ".masks.json").write_bytes(record)
    assert "there already" in invoke("mask", folders[0], "-o", "masks").stdout
    assert "24x20 pixels, and this photograph 20x24" in invoke_error("mask", folders[2], "-o", "masks", code=1)


def test_what_is_no_picture_is_no_mask(folders, tmp_path):
    (tmp_path / "masks" / "photo.png").mkdir(parents=True)
    assert "is a folder" in invoke_error("mask", folders[0], "-o", "masks", code=1)


def test_an_album_has_a_mask_for_each_photograph_where_restore_looks_for_it(tmp_path, monkeypatch):
    for number, name in enumerate(("a.png", "a.jpg", "sub/a.png", "b.png", "b.damage.png")):
        path = tmp_path / "album" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(
            io.encode(np.full((20, 24, 3), 40 * number, np.uint8), name[-3:].upper().replace("JPG", "JPEG"))[0]
        )
    (tmp_path / "album" / "gone.png").symlink_to("nowhere")
    monkeypatch.setattr("toolbox.inference.photo_search.io.list_images", unreadable("locked", io.list_images))
    (tmp_path / "album" / "locked").mkdir()
    output = invoke("mask", tmp_path / "album", "-o", "masks", "--damage", code=3).output
    assert "gone.png" in output and "locked can't be read" in output
    masks = sorted(path.relative_to("masks").as_posix() for path in Path("masks").rglob("*.png"))
    stems = ("a.jpg", "a.png", "b.png", "sub/a", "b.damage")
    assert masks == sorted(f"{stem}{kind}.png" for stem in stems for kind in ("", ".damage"))
    result = run_restore(tmp_path / "album", "-o", "out", "--mask", "masks", "--keep", "luma", code=3)
    assert "has no mask" not in result.stdout
    assert "gone.png: failed: can't be used: No such file or directory\n" in result.stdout


def unreadable(name, list_images):
    """Return `list_images` with an error for the folder of this name."""

    def read(folder):
        if folder.name == name:
            raise DataError(f"{folder} can't be read as a folder: no permission")
        return list_images(folder)

    return read


@pytest.mark.parametrize(
    ("kinds", "words"),
    [((), "other finds no kinds of damage; use --damage instead"), (("tear",), "other gave none for this photo\n")],
)
def test_probabilities_that_a_detector_does_not_give_are_not_passed_over(folders, monkeypatch, kinds, words):
    found = invoke("mask", folders[0], "-o", "m", "--probabilities").stdout
    assert "painted-shape finds no kinds of damage; add --damage" in found

    def build(params):
        return lambda image: Detection(mask=np.zeros(image.shape[:2], bool), probabilities={})

    spec = DetectorSpec(name="other", summary="Nothing", build=build, kinds=kinds)
    entry = Entry(kind="detector", spec=spec, plugin="mine", distribution="", version="")
    loaded = LoadedDetector(name="other", detect=build(None), entry=entry)
    monkeypatch.setattr("toolbox.inference.detectors.find_detector", lambda name, catalog: loaded)
    output = invoke("mask", folders[0], "-o", "m2", "--probabilities", "--detector", "other").stdout
    assert f"--probabilities writes nothing: {words}" in output


@pytest.mark.parametrize("error", [MemoryError(), cv2.error("std::bad_alloc")])
def test_memory_that_runs_out_for_one_photograph_does_not_end_an_album(folders, tmp_path, monkeypatch, error):
    album = tmp_path / "album"
    for folder in folders[:2]:
        shutil.copytree(folder.parent, album / folder.parent.name)
    calls = []

    def hungry(image):
        calls.append(image)
        if len(calls) == 1:
            raise error
        return np.zeros(image.shape[:2], bool)

    monkeypatch.setattr("toolbox.masks.detectors.find_painted_shape", hungry)
    result = invoke("mask", album, "-o", "masks", code=3)
    assert f"toolbox: {album / 'in0' / 'photo.png'}: Memory ran out. Close other programs" in result.stderr
    assert Path("masks/in1/photo.png").is_file()


def test_two_commands_do_not_write_into_one_folder_at_once(folders):
    for name, words in ((".masks.lock", ("mask",)), (".report.json.lock", ("restore", "--mask", "none"))):
        out = Path(words[0])
        out.mkdir()
        with locks.hold_lock(out / name):
            assert "Another process" in invoke_error(words[0], folders[0], *words[1:], "-o", out, code=1)
        invoke(words[0], folders[0], *words[1:], "-o", out)


def test_masks_do_not_go_among_results(folders):
    Path("results").mkdir()
    Path("results/report.json").write_text(json.dumps(make_report([], 0)))
    assert "has results of `toolbox restore`" in invoke_error("mask", folders[0], "-o", "results")


def test_records_that_cannot_be_written_take_no_results(folders):
    Path("masks/.masks.json").mkdir(parents=True)
    result = invoke("mask", folders[0], "-o", "masks", "--json", code=1)
    assert json.loads(result.stdout)[0]["mask"] == "masks/photo.png"
    assert ".masks.json can't be written: a folder has that name" in result.stderr
