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


SMALL = (
    "--backbone",
    "tf_efficientnet_lite0",
    "--width",
    4,
    "--size",
    32,
    "--side",
    48,
    "--batch",
    2,
    "--teachers",
    2,
    "--minutes",
    0.02,
)


def test_a_training_stops_and_continues_to_its_end(tmp_path, pack, run_benchmark):
    common = ("train-color", pack, *SMALL, "--out", tmp_path / "out")
    first = run_benchmark(*common, "--stop-after", 0)
    assert first.exit_code == 0 and "stopped in teacher-0; the same command continues" in first.output
    refused = run_benchmark(*common, "--vivid", 3)
    assert refused.exit_code == 2 and "was made with --vivid 2.0, not 3.0; use that value" in refused.output
    second = run_benchmark(*common)
    assert second.exit_code == 0 and "continue teacher-0 from step 1" in second.output
    rows = [json.loads(line) for line in (tmp_path / "out" / "figures.jsonl").read_text("utf-8").splitlines()]
    stages = ["teacher-0", "teacher-1", "student", "score"]
    assert [row["stage"] for row in rows] == stages and rows[-1]["photographs"] == 6
    for name in stages:
        load_trained(tmp_path / "out" / f"{name}.safetensors", torch.device("cpu"))
    again = run_benchmark(*common)
    assert again.exit_code == 0 and again.output == ""
    finished = run_benchmark(*common, "--student", tmp_path / "out" / "student.safetensors")
    assert finished.exit_code == 2 and "was made with --student (SHA-256) none, not" in finished.output
    student = ("--student", tmp_path / "out" / "student.safetensors")
    only = run_benchmark("train-color", pack, *SMALL, "--out", tmp_path / "only", *student)
    assert only.exit_code == 0, only.output
    assert sorted(path.name for path in (tmp_path / "only").iterdir()) == [
        "figures.jsonl",
        "options.json",
        "score.safetensors",
    ]


def test_the_stages_take_all_the_minutes(module):
    settings = module("common.color_stages").Settings
    names = dict.fromkeys(settings.__dataclass_fields__, 0)
    stages = module("common.color_stages").plan(settings(**names | {"teachers": 3, "minutes": 2}))
    assert [stage.name for stage in stages] == ["teacher-0", "teacher-1", "teacher-2", "student", "score"]
    assert sum(stage.length for stage in stages) == pytest.approx(120)
    stages = module("common.color_stages").plan(settings(**names | {"teachers": 3, "minutes": 2, "steps": 50}))
    assert sum(stage.length for stage in stages) == pytest.approx(50)


def test_a_training_of_some_steps_is_the_same_every_time(tmp_path, pack, run_benchmark):
    for name in ("first", "second"):
        words = ("train-color", pack, *SMALL, "--steps", 12, "--out", tmp_path / name, "--every", 1e9)
        assert run_benchmark(*words).exit_code == 0
    rows, again = (
        [json.loads(line) | {"seconds": 0} for line in (tmp_path / name / "figures.jsonl").read_text().splitlines()]
        for name in ("first", "second")
    )
    assert rows == again and [row["step"] for row in rows] == [3, 3, 5, 2]


@pytest.fixture
def random(module):
    """Return the random numbers of eight pictures."""
    return module("common.batch_random").BatchRandom.seeded(8, torch.device("cpu"), 1, 2)


def test_crops_come_from_their_photographs(module, random):
    store = module("common.photo_store")
    photos = [np.full((40 + 4 * n, 60, 3), 20 * n, np.uint8) for n in range(8)]
    photos[0] = np.arange(3 * 40 * 60, dtype=np.uint8).reshape(40, 60, 3)
    made = store.PhotoStore(photos, 48, torch.device("cpu"), seed=0)
    index = made.indices(0, 8)
    assert sorted(index.tolist()) == list(range(8)) and index.tolist() != made.indices(1, 8).tolist()
    crops = made.crops(index, 32, random, zoom=1.7, turned=1.0)
    assert crops.shape == (8, 3, 32, 32)
    for crop, number in zip(crops, index.tolist(), strict=True):
        assert number == 0 or torch.equal(crop, torch.full_like(crop, 20.0 * number))


