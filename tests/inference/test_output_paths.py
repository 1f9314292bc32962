"""The path of each result, and what is refused before any photograph is read. About 0.3 s."""

from __future__ import annotations

import json
import os
import unicodedata

import numpy as np
import pytest

from toolbox.errors import DataError, UsageError
from toolbox.imaging import io
from toolbox.inference import output_paths
from toolbox.inference.batch import make_report
from toolbox.inference.mask_paths import mask_targets
from toolbox.inference.output_folders import is_picture_beside

DOT = np.zeros((2, 3), np.uint8)


@pytest.fixture
def folder(tmp_path):
    """Return a function that makes a folder of files; their content does not matter."""

    def make(*names, at="in"):
        for name in names:
            path = tmp_path / at / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"x")
        return tmp_path / at

    return make


def targets_of(path, out, **options):
    jobs = output_paths.plan_jobs([path], out, **options)
    return {str(job.relative_path): str(job.target.relative_to(out)) for job in jobs}


@pytest.mark.parametrize(
    ("name", "lossless", "keep_format"),
    [
        ("a.png", "a.png", "a.png"),
        ("a.PNG", "a.PNG", "a.PNG"),
        ("a.tiff", "a.tiff", "a.tiff"),
        ("a.tif", "a.tif", "a.tif"),
        ("a.jpg", "a.png", "a.jpg"),
        ("a.b.JPEG", "a.b.png", "a.b.JPEG"),
        ("a.webp", "a.png", "a.webp"),
        ("a.bmp", "a.png", "a.png"),
        ("scan", "scan.png", "scan.png"),
        ("scan.2020", "scan.2020.png", "scan.2020.png"),
        ("ünï côdé 火.jpg", "ünï côdé 火.png", "ünï côdé 火.jpg"),
    ],
)
def test_the_name_of_a_result(folder, tmp_path, name, lossless, keep_format):
    photo = folder(name) / name
    assert targets_of(photo, tmp_path / "out") == {name: lossless}
    assert targets_of(photo, tmp_path / "out", keep_format=True) == {name: keep_format}


def test_subfolders_are_searched_without_hidden_files_results_and_loops(folder, tmp_path):
    album = folder("b.jpg", "sub/a.jpg", "sub/deep/c.png", ".hidden/d.png", ".e.png", "note.txt", "out/report.json")
    folder("b.png", "sub/a.png", at="in/out")
    (album / "out/report.json").write_text(json.dumps(make_report([], 0)))
    (album / "sub" / "loop").symlink_to(album)
    (album / "again").symlink_to(album / "sub")
    (album / "results").symlink_to(album / "out")
    expected = {"b.jpg": "b.png", "sub/a.jpg": "sub/a.png", "sub/deep/c.png": "sub/deep/c.png"}
    assert targets_of(album, album / "out") == expected


def test_two_results_of_the_same_name_keep_both_suffixes(folder, tmp_path):
    album = folder("a.jpg", "a.png", "A.png", "b.jpg", "sub/a.jpg")
    assert targets_of(album, tmp_path / "out") == {
        "A.png": "A.png.png",
        "a.jpg": "a.jpg.png",
        "a.png": "a.png-2.png",
        "b.jpg": "b.png",
        "sub/a.jpg": "sub/a.png",
    }


def test_results_and_masks_of_the_same_photographs_have_the_same_stems(folder, tmp_path):
    names = ("a.jpg", "a.png", "A.png", "a.tif", "b.tif", "sub/a.jpg", "e\u0301.png", "\u00e9.png", "x.y.jpg", "x.png")
    album = folder(*names)
    for keep_format in (False, True):
        jobs = output_paths.plan_jobs([album], tmp_path / "out", keep_format=keep_format)
        results = [job.target.relative_to(tmp_path / "out") for job in jobs]
        masks = mask_targets([job.relative_path for job in jobs], with_pictures=False)
        assert [path.with_suffix("") for path in results] == [path.with_suffix("") for path in masks]
        assert {path.suffix for path in masks} == {".png"}
        assert len({output_paths.fold_name(path) for path in masks}) == len(names)


def test_names_with_composed_and_decomposed_accents_get_different_results(folder, tmp_path):
    album = folder("\u00e9.png", "e\u0301.png")
    targets = list(targets_of(album, tmp_path / "out").values())
    assert len({unicodedata.normalize("NFC", name).casefold() for name in targets}) == 2


def test_two_folders_with_the_same_name_in_both(folder, tmp_path):
    first, second = folder("x.png", at="one"), folder("x.png", at="two")
    jobs = output_paths.plan_jobs([first, second], tmp_path / "out")
    assert [job.target.name for job in jobs] == ["x.png.png", "x.png-2.png"]


def test_a_photograph_named_twice_is_restored_once(folder, tmp_path):
    album = folder("x.png")
    (tmp_path / "link").symlink_to(album)
    inputs = [album, album / "x.png", tmp_path / "link", album / ".." / "in" / "x.png"]
    assert len(output_paths.plan_jobs(inputs, tmp_path / "out")) == 1


def test_no_result_has_the_name_of_a_before_and_after_picture(folder, tmp_path):
    album = folder("x.png", "x.png.before-after.png")
    jobs = output_paths.plan_jobs([album], tmp_path / "out")
    assert jobs[0].comparison.name == "x.png.before-after.png"
    assert jobs[1].target.name == "x.png.before-after-2.png"


