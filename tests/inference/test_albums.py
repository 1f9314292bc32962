"""`toolbox restore` over folders: what is never written to, reruns, signals, several processes. Some 2 s."""

from __future__ import annotations

import json
import os
import shutil
import signal
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from standins import album_at, digests, gray, report, restored, standing

from toolbox.cli import restore as restore_command
from toolbox.imaging import io
from toolbox.utils import files


@pytest.fixture
def stand(monkeypatch):
    return standing(monkeypatch)


@pytest.fixture
def restore(stand):
    return restored


@pytest.fixture
def album(tmp_path):
    return album_at(tmp_path / "album")


# ---- what is never touched


def test_a_second_name_of_an_original_is_not_written_to(album, restore):
    Image.fromarray(gray()).save(album / "sub" / "d.jpg")
    before = digests(album)
    Path("out").mkdir()
    os.link(album / "b.png", "out/a.png")  # a's result would go over b
    Path("out/sub").symlink_to(album / "sub")
    Path("out/b.png").symlink_to(album / "b.png")
    result = restore(album, "-o", "out", "--mask", "none", "--overwrite", code=3)
    assert "a.png: failed: out/a.png is one of the photographs itself; choose another folder with -o" in result.output
    assert "c.png: failed: out/sub/c.png is one of the photographs itself" in result.output
    assert (
        "d.jpg: failed: out/sub/d.png would lie among the photographs; choose another folder with -o" in result.output
    )
    # The link is replaced, and what it leads to left alone.
    assert not Path("out/b.png").is_symlink() and report(Path("out"))["restored"] == 1
    assert digests(album) == before


def test_before_and_after_do_not_go_over_an_original_either(album, restore):
    before = digests(album)
    Path("out").mkdir()
    os.link(album / "a.png", "out/b.png.before-after.png")
    result = restore(album, "-o", "out", "--mask", "none", "--overwrite", "--before-after", code=3)
    assert "out/b.png.before-after.png is one of the photographs itself" in result.output
    assert digests(album) == before


def test_masks_are_no_place_for_results(album, tmp_path, restore):
    masks = tmp_path / "masks"
    (masks / "sub").mkdir(parents=True)
    for name in ("a.png", "b.png", "sub/c.png"):
        io.write_png(masks / name, np.zeros((48, 64), bool))
    for given in (masks, masks / "a.png"):
        photos = album if given is masks else album / "a.png"
        result = restore(photos, "-o", masks, "--mask", given, "--overwrite", code=2)
        assert result.stderr == (
            f"toolbox: -o {masks} is the masks' own folder; choose another, so that none is overwritten.\n"
        )


def test_a_folder_in_the_place_of_a_result(album, restore):
    Path("out/a.png").mkdir(parents=True)
    for extra in ([], ["--overwrite"]):
        result = restore(album, "-o", "out", "--mask", "none", *extra, code=3)
        assert (
            "a.png: failed: out/a.png can't be written: a folder has that name; choose another with -o" in result.output
        )


def test_names_that_are_one_for_some_disk_or_differ_in_their_ending_come_out_apart(tmp_path, restore):
    album = tmp_path / "album"
    album.mkdir()
    shades = {"a.jpg": 40, "a.png": 80, "A.png": 120, "b.png": 160, "\u00e9.png": 200, "e\u0301.png": 220}
    for name, shade in shades.items():
        Image.fromarray(np.full((16, 16), shade, np.uint8)).save(album / name)
    before = digests(album)
    restore(album, "-o", "out", "--mask", "none")
    found = {Path(one["photo"]).name: Path(one["result"]) for one in report(Path("out"))["photos"]}
    assert {name: int(io.read_rgb(found[name]).mean()) for name in shades} == shades
    folded = {unicodedata.normalize("NFC", path.name).casefold() for path in found.values()}
    assert len(folded) == len(shades) and digests(album) == before


