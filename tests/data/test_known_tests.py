"""Test photographs that are also training photographs are named; what lies in the place of a table is too."""

from __future__ import annotations

import shutil

import pytest

from toolbox.data import broken_files, folders
from toolbox.data.known_tests import describe_known_tests
from toolbox.diagnostics.data_folder import inspect_folder
from toolbox.errors import DataError


def test_test_photographs_that_are_trained_on_are_named(competition):
    tests = sorted(path.name for path in (competition / "test_input").iterdir())
    assert describe_known_tests(folders.open_folder(competition)) == ""
    first = sorted((competition / "train_input").iterdir())[0]
    shutil.copy(first, competition / "test_input" / tests[0])
    source = folders.open_folder(competition)
    line = f"1 of {len(tests)} test photographs are also photographs for training ({tests[0]})"
    assert line in describe_known_tests(source)
    lines: list[str] = []
    broken_files.check_photos(source, skip=False, skipped={}, report=lines.append)
    assert lines[0].startswith(f"warning: {line}")
    (finding,) = [finding for finding in inspect_folder(competition) if finding.what == "test photographs"]
    assert line in finding.detail


@pytest.mark.parametrize("name", ["train.csv", "test.csv"])
@pytest.mark.parametrize("kind", ["folder", "dangling link"])
def test_a_table_that_is_no_file_is_not_ignored(competition, name, kind):
    path = competition / name
    path.unlink(missing_ok=True)
    path.mkdir() if kind == "folder" else path.symlink_to("nowhere")
    with pytest.raises(DataError, match=f"{name} is no file. Correct or delete it"):
        folders.open_folder(competition)


def test_a_file_in_the_place_of_a_folder_is_not_ignored(competition):
    shutil.rmtree(competition / "test_input")
    (competition / "test.csv").unlink(missing_ok=True)
    (competition / "test_input").write_text("x")
    with pytest.raises(DataError, match="test_input is not a folder"):
        folders.open_folder(competition)
