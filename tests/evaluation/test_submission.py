"""Submissions and scores of files: inputs are not changed, and a zip has the same bytes every time. About 2 s."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import unicodedata
import zipfile
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from standins import StandIn, digests, gray, gray_to_rgb

from toolbox.cli import main
from toolbox.data import loader
from toolbox.data.folders import Item, open_folder
from toolbox.errors import DataError, OutputError
from toolbox.evaluation import score_files, submission
from toolbox.imaging import io
from toolbox.utils import files

RECIPE = loader.SampleRecipe(size=32, seed=1, damage=(), augment=())
NAMES = ("TEST_003.png", "TEST_001.png", "TEST_002.jpg")


@pytest.fixture
def tests(tmp_path):
    """Write a competition folder, and return its test photographs."""
    for name in ("train_input", "train_gt", "test_input"):
        (tmp_path / "data" / name).mkdir(parents=True)
    for seed in range(3):
        for side in ("train_input", "train_gt"):
            io.write_png(tmp_path / "data" / side / f"TRAIN_{seed}.png", gray_to_rgb(gray(seed=seed)))
    for seed, name in enumerate(NAMES):
        path = tmp_path / "data" / "test_input" / name
        path.write_bytes(io.encode_png(gray(seed=seed)))
    return open_folder(tmp_path / "data").tests


def make_zip(tests, folder, **options):
    return submission.restore_and_zip(StandIn(), tests, RECIPE, folder, Path(f"{folder}.zip"), **options)


def test_the_zip_has_exactly_the_test_photographs(tests, tmp_path):
    before = digests(tmp_path / "data")
    (tmp_path / "one").mkdir()
    io.write_png(tmp_path / "one" / "earlier-result.png", gray())
    with zipfile.ZipFile(make_zip(tests, tmp_path / "one")) as archive:
        assert archive.namelist() == [f"{Path(item.name).stem}.png" for item in tests]
        assert sorted(archive.namelist()) == ["TEST_001.png", "TEST_002.png", "TEST_003.png"]
        for entry in archive.infolist():
            found = io.decode(archive.read(entry), entry.filename).pixels
            assert found.shape == (48, 64, 3)
    assert digests(tmp_path / "data") == before


def test_the_zip_has_the_same_bytes_at_another_time_and_path(tests, tmp_path, monkeypatch):
    first = make_zip(tests, tmp_path / "one").read_bytes()
    umask = os.umask(0o077)
    try:
        monkeypatch.setenv("TZ", "Asia/Seoul")
        time.tzset()
        monkeypatch.setattr(time, "time", lambda: 2e9)
        for item in tests:
            os.utime(item.input, (10**9, 10**9))
        second = make_zip(tests, tmp_path / "deep" / "two").read_bytes()
    finally:
        os.umask(umask)
        monkeypatch.undo()
        time.tzset()
    assert first == second


def test_the_zip_has_the_same_bytes_from_another_process(tests, tmp_path):
    """With another hash seed, another locale and another order on the disk."""
    code = (
        "import sys; from pathlib import Path; sys.path[:0] = sys.argv[2:]\n"
        "from standins import StandIn\nfrom toolbox.evaluation import submission\n"
        "from toolbox.data.folders import open_folder\n"
        "from toolbox.data.loader import SampleRecipe\n"
        "recipe = SampleRecipe(size=32, seed=1, damage=(), augment=())\n"
        "root = Path(sys.argv[1])\n"
        "tests = open_folder(root / 'data').tests\n"
        "submission.restore_and_zip(StandIn(), tests, recipe, root / 'two', root / 'two.zip')\n"
    )
    first = make_zip(tests, tmp_path / "one").read_bytes()
    # Write the files again in another order, so that the disk may list them in another order.
    contents = {item.input: item.input.read_bytes() for item in reversed(tests)}
    for path in contents:
        path.unlink()
    for path, content in contents.items():
        path.write_bytes(content)
    environment = os.environ | {"PYTHONHASHSEED": "7", "LC_ALL": "C", "TZ": "UTC"}
    helpers = Path(__file__).parents[1] / "helpers"
    command = [sys.executable, "-c", code, str(tmp_path), str(helpers)]
    subprocess.run(command, check=True, env=environment, cwd=tmp_path)
    assert (tmp_path / "two.zip").read_bytes() == first


def test_a_list_with_a_wrong_file_is_refused_in_one_line(tests, tmp_path):
    (tmp_path / "data" / "test.csv").write_text("input_image_path\n./train_input/TRAIN_0.png\n")
    with pytest.raises(DataError, match=r"test.csv names TRAIN_0.png, which is not in .*test_input"):
        open_folder(tmp_path / "data")


def test_the_list_decides_the_members_and_their_order(tests, tmp_path):
    (tmp_path / "data" / "test.csv").write_text(
        "input_image_path\n./test_input/TEST_003.png\n./test_input/TEST_001.png\n"
    )
    with zipfile.ZipFile(make_zip(open_folder(tmp_path / "data").tests, tmp_path / "one")) as archive:
        assert archive.namelist() == ["TEST_003.png", "TEST_001.png"]


def test_equal_names_and_links_are_refused(tests, tmp_path, monkeypatch):
    duplicates = (*tests, Item(name="TEST_003.jpg", input=tests[0].input, truth=None))
    with pytest.raises(DataError, match="would both be TEST_003.png in the submission"):
        make_zip(duplicates, tmp_path / "one")
    assert not (tmp_path / "one.zip").exists()
    # A link to an input with the name of a result is replaced, and the input is not changed.
    before = digests(tmp_path / "data")
    (tmp_path / "two").mkdir()
    (tmp_path / "two" / "TEST_001.png").symlink_to(tests[0].input)
    make_zip(tests, tmp_path / "two")
    assert digests(tmp_path / "data") == before
    # A link that replaces a result during the work is not followed.
    write_png = io.write_png

    def write_and_swap(path, pixels):
        write_png(path, pixels)
        path.unlink()
        path.symlink_to(tests[0].input)

    monkeypatch.setattr(io, "write_png", write_and_swap)
    with pytest.raises(OutputError, match="TEST_001.png is not a regular file, so it can't be added to a zip"):
        make_zip(tests, tmp_path / "three")
    assert not (tmp_path / "three.zip").exists()


def test_stopped_work_leaves_no_zip(tests, tmp_path):
    answers = iter([False, True])
    assert make_zip(tests, tmp_path / "one", stop=lambda: next(answers)) is None
    assert len(list((tmp_path / "one").iterdir())) == 1 and not (tmp_path / "one.zip").exists()


# ---- scores of files


@pytest.fixture
def pictures(tmp_path, monkeypatch):
    """Write restored pictures, their truths and masks."""
    for folder in ("restored", "truth", "masks", "inputs"):
        (tmp_path / folder).mkdir()
        for seed in range(2):
            pixels = np.eye(48, 64) > 0 if folder == "masks" else gray_to_rgb(gray(seed=seed))
            io.write_png(tmp_path / folder / f"{seed}.png", pixels)
    files.write_flat_zip(tmp_path / "s.zip", [(f"{n}.png", tmp_path / "restored" / f"{n}.png") for n in range(2)])
    return tmp_path


def score(*arguments, code=0):
    result = CliRunner().invoke(main, ["score", *map(str, arguments)])
    assert result.exit_code == code, result.output
    return result


def test_pictures_beside_results_are_left_out(pictures):
    expected = score(pictures / "restored", pictures / "truth").output
    for kind in ("before-after", "variants", "v1"):
        io.write_png(pictures / "restored" / f"0.png.{kind}.png", gray_to_rgb(gray()))
    output = score(pictures / "restored", pictures / "truth").output
    assert output.splitlines()[:5] == expected.splitlines()[:5]
    assert "pictures beside results left out: 3, as 0.png.before-after.png." in output


def test_subfolders_and_other_files_are_named(pictures):
    (pictures / "restored" / "sub").mkdir()
    io.write_png(pictures / "restored" / "sub" / "0.png", gray_to_rgb(gray()))
    (pictures / "truth" / "2.gif").write_bytes(b"GIF89a")
    output = score(pictures / "restored", pictures / "truth").output
    assert f"{pictures / 'restored'}: subfolders are not searched: sub." in output
    io.write_png(pictures / "restored" / "2.png", gray_to_rgb(gray()))
    output = score(pictures / "restored", pictures / "truth", code=1).output
    assert "2 has no partner in" in output and "1 file left out: .gif" in output


def test_names_in_two_forms_of_unicode_are_the_same(pictures):
    """é as two characters, as macOS and some zips write it, looks the same."""
    for folder, name in (("restored", "e\u0301.png"), ("truth", "\u00e9.png"), ("masks", "\u00e9.png")):
        (pictures / folder / "1.png").rename(pictures / folder / name)
    output = score(pictures / "restored", pictures / "truth", "--masks", pictures / "masks").output
    assert "\u00e9.png" in unicodedata.normalize("NFC", output)


def test_masks_that_look_inverted_are_named(pictures):
    words = [pictures / "restored", pictures / "truth", "--masks", pictures / "masks"]
    assert "inverted" not in score(*words).output
    io.write_png(pictures / "masks" / "1.png", np.eye(48, 64) == 0)
    assert "undamaged parts: masks look inverted (1.png). A mask is white where" in score(*words).output


def test_masks_that_mark_everything_are_named(pictures):
    words = [pictures / "restored", pictures / "truth", "--masks", pictures / "masks"]
    assert "whole photograph" not in score(*words).output
    io.write_png(pictures / "masks" / "1.png", np.full((48, 64), True))
    assert "where all of it is marked as lost (1.png). A mask is white only where" in score(*words).output


def test_files_of_the_operating_system_in_a_zip_are_left_out(pictures):
    with zipfile.ZipFile(pictures / "s.zip", "a") as archive:
        for name in ("__MACOSX/._0.png", ".DS_Store", "Thumbs.db"):
            archive.writestr(name, b"x")
    output = score(pictures / "s.zip", pictures / "truth").output
    assert "s.zip: files of macOS or Windows left out: __MACOSX/._0.png, .DS_Store, Thumbs.db." in output


@pytest.mark.parametrize("name", ["s.zip", "truth/0.png", "masks/1.png", "link.csv", "hard.csv"])
def test_the_table_does_not_replace_a_scored_file(pictures, name):
    (pictures / "link.csv").symlink_to(pictures / "truth" / "0.png")
    os.link(pictures / "truth" / "0.png", pictures / "hard.csv")
    before = digests(pictures)
    words = [pictures / "s.zip", pictures / "truth", "--masks", pictures / "masks", "--csv", pictures / name]
    for extra in ([], ["--overwrite"]):
        line = score(*words, *extra, code=2).stderr
        assert line.startswith(f"toolbox: --csv {pictures / name} ") and len(line.splitlines()) == 1
        assert digests(pictures) == before


def test_an_existing_table_is_only_overwritten_on_request(pictures, monkeypatch):
    words = [pictures / "s.zip", pictures / "truth", "--csv", pictures / "table.csv"]
    score(*words)
    (pictures / "table.csv").write_text("mine")
    assert "exists" in score(*words, code=2).stderr
    assert (pictures / "table.csv").read_text() == "mine"
    # It is refused before anything is scored.
    monkeypatch.setattr(score_files, "score_files", None)
    score(*words, code=2)
    monkeypatch.undo()
    score(*words, "--overwrite")
    assert (pictures / "table.csv").read_text().startswith("name,S,M,C,score,psnr,")
