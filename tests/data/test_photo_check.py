"""Wrong pairs are named before they train: shuffled truths, swapped folders, gray truths, and pairs in train.csv."""

from __future__ import annotations

import csv
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from commands import invoke, invoke_error
from PIL import Image
from runs import run

from toolbox.data import broken_files, folders, photo_check
from toolbox.data.left_out import describe_left_out
from toolbox.diagnostics.data_folder import inspect_folder
from toolbox.diagnostics.environment import Finding
from toolbox.errors import DataError
from toolbox.imaging import io


def kinds(folder):
    """Return the kind of fault of every pair of a folder, by name, without those that have none."""
    found = photo_check.examine(folders.open_folder(folder).items)
    return {one.item.name: one.kind for one in found if one.kind}


def names(folder):
    return sorted(path.name for path in (folder / "train_gt").iterdir())


def without_table(folder):
    (folder / "train.csv").unlink()
    return folder


def rotate_truths(folder):
    """Give every input the truth of the next one."""
    truths = [path.read_bytes() for path in sorted((folder / "train_gt").iterdir())]
    for name, data in zip(names(folder), truths[1:] + truths[:1], strict=True):
        (folder / "train_gt" / name).write_bytes(data)


def make_gray(path):
    io.write_png(path, np.repeat(io.read_gray(path)[..., None], 3, axis=2))


def test_true_pairs_have_no_fault(competition):
    assert kinds(competition) == {}
    assert broken_files.check_pairing(folders.open_folder(competition)) == []


@pytest.mark.parametrize("change", ["faded", "jpeg", "shifted"])
def test_true_pairs_with_another_tone_have_no_fault(competition, change):
    for name in names(competition):
        path = competition / "train_input" / name
        gray = io.read_gray(path)
        if change == "faded":
            gray = (90 + gray * 0.45).astype(np.uint8)
        elif change == "shifted":
            gray = np.roll(gray, 1, axis=1)
        rgb = np.repeat(gray[..., None], 3, axis=2)
        io.write_png(path, rgb) if change != "jpeg" else path.write_bytes(io.encode(rgb, "JPEG")[0])
    assert kinds(competition) == {}


def test_shuffled_truths_are_named_with_the_one_that_belongs(competition):
    rotate_truths(competition)
    found = photo_check.examine(folders.open_folder(competition).items)
    assert {one.kind for one in found} == {"unrelated"}
    last = names(competition)[-1]
    assert found[0].reason == f"the truth shows another photograph; the input belongs to the truth {last}"
    message = invoke_error("run", "--data", competition, code=1)
    assert "6 of 6 pairs that were checked are wrong" in message


def test_one_wrong_truth_of_many_is_named(competition):
    first, second = names(competition)[:2]
    shutil.copy(competition / "train_gt" / second, competition / "train_gt" / first)
    assert kinds(competition) == {first: "unrelated"}


def test_an_upside_down_truth_is_named(competition):
    path = competition / "train_gt" / names(competition)[0]
    io.write_png(path, np.ascontiguousarray(io.read_rgb(path)[::-1]))
    assert kinds(competition) == {path.name: "unrelated"}


def test_swapped_folders_are_named(competition):
    without_table(competition)
    (competition / "train_gt").rename(competition / "other")
    (competition / "train_input").rename(competition / "train_gt")
    (competition / "other").rename(competition / "train_input")
    assert set(kinds(competition).values()) == {"swapped"}
    assert "seem to be exchanged" in invoke_error("run", "--data", competition, code=1)


@pytest.mark.parametrize(("count", "text"), [(6, "All 6 truths"), (2, "2 of 6 truths")])
def test_gray_truths_are_counted(competition, count, text):
    for name in names(competition)[:count]:
        make_gray(competition / "train_gt" / name)
    (line,) = broken_files.check_pairing(folders.open_folder(competition))
    assert line.startswith(f"warning: {text} that were checked are gray.")


def test_what_is_doubtful_is_said_of_the_photographs_that_are_left_too(competition):
    for name in names(competition):
        make_gray(competition / "train_gt" / name)
    first = sorted((competition / "train_input").iterdir())[0]
    first.write_bytes(first.read_bytes()[:40])
    lines: list[str] = []
    broken_files.check_photos(folders.open_folder(competition), skip=True, skipped={}, report=lines.append)
    assert any(line.startswith("warning: All 5 truths that were checked are gray") for line in lines), lines
    assert "Left out, 1 photograph:" in lines


