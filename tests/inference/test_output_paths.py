"""Which photograph goes to which file, and what is refused before any is read. Some 0.3 s."""

from __future__ import annotations

import os

import numpy as np
import pytest

from toolbox.errors import DataError, UsageError
from toolbox.imaging import io
from toolbox.inference import output_paths

DOT = np.zeros((2, 3), np.uint8)


@pytest.fixture
def folder(tmp_path):
    """Return a function that makes a folder of files; their bytes don't matter here."""

    def make(*names, at="in"):
        for name in names:
            path = tmp_path / at / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"x")
        return tmp_path / at

    return make


def named(given, out, **options):
    jobs = output_paths.plan_jobs(given if isinstance(given, list) else [given], out, **options)
    return {str(job.relative_path): str(job.target.relative_to(out)) for job in jobs}


@pytest.mark.parametrize(
    ("name", "lossless", "kept"),
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
def test_what_a_name_becomes(folder, tmp_path, name, lossless, kept):
    photo = folder(name) / name
    assert named(photo, tmp_path / "out") == {name: lossless}
    assert named(photo, tmp_path / "out", keep_format=True) == {name: kept}


def test_a_folder_is_gone_through_and_hidden_ones_results_and_loops_are_left_out(folder, tmp_path):
    place = folder("b.jpg", "sub/a.jpg", "sub/deep/c.png", ".hidden/d.png", ".e.png", "note.txt", "out/report.json")
    folder("b.png", "sub/a.png", at="in/out")
    (place / "sub" / "loop").symlink_to(place)
    (place / "again").symlink_to(place / "sub")
    (place / "results").symlink_to(place / "out")
    expected = {"b.jpg": "b.png", "sub/a.jpg": "sub/a.png", "sub/deep/c.png": "sub/deep/c.png"}
    assert named(place, place / "out") == expected


def test_one_name_for_two_keeps_both_endings(folder, tmp_path):
    place = folder("a.jpg", "a.png", "A.png", "b.jpg", "sub/a.jpg")
    assert named(place, tmp_path / "out") == {
        "A.png": "A.png.png",
        "a.jpg": "a.jpg.png",
        "a.png": "a.png-2.png",
        "b.jpg": "b.png",
        "sub/a.jpg": "sub/a.png",
    }


def test_accents_composed_or_not_are_one_name(folder, tmp_path):
    place = folder("\u00e9.png", "e\u0301.png")
    targets = list(named(place, tmp_path / "out").values())
    assert len({output_paths._folded(tmp_path / name) for name in targets}) == 2


def test_two_folders_with_one_name_in_both(folder, tmp_path):
    one, other = folder("x.png", at="one"), folder("x.png", at="two")
    jobs = output_paths.plan_jobs([one, other], tmp_path / "out")
    assert [job.target.name for job in jobs] == ["x.png.png", "x.png-2.png"]


def test_a_photograph_given_twice_is_restored_once(folder, tmp_path):
    place = folder("x.png")
    (tmp_path / "link").symlink_to(place)
    given = [place, place / "x.png", tmp_path / "link", place / ".." / "in" / "x.png"]
    assert len(output_paths.plan_jobs(given, tmp_path / "out")) == 1


def test_no_result_takes_the_name_of_anothers_before_and_after(folder, tmp_path):
    place = folder("x.png", "x.png.before-after.png")
    jobs = output_paths.plan_jobs([place], tmp_path / "out")
    assert jobs[0].beside.name == "x.png.before-after.png"
    assert jobs[1].target.name == "x.png.before-after-2.png"


@pytest.mark.parametrize("letter", ["a", "火"])
def test_long_names_stay_within_what_a_disk_takes(folder, tmp_path, letter):
    stem = letter * (250 // len(letter.encode()))
    place = folder(f"{stem}.jpg", f"{stem}.png", f"{stem[1:]}.png")
    jobs = output_paths.plan_jobs([place], tmp_path / "out")
    names = [path.name for job in jobs for path in (job.target, job.beside)]
    assert len(set(names)) == 6 and all(len(os.fsencode(name)) <= 255 for name in names)
    assert jobs[-1].target.name == f"{stem[1:]}.png" or jobs[0].target.name == f"{stem[1:]}.png"
    (tmp_path / "out").mkdir()
    for name in names:
        io.write_png(tmp_path / "out" / name, DOT)


def test_where_results_may_not_go(folder, tmp_path):
    place = folder("x.png", "sub/y.png")
    (tmp_path / "link").symlink_to(place)
    for given, out in (
        ([place], place),
        ([place], tmp_path / "link"),
        ([place / "x.png"], place),
        ([place / "sub" / "y.png", place], place / "sub"),
        ([place], place / "sub" / ".."),
    ):
        with pytest.raises(UsageError) as raised:
            output_paths.plan_jobs(given, out)
        assert str(raised.value) == (
            f"-o {out} is the photographs' own folder; choose another, so that none is overwritten."
        )
    with pytest.raises(UsageError) as raised:
        output_paths.plan_jobs([place], place / "sub")
    assert str(raised.value) == (
        f"-o {place / 'sub'} lies in {place} and holds photographs that are no results; choose another folder."
    )
    assert named(place, place / "new") == {"x.png": "x.png", "sub/y.png": "sub/y.png"}


def test_names_in_another_case_are_the_same_folder_where_the_disk_says_so(folder, tmp_path, monkeypatch):
    place = folder("x.png")
    monkeypatch.setattr(os.path, "samefile", lambda one, other: str(one).casefold() == str(other).casefold())
    with pytest.raises(UsageError, match="own folder"):
        output_paths.plan_jobs([place], tmp_path / "IN")


def test_what_is_not_there(tmp_path):
    (tmp_path / "empty").mkdir()
    for name in ("none.png", "x" * 300, "a\nb"):
        with pytest.raises(UsageError) as raised:
            output_paths.plan_jobs([tmp_path / name], tmp_path / "out")
        assert str(raised.value).endswith(": there is no such file or folder.") and "\n" not in str(raised.value)
    with pytest.raises(DataError) as empty:
        output_paths.plan_jobs([tmp_path / "empty"], tmp_path / "out")
    assert str(empty.value) == f"{tmp_path / 'empty'}: no photographs there."


def test_processes_share_the_photographs(folder, tmp_path, monkeypatch):
    jobs = output_paths.plan_jobs([folder(*(f"{index}.png" for index in range(7)))], tmp_path / "out")
    assert output_paths.rank_jobs(jobs) == (jobs, None)
    monkeypatch.setenv("WORLD_SIZE", "3")
    shares = []
    for rank in range(3):
        monkeypatch.setenv("RANK", str(rank))
        mine, number = output_paths.rank_jobs(jobs)
        assert number == rank
        shares.append(mine)
    assert [len(mine) for mine in shares] == [3, 2, 2]
    assert sorted(sum(shares, []), key=lambda job: job.photo) == jobs


@pytest.mark.parametrize(
    ("world", "rank", "words"),
    [
        ("2", None, "RANK is ''; a launcher sets RANK from 0 and WORLD_SIZE, or neither is set."),
        ("two", "0", "WORLD_SIZE is 'two'; a launcher"),
        ("2", "2", "RANK is 2 and WORLD_SIZE 2; ranks count from 0."),
    ],
)
def test_a_share_that_can_not_be_told_is_refused(monkeypatch, world, rank, words):
    monkeypatch.setenv("WORLD_SIZE", world)
    monkeypatch.delenv("RANK", raising=False) if rank is None else monkeypatch.setenv("RANK", rank)
    with pytest.raises(UsageError) as raised:
        output_paths.rank_jobs([])
    assert str(raised.value).startswith(words)
