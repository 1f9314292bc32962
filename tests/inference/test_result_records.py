"""A result of another photograph, of an earlier version of it, or of other options never passes. About 3 s."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from commands import invoke
from pictures import smooth
from PIL import Image
from standins import gray, install_stand_in, read_report, run_restore, write_album

from toolbox.imaging import io
from toolbox.inference.batch import make_report
from toolbox.inference.flag_changes import flag_changes, identify_file
from toolbox.inference.photo_search import LeftOut
from toolbox.inference.reference_files import find_references


@pytest.fixture
def stand_in(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return install_stand_in(monkeypatch)


def restore(*arguments, code=0):
    return run_restore(*arguments, "--mask", "none", code=code).output


def write(path, seed=0):
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(gray(seed=seed)).save(path)


def test_the_result_of_another_photograph(stand_in):
    write("n1/x.png", 1)
    write("n2/x.png", 2)
    restore("n1/x.png", "-o", "out")
    before = Path("out/x.png").read_bytes()
    output = restore("n2/x.png", "-o", "out", code=1)
    assert "n2/x.png: failed: out/x.png is the result of n1/x.png; replace it with --overwrite, or choose" in output
    assert Path("out/x.png").read_bytes() == before and read_report(Path("out"))["failed"] == 1
    assert "there already" in restore("n1/x.png", "-o", "out")
    assert "would fail: out/x.png is the result of n1/x.png" in restore("n2/x.png", "-o", "out", "--dry-run")
    restore("n2/x.png", "-o", "out", "--overwrite")
    assert "failed: out/x.png is the result of n2/x.png" in restore("n1/x.png", "-o", "out", code=1)


def test_a_photograph_that_was_replaced(stand_in):
    write("in/x.png", 1)
    restore("in", "-o", "out")
    write("in/x.png", 2)
    os.utime("in/x.png", ns=(10**18, 10**18))
    assert "out/x.png is the result of an earlier version of this photo" in restore("in", "-o", "out", code=1)
    restore("in", "-o", "out", "--overwrite")
    assert "there already" in restore("in", "-o", "out")


def test_a_result_that_came_before_another_photograph(stand_in):
    write("in/a.jpg", 1)
    restore("in/a.jpg", "-o", "out")
    write("in/a.png", 2)
    assert "out/a.png is the result of in/a.jpg" in restore("in/a.png", "-o", "out", code=1)
    restore("in", "-o", "out")
    results = {record["photo"]: record["result"] for record in read_report(Path("out"))["photos"]}
    assert results == {"in/a.jpg": "out/a.jpg.png", "in/a.png": "out/a.png.png"}


@pytest.mark.parametrize(
    ("first", "second", "words"),
    [
        ([], ["--grow", 3], "--grow default, now 3"),
        (["--keep", "none"], [], "--keep none, now default"),
        (["--tone", "keep"], ["--tone", "colour"], "--tone keep, now default"),
        ([], ["--color", "#ffffff", "--tolerance", 3], "--color default, now #ffffff; --tolerance default, now 3"),
        ([], ["--saturation", 0.5], "--saturation default, now 0.5"),
    ],
)
def test_other_options(stand_in, first, second, words):
    write("x.png")
    run_restore("x.png", "-o", "out", *first)
    output = run_restore("x.png", "-o", "out", *second, code=1).output
    assert f"out/x.png was made with other options ({words}); replace it with --overwrite" in output
    assert "there already" in run_restore("x.png", "-o", "out", *first, "--device", "cpu", "--allow-large").output


@pytest.mark.parametrize("words", [["--fill", "auto"], ["--detector", "painted-shape"]])
def test_an_option_that_names_its_default_is_no_other_option(stand_in, words):
    write("x.png")
    run_restore("x.png", "-o", "out")
    assert "there already" in run_restore("x.png", "-o", "out", *words).output
    run_restore("x.png", "-o", "out", *words, "--overwrite")
    assert "there already" in run_restore("x.png", "-o", "out").output
    option, default = words[0].removeprefix("--"), words[1]
    for weights in ("luma", "w.safetensors"):  # the recipe of other weights may name another one
        changes = flag_changes({"weights": weights}, {"weights": weights, option: default})
        assert changes == ("" if weights == "luma" else f"--{option} default, now {default}")


def test_a_report_that_is_a_pipe_is_not_waited_for(stand_in):
    write("x.png")
    Path("out").mkdir()
    os.mkfifo("out/report.json")
    assert "report.json is not a report" in run_restore("x.png", "-o", "out", code=1).output


def test_the_same_colour_in_another_spelling_is_no_other_option(stand_in):
    write("x.png")
    run_restore("x.png", "-o", "out", "--color", "#FF00aa")
    for color in ("#ff00AA", "ff00aa", " #ff00aa"):
        assert "there already" in run_restore("x.png", "-o", "out", "--color", color).output


def test_other_masks_and_weights_of_the_same_name(stand_in):
    write("x.png")
    Path("w.safetensors").write_bytes(b"one")
    io.write_png("m.png", np.eye(48, 64) > 0)
    words = ["x.png", "-o", "out", "--mask", "m.png", "--weights", "w.safetensors"]
    run_restore(*words)
    assert "there already" in run_restore(*words).output
    io.write_png("m.png", np.eye(48, 64, 1) > 0)
    assert "out/x.png was made with other options (--mask file " in run_restore(*words, code=1).output
    io.write_png("m.png", np.eye(48, 64) > 0)
    Path("w.safetensors").write_bytes(b"two")
    assert "out/x.png was made with other options (--weights w.safetensors (" in run_restore(*words, code=1).output


def test_a_file_that_no_report_names(stand_in):
    write("x.png")
    write("out/x.png", 3)
    output = restore("x.png", "-o", "out", code=1)
    assert "out/x.png exists, and no report says whose result it is; replace it with --overwrite" in output
    Path("out/report.json").write_text(json.dumps(make_report([], 0)))
    assert "no report says" in restore("x.png", "-o", "out", code=1)


def test_a_foreign_report_is_not_replaced(stand_in):
    write("x.png")
    Path("out").mkdir()
    for text in ("[]", '{"sales": 3}', "", "\ufffe"):
        Path("out/report.json").write_text(text)
        output = restore("x.png", "-o", "out", "--overwrite", code=1)
        assert "out/report.json is not a report of `toolbox restore` and would be replaced" in output
        assert Path("out/report.json").read_text() == text and not Path("out/x.png").exists()
    Path("out/report.json").unlink()
    Path("out/report.html").write_text("<p>Sales</p>")
    output = restore("x.png", "-o", "out", "--report", code=1)
    assert "out/report.html is not a report of toolbox and would be replaced; move that file" in output
    restore("x.png", "-o", "out")
    Path("out/report.html").unlink()
    for _ in range(2):  # our own report is replaced
        restore("x.png", "-o", "out", "--report")


def test_results_of_earlier_calls_inside_the_album_are_no_photographs(stand_in):
    write_album(Path("album"))
    restore("album", "-o", "album/first")
    output = restore("album", "-o", "album/second")
    assert "3 restored" in output and "album/first left out: it has results of toolbox" in output
    assert json.loads(Path("album/second/report.json").read_text())["left out"] == ["album/first"]
    assert len(stand_in.calls) == 6
    invoke("mask", "album", "-o", "album/masks")
    output = restore("album", "-o", "third", "--mask", "none")
    assert all(f"album/{name} left out: it has results of toolbox" in output for name in ("first", "second", "masks"))
    assert "3 restored" in output
    assert "3 restored" in restore("album/first", "-o", "again")  # the user names it
    Path("outer").mkdir()
    Path("album/first").rename("outer/first")
    assert "no photographs found (outer/first left out: it has results of toolbox)" in restore(
        "outer", "-o", "x", code=1
    )


def test_records_outlast_other_batches_moved_albums_and_touched_files(stand_in):
    write_album(Path("album"))
    restore("album", "-o", "out")
    write("new/z.png", 5)
    restore("new", "-o", "out")
    shutil.copytree("album", "moved")  # new times, other path, same content
    os.utime("album/a.png")
    for folder in ("album", "moved"):
        assert "3 there already" in restore(folder, "-o", "out")
    assert set(read_report(Path("out"))["results"]) == {"a.png", "b.png", "sub/c.png", "z.png"}
    restore("new", "-o", "out", "--preview")
    assert "3 there already" in restore("album", "-o", "out") and len(stand_in.calls) == 4


def test_a_killed_batch_leaves_its_records(stand_in, monkeypatch):
    write_album(Path("album"))
    Path("out").mkdir()
    Path("out/report.json").write_text(json.dumps(make_report([], 0)))
    with monkeypatch.context() as patch:
        patch.setattr("toolbox.inference.batch.make_report", lambda *a, **b: 1 / 0)  # stands for the kill
        restore("album", "-o", "out", code=1)
    stand_in.calls.clear()
    assert Path("out/.report.json.journal").is_file()
    # A journal ends in the middle of a line; a result that was about to be written is not there.
    with open("out/.report.json.journal", "a") as journal:
        journal.write('{"result": "b.p')
    Path("out/sub/c.png").unlink()
    assert "2 there already, 1 restored" in restore("album", "-o", "out")
    assert len(stand_in.calls) == 1 and not list(Path("out").glob(".*"))
    assert "3 there already" in restore("album", "-o", "out")


def test_a_killed_overwrite_does_not_claim_the_old_result(stand_in):
    write("x.png")
    restore("x.png", "-o", "out")
    state = os.stat("out/x.png")
    record = json.loads(Path("out/report.json").read_text())["results"]["x.png"]
    line = {"result": "x.png", "replaces": [state.st_size, state.st_mtime_ns], **record, "flags": {"grow": "9"}}
    Path("out/.report.json.journal").write_text(json.dumps(line) + "\n")
    assert "there already" in restore("x.png", "-o", "out")


def test_processes_know_each_others_results(stand_in, monkeypatch):
    write_album(Path("album"))
    monkeypatch.setenv("WORLD_SIZE", "2")
    for _ in range(2):
        for rank in (0, 1):
            monkeypatch.setenv("RANK", str(rank))
            restore("album", "-o", "out")
    monkeypatch.delenv("WORLD_SIZE")
    assert "3 there already" in restore("album", "-o", "out") and len(stand_in.calls) == 3


def test_a_report_that_cannot_be_written_takes_no_summary_and_no_record(stand_in):
    write("in/a.png", 1)
    write("in/b.png", 2)
    os.makedirs("out/report.json")  # no report can replace a folder
    result = run_restore("in", "-o", "out", "--mask", "none", code=1)
    assert (
        "2 restored\n" in result.stdout and "out/report.json can't be written: a folder has that name" in result.stderr
    )
    os.rmdir("out/report.json")
    assert "2 there already" in restore("in", "-o", "out")
    Path("out/report.json").unlink()
    os.mkdir("out/report.json")
    result = run_restore("in", "-o", "out", "--mask", "none", "--overwrite", "--json", code=1)
    assert json.loads(result.stdout)["restored"] == 2


def write_color(path, seed):
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (48, 64, 4), np.uint8)
    pixels[..., 3] = 255 * (np.arange(64) < 32)  # strokes on a transparent layer
    Image.fromarray(pixels).save(path)


@pytest.mark.parametrize("option", ["--palette", "--reference", "--hints", "--reference refs"])
def test_a_file_of_the_same_name_that_was_replaced(stand_in, option):
    option, folder = option.split()[0], Path(*option.split()[1:])
    write("in/x.png")
    write_color(folder / "other.png", 1)
    arguments = ("in/x.png", "-o", "refs/out", option, str(folder / "other.png" if folder == Path() else folder))
    restore(*arguments)
    assert "there already" in restore(*arguments)  # the results below a folder of references do not count
    write_color(folder / "other.png", 2)
    with open(folder / "other.png", "ab") as stream:
        stream.write(b"\0")  # random pictures may have equal sizes
    assert f"made with other options ({option} " in restore(*arguments, code=1)
    restore(*arguments, "--overwrite")
    assert "there already" in restore(*arguments)


def test_replaced_weights_of_damage(tmp_path):
    weights = tmp_path / "damage.safetensors"
    weights.write_bytes(b"1")
    before = identify_file(weights)
    weights.write_bytes(b"2")
    assert identify_file(weights) != before and before.startswith(f"{weights} (")
    assert identify_file("luma") == "luma"


def test_a_photograph_of_a_folder_that_was_replaced_by_one_of_equal_size(tmp_path):
    data = bytearray(100_000)
    for name in ("a.bmp", "b.bmp"):
        (tmp_path / name).write_bytes(data)
    before = identify_file(tmp_path)
    data[50_010] = 1
    (tmp_path / "b.bmp").write_bytes(data)
    assert identify_file(tmp_path) != before


def test_results_are_no_references(tmp_path):
    write(tmp_path / "a.png")
    write(tmp_path / "out" / "a.png")
    assert find_references([tmp_path], LeftOut(), out=tmp_path / "out") == (tmp_path / "a.png",)


@pytest.mark.parametrize("left", [lambda data: b"", lambda data: data[:-20], lambda data: b"text"])
@pytest.mark.parametrize("name", ["a.png", "a.png.before-after.png", "a.png.provenance.png"])
def test_a_file_that_can_not_be_read_is_made_again(stand_in, name, left):
    write("in/a.png")
    options = ("in", "-o", "out", "--before-after", "--provenance")
    restore(*options)
    made = {path.name: path.read_bytes() for path in Path("out").glob("*.png")}
    assert len(made) == 3
    Path("out", name).write_bytes(left(made[name]))
    assert "(would be written)" in restore(*options, "--dry-run")
    output = restore(*options)
    assert ("made again: the result that was there can't be read" in output) == (name == "a.png")
    assert {path.name: path.read_bytes() for path in Path("out").glob("*.png")} == made
    assert "there already: out/a.png" in restore(*options)


def test_an_empty_file_that_is_no_known_result_is_named(stand_in):
    write("in/a.png")
    Path("out").mkdir()
    Path("out/a.png").touch()
    assert "out/a.png exists, and no report says whose result it is" in restore("in", "-o", "out", code=1)
    assert Path("out/a.png").read_bytes() == b""


def colour_photo(path):
    io.write_png(path, smooth(48, 64))
    mask = np.zeros((48, 64), bool)
    mask[10:20, 5:30] = True
    io.write_png("mask.png", mask)


def test_overwrite_deletes_the_result_of_other_options_if_the_photograph_is_left_as_it_is(stand_in):
    """The filled picture stayed, and the same command without --overwrite asked for it again and again."""
    colour_photo("x.png")
    run_restore("x.png", "-o", "out", "--mask", "mask.png", "--provenance", "--before-after")
    assert {path.name for path in Path("out").glob("*.png")} == {
        "x.png",
        "x.png.provenance.png",
        "x.png.before-after.png",
    }
    output = run_restore("x.png", "-o", "out", "--overwrite").output
    assert (
        "left as it is" in output and "its earlier result, of other options or another version, was deleted" in output
    )
    assert not list(Path("out").glob("*.png"))
    report = json.loads(Path("out/report.json").read_text("utf-8"))
    assert report["results"] == {} and report["left as it is"] == 1
    output = run_restore("x.png", "-o", "out").output
    assert "left as it is" in output and "deleted" not in output and "--overwrite" not in output


def test_overwrite_deletes_pictures_beside_the_result_that_were_not_asked_for_again(stand_in):
    colour_photo("x.png")
    run_restore("x.png", "-o", "out", "--mask", "mask.png", "--provenance", "--before-after")
    run_restore("x.png", "-o", "out", "--mask", "mask.png", "--before-after", "--overwrite")
    assert {path.name for path in Path("out").glob("*.png")} == {"x.png", "x.png.before-after.png"}


def test_overwrite_deletes_no_file_that_is_not_a_result(stand_in):
    colour_photo("x.png")
    run_restore("x.png", "-o", "out", "--mask", "mask.png")
    Path("out/report.json").unlink()
    Path("out/x.png.provenance.png").write_bytes(b"mine")
    output = run_restore("x.png", "-o", "out", "--overwrite").output
    assert "out/x.png was there before, and is not its result" in output
    assert Path("out/x.png").is_file() and Path("out/x.png.provenance.png").is_file()
