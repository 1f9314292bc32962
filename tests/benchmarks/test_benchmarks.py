"""Every benchmark runs; what it measures is for its page, not for a test."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from toolbox.color import integer_luma
from toolbox.imaging import io
from toolbox.models.weight_file import read_header

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def measure(monkeypatch):
    """Import what the benchmarks share; only the checkout has it."""
    monkeypatch.syspath_prepend(str(ROOT))
    return importlib.import_module("benchmarks._measure")


def bench(*arguments):
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    call = [sys.executable, "-m", "benchmarks", *map(str, arguments)]
    done = subprocess.run(call, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_step_compares_equal_numerics():
    found = json.loads(bench("step", "--quick", "--device", "cpu"))
    assert found["largest_relative_difference_of_the_first_step"] < 1e-4
    assert set(found["times_as_fast"]) == set(found["processor_time"]["times_as_fast"]) == {"published"}
    bound = found["bound"]
    assert 0 < bound["convolution_share_of_our_step"] < 1
    # The published U-Net at width 8 and 32 px, counted by hand: multiplications of a convolution forward and back.
    widths, sides = [8, 16, 32, 64, 128], [32, 16, 8, 4, 2]
    layers = [(3, 8, 32), *((a, b, s) for a, b, s in zip(widths, widths[1:], sides[1:], strict=False))]
    layers += [(b, b, s) for b, s in zip(widths, sides, strict=True)]
    layers += [(3 * b, b, s) for b, s in zip(widths[:4], sides, strict=False)]
    layers += [(b, b, s) for b, s in zip(widths[:4], sides, strict=False)]
    each = [9 * a * b * s * s for a, b, s in layers] + [8 * 3 * 32 * 32]
    # Each three times: forward, by the weights, by the input, but the first of all, whose input has no gradient.
    assert bound["multiply_accumulates"]["generator"]["published"] == 3 * sum(each) - each[0]
    assert bound["multiply_accumulates"]["generator"]["ours"] < 3 * sum(each) - each[0]


def test_memory_is_that_of_a_process_of_its_own():
    found = json.loads(bench("memory", "--quick", "--device", "cpu", "--only", "ours, recomputed"))
    assert found["peak"] == sum(found[part] for part in ("imports", "weights", "optimizers", "step"))
    # AdamW keeps two values a weight, and its count of steps; BatchNorm's statistics are no weights.
    assert 2 * found["weights"] < found["optimizers"] < 2.01 * found["weights"]


def test_two_stage_begins_as_lightning_does():
    found = json.loads(bench("two-stage", "--quick", "--device", "cpu"))
    losses = found["first_loss"]
    assert losses["ours"] > 0 and ("Lightning" in losses) == (not found["not_installed"])
    assert abs(losses.get("Lightning", losses["ours"]) - losses["ours"]) < 1e-5
    assert set(found["pieces"]) == {"channels last", "fused optimiser", "a batch from disk"}


def test_the_rows_of_a_gpu_run_on_a_cpu(tmp_path):
    said = bench("gpu", "--quick", "--json", tmp_path / "gpu.json")
    found = json.loads((tmp_path / "gpu.json").read_text("utf-8"))
    rows = {"step", "compiled", "arithmetic", "two-stage", "ssim", "memory", "waiting"}
    assert rows <= set(found) and not any("fault" in found[row] for row in rows)
    assert set(found["step"]["times_as_fast"]) == {"published", "fp32", "bf16, recomputed"}
    assert found["arithmetic"]["operations"]["step"] > found["arithmetic"]["operations"]["generator"]
    assert set(found["memory"]["share_of_the_published"]) == {"ours", "ours, recomputed"}
    assert 0 <= found["waiting"]["share_waiting"] < 1 and found["waiting"]["steps"] == 2
    assert f"| share of a step waiting for data | {found['waiting']['share_waiting']:.2%} | 2 % |" in said


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_its_rows_are_not_measured(tmp_path):
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    call = [sys.executable, "-m", "benchmarks", "gpu", "--json", str(tmp_path / "gpu.json")]
    done = subprocess.run(call, capture_output=True, text=True, env=environment, check=False)
    assert (done.returncode, done.stdout.count("\n")) == (1, 1) and done.stdout.startswith("There is no GPU here")
    assert not list(tmp_path.iterdir())


def test_startup():
    found = json.loads(bench("startup", "--quick", "--recipe", "published"))
    assert found["seconds"]["toolbox list"]["median"] > 0
    assert found["first_step"]["empty_cache"] > found["seconds"]["toolbox list"]["median"]


def test_loader_reads_every_pair_and_the_samples_are_kept(tmp_path):
    found = json.loads(bench("loader", "--quick", "--json", tmp_path / "deep" / "loader.json"))
    assert found["pairs"] == 24 and len(found["raw"]["ours"]) == 1
    # Gray, truth and mask, each entry with less than a kilobyte beside them.
    pixels = 24 * 64 * 64 * (1 + 3 + 1 / 8)
    assert pixels < found["bytes"]["cache"] < pixels + 24 * 1024
    assert json.loads((tmp_path / "deep" / "loader.json").read_text("utf-8")) == found
    assert found["versions"]["torch"] and found["command"].startswith("python -m benchmarks loader --quick")


def test_ssim_computes_the_same_as_the_libraries():
    found = json.loads(bench("ssim", "--quick", "--device", "cpu"))
    values = dict(found["values"])
    ours = values.pop("ours")
    assert set(values) == {"pytorch-msssim", "torchmetrics"} - set(found["not_installed"])
    assert set(found["times_as_fast"]) == set(values)
    if "pytorch-msssim" in values:  # the other one takes windows over the border as well
        assert abs(values["pytorch-msssim"] - ours) < 1e-4


def test_balance_keeps_the_logs_and_judges_them(tmp_path):
    found = json.loads(bench("balance", "--quick", "--out", tmp_path, "--json", tmp_path / "deep" / "balance.json"))
    assert json.loads((tmp_path / "deep" / "balance.json").read_text("utf-8")) == found
    sound, rigged = found["runs"]
    assert (sound["expected"], rigged["expected"]) == ("", "discriminator-won")
    assert [row["said"] for row in found["runs"]] == [{}, {}] and sound["steps"] == 3
    # Apart, since a full table takes what is there for done.
    logs = {path: path.stat().st_mtime_ns for path in (tmp_path / "quick").glob("*.jsonl")}
    assert sorted(path.name for path in logs) == ["fixed-default-1.jsonl", "fixed-default-rigged-1.jsonl"]
    # What is there is not done again.
    bench("balance", "--quick", "--out", tmp_path)
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "quick").glob("*.jsonl")} == logs


def test_score_gives_the_formulas_figures():
    found = json.loads(bench("score", "--quick"))
    assert all(found["largest_difference"][name] < 1e-6 for name in "SMC")
    assert found["times_as_fast"]["scikit-image and OpenCV"]["median"] > 0


def test_restoring_takes_a_small_and_a_large_photograph():
    found = json.loads(bench("restoring", "--quick"))
    assert found["by_the_processors_time"]["times_as_fast"]["published"]["median"] > 0
    assert found["large"]["size"] == [200, 300] and found["large"]["peak"] > 1e8


def test_overhead_compares_equal_steps():
    found = json.loads(bench("overhead", "--quick", "--device", "cpu"))
    assert found["largest_difference_of_the_first_step"] < 1e-4
    assert 0 <= found["share_waiting_for_data"] < 1


def test_scaling_counts_the_published_step():
    said = bench("scaling", "--step", "0.1")
    assert "100.0 ms a step (given)" in said and "125.5 MB and 11.1 MB a step" in said
    assert said.count("| NVLink 4 | 400 Gb/s x1 | ") == 2


def test_mask(shared):
    assert "rectangle" in bench("mask", "--photos", shared / "photos" / "train", "--count", 6, "--size", 128)


@pytest.fixture
def table(tmp_path):
    """What the tables of recipes need: photographs, one pair, and an encoder's weights, drawn at random."""
    import cv2
    import timm
    from safetensors.torch import save_file

    from toolbox.data import sample
    from toolbox.imaging import io

    photos = io.find_images(sample.folder() / "photos")
    (tmp_path / "photos").mkdir()
    for photo in photos[:8]:
        small = cv2.resize(io.read_rgb(photo), (64, 64), interpolation=cv2.INTER_AREA)
        io.write_png(tmp_path / "photos" / f"{photo.stem}.png", small)
    truth = io.read_rgb(photos[9])[:64, :64]
    lost = np.zeros((64, 64), np.uint8)
    lost[20:40, 10:30] = 255
    gray = integer_luma(truth)
    gray[lost > 0] = 50
    for name, picture in (("truth", truth), ("input", gray), ("masks", lost)):
        (tmp_path / "pairs" / name).mkdir(parents=True)
        io.write_png(tmp_path / "pairs" / name / "one.png", picture)
    network = timm.create_model("tf_efficientnet_lite0")
    save_file(
        {name: value.contiguous() for name, value in network.state_dict().items()}, tmp_path / "lite0.safetensors"
    )
    return ["--data", tmp_path / "photos", "--pairs", tmp_path / "pairs", "--encoder", tmp_path / "lite0.safetensors"]


