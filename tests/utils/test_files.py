from __future__ import annotations

import errno
import hashlib
import json
import os
import subprocess
import sys
import threading
import zipfile
from pathlib import Path

import pytest

from toolbox.errors import DataError, OutputError, UsageError
from toolbox.utils import files, temporary_files


def names(folder):
    return sorted(p.name for p in folder.iterdir())


def dead_pid():
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    return child.pid


def failing(monkeypatch, name, number):
    def fail(*args, **kwargs):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(files.os, name, fail)


def test_what_is_written_is_there_and_nothing_beside_it(tmp_path):
    files.write_bytes(tmp_path / "a", b"one")
    files.write_bytes(tmp_path / "a", b"two")
    files.write_text(tmp_path / "b", "가\r\nb\n")
    files.write_json(tmp_path / "c", {"z": 1, "a": "é\udc80"})
    assert (tmp_path / "a").read_bytes() == b"two"
    assert (tmp_path / "b").read_bytes() == "가\r\nb\n".encode()
    assert json.loads((tmp_path / "c").read_text("utf-8")) == {"z": 1, "a": "é\udc80"}
    assert list(json.loads((tmp_path / "c").read_text("utf-8"))) == ["z", "a"]
    assert names(tmp_path) == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, "No space left on the disk that holds"),
        (errno.EACCES, "no permission"),
        (errno.EROFS, "read-only"),
        (errno.EIO, os.strerror(errno.EIO)),
    ],
)
@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_failure_leaves_the_old_file_and_no_temporary_file(tmp_path, monkeypatch, number, words, step):
    path = tmp_path / "photo.png"
    files.write_bytes(path, b"old")
    failing(monkeypatch, step, number)
    with pytest.raises(OutputError) as caught:
        files.write_bytes(path, b"new")
    assert words in str(caught.value) and str(path) in str(caught.value)
    assert "\n" not in str(caught.value) and "choose another folder" in str(caught.value)
    assert isinstance(caught.value.__cause__, OSError)
    assert path.read_bytes() == b"old" and names(tmp_path) == ["photo.png"]


