"""What a data folder has besides the photographs of a run is said in one line."""

from __future__ import annotations

import os
import shutil

import numpy as np
import pytest

from toolbox.data.folders import open_folder
from toolbox.data.left_out import describe_left_out
from toolbox.diagnostics.data_folder import inspect_folder
from toolbox.errors import DataError
from toolbox.imaging.io import write_png


def test_a_folder_without_anything_else_has_no_line(photos, competition):
    assert describe_left_out(open_folder(photos)) == ""
    assert describe_left_out(open_folder(competition)) == ""
    assert describe_left_out(open_folder(None)) == ""


def test_other_files_and_subfolders_are_named(photos):
    for name in ("a.gif", "b.GIF", "c.psd", "noise", "notes.txt", ".hidden"):
        (photos / name).write_bytes(b"x")
    first = sorted(photos.glob("*.png"))[0]
    for name in ("one", "two", "three", "four", ".cache", "empty"):
        (photos / name).mkdir()
        if name != "empty":
            shutil.copy(first, photos / name)
    line = describe_left_out(open_folder(photos))
    assert line == ("4 files left out: .gif, .psd, no suffix; subfolders are not searched: four, one, three and 1 more")


def test_photographs_far_below_are_named_by_their_subfolder(photos, tmp_path):
    deep = photos / "sub" / "deep"
    deep.mkdir(parents=True)
    shutil.copy(sorted(photos.glob("*.png"))[0], deep)
    assert describe_left_out(open_folder(photos)) == "subfolders are not searched: sub"
    (tmp_path / "only" / "sub").mkdir(parents=True)
    shutil.copytree(deep, tmp_path / "only" / "sub" / "deep")
    with pytest.raises(DataError, match=r"no photographs \(subfolders are not searched: sub"):
        open_folder(tmp_path / "only")


def test_what_is_left_out_is_named_also_beside_one_photograph(tmp_path):
    (tmp_path / "more").mkdir()
    for path in ("a.png", "more/b.png", "more/c.png"):
        write_png(tmp_path / path, np.zeros((8, 8, 3), np.uint8))
    (tmp_path / "d.cr2").write_bytes(b"raw")
    with pytest.raises(DataError, match=r"one photograph \(1 file left out: \.cr2; subfolders are not searched: more"):
        open_folder(tmp_path)


def test_pictures_that_no_table_names_are_counted(competition):
    rows = (competition / "train.csv").read_text("utf-8").splitlines()
    (competition / "train.csv").write_text("\n".join(rows[:-1]), "utf-8")
    (competition / "train_gt" / "old.tga").write_bytes(b"x")
    line = describe_left_out(open_folder(competition))
    assert line == "1 file left out: .tga; 2 images not in train.csv or test.csv"


def test_inputs_without_truths_are_not_missing_in_a_table_that_is_not_there(competition):
    shutil.rmtree(competition / "train_gt")
    for name in ("train.csv", "test.csv"):
        (competition / name).unlink()
    (finding,) = [finding for finding in inspect_folder(competition) if "contains 0 pairs" in finding.detail]
    assert "without a partner)" in finding.detail and "csv" not in finding.detail


def test_test_photographs_that_a_run_refuses_by_their_names_are_findings(competition):
    """`doctor --data` found nothing, and the run refused the folder."""
    tests = competition / "test_input"
    first = sorted(tests.iterdir())[0]
    for name in (f"{first.stem}.jpg", os.fsdecode(b"t\xff.png")):
        (tests / name).write_bytes(first.read_bytes())
    (competition / "test.csv").unlink()
    found = {finding.detail for finding in inspect_folder(competition) if finding.what == "test photographs"}
    assert found == {
        f"Two photographs would both be {first.stem}.png in the submission; rename one of them.",
        "t\\udcff.png can't be in a submission by this name; rename it.",
    }


def test_pairs_with_names_in_two_forms_of_unicode_are_pairs(tmp_path):
    for folder, name in (("train_input", "e\u0301"), ("train_gt", "\u00e9"), ("train_input", "b"), ("train_gt", "b")):
        (tmp_path / folder).mkdir(exist_ok=True)
        write_png(tmp_path / folder / f"{name}.png", np.zeros((8, 8, 3), np.uint8))
    assert len(open_folder(tmp_path).items) == 2


@pytest.mark.parametrize("how", ["another case", "in a subfolder", "not there"])
def test_why_no_truth_is_found_is_said(competition, how):
    for name in ("train.csv", "test.csv"):
        (competition / name).unlink()
    truths = competition / "train_gt"
    moved = truths.rename(competition / "Train_GT")
    words = "There is no train_gt/: rename Train_GT/."
    if how == "in a subfolder":
        truths.mkdir()
        moved.rename(truths / "a")
        words = "Subfolders of train_gt/ are not searched: a."
    elif how == "not there":
        shutil.rmtree(moved)
        words = "There is no train_gt/."
    with pytest.raises(DataError, match=r"has no partner in train_gt/") as raised:
        open_folder(competition)
    assert str(raised.value).endswith(words)


def test_a_subfolder_that_the_table_names_is_used(competition):
    """A line said that it is not searched."""
    for folder in ("train_input", "train_gt"):
        files = sorted((competition / folder).iterdir())
        (competition / folder / "a").mkdir()
        for path in files:
            path.rename(path.parent / "a" / path.name)
    table = competition / "train.csv"
    table.write_text(
        table.read_text("utf-8").replace("train_input/", "train_input/a/").replace("train_gt/", "train_gt/a/")
    )
    source = open_folder(competition)
    assert len(source.items) > 2 and describe_left_out(source) == ""
    assert not [finding for finding in inspect_folder(competition) if "subfolders" in finding.detail]
    extra = sorted((competition / "train_gt" / "a").iterdir())[0]
    (extra.parent / "zz.png").write_bytes(extra.read_bytes())
    assert describe_left_out(open_folder(competition)) == "subfolders are not searched: a"
    assert [finding for finding in inspect_folder(competition) if "1 subfolders" in finding.detail]


def test_a_folder_of_test_photographs_is_not_offered_for_training(competition):
    for name in ("train_input", "train_gt"):
        shutil.rmtree(competition / name)
    with pytest.raises(DataError, match="contains no photographs") as raised:
        open_folder(competition)
    assert "Do you mean" not in str(raised.value)


def test_a_folder_with_photographs_in_subfolders_alone_says_so(photos, tmp_path):
    with pytest.raises(DataError, match=r"no photographs \(subfolders are not searched: photos"):
        open_folder(tmp_path)