def descend(folder, length, monkeypatch):
    """Make folders in folders below `folder` until the path has `length` bytes, step by step; go there."""
    monkeypatch.chdir(folder)
    left = length - len(os.fsencode(folder))
    while left > 2:
        name = "\u00fc" * (min(left - 1, 200) // 2)
        os.mkdir(name)
        os.chdir(name)
        left -= 1 + len(os.fsencode(name))


def test_a_path_as_long_as_a_system_takes(tmp_path, restore, monkeypatch):
    album = tmp_path / "album"
    album.mkdir()
    # With the name of an aside, and of the result's folder, this is as near to 4,095 bytes as it can be.
    descend(album, 4000, monkeypatch)
    io.write_png("a.png", gray())
    monkeypatch.chdir(tmp_path)
    restore(album, "-o", "out", "--mask", "none")
    (path,) = Path("out").rglob("*.png")
    assert np.array_equal(io.read_rgb(path)[..., 0], gray())
    # Where the results lie deeper there is no room for this one: it is said of it in one line, and the others come.
    io.write_png(album / "b.png", gray())
    out = tmp_path / ("u" * 200)
    result = restore(album, "-o", out, "--mask", "none", code=3)
    assert "1 failed" in result.output and "File name too long" in result.output and report(out)["restored"] == 1


def test_folders_deeper_than_a_path_may_be_long_are_said_in_one_line(tmp_path, restore, monkeypatch):
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


def test_a_rerun_adds_before_and_after_and_touches_nothing_else(album, restore, stand):
    restore(album, "-o", "out", "--mask", "none")
    files.temporary_path(Path("out/a.png"), pid=999999).touch()
    files.temporary_path(Path("out/sub/c.png"), pid=999999).touch()
    first = digests("out")
    restore(album, "-o", "out", "--mask", "none", "--before-after")
    assert len(stand.calls) == 3 and report(Path("out"))["there already"] == 3
    both = io.read_rgb("out/sub/c.png.before-after.png")
    assert both.shape == (48, 2 * 64 + 8, 3) and np.array_equal(both[:, 72:], io.read_rgb("out/sub/c.png"))
    after = digests("out")
    kept = {path for path in first if path.suffix == ".png"}
    assert {path: after[path] for path in kept} == {path: first[path] for path in kept}
    assert not list(Path("out").rglob("*.tmp")) and len(after) == 7


def test_results_may_lie_within_the_album_and_are_no_photographs(album, restore, stand):
    for _ in range(2):
        restore(album, "-o", album / "restored", "--mask", "none")
    assert len(stand.calls) == 3
    assert restore(album, "-o", album / "sub", code=2).stderr.endswith(
        "holds photographs that are no results; choose another folder.\n"
    )


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_it_after_the_photo_in_hand(album, restore, stand, number, code):
    object.__setattr__(stand, "before", lambda count: os.kill(os.getpid(), number) if count == 1 else None)
    result = restore(album, "-o", "out", "--mask", "none", code=code)
    assert "Stopped with 1 left; the same command goes on." in result.output
    found = report(Path("out"))
    assert (found["restored"], found["not reached"]) == (2, 1)
    assert sorted(path.name for path in Path("out").rglob("*.png")) == ["a.png", "b.png"]
    restore(album, "-o", "out", "--mask", "none")
    assert len(stand.calls) == 3


def test_one_photo_that_breaks_the_restorer_does_not_end_the_others(album, restore, stand):
    def breaks(count):
        if count == 0:
            stand.calls.append(None)
            raise KeyError("a line\nand another")

    object.__setattr__(stand, "before", breaks)
    result = restore(album, "-o", "out", "--mask", "none", code=3)
    assert "a.png: failed: KeyError: 'a line\\nand another'" in result.output
    assert report(Path("out"))["restored"] == 2


def test_processes_share_a_folder(album, restore, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    for rank in (1, 0):
        monkeypatch.setenv("RANK", str(rank))
        restore(album, "-o", "out", "--mask", "none")
    counts = [json.loads(Path(f"out/report.{rank}.json").read_text("utf-8"))["restored"] for rank in (0, 1)]
    assert counts == [2, 1] and len(list(Path("out").rglob("*.png"))) == 3
    # One mask is for one photo, whatever a process's share is.
    io.write_png("m.png", np.zeros((48, 64), bool))
    assert "is one mask, and there are 3 photos" in restore(album, "-o", "new", "--mask", "m.png", code=2).stderr


def test_a_dry_run_tells_json_too(album, restore, stand):
    restore(album / "a.png", "-o", "out", "--mask", "none")
    before = digests(".")
    found = json.loads(restore(album, "-o", "out", "--dry-run", "--json").stdout)["photos"]
    assert [one["status"] for one in found] == ["there already", "would be written", "would be written"]
    assert digests(".") == before and len(stand.calls) == 1


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["--tolerance", 3], "--tolerance tells how near to --color; give that as well, as --color '#ffffff'."),
        (
            ["--color", "#fff"],
            "--color #fff is not a colour; write it as '#ffffff', red, green and blue from 00 to ff.",
        ),
        (["--color", "#ffffff", "--mask", "m.png"], "--color and a --mask file exclude each other; leave one out."),
        (["--mask", "m"], "--mask m: there is no such file or folder; auto finds what is lost, none is nothing."),
        (["--mask", "m.png"], "--mask m.png is one mask, and there are 3 photos; give a folder with one for each."),
    ],
)
def test_what_excludes_each_other_is_one_line(album, restore, words, line):
    io.write_png("m.png", np.zeros((48, 64), bool))
    assert restore(album, "-o", "out", *words, code=2).stderr == f"toolbox: {line}\n"
    assert not Path("out").exists()


def test_the_most_pixels_are_the_readers():
    (option,) = [one for one in restore_command.command.params if one.name == "max_pixels"]
    assert option.default == io.MAX_PIXELS
