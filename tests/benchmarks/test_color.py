"""The figures of colours, the pack of photographs and the training of the colour network."""

from __future__ import annotations

import importlib
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from click.testing import CliRunner
from safetensors import safe_open

from toolbox.color import integer_luma
from toolbox.imaging import io
from toolbox.models.weights import load_trained

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def module(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT))
    return lambda name: importlib.import_module(f"benchmarks.{name}")


@pytest.fixture
def run_benchmark(module):
    """Return a function that runs a benchmark in this process and returns click's result."""
    return lambda name, *arguments: CliRunner().invoke(
        module(name.replace("-", "_")).command, [str(argument) for argument in arguments]
    )


def one_color(lab, size=(8, 8)):
    """Return a picture of one colour of CIELAB."""
    picture = cv2.cvtColor(np.full((*size, 3), lab, np.float32), cv2.COLOR_LAB2RGB)
    return np.rint(picture * 255).astype(np.uint8)


def test_a_photograph_itself_has_no_fault(module):
    figures = module("common.color_figures")
    truth = np.vstack([one_color((60, 30, 0)), one_color((60, 0, 0)), one_color((50, -20, -25))])
    found = figures.summarize([figures.compare(truth, truth)], ["food"])
    assert found["distance_ratio"] == found["median_cast"] == found["false_vivid"] == 0
    assert found["colorfulness"] == pytest.approx(1)
    assert found["hue_recall"]["0"] == found["hue_recall"]["240"] == 1
    assert found["distance_ratio_by_category"] == {"food": 0}


def test_gray_has_the_ratio_1_and_finds_no_hue(module):
    figures = module("common.color_figures")
    truth = one_color((60, 30, 10))
    gray = cv2.cvtColor(integer_luma(truth), cv2.COLOR_GRAY2RGB)
    found = figures.summarize([figures.compare(gray, truth)], ["food"])
    assert found["distance_ratio"] == pytest.approx(1, abs=0.01)
    assert found["gray_distance"] == pytest.approx(np.hypot(30, 10), abs=0.5)
    assert found["mean_hue_recall"] == found["colorfulness"] == found["false_vivid"] == 0


@pytest.mark.parametrize(("hue", "right"), [(20, True), (29, True), (31, False), (200, False)])
def test_a_hue_is_right_within_30_degrees(module, hue, right):
    figures = module("common.color_figures")
    truth = one_color((60, 40, 0))
    result = one_color((60, 40 * np.cos(np.radians(hue)), 40 * np.sin(np.radians(hue))))
    found = figures.summarize([figures.compare(result, truth)], ["food"])
    assert found["hue_recall"]["0"] == right
    assert figures.compare(one_color((60, 6, 0)), truth).correct.sum() == 0  # of the hue, but too pale


def test_vivid_colours_where_the_truth_is_gray_are_false(module):
    figures = module("common.color_figures")
    truth, result = one_color((60, 2, 0)), one_color((60, 2, 0))
    result[:2] = one_color((60, 40, 0))[:2]
    found = figures.summarize([figures.compare(result, truth)], ["food"])
    assert found["false_vivid"] == pytest.approx(0.25)


def test_opposite_casts_cancel_over_all_and_not_in_the_median(module):
    figures = module("common.color_figures")
    gray = one_color((60, 0, 0))
    counts = [figures.compare(one_color((60, sign * 10, 0)), gray) for sign in (1, -1)]
    found = figures.summarize(counts, ["food", "food"])
    assert found["median_cast"] == pytest.approx(10, abs=0.5) and found["cast"] < 0.5


@pytest.fixture
def photos(tmp_path, module):
    """Write a folder like the shared one, with the first photographs of each set of the split."""
    draw, split = np.random.default_rng(0), module("photo_split")
    rows = split.read()
    kept = [row for name in ("train", "development") for row in [one for one in rows if one["set"] == name][:6]]
    for row in rows:
        row["kept"] = row in kept
    for row in kept:
        picture = cv2.GaussianBlur(draw.integers(0, 256, (64, 80, 3)).astype(np.uint8), (0, 0), 8)
        path = tmp_path / "photos" / row["file"]
        path.parent.mkdir(parents=True, exist_ok=True)
        done = cv2.imwrite(str(path), cv2.normalize(picture, None, 0, 255, cv2.NORM_MINMAX))
        assert done
    return tmp_path / "photos", kept


