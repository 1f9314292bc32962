"""Every benchmark runs with --quick, and compares equal things. The measured values themselves are not tested."""

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

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def timing(monkeypatch):
    """Import benchmarks.common.timing from the checkout; it is not installed."""
    monkeypatch.syspath_prepend(str(ROOT))
    return importlib.import_module("benchmarks.common.timing")


def run_benchmark(*arguments):
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    call = [sys.executable, "-m", "benchmarks", *map(str, arguments)]
    done = subprocess.run(call, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_step_compares_equal_computations():
    result = json.loads(run_benchmark("step", "--quick", "--device", "cpu"))
    assert result["largest_relative_difference_of_the_first_step"] < 1e-4
    assert set(result["times_as_fast"]) == set(result["processor_time"]["times_as_fast"]) == {"published"}
    bound = result["bound"]
    assert 0 < bound["convolution_share_of_our_step"] < 1
    # The multiplications of the published U-Net at width 8 and 32 px, counted by hand.
    widths, sides = [8, 16, 32, 64, 128], [32, 16, 8, 4, 2]
    layers = [(3, 8, 32), *((a, b, s) for a, b, s in zip(widths, widths[1:], sides[1:], strict=False))]
    layers += [(b, b, s) for b, s in zip(widths, sides, strict=True)]
    layers += [(3 * b, b, s) for b, s in zip(widths[:4], sides, strict=False)]
    layers += [(b, b, s) for b, s in zip(widths[:4], sides, strict=False)]
    multiplications = [9 * a * b * s * s for a, b, s in layers] + [8 * 3 * 32 * 32]
    # Three times each: forward, gradient of the weights, gradient of the input; but the first input has no gradient.
    assert bound["multiply_accumulates"]["generator"]["published"] == 3 * sum(multiplications) - multiplications[0]
    assert bound["multiply_accumulates"]["generator"]["ours"] < 3 * sum(multiplications) - multiplications[0]


def test_memory_adds_up():
    result = json.loads(run_benchmark("memory", "--quick", "--device", "cpu", "--only", "ours, recomputed"))
    assert result["peak"] == sum(result[part] for part in ("imports", "weights", "optimizers", "step"))
    # AdamW has two values for each weight, and a step counter for each tensor.
    assert 2 * result["weights"] < result["optimizers"] < 2.01 * result["weights"]


def test_two_stage_and_lightning_have_the_same_first_loss():
    result = json.loads(run_benchmark("two-stage", "--quick", "--device", "cpu"))
    losses = result["first_loss"]
    assert losses["ours"] > 0 and ("Lightning" in losses) == (not result["not_installed"])
    assert abs(losses.get("Lightning", losses["ours"]) - losses["ours"]) < 1e-5
    assert set(result["pieces"]) == {"channels last", "fused optimiser", "a batch from disk"}


@pytest.mark.drill  # two minutes; the other benchmarks share most of its code
def test_page():
    result = json.loads(run_benchmark("page", "--quick"))
    assert set(result["by_the_clock"]["times_as_fast"]) == {
        *("open", "first", "likely", "shown", "hint", "next", "mask", "near")
    }


def test_the_gpu_rows_run_on_a_cpu(tmp_path):
    output = run_benchmark("gpu", "--quick", "--json", tmp_path / "gpu.json")
    result = json.loads((tmp_path / "gpu.json").read_text("utf-8"))
    rows = {"step", "compiled", "arithmetic", "two-stage", "ssim", "memory", "waiting"}
    assert rows <= set(result) and not any("fault" in result[row] for row in rows)
    assert set(result["step"]["times_as_fast"]) == {"published", "fp32", "bf16, recomputed"}
    assert result["arithmetic"]["operations"]["step"] > result["arithmetic"]["operations"]["generator"]
    assert set(result["memory"]["share_of_the_published"]) == {"ours", "ours, recomputed"}
    assert 0 <= result["waiting"]["share_waiting"] < 1 and result["waiting"]["steps"] == 2
    assert f"| share of a step waiting for data | {result['waiting']['share_waiting']:.2%} | 2 % |" in output


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_nothing_is_measured(tmp_path):
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    call = [sys.executable, "-m", "benchmarks", "gpu", "--json", str(tmp_path / "gpu.json")]
    done = subprocess.run(call, capture_output=True, text=True, env=environment, check=False)
    assert (done.returncode, done.stdout.count("\n")) == (1, 1) and done.stdout.startswith("torch finds no GPU")
    assert not list(tmp_path.iterdir())


def test_startup_measures_commands_and_a_first_step():
    result = json.loads(run_benchmark("startup", "--quick", "--recipe", "published"))
    assert result["seconds"]["toolbox list"]["median"] > 0
    assert result["first_step"]["empty_cache"] > result["seconds"]["toolbox list"]["median"]
    assert result["one_photo"]["ratio"]["toolbox restore"]["median"] > 1


def test_loader_reads_all_pairs_and_fills_the_cache(tmp_path):
    result = json.loads(run_benchmark("loader", "--quick", "--json", tmp_path / "deep" / "loader.json"))
    assert result["pairs"] == 24 and len(result["raw"]["ours"]) == 1
    # Gray, truth and mask; each entry has less than a kilobyte of metadata.
    pixels = 24 * 64 * 64 * (1 + 3 + 1 / 8)
    assert pixels < result["bytes"]["cache"] < pixels + 24 * 1024
    assert json.loads((tmp_path / "deep" / "loader.json").read_text("utf-8")) == result
    assert result["versions"]["torch"] and result["command"].startswith("python -m benchmarks loader --quick")


def test_ssim_computes_the_same_value_as_pytorch_msssim():
    result = json.loads(run_benchmark("ssim", "--quick", "--device", "cpu"))
    values = dict(result["values"])
    ours = values.pop("ours")
    assert set(values) == {"pytorch-msssim", "torchmetrics"} - set(result["not_installed"])
    assert set(result["times_as_fast"]) == set(values)
    if "pytorch-msssim" in values:  # torchmetrics also counts windows across the border
        assert abs(values["pytorch-msssim"] - ours) < 1e-4


def test_balance_evaluates_logs_and_does_not_repeat_runs(tmp_path):
    result = json.loads(
        run_benchmark("balance", "--quick", "--out", tmp_path, "--json", tmp_path / "deep" / "balance.json")
    )
    assert json.loads((tmp_path / "deep" / "balance.json").read_text("utf-8")) == result
    sound, rigged = result["runs"]
    assert (sound["expected"], rigged["expected"]) == ("", "discriminator-won")
    assert [row["warnings"] for row in result["runs"]] == [{}, {}] and sound["steps"] == 3
    # Quick runs have their own folder, so that a full table does not use them.
    logs = {path: path.stat().st_mtime_ns for path in (tmp_path / "quick").glob("*.jsonl")}
    assert sorted(path.name for path in logs) == ["development-default-1.jsonl", "development-default-rigged-1.jsonl"]
    run_benchmark("balance", "--quick", "--out", tmp_path)
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "quick").glob("*.jsonl")} == logs