def test_equal_time_trains_a_row_once(tmp_path, table):
    sheet = tmp_path / "sheet.jpg"
    words = ["equal-time", *table, "--out", tmp_path / "runs", "--only", "luma", "--quick", "--sheet", sheet]
    found = json.loads(bench(*words))
    assert set(found["rows"]) == {"luma", "luma-moved"} and found["pairs"] == 1
    assert found["rows"]["luma"]["ab"] != found["rows"]["luma-moved"]["ab"]
    assert io.read_rgb(sheet).shape == (160, 3 * 160, 3)
    # Apart, since a full table takes what is there for done.
    weights = tmp_path / "runs" / "quick" / "luma" / "best.safetensors"
    made = weights.stat().st_mtime_ns
    assert json.loads(bench(*words))["rows"] == found["rows"]
    assert weights.stat().st_mtime_ns == made


@pytest.mark.parametrize("module", ["equal_time", "ablation"])
def test_every_row_of_the_tables_is_a_recipe_that_stands(tmp_path, table, monkeypatch, module):
    from click.testing import CliRunner

    from toolbox.cli import main

    monkeypatch.syspath_prepend(str(ROOT))
    rows = importlib.import_module(f"benchmarks.{module}")
    if module == "equal_time":
        options = list(rows.rows(table[-1]).values())
    else:
        options = [["--recipe", "luma", *(f"--set={one}" for one in settings)] for settings in rows.ROWS.values()]
    assert len(options) >= 5
    for one in options:
        done = CliRunner().invoke(main, ["run", "--dry-run", "--data", str(tmp_path / "photos"), *map(str, one)])
        assert done.exit_code == 0, done.output


