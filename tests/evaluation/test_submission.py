"""The submission and the score: inputs stay as they are, the zip is the same bytes wherever and whenever. Some 2 s."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from standins import Stand, digests, gray, three

from toolbox.cli import main
from toolbox.data import loader
from toolbox.data.folders import Item, open_folder
from toolbox.errors import DataError, OutputError
from toolbox.evaluation import score_files, submission
from toolbox.imaging import io
from toolbox.utils import files

HOW = loader.SampleRecipe(size=32, seed=1, damage=(), augment=())
NAMES = ("TEST_003.png", "TEST_001.png", "TEST_002.jpg")


@pytest.fixture
def tests(tmp_path):
    """Lay out a competition's folder, and return the test list."""
    for name in ("train_input", "train_gt", "test_input"):
        (tmp_path / "given" / name).mkdir(parents=True)
    for seed in range(3):
        for side in ("train_input", "train_gt"):
            io.write_png(tmp_path / "given" / side / f"TRAIN_{seed}.png", three(gray(seed=seed)))
    for seed, name in enumerate(NAMES):
        path = tmp_path / "given" / "test_input" / name
        path.write_bytes(io.encode_png(gray(seed=seed)))
    return open_folder(tmp_path / "given").tests


def made(tests, at, **more):
    return submission.restore_and_zip(Stand(), tests, HOW, Path(at), Path(f"{at}.zip"), **more)


def test_the_zip_has_the_test_list_and_no_more(tests, tmp_path):
    before = digests(tmp_path / "given")
    (tmp_path / "one").mkdir()
    io.write_png(tmp_path / "one" / "left-from-before.png", gray())
    with zipfile.ZipFile(made(tests, tmp_path / "one")) as archive:
        assert archive.namelist() == [f"{Path(item.name).stem}.png" for item in tests]
        assert sorted(archive.namelist()) == ["TEST_001.png", "TEST_002.png", "TEST_003.png"]
        for entry in archive.infolist():
            found = io.decode(archive.read(entry), entry.filename).pixels
            assert found.shape == (48, 64, 3)
    assert digests(tmp_path / "given") == before


def test_the_zip_is_the_same_bytes_at_another_time_and_place(tests, tmp_path, monkeypatch):
    first = made(tests, tmp_path / "one").read_bytes()
    mask = os.umask(0o077)
    try:
        monkeypatch.setenv("TZ", "Asia/Seoul")
        time.tzset()
        monkeypatch.setattr(time, "time", lambda: 2e9)
        for item in tests:
            os.utime(item.input, (10**9, 10**9))
        other = made(tests, tmp_path / "deep" / "two").read_bytes()
    finally:
        os.umask(mask)
        monkeypatch.undo()
        time.tzset()
    assert first == other


def test_the_zip_is_the_same_bytes_from_another_process(tests, tmp_path):
    """In another order of hashes, another locale and another order on the disk."""
    code = (
        "import sys; from pathlib import Path; sys.path[:0] = sys.argv[2:]\n"
        "from standins import Stand\nfrom toolbox.evaluation import submission\n"
        "from toolbox.data.folders import open_folder\n"
        "from toolbox.data.loader import SampleRecipe\n"
        "how = SampleRecipe(size=32, seed=1, damage=(), augment=())\n"
        "root = Path(sys.argv[1])\n"
        "submission.restore_and_zip(Stand(), open_folder(root / 'given').tests, how, root / 'two', root / 'two.zip')\n"
    )
    first = made(tests, tmp_path / "one").read_bytes()
    # Written again in another order, so that the disk may list them in another.
    kept = {item.input: item.input.read_bytes() for item in reversed(tests)}
    for path in kept:
        path.unlink()
    for path, content in kept.items():
        path.write_bytes(content)
    given = os.environ | {"PYTHONHASHSEED": "7", "LC_ALL": "C", "TZ": "UTC"}
    here = Path(__file__).parents[1] / "helpers"
    words = [sys.executable, "-c", code, str(tmp_path), str(here)]
    subprocess.run(words, check=True, env=given, cwd=tmp_path)
    assert (tmp_path / "two.zip").read_bytes() == first


