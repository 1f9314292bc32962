"""The weights that ship: whole, with a card and a list of photographs, and good for what the card says."""

from __future__ import annotations

import base64
import csv
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from toolbox_plugins.default.lost_region import damage

import toolbox
from toolbox.color import integer_luma
from toolbox.data import near_duplicates, sample
from toolbox.hooks import registry
from toolbox.imaging import io
from toolbox.models import published
from toolbox.models.weight_file import read_header

FOLDER = Path(published.__file__).parent / "shipped"
SHIPPED = registry.read().shipped.weights


def listed(name):
    with (FOLDER / f"{name}-photos.csv").open(newline="", encoding="utf-8") as lines:
        return list(csv.DictReader(lines))


@pytest.mark.parametrize("one", SHIPPED, ids=lambda one: one.name)
def test_each_is_small_and_has_a_card_and_a_list(one):
    path = FOLDER.parents[1] / one.file
    assert path.stat().st_size <= 25e6
    facts = read_header(path)
    assert facts.recipe_name == one.recipe and "/" not in facts.recipe
    card = (FOLDER / f"{one.name}.md").read_text("utf-8")
    assert one.licence in card and f"`{one.name}`" in card and f"{one.name}-photos.csv" in card
    rows = listed(one.name)
    assert rows and all(row["licence"] and row["author"] and row["source"] for row in rows)
    assert {row["used"] for row in rows} == {"training", "validation"}
    counts = [sum(row["used"] == use for row in rows) for use in ("training", "validation")]
    assert "{} trained, {} validated".format(*counts) in card


def test_every_file_there_is_listed():
    assert {f"models/shipped/{path.name}" for path in FOLDER.glob("*.safetensors")} == {one.file for one in SHIPPED}


def test_the_figures_told_are_those_measured():
    docs = Path(__file__).resolve().parents[2] / "docs"
    row = json.loads((docs / "performance" / "quality.json").read_text("utf-8"))["rows"]["luma"]
    told = "| {S:.3f} | {M:.3f} | {C:.3f} | {score:.3f} | {psnr:.2f} | {ab:.1f} | {colourfulness:.2f} | {lpips:.3f} |"
    for page in (docs / "results.md", FOLDER / "luma.md"):
        assert told.format(**row) in page.read_text("utf-8"), page.name


def middle(photo):
    """Return what the list holds of a photograph: the luma of its middle square at 12x12."""
    luma = integer_luma(photo)
    height, width = luma.shape
    least = min(height, width)
    top, left = (height - least) // 2, (width - least) // 2
    return cv2.resize(luma[top : top + least, left : left + least], (12, 12), interpolation=cv2.INTER_AREA)


def normalised(middles):
    flat = np.stack([one.ravel() for one in middles]).astype(np.float64)
    flat -= flat.mean(1, keepdims=True)
    return flat / np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-9)


@pytest.fixture
def truths(shared):
    found = [io.read_rgb(path) for path in io.find_images(shared / "benchmarks" / "kodak24-damaged" / "truth")]
    assert len(found) == 24
    return found


def test_nothing_near_a_photograph_of_the_benchmark_was_trained_on(truths):
    listed_ones = [np.frombuffer(base64.b64decode(row["middle"]), np.uint8).reshape(12, 12) for row in listed("luma")]
    known = normalised([middle(truth) for truth in truths])
    assert (known @ normalised(listed_ones).T).max() < 0.95
    # Eight pixels cut off all around, and another brightness, would be found.
    cut = [(0.8 * truth[8:-8, 8:-8]).astype(np.uint8) for truth in truths]
    assert (known * normalised([middle(one) for one in cut])).sum(1).min() > 0.95


def test_no_scene_of_the_benchmark_was_trained_on(shared, truths):
    paths = {path.name: path for path in io.find_images(shared / "photos" / "train")}
    rows = [row for row in listed("luma") if row["file"] in paths]
    photos = [io.read_rgb(paths[row["file"]]) for row in rows]
    labels = near_duplicates.group_scenes([near_duplicates.fingerprint(photo) for photo in [*truths, *photos]])
    assert not set(labels[: len(truths)]) & set(labels[len(truths) :])
    # The middles that the list holds are theirs.
    held = [np.frombuffer(base64.b64decode(row["middle"]), np.uint8).astype(int) for row in rows]
    apart = [abs(middle(photo).ravel() - one).max() for photo, one in zip(photos, held, strict=True)]
    assert len(rows) > 700 and max(apart) <= 2


def test_a_gray_photograph_gets_colours_that_are_nearer_than_gray():
    restorer = toolbox.load_restorer("luma", device="cpu")
    random = np.random.default_rng(5)
    nearer = []
    for path in io.find_images(sample.folder() / "test"):
        truth = io.read_rgb(path)
        gray, mask = damage(truth, random)
        restored = restorer(gray, mask)
        assert np.array_equal(integer_luma(restored)[~mask], gray[~mask])
        plain = np.repeat(gray[..., None], 3, axis=2)
        error = [np.abs(one.astype(int) - truth)[~mask].mean() for one in (restored, plain)]
        nearer.append(error[0] < error[1])
        # The mask is found as well as given.
        assert np.array_equal(restorer(gray), restored)
    assert sum(nearer) >= 4