def test_an_interruption_leaves_no_temporary_file(tmp_path, monkeypatch):
    monkeypatch.setattr(files.os, "fsync", lambda _: (_ for _ in ()).throw(KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        files.write_bytes(tmp_path / "a", b"x")
    assert names(tmp_path) == []


def test_places_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("x")
    (tmp_path / "folder").mkdir()
    for path, words in [
        (tmp_path / "none" / "a", "does not exist"),
        (tmp_path / "file" / "a", "not a folder"),
        (tmp_path / "folder", "a folder has that name"),
    ]:
        with pytest.raises(OutputError, match=words):
            files.write_bytes(path, b"x")
    assert names(tmp_path) == ["file", "folder"]


@pytest.mark.skipif(sys.platform == "win32", reason="needs links")
def test_a_link_is_replaced_and_not_followed(tmp_path):
    (tmp_path / "original").write_bytes(b"original")
    (tmp_path / "link").symlink_to("original")
    temporary_files.temporary_path(tmp_path / "x").symlink_to("original")
    files.write_bytes(tmp_path / "link", b"new")
    files.write_bytes(tmp_path / "x", b"new")
    assert (tmp_path / "original").read_bytes() == b"original"
    assert not (tmp_path / "link").is_symlink() and (tmp_path / "link").read_bytes() == b"new"


def test_the_longest_name_can_be_written(tmp_path):
    for name in ["n" * 251 + ".png", "가" * 83 + ".png"]:
        files.write_bytes(tmp_path / name, b"x")
        assert (tmp_path / name).read_bytes() == b"x"
    assert len(names(tmp_path)) == 2


def test_json_that_is_none_is_refused(tmp_path):
    for wrong in (float("nan"), {"a": float("inf")}, object()):
        with pytest.raises(OutputError, match="JSON"):
            files.write_json(tmp_path / "a.json", wrong)
    assert names(tmp_path) == []


def test_a_folder_appears_whole(tmp_path):
    def fill(folder):
        assert folder.parent == tmp_path and not (tmp_path / "save").exists()
        (folder / "sub").mkdir()
        (folder / "sub" / "a").write_bytes(b"a")

    files.write_folder(tmp_path / "save", fill)
    assert (tmp_path / "save" / "sub" / "a").read_bytes() == b"a"
    with pytest.raises(OutputError, match="exists already"):
        files.write_folder(tmp_path / "save", fill)
    assert names(tmp_path) == ["save"]


def test_a_folder_whose_filling_fails_leaves_nothing(tmp_path, monkeypatch):
    def full(folder):
        (folder / "a").write_bytes(b"a")
        raise OSError(errno.ENOSPC, "full")

    def wrong(folder):
        (folder / "a").write_bytes(b"a")
        raise ValueError("not a matter of the disk")

    with pytest.raises(OutputError, match="No space left"):
        files.write_folder(tmp_path / "save", full)
    with pytest.raises(ValueError, match="matter"):
        files.write_folder(tmp_path / "save", wrong)
    failing(monkeypatch, "rename", errno.EROFS)
    with pytest.raises(OutputError, match="read-only"):
        files.write_folder(tmp_path / "save", lambda folder: (folder / "a").write_bytes(b"a"))
    assert names(tmp_path) == []


def test_ensure_folder(tmp_path, monkeypatch):
    assert files.ensure_folder(tmp_path / "a" / "b") == tmp_path / "a" / "b"
    assert (tmp_path / "a" / "b").is_dir() and names(tmp_path / "a" / "b") == []
    (tmp_path / "file").write_text("x")
    for path in (tmp_path / "file", tmp_path / "file" / "b"):
        with pytest.raises(OutputError, match="not a folder"):
            files.ensure_folder(path)
    monkeypatch.setattr(Path, "touch", lambda self: (_ for _ in ()).throw(OSError(errno.EROFS, "ro")))
    with pytest.raises(OutputError, match="read-only"):
        files.ensure_folder(tmp_path / "a")


def test_only_files_of_ended_processes_are_removed(tmp_path):
    gone, other = dead_pid(), "0123abcd"

    def aside(name, **whose):
        return temporary_files.temporary_path(tmp_path / name, **whose)

    aside("dead", pid=gone).write_text("x")
    aside("deadfolder", pid=gone).mkdir()
    (aside("deadfolder", pid=gone) / "a").write_text("x")
    aside("mine").write_text("left by an earlier process of this number")
    kept = [aside("alive", pid=os.getppid()).name, ".other.tmp", f"plain.{gone}.tmp", ".config"]
    # On another machine that number may be of a process at work.
    kept += [aside("elsewhere", host=other, pid=gone).name]
    for name in kept:
        (tmp_path / name).write_text("x")
    assert len(temporary_files.remove_stale(tmp_path)) == 3
    assert names(tmp_path) == sorted(kept)
    old = aside("elsewhere", host=other, pid=gone)
    os.utime(old, (0, 0))
    assert temporary_files.remove_stale(tmp_path) == [old]
    assert temporary_files.remove_stale(tmp_path / "none") == []


def test_what_another_thread_is_writing_is_not_stale(tmp_path):
    inside, go_on = threading.Event(), threading.Event()

    def fill(folder):
        (folder / "a").write_text("x")
        inside.set()
        assert go_on.wait(10)

    writer = threading.Thread(target=files.write_folder, args=(tmp_path / "save", fill))
    writer.start()
    assert inside.wait(10)
    removed = temporary_files.remove_stale(tmp_path)
    go_on.set()
    writer.join()
    assert removed == [] and names(tmp_path) == ["save"]


def test_sha256(tmp_path):
    (tmp_path / "a").write_bytes(b"abc" * 100_000)
    assert files.sha256(tmp_path / "a") == hashlib.sha256(b"abc" * 100_000).hexdigest()
    with pytest.raises(DataError, match="none can't be read"):
        files.sha256(tmp_path / "none")


def test_the_zip_is_the_same_bytes_for_the_same_content(tmp_path):
    (tmp_path / "src").write_bytes(b"from a file")
    os.utime(tmp_path / "src", (1, 1))
    entries = [("b.png", b"bytes"), ("a.png", tmp_path / "src"), ("가.png", b"")]
    files.write_flat_zip(tmp_path / "1.zip", entries)
    os.utime(tmp_path / "src", (10**9, 10**9))
    (tmp_path / "src").chmod(0o600)
    files.write_flat_zip(tmp_path / "2.zip", entries)
    assert (tmp_path / "1.zip").read_bytes() == (tmp_path / "2.zip").read_bytes()
    with zipfile.ZipFile(tmp_path / "1.zip") as archive:
        assert archive.testzip() is None
        assert archive.namelist() == ["b.png", "a.png", "가.png"]
        assert archive.read("a.png") == b"from a file"


@pytest.mark.parametrize("name", ["", "..", "a/b.png", "a\\b.png", "/a.png", "c:a"])
def test_a_zip_is_flat(tmp_path, name):
    with pytest.raises(OutputError, match="flat zip"):
        files.write_flat_zip(tmp_path / "a.zip", [(name, b"x")])
    assert names(tmp_path) == []


def test_a_zip_has_no_name_twice_and_no_link(tmp_path):
    (tmp_path / "src").write_bytes(b"x")
    (tmp_path / "link").symlink_to("src")
    with pytest.raises(OutputError, match="A.png"):
        files.write_flat_zip(tmp_path / "a.zip", [("A.png", b"x"), ("b.png", b"x"), ("a.png", b"x")])
    for wrong in ("link", "none"):
        with pytest.raises(OutputError, match=wrong):
            files.write_flat_zip(tmp_path / "a.zip", [("a.png", b"x"), ("b.png", tmp_path / wrong)])
    assert names(tmp_path) == ["link", "src"]


def test_printable_fits_in_one_line():
    text = files.printable("a\nb\x1b[31m\udcff가.png")
    assert text == "a\\nb\\x1b[31m\\udcff가.png"
    text.encode("utf-8")


def test_a_folder_in_place_of_a_file_is_named(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    files.require_file(tmp_path / "file", "--hints")
    with pytest.raises(UsageError, match=r"--hints .* is a folder; name a file"):
        files.require_file(tmp_path, "--hints")
    with pytest.raises(UsageError, match="--hints .*: there is no such file"):
        files.require_file(tmp_path / "missing", "--hints")


def test_a_link_that_leads_nowhere_is_named(tmp_path):
    (tmp_path / "one").symlink_to(tmp_path / "two")
    (tmp_path / "two").symlink_to(tmp_path / "one")
    (tmp_path / "broken").symlink_to(tmp_path / "missing")
    for name in ("one", "broken"):
        with pytest.raises(OutputError, match=f"{name} can't be written: .*{name} is a link that leads nowhere"):
            files.ensure_folder(tmp_path / name)
    with pytest.raises(OutputError, match="one is a link that leads nowhere"):
        files.ensure_folder(tmp_path / "one" / "below")