def test_gray_photographs_to_be_damaged_are_counted(photos):
    for path in photos.iterdir():
        make_gray(path)
    (line,) = broken_files.check_pairing(folders.open_folder(photos))
    assert "All 6 photographs that were checked are gray" in line


def write_table(folder, rows, header=("input_image_path", "gt_image_path"), encoding="utf-8"):
    with (folder / "train.csv").open("w", newline="", encoding=encoding) as lines:
        csv.writer(lines).writerows([header, *rows])


def pairs(folder):
    return {item.name: item.truth.name for item in folders.open_folder(folder).items}


def test_wrong_pairs_of_a_plugin_are_not_said_to_be_in_a_folder(competition):
    source = folders.open_folder(competition)
    shifted = [item.truth for item in source.items[1:] + source.items[:1]]
    items = tuple(replace(item, truth=truth) for item, truth in zip(source.items, shifted, strict=True))
    with pytest.raises(DataError, match=r"^The source of plugin 'mine': \d+ of \d+ pairs") as error:
        broken_files.check_pairing(replace(source, items=items, folder=None, plugin="mine"))
    assert "doctor" not in str(error.value) and "None" not in str(error.value) and "train.csv" not in str(error.value)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("path", ["./{}/{}", "{}\\{}"])
def test_the_table_pairs_an_input_with_a_truth_of_another_name(competition, encoding, path):
    rows = []
    for index, name in enumerate(names(competition)):
        (competition / "train_gt" / name).rename(competition / "train_gt" / f"truth-{index}.png")
        rows.append([path.format("train_input", name), path.format("train_gt", f"truth-{index}.png")])
    write_table(competition, rows, encoding=encoding)
    assert pairs(competition) == {f"TRAIN_{index:03d}.png": f"truth-{index}.png" for index in range(6)}
    assert kinds(competition) == {}


def test_a_table_that_shuffles_the_truths_is_obeyed_and_refused(competition):
    found = names(competition)
    rows = [[f"train_input/{a}", f"train_gt/{b}"] for a, b in zip(found, found[1:] + found[:1], strict=True)]
    write_table(competition, rows)
    assert pairs(competition)[found[0]] == found[1]
    assert set(kinds(competition).values()) == {"unrelated"}


def test_columns_in_another_order_and_a_subset(competition):
    found = names(competition)[:3]
    write_table(competition, [[f"train_gt/{n}", f"train_input/{n}"] for n in found], ("gt_path", "input_path"))
    assert pairs(competition) == {name: name for name in found}


def test_a_name_with_two_truths_is_one_line(competition):
    a, b = names(competition)[:2]
    write_table(competition, [[f"train_input/{a}", f"train_gt/{a}"], [f"train_input/{a}", f"train_gt/{b}"]])
    with pytest.raises(
        DataError, match=rf"names {a} twice, with different files: \S+train_gt/{a} and \S+train_gt/{b}\."
    ):
        folders.open_folder(competition)


def test_two_files_of_one_name_are_named(competition):
    a = names(competition)[0]
    (competition / "train_input" / "more").mkdir()
    shutil.copy(competition / "train_input" / a, competition / "train_input" / "more" / a)
    write_table(competition, [[f"train_input/{a}", f"train_gt/{a}"], [f"train_input/more/{a}", f"train_gt/{a}"]])
    with pytest.raises(DataError, match=rf"input/{a} and \S+/more/{a}\. .*rename one of the files"):
        folders.open_folder(competition)


def test_a_table_of_inputs_only_pairs_by_name(competition):
    found = names(competition)[:2]
    write_table(competition, [[f"train_input/{name}"] for name in found], ("input_image_path",))
    assert pairs(competition) == {name: name for name in found}
    (competition / "train_gt" / found[1]).unlink()
    with pytest.raises(DataError, match=f"{found[1]}, and there is no "):
        folders.open_folder(competition)


def break_some(folder):
    """Damage one pair in each way; return the names."""
    first, second, third = names(folder)[:3]
    (folder / "train_input" / first).write_bytes(b"\x89PNG\r\n\x1a\n cut")
    io.write_png(folder / "train_gt" / second, io.read_rgb(folder / "train_gt" / second)[:40])
    shutil.copy(folder / "train_gt" / names(folder)[3], folder / "train_gt" / third)
    return first, second, third


