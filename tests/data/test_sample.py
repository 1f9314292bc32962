"""The sample photographs: free licences, small size, several kinds of scenes, all listed."""

from __future__ import annotations

import csv
from collections import Counter

from toolbox.data import sample
from toolbox.imaging import io

LICENCES = {"CC0-1.0", "public domain", "CC0-1.0 or public domain"}


def manifest():
    with (sample.folder() / "manifest.csv").open(newline="", encoding="utf-8") as lines:
        return list(csv.DictReader(lines))


def test_at_least_24_photographs_of_several_kinds_in_at_most_3_mb():
    files = [path for part in ("photos", "test") for path in io.find_images(sample.folder() / part)]
    assert len(io.find_images(sample.folder() / "photos")) >= 24
    assert len(io.find_images(sample.folder() / "test")) >= 4
    assert sum(path.stat().st_size for path in files) <= 3_000_000
    kinds = Counter(row["scene"] for row in manifest())
    assert len(kinds) >= 6 and max(kinds.values()) <= len(files) / 2


def test_every_photograph_is_listed_with_its_author_and_a_free_licence():
    root = sample.folder()
    rows = manifest()
    present = {path.relative_to(root).as_posix() for part in ("photos", "test") for path in io.find_images(root / part)}
    assert {row["file"] for row in rows} == present
    table = (root / "LICENCES.md").read_text("utf-8")
    for row in rows:
        assert row["licence"] in LICENCES
        assert row["author"].strip() and row["source"].strip()
        assert f"| {row['file']} | {row['title']} | {row['author']} | {row['licence']} |" in table


def test_every_photograph_is_readable_and_in_colour():
    for row in manifest():
        photo = io.read_rgb(sample.folder() / row["file"])
        assert min(photo.shape[:2]) >= 320
        assert photo.astype(int).std(axis=2).mean() > 2