def test_score_equals_the_formula():
    result = json.loads(run_benchmark("score", "--quick"))
    assert all(result["largest_difference"][name] < 1e-6 for name in "SMC")
    assert result["times_as_fast"]["scikit-image and OpenCV"]["median"] > 0


def test_restoring_measures_a_small_and_a_large_photograph():
    result = json.loads(run_benchmark("restoring", "--quick"))
    assert result["by_the_processors_time"]["times_as_fast"]["published"]["median"] > 0
    assert result["large"]["size"] == [200, 300] and result["large"]["peak"] > 1e8


def test_overhead_compares_equal_computations():
    result = json.loads(run_benchmark("overhead", "--quick", "--device", "cpu"))
    assert result["largest_difference_of_the_first_step"] < 1e-4
    assert 0 <= result["share_waiting_for_data"] < 1


def test_scaling_knows_the_published_messages():
    output = run_benchmark("scaling", "--step", "0.1")
    assert "100.0 ms a step (given)" in output and "125.5 MB and 11.1 MB a step" in output
    assert output.count("| NVLink 4 | 400 Gb/s x1 | ") == 2


def test_mask_prints_a_line_for_each_shape(shared):
    assert "rectangle" in run_benchmark("mask", "--photos", shared / "photos" / "train", "--count", 6, "--size", 128)


@pytest.fixture
def training_options(tmp_path):
    """Return the options of `equal-time` and `ablation`: photographs, one pair, and random weights of an encoder."""
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
    mask = np.zeros((64, 64), np.uint8)
    mask[20:40, 10:30] = 255
    gray = integer_luma(truth)
    gray[mask > 0] = 50
    for name, picture in (("truth", truth), ("input", gray), ("masks", mask)):
        (tmp_path / "pairs" / name).mkdir(parents=True)
        io.write_png(tmp_path / "pairs" / name / "one.png", picture)
    network = timm.create_model("tf_efficientnet_lite0")
    save_file(
        {name: value.contiguous() for name, value in network.state_dict().items()}, tmp_path / "lite0.safetensors"
    )
    return ["--data", tmp_path / "photos", "--pairs", tmp_path / "pairs", "--encoder", tmp_path / "lite0.safetensors"]