def test_a_list_that_names_what_is_no_test_photograph_is_one_line(tests, tmp_path):
    (tmp_path / "given" / "test.csv").write_text("input_image_path\n./train_input/TRAIN_0.png\n")
    with pytest.raises(DataError, match=r"test.csv names TRAIN_0.png, which is not in .*test_input"):
        open_folder(tmp_path / "given")


def test_a_list_gives_names_count_and_order(tests, tmp_path):
    (tmp_path / "given" / "test.csv").write_text(
        "input_image_path\n./test_input/TEST_003.png\n./test_input/TEST_001.png\n"
    )
    with zipfile.ZipFile(made(open_folder(tmp_path / "given").tests, tmp_path / "one")) as archive:
        assert archive.namelist() == ["TEST_003.png", "TEST_001.png"]


def test_one_name_for_two_and_links_are_refused(tests, tmp_path, monkeypatch):
    twice = (*tests, Item(name="TEST_003.jpg", input=tests[0].input, truth=None))
    with pytest.raises(DataError, match="would both be TEST_003.png in the submission"):
        made(twice, tmp_path / "one")
    assert not (tmp_path / "one.zip").exists()
    # A result's place that is a link to an input: the link is replaced, the input is not written to.
    before = digests(tmp_path / "given")
    (tmp_path / "two").mkdir()
    (tmp_path / "two" / "TEST_001.png").symlink_to(tests[0].input)
    made(tests, tmp_path / "two")
    assert digests(tmp_path / "given") == before
    # And one that comes in between is not followed.
    real = io.write_png

    def swapped(path, pixels):
        real(path, pixels)
        path.unlink()
        path.symlink_to(tests[0].input)

    monkeypatch.setattr(io, "write_png", swapped)
    with pytest.raises(OutputError, match="TEST_001.png is not a regular file, so it can't be added to a zip"):
        made(tests, tmp_path / "three")
    assert not (tmp_path / "three.zip").exists()


def test_who_is_told_to_stop_leaves_no_zip(tests, tmp_path):
    asked = iter([False, True])
    assert made(tests, tmp_path / "one", stop=lambda: next(asked)) is None
    assert len(list((tmp_path / "one").iterdir())) == 1 and not (tmp_path / "one.zip").exists()


# ---- the score


@pytest.fixture
def pictures(tmp_path, monkeypatch):
    """Lay out restored pictures, their truths and masks."""
    for folder in ("restored", "truth", "masks", "inputs"):
        (tmp_path / folder).mkdir()
        for seed in range(2):
            pixels = np.eye(48, 64) > 0 if folder == "masks" else three(gray(seed=seed))
            io.write_png(tmp_path / folder / f"{seed}.png", pixels)
    files.write_flat_zip(tmp_path / "s.zip", [(f"{n}.png", tmp_path / "restored" / f"{n}.png") for n in range(2)])
    return tmp_path


def score(*words, code=0):
    result = CliRunner().invoke(main, ["score", *map(str, words)])
    assert result.exit_code == code, result.output
    return result


@pytest.mark.parametrize("place", ["s.zip", "truth/0.png", "masks/1.png", "link.csv", "hard.csv"])
def test_the_score_writes_to_none_of_what_it_was_given(pictures, place):
    (pictures / "link.csv").symlink_to(pictures / "truth" / "0.png")
    os.link(pictures / "truth" / "0.png", pictures / "hard.csv")
    before = digests(pictures)
    words = [pictures / "s.zip", pictures / "truth", "--masks", pictures / "masks", "--csv", pictures / place]
    for extra in ([], ["--overwrite"]):
        line = score(*words, *extra, code=2).stderr
        assert line.startswith(f"toolbox: --csv {pictures / place} ") and len(line.splitlines()) == 1
        assert digests(pictures) == before


def test_a_table_that_is_there_is_not_overwritten_unless_asked(pictures, monkeypatch):
    words = [pictures / "s.zip", pictures / "truth", "--csv", pictures / "table.csv"]
    score(*words)
    (pictures / "table.csv").write_text("mine")
    assert "is there already" in score(*words, code=2).stderr
    assert (pictures / "table.csv").read_text() == "mine"
    # It is said before anything is scored.
    monkeypatch.setattr(score_files, "score_files", None)
    score(*words, code=2)
    monkeypatch.undo()
    score(*words, "--overwrite")
    assert (pictures / "table.csv").read_text().startswith("name,S,M,C,score\n0.png,")
