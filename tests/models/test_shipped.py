"""The shipped weights: valid, with a card and a list of photographs, and as good as the card says."""

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


def read_list(name):
    with (FOLDER / f"{name}-photos.csv").open(newline="", encoding="utf-8") as lines:
        return list(csv.DictReader(lines))


@pytest.mark.parametrize("weights", SHIPPED, ids=lambda weights: weights.name)
def test_each_is_small_and_has_a_card_and_a_list(weights):
    path = FOLDER.parents[1] / weights.file
    assert path.stat().st_size <= 25e6
    if weights.recipe:
        header = read_header(path)
        assert header.recipe_name == weights.recipe and "/" not in header.recipe
    card = (FOLDER / f"{weights.name}.md").read_text("utf-8")
    # Both weights were trained on the same photographs.
    assert weights.licence in card and f"`{weights.name}`" in card and "luma-photos.csv" in card
    rows = read_list("luma")
    assert rows and all(row["licence"] and row["author"] and row["source"] for row in rows)
    assert {row["used"] for row in rows} == {"training", "validation"}
    counts = [sum(row["used"] == use for row in rows) for use in ("training", "validation")]
    assert "{} trained, {} validated".format(*counts) in card


def test_every_file_is_in_the_registry():
    assert {f"models/shipped/{path.name}" for path in FOLDER.glob("*.safetensors")} == {one.file for one in SHIPPED}


@pytest.mark.parametrize("name", ["luma", "luma-score"])
def test_the_figures_on_the_pages_are_the_measured_ones(name):
    docs = Path(__file__).resolve().parents[2] / "docs"
    row = json.loads((docs / "performance" / "quality.json").read_text("utf-8"))["rows"][name]
    text = "| {S:.3f} | {M:.3f} | {C:.3f} | {score:.3f} | {psnr:.2f} | {ab:.1f} | {colourfulness:.2f} | {lpips:.3f} |"
    for page in (docs / "results.md", FOLDER / f"{name}.md"):
        assert text.format(**row) in page.read_text("utf-8"), page.name


def thumbnail(photo):
    """Return what the list has of a photograph: the luma of its central square at 12x12."""
    luma = integer_luma(photo)
    height, width = luma.shape
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return cv2.resize(luma[top : top + side, left : left + side], (12, 12), interpolation=cv2.INTER_AREA)


def normalised(thumbnails):
    flat = np.stack([values.ravel() for values in thumbnails]).astype(np.float64)
    flat -= flat.mean(1, keepdims=True)
    return flat / np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-9)


@pytest.fixture
def truths(shared):
    truths = [io.read_rgb(path) for path in io.find_images(shared / "benchmarks" / "kodak24-damaged" / "truth")]
    assert len(truths) == 24
    return truths


def test_no_training_photograph_is_close_to_one_of_the_benchmark(truths):
    trained = [np.frombuffer(base64.b64decode(row["middle"]), np.uint8).reshape(12, 12) for row in read_list("luma")]
    benchmark = normalised([thumbnail(truth) for truth in truths])
    assert (benchmark @ normalised(trained).T).max() < 0.95
    # The test detects a crop by eight pixels on each side with another brightness.
    cropped = [(0.8 * truth[8:-8, 8:-8]).astype(np.uint8) for truth in truths]
    assert (benchmark * normalised([thumbnail(one) for one in cropped])).sum(1).min() > 0.95


def test_no_scene_of_the_benchmark_was_trained_on(shared, truths):
    paths = {f"train/{path.name}": path for path in io.find_images(shared / "photos" / "train")}
    rows = [row for row in read_list("luma") if row["file"] in paths]
    photos = [io.read_rgb(paths[row["file"]]) for row in rows]
    labels = near_duplicates.group_scenes([near_duplicates.fingerprint(photo) for photo in [*truths, *photos]])
    assert not set(labels[: len(truths)]) & set(labels[len(truths) :])
    # The thumbnails in the list are those of the photographs.
    listed = [np.frombuffer(base64.b64decode(row["middle"]), np.uint8).astype(int) for row in rows]
    errors = [abs(thumbnail(photo).ravel() - values).max() for photo, values in zip(photos, listed, strict=True)]
    assert len(rows) > 600 and max(errors) <= 2


def test_the_colours_of_a_gray_photograph_are_closer_than_gray():
    restorer = toolbox.load_restorer("luma", device="cpu")
    random = np.random.default_rng(5)
    closer = []
    for path in io.find_images(sample.folder() / "test"):
        truth = io.read_rgb(path)
        gray, mask = damage(truth, random)
        restored = restorer(gray, mask)
        assert np.array_equal(integer_luma(restored)[~mask], gray[~mask])
        plain = np.repeat(gray[..., None], 3, axis=2)
        error, error_of_gray = (np.abs(rgb.astype(int) - truth)[~mask].mean() for rgb in (restored, plain))
        closer.append(error < error_of_gray)
        # Without a mask the restorer finds the same one.
        assert np.array_equal(restorer(gray), restored)
    assert sum(closer) >= 4