@pytest.mark.parametrize("letter", ["a", "火"])
def test_long_names_are_shortened_to_what_disks_accept(folder, tmp_path, letter):
    stem = letter * (250 // len(letter.encode()))
    album = folder(f"{stem}.jpg", f"{stem}.png", f"{stem[1:]}.png")
    jobs = output_paths.plan_jobs([album], tmp_path / "out")
    names = [path.name for job in jobs for path in (job.target, job.comparison)]
    assert len(set(names)) == 6 and all(len(os.fsencode(name)) <= 255 for name in names)
    assert jobs[-1].target.name == f"{stem[1:]}.png" or jobs[0].target.name == f"{stem[1:]}.png"
    (tmp_path / "out").mkdir()
    for name in names:
        io.write_png(tmp_path / "out" / name, DOT)


def test_results_among_the_photographs_are_refused(folder, tmp_path):
    album = folder("x.png", "sub/y.png")
    (tmp_path / "link").symlink_to(album)
    for inputs, out in (
        ([album], album),
        ([album], tmp_path / "link"),
        ([album / "x.png"], album),
        ([album / "sub" / "y.png", album], album / "sub"),
        ([album], album / "sub" / ".."),
    ):
        with pytest.raises(UsageError) as raised:
            output_paths.plan_jobs(inputs, out)
        assert str(raised.value) == (
            f"-o {out} is the photographs' own folder; choose another, so that none is overwritten."
        )
    with pytest.raises(UsageError) as raised:
        output_paths.plan_jobs([album], album / "sub")
    assert str(raised.value) == (
        f"-o {album / 'sub'} is inside {album} and has photographs that are not results; choose another folder."
    )
    assert targets_of(album, album / "new") == {"x.png": "x.png", "sub/y.png": "sub/y.png"}


def test_names_in_another_case_are_the_same_folder_if_the_disk_says_so(folder, tmp_path, monkeypatch):
    album = folder("x.png")
    monkeypatch.setattr(os.path, "samefile", lambda a, b: str(a).casefold() == str(b).casefold())
    with pytest.raises(UsageError, match="own folder"):
        output_paths.plan_jobs([album], tmp_path / "IN")


def test_missing_files_and_empty_folders(tmp_path):
    (tmp_path / "empty").mkdir()
    for name in ("none.png", "x" * 300, "a\nb"):
        with pytest.raises(UsageError) as raised:
            output_paths.plan_jobs([tmp_path / name], tmp_path / "out")
        assert str(raised.value).endswith(": there is no such file or folder.") and "\n" not in str(raised.value)
    with pytest.raises(DataError) as empty:
        output_paths.plan_jobs([tmp_path / "empty"], tmp_path / "out")
    assert str(empty.value) == f"{tmp_path / 'empty'}: no photographs found."


def test_processes_share_the_photographs(folder, tmp_path, monkeypatch):
    jobs = output_paths.plan_jobs([folder(*(f"{index}.png" for index in range(7)))], tmp_path / "out")
    assert output_paths.jobs_of_rank(jobs) == (jobs, None)
    monkeypatch.setenv("WORLD_SIZE", "3")
    parts = []
    for rank in range(3):
        monkeypatch.setenv("RANK", str(rank))
        own, found_rank = output_paths.jobs_of_rank(jobs)
        assert found_rank == rank
        parts.append(own)
    assert [len(own) for own in parts] == [3, 2, 2]
    assert sorted(sum(parts, []), key=lambda job: job.photo) == jobs


@pytest.mark.parametrize(
    ("world_size", "rank", "message"),
    [
        (
            "2",
            None,
            "RANK is '', which is not a whole number of at least 0. Without a launcher, unset RANK and WORLD_SIZE.",
        ),
        ("two", "0", "WORLD_SIZE is 'two', which is not a whole number"),
        ("2", "2", "RANK is 2 and WORLD_SIZE is 2; RANK must be from 0 to WORLD_SIZE - 1."),
    ],
)
def test_an_invalid_rank_is_refused(monkeypatch, world_size, rank, message):
    monkeypatch.setenv("WORLD_SIZE", world_size)
    monkeypatch.delenv("RANK", raising=False) if rank is None else monkeypatch.setenv("RANK", rank)
    with pytest.raises(UsageError) as raised:
        output_paths.jobs_of_rank([])
    assert str(raised.value).startswith(message)


def test_masks_inside_the_album_are_no_photographs(folder, tmp_path):
    album = folder("a.png", "b.png", "masks/a.png", "masks/sub/b.png", "mask.png")
    found = {}
    for masks in (album / "masks", album / "mask.png", album, None):
        jobs = output_paths.plan_jobs([album], tmp_path / "out", masks=masks)
        found[masks] = {job.relative_path.as_posix() for job in jobs}
    everything = {"a.png", "b.png", "masks/a.png", "masks/sub/b.png", "mask.png"}
    assert found[album / "masks"] == {"a.png", "b.png", "mask.png"}
    assert found[album / "mask.png"] == everything - {"mask.png"}
    assert found[album] == found[None] == everything  # an album may be its own folder of masks


def test_pictures_beside_results(folder, tmp_path):
    album = folder("a.png", "a.png.before-after.png", "b.tif.v8.png", "b.tif", "c.png.preview.png", "a.png.x.png")
    found = {path.name for path in album.iterdir() if is_picture_beside(path)}
    assert found == {"a.png.before-after.png", "b.tif.v8.png"}