def test_doctor_lists_everything_about_a_folder(competition):
    first, second, third = break_some(competition)
    (competition / "train_input" / "notes.txt").touch()
    (competition / "train_gt" / "more").mkdir()
    make_gray(competition / "train_gt" / names(competition)[5])
    result = invoke("doctor", "--data", competition, "--json", code=1)
    rows = {row["what"]: row for row in json.loads(result.stdout)["data"]}
    assert rows["sizes"]["detail"] == "64x64: 4, 64x40: 1; the smallest side has 40 pixels"
    assert rows["colour"]["detail"].startswith(f"1 of 5 truths are gray ({names(competition)[5]})")
    assert "photographs share a scene" in rows["near-duplicates"]["detail"]
    assert "validation photographs share a scene" in rows["leaks"]["detail"]
    assert "1 .txt, not an image format" in rows["left out"]["detail"]
    assert "1 subfolders" in rows["left out"]["detail"]
    assert [name for name in (first, second, third) if not rows[name]["ok"]] == [first, second, third]
    assert "toolbox run --skip-broken" in rows["broken"]["detail"]


@pytest.mark.parametrize("good", [0, 1, 2])
def test_skip_broken_is_offered_only_if_enough_photographs_are_left(competition, good):
    for name in names(competition)[good:]:
        path = competition / "train_gt" / name
        io.write_png(path, np.ascontiguousarray(io.read_rgb(path)[:, ::-1]))
    message = invoke_error("run", "--data", competition, code=1)
    assert "Correct the names or train.csv" in message
    (finding,) = [one for one in inspect_folder(competition) if one.what == "broken"]
    assert [("--skip-broken" in text) for text in (message, finding.detail)] == [good == 2] * 2


def test_pairs_of_unequal_size_are_to_be_brought_to_one_size(competition):
    for name in names(competition):
        path = competition / "train_input" / name
        io.write_png(path, np.ascontiguousarray(io.read_rgb(path)[::2, ::2]))
    message = invoke_error("run", "--data", competition, code=1)
    assert "the pair is of unequal size" in message and "Bring each pair to one size" in message
    assert "Correct the names" not in message


@pytest.mark.parametrize("change", ["input", "truth", "train.csv", "test.csv", "no csv"])
def test_doctor_goes_on_with_the_pairs_there_are(competition, change):
    first, second, _ = break_some(competition)
    removed = {"input": "train_input", "truth": "train_gt", "test.csv": "test_input"}.get(change, "train_gt")
    if change in ("input", "truth"):
        without_table(competition)
    if change == "no csv":
        (competition / "train.csv").write_text("nothing", "utf-8")
    else:
        (competition / removed / ("TEST_006.png" if change == "test.csv" else names(competition)[5])).unlink()
    findings = inspect_folder(competition)
    (fault,) = [one.detail for one in findings if one.what == "pairing" and not one.ok]
    assert any(part in fault for part in ("has no partner", "and there is no", "which is not in", "has no rows"))
    rows = {one.what: one for one in findings}
    assert not rows[first].ok and not rows[second].ok and "sizes" in rows and "colour" in rows
    assert "--skip-broken" not in rows["broken"].detail  # a run still refuses the pairing
    if change in ("input", "truth"):
        assert "1 without a partner" in rows["left out"].detail


def test_skip_broken_trains_without_them_and_remembers_it(competition, tmp_path):
    first, second, third = break_some(competition)
    (competition / "test_input" / "TEST_006.png").write_bytes(b"nothing")
    out = tmp_path / "out"
    options = ["--data", competition, "--out", out, "--size", 32, "--epochs", 1]
    stderr = run(*options, code=1).stderr
    assert third in stderr and "--skip-broken" in stderr
    output = run(*options, "--skip-broken").output
    assert "Left out (--skip-broken), 3 photographs:" in output and f"{second}: the pair is of unequal" in output
    assert "Left out (--skip-broken), 1 test photograph:" in output and "the submission will lack" in output
    assert sorted(json.loads((out / "skipped.json").read_text("utf-8"))) == sorted(
        [first, second, third, "TEST_006.png"]
    )
    assert "finished" in run("--resume", out).output


