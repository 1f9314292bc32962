"""`toolbox restore` on folders: protected files, reruns, signals, several processes. About 2 s."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from pictures import saved
from PIL import Image
from standins import digests, gray, install_stand_in, read_report, run_restore, write_album

from toolbox.cli import restore as restore_command
from toolbox.imaging import io
from toolbox.utils import temporary_files


@pytest.fixture
def stand_in(monkeypatch):
    return install_stand_in(monkeypatch)


@pytest.fixture
def restore(stand_in):
    return run_restore


@pytest.fixture
def album(tmp_path):
    return write_album(tmp_path / "album")


# ---- protected files


def test_an_original_is_not_replaced_through_another_name(album, restore):
    Image.fromarray(gray()).save(album / "sub" / "d.jpg")
    before = digests(album)
    Path("out").mkdir()
    os.link(album / "b.png", "out/a.png")  # the result of a would replace b
    Path("out/sub").symlink_to(album / "sub")
    Path("out/b.png").symlink_to(album / "b.png")
    result = restore(album, "-o", "out", "--mask", "none", "--overwrite", code=3)
    assert "a.png: failed: out/a.png is one of the photographs; choose another folder with -o" in result.output
    assert "c.png: failed: out/sub/c.png is one of the photographs" in result.output
    assert "d.jpg: failed: out/sub/d.png would be among the photographs; choose another folder with -o" in result.output
    # The link is replaced; the file that it leads to is not changed.
    assert not Path("out/b.png").is_symlink() and read_report(Path("out"))["restored"] == 1
    assert digests(album) == before


def test_a_before_and_after_picture_does_not_replace_an_original(album, restore):
    before = digests(album)
    Path("out").mkdir()
    os.link(album / "a.png", "out/b.png.before-after.png")
    result = restore(album, "-o", "out", "--mask", "none", "--overwrite", "--before-after", code=3)
    assert "out/b.png.before-after.png is one of the photographs" in result.output
    assert digests(album) == before


def test_results_do_not_go_into_the_folder_of_masks(album, tmp_path, restore):
    masks = tmp_path / "masks"
    (masks / "sub").mkdir(parents=True)
    for name in ("a.png", "b.png", "sub/c.png"):
        io.write_png(masks / name, np.zeros((48, 64), bool))
    for mask in (masks, masks / "a.png"):
        photos = album if mask is masks else album / "a.png"
        result = restore(photos, "-o", masks, "--mask", mask, "--overwrite", code=2)
        assert result.stderr == (
            f"toolbox: -o {masks} is the masks' own folder; choose another, so that none is overwritten.\n"
        )


def test_a_folder_with_the_name_of_a_result(album, restore):
    Path("out/a.png").mkdir(parents=True)
    for extra in ([], ["--overwrite"]):
        result = restore(album, "-o", "out", "--mask", "none", *extra, code=3)
        assert (
            "a.png: failed: out/a.png can't be written: a folder has that name; choose another with -o" in result.output
        )


def test_names_that_some_disks_treat_as_equal_have_different_results(tmp_path, restore):
    album = tmp_path / "album"
    album.mkdir()
    shades = {"a.jpg": 40, "a.png": 80, "A.png": 120, "b.png": 160, "\u00e9.png": 200, "e\u0301.png": 220}
    for name, shade in shades.items():
        Image.fromarray(np.full((16, 16), shade, np.uint8)).save(album / name)
    before = digests(album)
    restore(album, "-o", "out", "--mask", "none")
    results = {Path(record["photo"]).name: Path(record["result"]) for record in read_report(Path("out"))["photos"]}
    assert {name: int(io.read_rgb(results[name]).mean()) for name in shades} == shades
    folded = {unicodedata.normalize("NFC", path.name).casefold() for path in results.values()}
    assert len(folded) == len(shades) and digests(album) == before


def descend(folder, length, monkeypatch):
    """Change to a nested folder below `folder` whose path has `length` bytes; make it step by step."""
    monkeypatch.chdir(folder)
    left = length - len(os.fsencode(folder))
    while left > 2:
        name = "\u00fc" * (min(left - 1, 200) // 2)
        os.mkdir(name)
        os.chdir(name)
        left -= 1 + len(os.fsencode(name))


def test_the_longest_path_that_a_system_takes(tmp_path, restore, monkeypatch):
    album = tmp_path / "album"
    album.mkdir()
    # With the names of the temporary file and of the result's folder, this is close to the limit of 4,095 bytes.
    descend(album, 4000, monkeypatch)
    io.write_png("a.png", gray())
    monkeypatch.chdir(tmp_path)
    restore(album, "-o", "out", "--mask", "none")
    (path,) = Path("out").rglob("*.png")
    assert np.array_equal(io.read_rgb(path)[..., 0], gray())
    # In a deeper output folder the path of this result is too long: it fails in one line, and the others succeed.
    io.write_png(album / "b.png", gray())
    out = tmp_path / ("u" * 200)
    result = restore(album, "-o", out, "--mask", "none", code=3)
    assert "1 failed" in result.output and "File name too long" in result.output and read_report(out)["restored"] == 1


def test_folders_with_too_long_a_path_fail_in_one_line(tmp_path, restore, monkeypatch):
    album = tmp_path / "album"
    album.mkdir()
    for depth in (4094, 4300):
        descend(album, depth, monkeypatch)
        io.write_png("a.png", gray())
        monkeypatch.chdir(tmp_path)
        result = restore(album, "-o", "out", "--mask", "none", code=1)
        assert "File name too long" in result.output and len(result.output.splitlines()) == 1
        shutil.rmtree(album)
        album.mkdir()


# ---- many photographs


def test_a_rerun_adds_before_and_after_pictures_and_changes_nothing_else(album, restore, stand_in):
    restore(album, "-o", "out", "--mask", "none")
    temporary_files.temporary_path(Path("out/a.png"), pid=999999).touch()
    temporary_files.temporary_path(Path("out/sub/c.png"), pid=999999).touch()
    first = digests("out")
    restore(album, "-o", "out", "--mask", "none", "--before-after")
    assert len(stand_in.calls) == 3 and read_report(Path("out"))["there already"] == 3
    both = io.read_rgb("out/sub/c.png.before-after.png")
    assert both.shape == (48, 2 * 64 + 8, 3) and np.array_equal(both[:, 72:], io.read_rgb("out/sub/c.png"))
    after = digests("out")
    results = {path for path in first if path.suffix == ".png"}
    assert {path: after[path] for path in results} == {path: first[path] for path in results}
    assert not list(Path("out").rglob("*.tmp")) and len(after) == 7


def test_results_inside_the_album_are_not_photographs(album, restore, stand_in):
    for _ in range(2):
        restore(album, "-o", album / "restored", "--mask", "none")
    assert len(stand_in.calls) == 3
    assert restore(album, "-o", album / "sub", code=2).stderr.endswith(
        "has photographs that are not results; choose another folder.\n"
    )


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_stops_after_the_current_photo(album, restore, stand_in, number, code):
    object.__setattr__(stand_in, "before_call", lambda count: os.kill(os.getpid(), number) if count == 1 else None)
    result = restore(album, "-o", "out", "--mask", "none", code=code)
    assert "Stopped with 1 left; run the same command again to continue." in result.output
    found = read_report(Path("out"))
    assert (found["restored"], found["not reached"]) == (2, 1)
    assert sorted(path.name for path in Path("out").rglob("*.png")) == ["a.png", "b.png"]
    restore(album, "-o", "out", "--mask", "none")
    assert len(stand_in.calls) == 3


def test_a_photo_that_fails_in_the_restorer_does_not_stop_the_others(album, restore, stand_in):
    def fail_first(count):
        if count == 0:
            stand_in.calls.append(None)
            raise KeyError("a line\nand another")

    object.__setattr__(stand_in, "before_call", fail_first)
    result = restore(album, "-o", "out", "--mask", "none", code=3)
    assert "a.png: failed: KeyError: 'a line\\nand another'" in result.output
    assert read_report(Path("out"))["restored"] == 2


def test_processes_share_the_photographs_of_a_folder(album, restore, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    for rank in (1, 0):
        monkeypatch.setenv("RANK", str(rank))
        restore(album, "-o", "out", "--mask", "none")
    counts = [json.loads(Path(f"out/report.{rank}.json").read_text("utf-8"))["restored"] for rank in (0, 1)]
    assert counts == [2, 1] and len(list(Path("out").rglob("*.png"))) == 3
    # A single mask is refused even if this process has a single photo.
    io.write_png("m.png", np.zeros((48, 64), bool))
    assert "is one mask for 3 photos" in restore(album, "-o", "new", "--mask", "m.png", code=2).stderr


def test_a_mask_is_never_used_for_two_photographs(album, restore):
    # Two albums with photographs of the same name, one photograph in two formats, and one that has a mask of its own.
    (Path("other")).mkdir()
    Image.fromarray(gray()).save("other/a.png")
    Image.fromarray(gray()).save("other/d.png")
    Image.fromarray(gray()).save("other/e.jpg")
    Image.fromarray(gray()).save("other/e.tif")
    Path("masks/sub").mkdir(parents=True)
    for name in ("a", "b", "d", "e", "sub/c"):
        io.write_png(f"masks/{name}.png", np.eye(*gray().shape[:2], dtype=bool))
    result = restore(album, "other", "-o", "out", "--mask", "masks", code=3)
    two = f"masks/a.png would be the mask of {album}/a.png and of other/a.png; restore them in separate calls"
    assert f"{album}/a.png: failed: {two}" in result.output and f"other/a.png: failed: {two}" in result.output
    assert "other/e.jpg: failed: masks/e.png would be the mask of other/e.jpg and of other/e.tif" in result.output
    assert "name the masks e.jpg.png and e.tif.png" in result.output
    assert read_report(Path("out"))["restored"] == 3 and not list(Path("out").glob("[ae].*"))
    for name in ("e.jpg", "e.tif"):
        io.write_png(f"masks/{name}.png", np.eye(*gray().shape[:2], dtype=bool))
    assert read_report(Path("out")) and restore("other", "-o", "two", "--mask", "masks").exit_code == 0


def test_a_dry_run_names_photographs_that_have_no_mask(album, restore):
    Path("masks").mkdir()
    io.write_png("masks/a.png", np.eye(*gray().shape[:2], dtype=bool))
    Image.fromarray(gray()).save(album / "a.tif")
    lines = restore(album, "-o", "out", "--mask", "masks", "--dry-run").output.splitlines()
    assert "b.png (would be written, would fail: masks has no mask for b.png)" in lines[2]
    assert "would fail: masks/a.png may be the mask of a.png, not of a.tif" in lines[1] and "fail" not in lines[0]


def test_a_dry_run_names_files_that_can_not_be_read(album, restore):
    Path("masks").mkdir()
    for name in "ab":
        io.write_png(f"masks/{name}.png", np.eye(*gray().shape[:2], dtype=bool))
    io.write_png("masks/b.png", np.eye(9, dtype=bool))
    (album / "c.png").write_bytes((album / "a.png").read_bytes()[:-9])
    (album / "d.jpg").write_bytes(saved(gray(), "JPEG")[:-2])  # opened by `restore` too
    output = restore(album, "-o", "out", "--mask", "none", "--dry-run").output
    assert re.search(r"c\.png \(would be written, would fail: .*c\.png is cut short", output)
    assert output.count("would fail") == 1 and "d.jpg -> " in output
    os.remove(album / "c.png"), os.remove(album / "d.jpg")
    output = restore(album, "-o", "out", "--mask", "masks", "--dry-run").output
    assert "would fail: masks/b.png is 9x9 and the photo" in output
    (album / "c.png").write_bytes(b"no image")
    output = restore(album / "a.png", "-o", "out", "--palette", album / "c.png", "--dry-run").output
    assert "would fail" in output and "is not an image of a known format" in output
    output = restore(album, "-o", "out", "--max-pixels", 100, "--dry-run").output
    assert output.count("more than the limit of 100") == 3 and not Path("out").exists()


def test_a_dry_run_prints_json(album, restore, stand_in):
    restore(album / "a.png", "-o", "out", "--mask", "none")
    before = digests(".")
    planned = json.loads(restore(album, "-o", "out", "--dry-run", "--json").stdout)["photos"]
    assert [record["status"] for record in planned] == ["there already", "would be written", "would be written"]
    assert digests(".") == before and len(stand_in.calls) == 1


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (["--tolerance", 3], "--tolerance needs a colour; add one, for example --color '#ffffff'."),
        (
            ["--color", "#fff"],
            "--color #fff is not a colour; write it as '#ffffff', red, green and blue from 00 to ff.",
        ),
        (["--color", "#ffffff", "--mask", "m.png"], "--color and a --mask file can't be combined; leave one out."),
        (
            ["--mask", "m"],
            "--mask m: there is no such file or folder. auto finds the lost region, none skips it.",
        ),
        (["--mask", "m.png"], "--mask m.png is one mask for 3 photos; use a folder with one mask for each."),
    ],
)
def test_options_that_contradict_each_other_are_one_line(album, restore, options, line):
    io.write_png("m.png", np.zeros((48, 64), bool))
    assert restore(album, "-o", "out", *options, code=2).stderr == f"toolbox: {line}\n"
    assert not Path("out").exists()


def test_the_default_of_max_pixels_is_the_readers():
    (option,) = [parameter for parameter in restore_command.command.params if parameter.name == "max_pixels"]
    assert option.default == io.MAX_PIXELS
