"""`toolbox serve --album`: what is opened, what is left out, and that an album is served by one process."""

from __future__ import annotations

import os

import pytest
from click.testing import CliRunner
from standins import gray

from toolbox.cli import main
from toolbox.cli.serve import LOCK
from toolbox.errors import DataError
from toolbox.imaging import io
from toolbox.utils import locks
from toolbox.web import album as albums
from toolbox.web.album import Album
from toolbox.web.server import open_folder


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "in" / "more").mkdir(parents=True)
    io.write_png(tmp_path / "in" / "a.png", gray(16, 16, seed=1))
    io.write_png(tmp_path / "in" / "more" / "b.png", gray(16, 16, seed=2))
    return tmp_path / "in"


def names(album):
    return [entry.name for entry in album.entries()]


def test_subfolders_are_searched_and_what_is_left_out_is_counted(tmp_path, folder):
    (folder / "c.gif").write_bytes(b"GIF89a")
    (folder / "d.png").write_bytes(b"no picture")
    album = Album(tmp_path / "album")
    lines = list(open_folder(album, folder))
    assert names(album) == ["a.png", "b.png"]
    assert lines[0].startswith(f"{folder / 'd.png'}: d.png is not an image") and lines[1:] == ["1 file left out: .gif"]


def test_a_pipe_is_not_waited_for(tmp_path, folder):
    os.mkfifo(folder / "a2.png")
    album = Album(tmp_path / "album")
    assert list(open_folder(album, folder)) == [f"{folder / 'a2.png'} is not a plain file"]
    assert names(album) == ["a.png", "b.png"]


def test_a_photograph_that_was_kept_is_not_opened_again(tmp_path, folder):
    kept = folder / "kept"
    list(open_folder(Album(kept), folder))
    again = Album(kept)
    assert list(open_folder(again, folder)) == ["2 of 2 photographs are open from before."]
    assert names(again) == ["a.png", "b.png"]


def test_an_album_that_is_full_says_how_many_are_left(tmp_path, folder, monkeypatch):
    monkeypatch.setattr(albums, "MAX_PHOTOS", 1)
    (line,) = open_folder(Album(tmp_path / "album"), folder)
    assert "b.png and what follows, 1 in all: 1 photographs are open. Close some" in line


@pytest.mark.parametrize(("name", "reason"), [("", "no photographs found."), ("x.gif", "(1 file left out: .gif)")])
def test_a_folder_without_photographs_is_refused(tmp_path, name, reason):
    (tmp_path / "in").mkdir()
    if name:
        (tmp_path / "in" / name).write_bytes(b"")
    with pytest.raises(DataError) as caught:
        list(open_folder(Album(tmp_path / "album"), tmp_path / "in"))
    assert str(tmp_path / "in") in str(caught.value) and reason in str(caught.value)


def test_a_second_process_does_not_serve_the_same_album(tmp_path):
    with locks.hold_lock(tmp_path / LOCK):
        result = CliRunner().invoke(main, ["--no-plugins", "serve", "--no-browser", "--keep", str(tmp_path)])
    assert result.exit_code == 2 and "Another process serves the album in --keep" in result.stderr


def test_a_folder_to_keep_that_can_not_be_made_is_named(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    result = CliRunner().invoke(
        main, ["--no-plugins", "serve", "--no-browser", "--keep", str(tmp_path / "file" / "in")]
    )
    assert result.exit_code == 1 and "a part of its path is a file, not a folder" in result.stderr
