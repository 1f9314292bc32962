"""Every benchmark runs; what it measures is for its page, not for a test."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


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
    found = json.loads(bench("step", "--size", 32, "--batch", 1, "--pairs", 1, "--device", "cpu"))
    assert found["largest_relative_difference_of_the_first_step"] < 1e-4
    assert 0 < found["convolution_share_of_our_step"] < 1
    assert found["ratio"]["median"] > 0 and found["peak_bytes"]["ours"] > 0


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


def test_score_gives_the_formulas_figures():
    found = json.loads(bench("score", "--quick"))
    assert all(found["largest_difference"][name] < 1e-6 for name in "SMC")
    assert found["times_as_fast"]["scikit-image and OpenCV"]["median"] > 0


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


def test_the_help_lists_every_benchmark():
    listed = bench("--help")
    for name in ("loader", "mask", "overhead", "scaling", "score", "ssim", "startup", "step", "trials"):
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