@pytest.fixture
def pack(tmp_path, photos, module, monkeypatch, run_benchmark):
    """Write a pack of the few photographs."""
    path = tmp_path / "pack.safetensors"
    monkeypatch.setattr(module("photo_split"), "read", lambda: photos[1])
    result = run_benchmark("color-pack", photos[0], "--out", path, "--side", 64)
    assert result.exit_code == 0, result.output
    return path


def test_a_pack_has_the_photographs_of_the_two_sets(photos, pack, module):
    packs = module("color_pack").read(pack)
    assert {name: len(part.photos) for name, part in packs.items()} == {"train": 6, "development": 6}
    first = next(row for row in photos[1] if row["set"] == "train")
    truth = io.read_rgb(photos[0] / first["file"])
    assert np.abs(packs["train"].photos[0].astype(int) - truth).mean() < 4
    assert packs["train"].categories[0] == first["category"]


SMALL = ("--width", 4, "--size", 32, "--batch", 2, "--warm-up", 1)


def test_a_training_in_two_sessions_takes_the_same_steps(tmp_path, pack, run_benchmark):
    common = ("train-color", pack, *SMALL, "--steps", 3, "--every", 3)
    for name, options in (("whole", ()), ("parts", ("--minutes", 0)), ("parts", ())):
        assert run_benchmark(*common, "--out", tmp_path / name, *options).exit_code == 0
    states = []
    for name in ("whole", "parts"):
        with safe_open(tmp_path / name / "state.safetensors", framework="pt") as opened:
            states.append({key: opened.get_tensor(key) for key in opened.keys()})  # noqa: SIM118
    load_trained(tmp_path / "parts" / "weights.safetensors", torch.device("cpu"))
    assert states[0].keys() == states[1].keys()
    assert all(torch.equal(value, states[1][key]) for key, value in states[0].items())
    rows = [json.loads(line) for line in (tmp_path / "parts" / "figures.jsonl").read_text("utf-8").splitlines()]
    assert rows[-1]["step"] == 3 and rows[-1]["photographs"] == 6
    refused = run_benchmark(*common, "--out", tmp_path / "parts", "--vivid", 3)
    assert refused.exit_code != 0 and "vivid = 2.0, not 3.0" in str(refused.exception)


def test_a_complete_training_is_extended_from_where_the_rate_fell(tmp_path, pack, run_benchmark):
    common = ("train-color", pack, *SMALL, "--out", tmp_path / "out", "--decay", 0.5)
    assert run_benchmark(*common, "--steps", 2).exit_code == 0
    assert "continue from step 1" in run_benchmark(*common, "--steps", 3).output


def test_the_rate_rises_stays_and_falls_to_nothing(module):
    settings = module("train_color").Settings
    names = {name: 0 for name in settings.__dataclass_fields__}
    one = settings(**names | {"steps": 100, "decay": 0.25, "warm_up": 10})
    assert [one.scale(step) for step in (0, 4, 9, 50, 75)] == [0.1, 0.5, 1, 1, 1]
    assert one.scale(99) == pytest.approx(0.04) and one.scale(100) == 0


def test_batches_are_the_same_with_and_without_threads(module):
    samples, packs = module("common.color_samples"), module("color_pack")
    draw = np.random.default_rng(0)
    photos = tuple(draw.integers(0, 256, (40, 50, 3)).astype(np.uint8) for _ in range(5))
    pack_of_five = packs.Pack(photos=photos, categories=("food",) * 5)
    made = samples.Batches(pack_of_five, batch=2, size=32, zoom=1.5, degradations=(), seed=1)
    alone, threaded = made.from_step(3, 0), made.from_step(3, 2)
    for _ in range(4):
        for one, other in zip(next(alone), next(threaded), strict=True):
            assert torch.equal(one, other)
    threaded.close()


def test_color_measures_weights_on_a_set_of_the_split(tmp_path, run_benchmark):
    if not (ROOT.parent / "shared" / "photos" / "free.csv").is_file():
        pytest.skip("the shared photographs are missing")
    sheet = tmp_path / "sheet.png"
    result = run_benchmark("color", "luma", "--photos", ROOT.parent / "shared" / "photos", "--quick", "--sheet", sheet)
    found = json.loads(result.stdout)["figures"]["luma"]
    assert found["photographs"] == 3 and 0 < found["distance_ratio"] < 2 and 0 < found["score"] < 1
    assert found["time_ratio"] == 1 and io.read_rgb(sheet).shape == (192, 2 * 3 * 192 + 12, 3)