def test_equal_time_trains_each_row_once(tmp_path, training_options):
    sheet = tmp_path / "sheet.jpg"
    arguments = [
        "equal-time",
        *training_options,
        "--out",
        tmp_path / "runs",
        "--only",
        "luma",
        "--quick",
        "--sheet",
        sheet,
    ]
    result = json.loads(run_benchmark(*arguments))
    assert set(result["rows"]) == {"luma", "luma-calibrated"} and result["pairs"] == 1
    assert result["rows"]["luma"]["ab"] != result["rows"]["luma-calibrated"]["ab"]
    assert io.read_rgb(sheet).shape == (160, 3 * 160, 3)
    # Quick runs have their own folder, so that a full table does not use them.
    weights = tmp_path / "runs" / "quick" / "luma" / "best.safetensors"
    modified = weights.stat().st_mtime_ns
    assert json.loads(run_benchmark(*arguments))["rows"] == result["rows"]
    assert weights.stat().st_mtime_ns == modified


@pytest.mark.parametrize("module", ["equal_time", "ablation"])
def test_every_row_of_the_tables_has_valid_options(tmp_path, training_options, monkeypatch, module):
    from click.testing import CliRunner

    from toolbox.cli import main

    monkeypatch.syspath_prepend(str(ROOT))
    benchmark = importlib.import_module(f"benchmarks.{module}")
    if module == "equal_time":
        rows = list(benchmark.recipe_options(training_options[-1]).values())
    else:
        rows = [
            ["--recipe", "luma", *(f"--set={setting}" for setting in settings)]
            for settings in benchmark.VARIANTS.values()
        ]
    assert len(rows) >= 5
    for options in rows:
        done = CliRunner().invoke(main, ["run", "--dry-run", "--data", str(tmp_path / "photos"), *map(str, options)])
        assert done.exit_code == 0, done.output


def test_the_help_lists_every_benchmark():
    output = run_benchmark("--help")
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
        assert f"  {name} " in output
    assert "common" not in output


def test_the_first_variant_changes_and_the_warm_up_is_not_counted(timing):
    calls = []
    times = timing.time_alternately({"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, 2)
    assert calls == ["b", "a", "a", "b", "b", "a"]
    assert [len(values) for values in times.values()] == [2, 2]


def test_ratios_are_computed_per_round(timing):
    result = timing.compare({"ours": [1.0, 2.0, 4.0], "other": [3.0, 4.0, 20.0]})
    assert result["times_as_fast"] == {"other": {"median": 3.0, "least": 2.0, "most": 5.0}}
    assert timing.markdown_rows(result)[1] == "| other | 4.0000 (3.0000 to 20.0000) | 3.00 (2.00 to 5.00) |"


def test_quality_compares_methods_with_the_truth(tmp_path, training_options):
    sheet = tmp_path / "sheet.jpg"
    result = json.loads(run_benchmark("quality", "--pairs", training_options[3], "--quick", "--sheet", sheet))["rows"]
    assert set(result) == {"input as it is", "OpenCV Telea in gray", "luma"}
    assert result["luma"]["luma"] == 0 and result["luma"]["colourfulness"] > 0
    assert result["input as it is"]["colourfulness"] == 0 and result["input as it is"]["M"] < result["luma"]["M"]
    assert io.read_rgb(sheet).shape == (3 * 160, 160, 3)


def test_ablation_reports_mean_and_standard_deviation(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT))
    ablation = importlib.import_module("benchmarks.ablation")
    result = ablation.mean_and_deviation({"luma": [{"score": 0.5}, {"score": 0.7}], "one": [{"score": 0.4}]})
    assert result == {"luma": {"score": (0.6, pytest.approx(0.02**0.5))}, "one": {"score": (0.4, None)}}


def test_the_gallery_shows_the_first_the_middle_and_the_last(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT))
    choose = importlib.import_module("benchmarks.gallery").choose_groups
    groups = choose([f"{number:02d}" for number in range(24)])
    assert groups == {"best": ["00", "01", "02"], "middle": ["10", "11", "12"], "worst": ["21", "22", "23"]}


@pytest.mark.drill  # the libraries take seconds to start
def test_the_cost_of_observers_is_a_part_of_the_run():
    result = json.loads(run_benchmark("observers", "--quick", "--width", "4"))
    assert "report" in result["rows"] and all(0 <= row["loop"] < 1 for row in result["rows"].values())
