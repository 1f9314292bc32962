"""The split of a run is kept when photographs are added, removed, renamed or replaced."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import pytest

from toolbox.config.settings import Split
from toolbox.data import broken_files, folders, split_record
from toolbox.data.folders import Item
from toolbox.data.split_changes import find_changes
from toolbox.data.split_record import SplitRecord, keep_split, make_record
from toolbox.errors import DataError

RECORD = SplitRecord(train={"c": "C", "a": "A", "e": "E"}, validation={"d": "D", "b": "B"}, unused={"f": "F"})


def keep(photos, record=RECORD, scenes=None, **settings):
    """Return the names of the training and validation photographs, and the changes, for identities by name."""
    items = [Item(name=name) for name in sorted(photos)]
    labels = [(scenes or {}).get(item.name, index) for index, item in enumerate(items)]
    identities = {item: photos[item.name] for item in items}
    kept = replace(keep_split(record, items, identities, labels, Split(**settings)), identities=identities)
    changes = find_changes(record.photos(), make_record(kept).photos())
    return [item.name for item in kept.train], [item.name for item in kept.validation], changes


SAME = {name: name.upper() for name in "abcdef"}
ENDING = "1 with another ending (b.jpg)"


def test_the_same_photographs_keep_their_parts_and_their_order():
    assert keep(SAME) == (["c", "a", "e"], ["d", "b"], [])


@pytest.mark.parametrize(
    ("photos", "train", "validation", "change"),
    [
        ({k: v for k, v in SAME.items() if k != "a"}, ["c", "e"], ["d", "b"], "1 missing (a)"),
        ({k: v for k, v in SAME.items() if k != "d"}, ["c", "a", "e"], ["b"], "1 missing (d)"),
        (SAME | {"_first": "X"}, ["c", "a", "e", "_first"], ["d", "b"], "1 new (_first)"),
        (SAME | {"b": "new"}, ["c", "a", "e"], ["d", "b"], "1 with other content (b)"),
        ({k: v for k, v in SAME.items() if k != "a"} | {"z": "A"}, ["c", "z", "e"], ["d", "b"], None),  # renamed
        (SAME | {"a": "B", "b": "A"}, ["c", "b", "e"], ["d", "a"], None),  # two files swapped: content decides
        # A copy of a training photograph, beside it and in place of a validation photograph.
        (SAME | {"copy": "C"}, ["c", "copy", "a", "e"], ["d", "b"], "1 new (copy)"),
        (SAME | {"b": "C"}, ["b", "c", "a", "e"], ["d"], "1 with other content (b)"),
        (SAME | {"copy": "D"}, ["c", "a", "e"], ["copy", "d", "b"], "1 new (copy)"),
        # Saved in another format: it stays in its part.
        ({k: v for k, v in SAME.items() if k != "b"} | {"b.jpg": "X"}, ["c", "a", "e"], ["d", "b.jpg"], ENDING),
    ],
)
def test_no_training_photograph_validates_after_a_change(photos, train, validation, change):
    kept_train, kept_validation, changes = keep(photos)
    assert (kept_train, kept_validation) == (train, validation)
    assert changes == ([change] if change else [])


def test_a_new_photograph_of_a_validation_scene_validates_only_if_the_split_is_by_scene():
    scenes = {"d": 7, "new": 7}
    assert keep(SAME | {"new": "N"}, scenes=scenes, method="scene")[1] == ["d", "b", "new"]
    assert keep(SAME | {"new": "N"}, scenes=scenes)[0] == ["c", "a", "e", "new"]


def test_photographs_that_the_limits_left_out_stay_out():
    assert keep(SAME | {"new": "N"}, train_limit=3)[:2] == (["c", "a", "e"], ["d", "b"])


def test_other_photographs_altogether_are_split_anew():
    train, validation, changes = keep({name: name.upper() for name in "uvwxyz"})
    assert sorted(train + validation) == list("uvwxyz") and len(validation) == 2
    assert changes == ["6 missing (c, a, e and 3 more)", "6 new (u, v, w and 3 more)"]


@pytest.mark.parametrize("photos", [{"c": "C", "a": "A", "e": "E"}, {"d": "D", "b": "B"}, {"c": "C", "new": "N"}])
def test_a_part_without_photographs_is_an_error(photos):
    with pytest.raises(DataError, match="Give the photographs of the run with data=DIR"):
        keep(photos)


def test_a_record_is_written_and_read(photos, tmp_path):
    items = folders.open_folder(photos).items
    first = split_record.open_split(items, Split(train_limit=3), None, print)
    path = tmp_path / "split.json"
    split_record.write_record(path, first)
    assert split_record.open_split(items, Split(train_limit=3), path, print) == first
    assert len(json.loads(path.read_text("utf-8"))["unused"]) == 1
    moved = shutil.copytree(photos, tmp_path / "moved")  # other paths and times, the same content
    (tmp_path / "moved" / items[0].name).touch()
    lines: list[str] = []
    again = split_record.open_split(folders.open_folder(moved).items, Split(train_limit=3), path, lines.append)
    assert [item.name for item in again.train] == [item.name for item in first.train] and not lines


def test_a_folder_for_validation_is_followed_and_its_changes_are_named(photos, tmp_path):
    own = shutil.copytree(photos, tmp_path / "validation")  # the same names in two folders
    items, lines, path = folders.open_folder(photos).items, [], tmp_path / "split.json"
    first = split_record.open_split(items, Split(), None, lines.append, validation_items=folders.open_folder(own).items)
    assert first.train == items and len(first.validation) == 6
    split_record.write_record(path, first)
    sorted(own.iterdir())[0].write_bytes(sorted(photos.iterdir())[1].read_bytes() + b" ")
    extra = folders.open_folder(own).items
    split_record.open_split(items, Split(), path, lines.append, validation_items=extra)
    assert len(lines) == 1 and "1 with other content" in lines[0]


def test_a_validation_photograph_replaced_by_a_training_photograph_is_named(photos, tmp_path):
    own, lines, path = shutil.copytree(photos, tmp_path / "validation"), [], tmp_path / "split.json"
    items = folders.open_folder(photos).items[:4]
    for name in [item.name for item in items]:
        (own / name).unlink()
    first = split_record.open_split(items, Split(), None, print, validation_items=folders.open_folder(own).items)
    split_record.write_record(path, first)
    replaced = sorted(own.iterdir())[0]
    replaced.write_bytes(items[0].truth.read_bytes())
    split_record.open_split(items, Split(), path, lines.append, validation_items=folders.open_folder(own).items)
    assert f"{items[0].name} trained in this run and validate now" in lines[0]
    assert f"1 with other content ({replaced.name})" in lines[1]


def resumed(path, present, settings=None):
    """Open the split with these photographs and record it, as a resumed run does."""
    lines: list[str] = []
    result = split_record.open_split(present, settings or Split(), path, lines.append)
    split_record.write_record(path, result)
    return result, lines


def test_a_photograph_that_was_away_comes_back_to_its_part(photos, tmp_path):
    """It was forgotten: it counted as never seen in `score --held-out`, and could validate."""
    items, path = folders.open_folder(photos).items, tmp_path / "split.json"
    first = split_record.open_split(items, Split(), None, print)
    split_record.write_record(path, first)
    away = {first.train[0], first.validation[0]}
    without, _ = resumed(path, [item for item in items if item not in away])
    assert away.isdisjoint({*without.train, *without.validation})
    record = split_record.read_record(path)
    assert [*record.former_train.values()] == [first.train[0].name]
    assert [*record.former_validation.values()] == [first.validation[0].name]
    assert first.identities[first.train[0]] in record.seen()["train"]
    resumed(path, [item for item in items if item not in away])  # a second resume keeps the list
    # All of the validation part is gone: what has trained must not take its place.
    back, _ = resumed(path, items)
    assert {*back.train} == {*first.train} and {*back.validation} == {*first.validation}
    record = split_record.read_record(path)
    assert not record.former_train and not record.former_validation


def test_a_photograph_that_has_trained_never_replaces_the_validation_part(photos, tmp_path):
    items, path = folders.open_folder(photos).items, tmp_path / "split.json"
    first = split_record.open_split(items[:4], Split(), None, print)
    split_record.write_record(path, first)
    away = first.train[0]
    resumed(path, [item for item in items[:4] if item != away])
    present = [item for item in items if item not in first.validation]
    result, _ = resumed(path, sorted(present, key=lambda item: item.name))
    assert away in result.train and {*result.validation} < {*items[4:]}


def test_a_trained_photograph_with_new_content_stays_known(photos, tmp_path):
    folder, path = shutil.copytree(photos, tmp_path / "own"), tmp_path / "split.json"
    items = folders.open_folder(folder).items
    first = split_record.open_split(items, Split(), None, print)
    split_record.write_record(path, first)
    trained = first.train[0]
    old = trained.truth.read_bytes()
    trained.truth.write_bytes(old + b" ")
    resumed(path, folders.open_folder(folder).items)
    assert first.identities[trained] in split_record.read_record(path).former_train
    (folder / "zz.png").write_bytes(old)
    result, _ = resumed(path, folders.open_folder(folder).items)
    assert "zz.png" in {item.name for item in result.train}


def test_a_lost_record_is_named(photos, tmp_path):
    lines: list[str] = []
    split_record.open_split(folders.open_folder(photos).items, Split(), tmp_path / "split.json", lines.append)
    assert len(lines) == 1 and "split.json is missing, so the split is drawn again" in lines[0]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "Expecting value"),
        ("[]", "it has a list, not a JSON object"),
        ("null", "it has null, not a JSON object"),
        ('"train"', "it has a text, not a JSON object"),
        ('{"train": {}}', "'validation' is missing, or no object with the names"),
        ('{"train": 1, "validation": {}, "unused": {}}', "'train' is missing, or no object"),
        ('{"train": {"a": 1}, "validation": {}, "unused": {}}', "'train' is missing, or no object"),
        ('{"train": [["a", "b"]], "validation": {}, "unused": {}}', "'train' is missing, or no object"),
    ],
)
def test_a_damaged_record_is_one_line(tmp_path, text, words):
    path = tmp_path / "split.json"
    path.write_text(text, "utf-8")
    with pytest.raises(DataError, match=f"split.json can't be read: {words}"):
        split_record.read_record(path)
    path.write_text(text, "utf-8")
    if not text.startswith("{"):
        with pytest.raises(DataError, match=f"split.json can't be read: {words}.* It lists the photographs that the"):
            broken_files.read_skipped(path)
    assert broken_files.read_skipped(tmp_path / "absent.json") == {}
    assert split_record.read_record(tmp_path / "absent.json") is None


@pytest.mark.parametrize(
    ("photos", "train", "validation"),
    [
        ({"x": "A", "y": "B"}, ["x"], ["y"]),  # the truths of the pairs, as photographs with other names
        ({"b": "1:A", "a": "2:B"}, ["b"], ["a"]),  # pairs with new inputs, under exchanged names
    ],
)
def test_the_truth_of_a_training_pair_never_validates(photos, train, validation):
    pairs = SplitRecord(train={"a": "0:A"}, validation={"b": "0:B"}, unused={})
    assert keep(photos, pairs)[:2] == (train, validation)


@pytest.mark.parametrize(
    ("found", "line"),
    [
        ("abcde", "The split of the run is kept: 3 train, 2 validate."),
        (
            "uvwxyz",
            "No validation photograph of the run is left, so the new photographs are split: 4 train, 2 validate.",
        ),
    ],
)
def test_the_line_says_whether_the_split_was_kept(tmp_path, monkeypatch, found, line):
    items = [Item(name=name) for name in found]
    monkeypatch.setattr(split_record, "photo_identities", lambda *_: {item: item.name.upper() for item in items})
    monkeypatch.setattr(split_record.split, "scene_labels", lambda items, report: range(len(items)))
    path = tmp_path / "split.json"
    path.write_text(json.dumps(RECORD.parts()))
    lines = []
    settings = Split(validation=0.3)
    split_record.open_split(items, settings, path, lines.append)
    assert lines[-1].endswith(line)