def test_a_broken_test_photograph_is_noticed_before_the_training(competition):
    (competition / "test_input" / "TEST_006.png").write_bytes(b"nothing")
    assert "The run would restore it at its end" in invoke_error("run", "--data", competition, "--dry-run", code=1)


def test_too_few_photographs_left_is_one_line(photos):
    for path in sorted(photos.iterdir())[1:]:
        path.write_bytes(b"nothing")
    message = run("--data", photos, "--skip-broken", code=1).stderr
    assert "5 of 6 photographs can't be used, and at least two are needed" in message


def test_a_run_stops_at_a_broken_photograph_with_the_remedy(photos):
    sorted(photos.iterdir())[0].write_bytes(b"nothing")
    assert "or leave it out with --skip-broken" in invoke_error("run", "--data", photos, code=1)


def test_a_wrong_pair_of_a_table_names_the_truth_file(competition):
    found = names(competition)
    rows = [[f"train_input/{a}", f"train_gt/{b}"] for a, b in zip(found, found[1:] + found[:1], strict=True)]
    write_table(competition, rows)
    reason = photo_check.examine(folders.open_folder(competition).items)[0].reason
    assert reason == f"the truth {found[1]} shows another photograph; the input belongs to the truth {found[0]}"


@pytest.mark.parametrize("delimiter", [";", "\t"])
@pytest.mark.parametrize("pad", ["", " "])
def test_tables_of_other_spreadsheets_are_read(competition, delimiter, pad):
    path = competition / "train.csv"
    path.write_text(path.read_text("utf-8").replace(",", f"{pad}{delimiter}{pad}"), "utf-8")
    assert pairs(competition) == {name: name for name in names(competition)}


@pytest.mark.parametrize("name", ["train.csv", "test.csv"])
@pytest.mark.parametrize("content", ["", "input_image_path,gt_image_path\n", "\n\n"])
def test_a_table_without_rows_is_refused(competition, name, content):
    (competition / name).write_text(content, "utf-8")
    with pytest.raises(DataError, match=f"{name} has no rows below its header"):
        folders.open_folder(competition)


def test_inputs_that_equal_their_truths_are_named(competition):
    chosen = names(competition)[:4]
    for name in chosen:
        shutil.copy(competition / "train_gt" / name, competition / "train_input" / name)
    (line,) = broken_files.check_pairing(folders.open_folder(competition))
    assert line.startswith("warning: 4 of 6 inputs that were checked equal their truths.")
    (finding,) = (one for one in inspect_folder(competition) if one.what == "copies")
    assert not finding.ok and chosen[0] in finding.detail


def test_pairs_by_absolute_paths_are_not_left_out(competition, tmp_path, monkeypatch):
    """The table may name the files by another way to the same folders: absolute, or through a parent folder."""
    root = competition.resolve()
    rows = [
        (root / "train_input" / name, root / "train_input" / ".." / "train_gt" / name) for name in names(competition)
    ]
    lines = ["input_image_path,gt_image_path", *(f"{first},{second}" for first, second in rows)]
    (competition / "train.csv").write_text("\n".join(lines), encoding="utf-8")
    monkeypatch.chdir(competition.parent)
    source = folders.open_folder(Path(competition.name))
    assert describe_left_out(source) == ""
    assert "left out" not in {finding.what for finding in inspect_folder(Path(competition.name))}


def test_a_name_in_the_table_is_printed_in_one_line(competition):
    (competition / "train.csv").write_text('input_image_path\n"train_input/a\x1b[31m\nb.png"\n', encoding="utf-8")
    with pytest.raises(DataError, match=r"names train_input/a\\x1b\[31m\\nb.png, which is not in"):
        folders.open_folder(competition)


def test_pairs_of_unequal_size_are_refused_before_the_run(competition):
    for name in names(competition)[:2]:
        path = competition / "train_gt" / name
        io.write_png(path, np.repeat(np.repeat(io.read_rgb(path), 2, axis=0), 2, axis=1))
    output = run("--data", competition, "--dry-run", "--size", 32, code=1).output
    assert "2 of " in output and "the pair is of unequal size" in output and "--skip-broken" in output


def test_a_continued_run_says_that_photographs_are_left_out(photos, tmp_path):
    sorted(photos.iterdir())[0].write_bytes(b"")
    run("--data", photos, "--out", tmp_path / "run", "--size", 32, "--steps", 1, "--batch", 2, "--skip-broken")
    output = run("--resume", tmp_path / "run", "--steps", 2).output
    assert "Left out, as before: 1 photograph; skipped.json" in output


