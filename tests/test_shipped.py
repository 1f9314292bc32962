"""The weights that ship: whole, with a card and a list of photographs, and good for what the card says."""

from __future__ import annotations

import csv

import numpy as np
import pytest
from toolbox_plugins.default.lost_region import damage

import toolbox
from toolbox import images, published, registry, sample, scenes
from toolbox.checkpoint import read_facts
from toolbox.published import Path

FOLDER = Path(published.__file__).parent / "shipped"
SHIPPED = registry.read().shipped.weights


def listed(name):
    with (FOLDER / f"{name}-photos.csv").open(newline="", encoding="utf-8") as lines:
        return list(csv.DictReader(lines))


@pytest.mark.parametrize("one", SHIPPED, ids=lambda one: one.name)
def test_each_is_small_and_has_a_card_and_a_list(one):
    path = FOLDER.parent / one.file
    assert path.stat().st_size <= 25e6
    facts = read_facts(path)
    assert facts["recipe_name"] == one.recipe and "/" not in facts["recipe"]
    card = (FOLDER / f"{one.name}.md").read_text("utf-8")
    assert one.licence in card and f"`{one.name}`" in card and f"{one.name}-photos.csv" in card
    rows = listed(one.name)
    assert rows and all(row["licence"] and row["author"] and row["source"] for row in rows)
    assert {row["used"] for row in rows} == {"training", "validation"}
    counts = [sum(row["used"] == use for row in rows) for use in ("training", "validation")]
    assert "{} trained, {} validated".format(*counts) in card


def test_every_file_there_is_listed():
    assert {f"shipped/{path.name}" for path in FOLDER.glob("*.safetensors")} == {one.file for one in SHIPPED}


def test_no_photograph_of_the_benchmark_was_trained_on(shared):
    truths = images.find(shared / "benchmarks" / "kodak24-damaged" / "truth")
    names = [row["file"] for row in listed("luma")]
    paths = [shared / "photos" / "train" / name for name in names]
    labels = scenes.group([scenes.fingerprint(images.read_rgb(path)) for path in [*truths, *paths]])
    assert len(truths) == 24
    assert not set(labels[: len(truths)]) & set(labels[len(truths) :])


def test_a_gray_photograph_gets_colours_that_are_nearer_than_gray():
    restorer = toolbox.load_restorer("luma", device="cpu")
    random = np.random.default_rng(5)
    nearer = []
    for path in images.find(sample.folder() / "test"):
        truth = images.read_rgb(path)
        gray, mask = damage(truth, random)
        restored = restorer(gray, mask)
        assert np.array_equal(images.luma(restored)[~mask], gray[~mask])
        plain = np.repeat(gray[..., None], 3, axis=2)
        error = [np.abs(one.astype(int) - truth)[~mask].mean() for one in (restored, plain)]
        nearer.append(error[0] < error[1])
        # The mask is found as well as given.
        assert np.array_equal(restorer(gray), restored)
    assert sum(nearer) >= 4