def test_calibrate_moves_the_mean_colour_to_what_is_asked(tmp_path, table):
    fitted = tmp_path / "fitted.safetensors"
    bench("calibrate", "luma", *table[:2], "--temperature", 2, "--saturation", 1.5, "--out", fitted)
    words = ["calibrate", fitted, *table[:2], "--temperature", 1, "--temperature", 3]
    found = json.loads(bench(*words))
    # ImageNet's mean, (0.485, 0.456, 0.406), by hand.
    luma = 0.299 * 0.485 + 0.587 * 0.456 + 0.114 * 0.406
    assert np.allclose(found["wanted"], [(0.406 - luma) / 1.772, (0.485 - luma) / 1.402], atol=1e-6)
    assert [row["temperature"] for row in found["rows"]] == [1, 3]
    # It is there already, so that nothing is left to correct.
    again = json.loads(bench("calibrate", fitted, *table[:2], "--out", tmp_path / "again.safetensors"))
    assert np.allclose(again["rows"][-1]["slope"], 0, atol=0.02)
    assert "saturation = 1.5" in read_header(fitted).recipe


def test_the_help_lists_every_benchmark():
    listed = bench("--help")
    for name in (
        "balance",
        "gpu",
        "loader",
        "mask",
        "memory",
        "overhead",
        "scaling",
        "score",
        "ssim",
        "startup",
        "step",
        "two-stage",
    ):
        assert f"  {name} " in listed
    assert "_measure" not in listed


def test_the_side_that_goes_first_changes_and_warm_up_does_not_count(measure):
    called = []
    times = measure.in_turn({"a": lambda: called.append("a"), "b": lambda: called.append("b")}, 2)
    assert called == ["b", "a", "a", "b", "b", "a"]
    assert [len(values) for values in times.values()] == [2, 2]


def test_a_ratio_is_that_of_a_pair(measure):
    found = measure.summary({"ours": [1.0, 2.0, 4.0], "other": [3.0, 4.0, 20.0]})
    assert found["times_as_fast"] == {"other": {"median": 3.0, "least": 2.0, "most": 5.0}}
    assert measure.rows(found)[1] == "| other | 4.0000 (3.0000 to 20.0000) | 3.00 (2.00 to 5.00) |"


def test_quality_compares_with_the_truth(tmp_path, table):
    sheet = tmp_path / "sheet.jpg"
    found = json.loads(bench("quality", "--pairs", table[3], "--quick", "--sheet", sheet))["rows"]
    assert set(found) == {"input as it is", "OpenCV Telea in gray", "luma"}
    assert found["luma"]["luma"] == 0 and found["luma"]["colourfulness"] > 0
    assert found["input as it is"]["colourfulness"] == 0 and found["input as it is"]["M"] < found["luma"]["M"]
    assert io.read_rgb(sheet).shape == (3 * 160, 160, 3)


def test_ablation_gives_mean_and_spread(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT))
    ablation = importlib.import_module("benchmarks.ablation")
    found = ablation.spreads({"luma": [{"score": 0.5}, {"score": 0.7}], "one": [{"score": 0.4}]})
    assert found == {"luma": {"score": (0.6, pytest.approx(0.02**0.5))}, "one": {"score": (0.4, None)}}