@pytest.mark.parametrize("row", [",,,", "  ,", ""])
def test_empty_rows_of_a_spreadsheet_are_passed_over(competition, row):
    """Spreadsheets write them below the last row; they named a file called "nothing"."""
    path = competition / "train.csv"
    path.write_text(f"{path.read_text('utf-8').rstrip()}\n{row}\n{row}\n", "utf-8")
    assert pairs(competition) == {name: name for name in names(competition)}


@pytest.mark.parametrize(
    ("row", "column", "cells"),
    [
        ("./train_input/a.png,", "gt_image_path", "./train_input/a.png"),
        ("./train_input/a.png,  ", "gt_image_path", "./train_input/a.png"),
        ("./train_input/a.png", "gt_image_path", "./train_input/a.png"),  # a row that is too short
        (",./train_gt/b.png", "input_image_path", "./train_gt/b.png"),
        (",,a note", "input_image_path", "a note"),
    ],
)
def test_a_row_without_a_path_is_named_with_the_column_that_is_empty(competition, row, column, cells):
    path = competition / "train.csv"
    path.write_text(f"{path.read_text('utf-8').rstrip()}\n{row}\n", "utf-8")
    words = f"train.csv has a row without {column}: {cells}. Write the file there, or remove the row."
    with pytest.raises(DataError, match=re.escape(words)):
        folders.open_folder(competition)


def test_a_table_of_test_photographs_needs_no_truths(competition):
    tests = sorted(path.name for path in (competition / "test_input").iterdir())
    rows = "".join(f"./test_input/{name},\n" for name in tests)
    (competition / "test.csv").write_text(f"input_image_path,gt_image_path\n{rows}", "utf-8")
    assert [item.name for item in folders.open_folder(competition).tests] == tests


@pytest.mark.parametrize("ending", [".png", ".jpg"])
def test_masks_among_photographs_are_named(competition, ending):
    """They trained as photographs, and only a warning of gray photographs said so."""
    folder = competition / "train_gt"
    height, width = io.read_gray(folder / names(competition)[0]).shape
    mask = np.zeros((height, width, 3), np.uint8)
    mask[4 : height // 2, 4 : width // 3] = 255
    Image.fromarray(mask).save(folder / f"a_mask{ending}")
    (line,) = broken_files.check_pairing(folders.open_folder(folder))
    assert "1 of 7 photographs that were checked are black and white only" in line and f"a_mask{ending}" in line
    findings = {one.what: one for one in inspect_folder(folder)}
    detail = "0 of 7 photographs are gray; 1 is black and white only, see `masks`"
    assert not findings["masks"].ok and findings["colour"] == Finding(what="colour", ok=True, detail=detail)


def test_truths_that_are_all_masks_have_no_colours(competition):
    folder = competition / "train_gt"
    for name in names(competition):
        mask = np.zeros((64, 64), np.uint8)
        mask[4:32, 4:20] = 255
        Image.fromarray(mask).save(folder / name)
    findings = {one.what: one for one in inspect_folder(competition)}
    output = invoke("run", "--data", competition, "--dry-run").output
    assert "All 6 truths that were checked are black and white only, as masks are" in output
    assert "another photograph" not in output
    detail = "0 of 6 truths are gray; 6 are black and white only, see `masks`"
    assert findings["colour"] == Finding(what="colour", ok=False, detail=detail)


@pytest.mark.parametrize("value", [0, 255, 128])
def test_flat_and_gray_photographs_are_no_masks(value):
    assert not photo_check.is_mask(np.full((8, 8, 3), value, np.uint8))
    assert not photo_check.is_mask(np.linspace(0, 255, 192).astype(np.uint8).reshape(8, 8, 3))


def test_folders_beside_those_of_the_pairs_are_named(competition):
    shutil.copytree(competition / "train_input", competition / "train_mask")
    (competition / "notes").mkdir()
    source = folders.open_folder(competition)
    assert describe_left_out(source) == "folders that are not used: train_mask"
    (finding,) = (one for one in inspect_folder(competition) if one.what == "left out")
    assert finding.detail == "folders that are not used: train_mask"