def test_a_whole_photograph_is_scaled_as_by_its_mean_over_areas(module, random):
    smooth = cv2.GaussianBlur(np.random.default_rng(0).integers(0, 256, (96, 96, 3)).astype(np.uint8), (0, 0), 3)
    made = module("common.photo_store").PhotoStore([smooth], 96, torch.device("cpu"), seed=0)
    crop = made.crops(torch.zeros(8, dtype=torch.long), 32, random, zoom=1.0, turned=0.0)
    scaled = torch.from_numpy(cv2.resize(smooth, (32, 32), interpolation=cv2.INTER_AREA)).permute(2, 0, 1).float()
    # The sides change by up to a tenth, and half of the crops are mirrored.
    errors = torch.stack([(crop - other).abs().mean((1, 2, 3)) for other in (scaled, scaled.flip(-1))]).amin(0)
    assert errors.max() < 6 and crop.std() > 5


def test_photographs_are_degraded_only_where_the_shares_say(module, random):
    scans = module("common.scan_batch")
    truth = torch.randint(0, 256, (8, 3, 32, 32), generator=torch.Generator().manual_seed(0)).float()
    gray, same = scans.degrade(truth, scans.Shares(fill=0, aged=0, film=0), random)
    expected = np.stack([integer_luma(picture.permute(1, 2, 0).byte().numpy()) for picture in truth])
    assert torch.equal(same, truth) and np.abs(gray[:, 0].numpy() - expected).max() <= 1
    for name in ("fill", "aged", "film"):
        shares = scans.Shares(**{"fill": 0, "aged": 0, "film": 0} | {name: 1})
        changed = scans.degrade(truth, shares, random)[0]
        # Few old prints have no marks at all.
        assert ((changed - gray).abs().amax((1, 2, 3)) > 0).sum() >= 5
        assert changed.amin() >= 0 and changed.amax() <= 255 and torch.equal(changed, changed.round())


def test_polygons_are_filled_by_the_even_odd_rule(module):
    scans = module("common.scan_batch")
    corners = np.array([[8, 8], [56, 52], [56, 10], [8, 50], [30, 60], [0, 0]])
    line = torch.arange(64)
    points = torch.from_numpy(corners[None]).float()
    y, x = line.view(1, 1, -1, 1).float(), line.view(1, 1, 1, -1).float()
    found = scans.inside(y, x, points, torch.tensor([5]))[0, 0].numpy()
    expected = np.zeros((64, 64), np.uint8)
    cv2.fillPoly(expected, [corners[:5, ::-1].astype(np.int32)], 1)
    # OpenCV also paints the pixels that the edges cross.
    assert (found != expected).mean() < 0.05 and found.any() and not (found & (expected == 0)).any()


def test_compression_is_like_that_of_a_jpeg_library(module):
    scans = module("common.scan_batch")
    gray = cv2.GaussianBlur(np.random.default_rng(0).integers(0, 256, (64, 64)).astype(np.uint8), (0, 0), 1)
    for quality in (30, 80):
        done, data = cv2.imencode(".jpg", gray, [cv2.IMWRITE_JPEG_QUALITY, quality])
        expected = cv2.imdecode(data, cv2.IMREAD_GRAYSCALE).astype(float)
        found = scans.compressed(torch.from_numpy(gray)[None, None].float(), torch.full((1, 1, 1, 1), float(quality)))
        assert done and np.abs(found[0, 0].numpy() - expected).mean() < 0.6
        assert np.abs(expected - gray).mean() > 1


def test_color_measures_weights_on_a_set_of_the_split(tmp_path, run_benchmark):
    if not (ROOT.parent / "shared" / "photos" / "free.csv").is_file():
        pytest.skip("the shared photographs are missing")
    sheet = tmp_path / "sheet.png"
    result = run_benchmark("color", "luma", "--photos", ROOT.parent / "shared" / "photos", "--quick", "--sheet", sheet)
    found = json.loads(result.stdout)["figures"]["luma"]
    assert found["photographs"] == 3 and 0 < found["distance_ratio"] < 2 and 0 < found["score"] < 1
    assert found["time_ratio"] == 1 and io.read_rgb(sheet).shape == (192, 2 * 3 * 192 + 12, 3)
