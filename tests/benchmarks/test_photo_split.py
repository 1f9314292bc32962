"""The split of the photographs: what the file keeps to, and the rules that made it."""

from __future__ import annotations

import csv
import importlib
from collections import Counter, defaultdict
from pathlib import Path

import cv2
import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
SHARED = ROOT.parent / "shared"


@pytest.fixture
def program(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT))
    return importlib.import_module("benchmarks.photo_split")


def photo(program, file, category="food", *, trains=False):
    return program.Photo(file=file, category=category, trains=trains)


def test_the_file_has_two_sets_of_300_and_no_group_in_two_of_them(program):
    rows = program.read()
    counts = Counter(row["set"] for row in rows)
    assert counts["development"] == counts["test"] == 300 and set(counts) <= set(program.SETS)
    assert len({row["file"] for row in rows}) == len(rows)
    sets = defaultdict(list)
    for row in rows:
        sets[row["group"]].append(row["set"])
    for each in sets.values():
        used = [name for name in each if name != "out"]
        assert len(set(used)) <= 1
        assert used[:1] == ["train"] or len(used) <= 1  # one photograph of a scene chooses or reports
    assert {row["category"] for row in rows if row["set"] == "test"} == set(program.CATEGORIES)


def test_the_rules_alone_give_the_file_again(program):
    """The same groups give the same sets: nothing was moved by hand."""
    rows = program.read()
    if not (SHARED / "photos" / "free.csv").is_file():
        pytest.skip("the shared photographs are missing")
    found = program.list_photos(SHARED / "photos")
    assert [one.file for one in found] == [row["file"] for row in rows]
    number = {name: index for index, name in enumerate(dict.fromkeys(row["group"] for row in rows))}
    labels = [number[row["group"]] for row in rows]
    held_out = {row["group"] for row in rows if row["set"] in ("development", "test")}
    avoided = {number[row["group"]] for row in rows if row["set"] == "out" and row["group"] not in held_out}
    assert program.split(found, labels, avoided, program.COUNT) == rows


def test_all_licences_are_permitted_and_cocos_validation_set_trains(program):
    if not (SHARED / "photos" / "free.csv").is_file():
        pytest.skip("the shared photographs are missing")
    facts = {}
    for table, folder in (("free.csv", "free"), ("manifest.csv", "train")):
        with (SHARED / "photos" / table).open(encoding="utf-8", newline="") as file:
            facts |= {f"{folder}/{row['file']}": row for row in csv.DictReader(file)}
    for row in program.read():
        licence = facts[row["file"]]["licence"].lower()
        assert not any(word in licence for word in ("gpl", "gnu", "lppl", "mpl", "gfdl"))
        if "val2017" in facts[row["file"]]["source"] or "coco_yolo" in facts[row["file"]]["source"]:
            assert row["set"] in ("train", "out")


def test_near_duplicates_of_a_chosen_photograph_are_left_out(program):
    found = [photo(program, f"{index}.jpg") for index in range(40)]
    labels = [index // 2 for index in range(40)]
    rows = program.split(found, labels, {3}, 5)
    counts = Counter(row["set"] for row in rows)
    assert counts["development"] == counts["test"] == 5
    assert counts["out"] == 10 + 2
    assert [row["set"] for row in rows[6:8]] == ["out", "out"]


def test_a_group_that_must_train_trains(program):
    found = [photo(program, f"{index}.jpg", trains=index % 2 == 0) for index in range(20)]
    rows = program.split(found, [index // 2 for index in range(20)], set(), 4)
    assert {row["set"] for row in rows} == {"train"}


def test_shares_go_by_square_roots_and_stay_below_the_most(program):
    assert program.numbers_by_category({"a": 900, "b": 100}, {"a": 99, "b": 99}, 40) == {"a": 30, "b": 10}
    assert program.numbers_by_category({"a": 900, "b": 100}, {"a": 5, "b": 99}, 40) == {"a": 5, "b": 35}


def test_a_crop_at_another_scale_is_matched_and_another_photograph_is_not(program):
    near = importlib.import_module("benchmarks.common.near_duplicates")
    draw = np.random.default_rng(0)
    one, other = (cv2.GaussianBlur(draw.integers(0, 255, (300, 400, 3)).astype(np.uint8), (0, 0), 3) for _ in range(2))
    one, other = (cv2.normalize(each, None, 0, 255, cv2.NORM_MINMAX) for each in (one, other))
    crop = cv2.resize(one[40:260, 60:340], None, fx=0.8, fy=0.8, interpolation=cv2.INTER_AREA)

    def local(picture):
        gray = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
        points, descriptors = cv2.SIFT.create(nfeatures=500, contrastThreshold=0.02).detectAndCompute(gray, None)
        places = np.array([point.pt for point in points], np.float32)
        return near.Features(embedding=np.zeros(1), points=places, descriptors=descriptors, gray=gray)

    first, second, third = local(one), local(crop), local(other)
    inliers, homography = near.match(first, second)
    assert inliers >= near.INLIERS
    assert near.correlation(first.gray, second.gray, homography) > 0.9
    assert near.is_same_scene(first, second) and not near.is_same_scene(first, third)
