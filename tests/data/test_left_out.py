"""What a data folder has besides the photographs of a run is said in one line."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

from toolbox.data.folders import open_folder
from toolbox.data.left_out import describe_left_out
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


def test_a_folder_with_photographs_in_subfolders_alone_says_so(photos, tmp_path):
    with pytest.raises(DataError, match=r"no photographs \(subfolders are not searched: photos"):
        open_folder(tmp_path)
