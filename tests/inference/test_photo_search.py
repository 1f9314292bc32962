"""What the search in folders finds, leaves out and reports: suffixes, folders that can't be read. About 2 s."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from pictures import saved, scene
from PIL import Image
from standins import gray, install_stand_in, read_report, run_restore, write_album

from toolbox.cli import main
from toolbox.errors import DataError
from toolbox.imaging import formats, io
from toolbox.imaging.formats import describe_files
from toolbox.inference.photo_search import LeftOut, find_photos


@pytest.fixture
def album(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    install_stand_in(monkeypatch)
    return write_album(tmp_path / "album")


NO_PERMISSION = PermissionError(13, "Permission denied")


def refuse(monkeypatch, *names, error=NO_PERMISSION):
    """Have folders of these names raise when they are listed, as for a user who is not root."""
    original = Path.iterdir

    def iterdir(self):
        if self.name in names:
            raise error
        return original(self)

    monkeypatch.setattr(Path, "iterdir", iterdir)


@pytest.mark.parametrize(
    "error",
    [
        PermissionError(13, "Permission denied"),
        FileNotFoundError(2, "No such file or directory"),  # it has vanished
        OSError(107, "Transport endpoint is not connected"),  # a dead mount
        OSError(5, "Input/output error"),
    ],
)
def test_a_folder_that_cant_be_read_does_not_end_an_album(album, monkeypatch, error):
    for name in ("locked", "zz"):
        (album / name).mkdir()
    refuse(monkeypatch, "locked", "zz", error=error)
    output = run_restore(album, "-o", "out", "--mask", "none", code=3).output
    report = read_report(Path("out"))
    assert (report["restored"], report["failed"], report["not reached"]) == (3, 2, 0)
    assert "3 restored" in output and "2 failed" in output
    assert f"{album / 'locked'}: failed: can't be read as a folder: {error.strerror}" in output
    failed = [record for record in report["photos"] if record["status"] == "failed"]
    assert [record["photo"] for record in failed] == [str(album / "locked"), str(album / "zz")]


def test_if_no_folder_can_be_read_it_is_one_line(album, monkeypatch):
    refuse(monkeypatch, "album")
    result = run_restore(album, "-o", "out", code=1)
    assert result.stderr == f"toolbox: {album}: {album} can't be read as a folder: Permission denied\n"


def test_a_folder_whose_files_cant_be_looked_at(album, monkeypatch):
    (album / "closed").mkdir()
    (album / "closed" / "x.png").touch()
    original = Path.is_file

    def is_file(self):
        if self.parent.name == "closed":
            raise PermissionError(13, "Permission denied", str(self))
        return original(self)

    monkeypatch.setattr(Path, "is_file", is_file)
    run_restore(album, "-o", "out", "--mask", "none", code=3)
    assert read_report(Path("out"))["failed"] == 1


@pytest.mark.skipif(os.getuid() == 0, reason="root reads every folder")
def test_a_folder_without_permission(album):
    (album / "locked").mkdir(mode=0)
    run_restore(album, "-o", "out", "--mask", "none", code=3)
    assert read_report(Path("out"))["failed"] == 1


def test_other_suffixes_of_known_formats_are_taken(album):
    shutil.rmtree(album)
    album.mkdir()
    names = {"a.jfif": "JPEG", "b.jpe": "JPEG", "c.JIF": "JPEG", "d.dib": "BMP", "e.avif": "AVIF"}
    for name, kind in names.items():
        (album / name).write_bytes(saved(gray(), kind))
    run_restore(album, "-o", "out", "--mask", "none")
    assert {path.name for path in Path("out").glob("*.png")} == {f"{name[0]}.png" for name in names}


def test_pictures_beside_results_are_no_photographs_of_a_second_call(album):
    run_restore(album, "-o", "out", "--mask", "none", "--before-after", "--provenance")
    line = "pictures beside results left out: 6, as a.png.before-after.png"
    output = run_restore("out", "-o", "again", "--keep", "luma").output
    assert "3 restored" in output and line in output.splitlines()
    assert len(list(Path("again").rglob("*.png"))) == 3
    assert line in CliRunner().invoke(main, ["mask", "out", "-o", "masks"]).output.splitlines()
    assert line in run_restore(album / "a.png", "-o", "two", "--reference", "out").output.splitlines()
    # In an album that has no results, the same names are those of photographs.
    shutil.copy(album / "a.png", album / "a.png.v1.png")
    assert "4 restored" in run_restore(album, "-o", "plain", "--mask", "none").output


def test_files_of_other_suffixes_are_counted(album, monkeypatch):
    for name in ("anim.gif", "sub/phone.heic", "b.CR2", "notes.txt", ".hidden.gif", "list.csv", "noending"):
        (album / name).write_bytes(b"x")
    monkeypatch.setattr(formats.importlib.util, "find_spec", lambda name: None)
    line = "4 files left out: .cr2, .gif, .heic, no suffix (to open .heic: install pillow-heif)"
    output = run_restore(album, "-o", "out", "--mask", "none").output
    assert line in output.splitlines()
    assert sorted(Path(path).name for path in read_report(Path("out"))["left out"]) == [
        "anim.gif",
        "b.CR2",
        "noending",
        "phone.heic",
    ]
    assert line in run_restore(album, "-o", "new", "--dry-run").output
    result = CliRunner().invoke(main, ["mask", str(album), "-o", "masks"])
    assert line in result.output
    (album / "sub").rename("elsewhere")
    result = CliRunner().invoke(main, ["score", str(album), str(album)])
    assert f"note: {album}: 3 files left out: .cr2, .gif, no suffix." in result.stderr
    shutil.rmtree(album)
    album.mkdir()
    (album / "a.gif").touch()
    for words in (["restore", album, "-o", "x"], ["mask", album, "-o", "x"]):
        result = CliRunner().invoke(main, [str(word) for word in words])
        assert result.exit_code == 1 and "no photographs" in result.stderr and "1 file left out: .gif" in result.stderr


def test_describe_files():
    assert describe_files([]) == "" and describe_files([Path("a.GIF"), Path("b.gif")]) == "2 files left out: .gif"
    assert describe_files([Path("a.x\ny")]) == "1 file left out: .x\\ny"


def test_heif_is_decoded_where_pillow_heif_is_installed(tmp_path):
    heif = pytest.importorskip("pillow_heif", reason="pillow-heif is an extra")
    pixels = scene(64, 96) // 16 + 100
    exif = Image.Exif()
    exif[271], exif[274] = "Maker", 6
    heif.from_pillow(Image.fromarray(pixels)).save(tmp_path / "a.heic", quality=100, chroma=444, exif=exif.tobytes())
    photo = io.read(tmp_path / "a.heic")
    assert photo.format == "HEIF" and photo.pixels.shape == (96, 64, 3)
    assert np.abs(np.rot90(photo.pixels, 1).astype(int) - pixels).mean() < 4
    assert io.read_size(tmp_path / "a.heic") == (64, 96)
    data = (tmp_path / "a.heic").read_bytes()
    for size in (40, len(data) // 2, len(data) - 1):
        with pytest.raises(DataError, match="cut short|damaged|can't be decoded"):
            io.decode(data[:size], "a.heic")


def test_avif_is_decoded_and_a_cut_one_is_refused(tmp_path):
    pixels = scene(48, 64) // 16 + 100
    data = saved(pixels, "AVIF", quality=100, subsampling="4:4:4")
    photo = io.decode(data, "a.avif")
    assert photo.format == "AVIF" and np.abs(photo.pixels.astype(int) - pixels).mean() < 4
    for size in (40, len(data) // 2, len(data) - 1):
        with pytest.raises(DataError, match="cut short|damaged|can't be decoded"):
            io.decode(data[:size], "a.avif")


def test_heif_without_its_decoder_says_what_to_install(monkeypatch):
    monkeypatch.setattr(formats.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(DataError) as raised:
        io.decode(b"\0\0\0\x18ftypheic" + bytes(12), "a.heic")
    assert str(raised.value) == "a.heic is HEIF, which this installation can't decode: install pillow-heif"
    assert formats.format_of_path(Path("a.heic")) is None


def test_find_photos_skips_a_folder_and_searches_links_once(tmp_path):
    write_album(tmp_path / "album")
    (tmp_path / "album" / "again").symlink_to(tmp_path / "album")
    found = find_photos(tmp_path / "album", LeftOut(), skip=(tmp_path / "album" / "sub",))
    assert [path.name for path in found] == ["a.png", "b.png"]


@pytest.mark.parametrize("name", ["gone.jpg", "dead.jpg", "a.png/b.png"])
def test_a_named_photograph_that_is_not_there_does_not_stop_the_others(name, album):
    """The names may come from a pattern such as `*.jpg`, which gives links that lead nowhere too."""
    (album / "dead.jpg").symlink_to("nowhere")
    photos = sorted(path for path in album.iterdir() if path.suffix == ".png")[:2]
    output = run_restore(*photos, album / name, "-o", "out", "--mask", "none", code=3).output
    assert f"{album / name}: failed: there is no such file or folder." in output
    assert read_report(Path("out"))["failed"] == 1 and len(list(Path("out").glob("*.png"))) == len(photos)
    output = run_restore(*photos, album / name, "-o", "other", "--dry-run").output
    assert f"{album / name}: there is no such file or folder." in output
