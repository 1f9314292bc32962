"""Every benchmark runs; what it measures is for its page, not for a test."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


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
    assert "toolbox list" in json.loads(bench("startup", "--runs", 1))


def test_mask(shared):
    assert "rectangle" in bench("mask", "--photos", shared / "photos" / "train", "--count", 6, "--size", 128)


def test_the_help_lists_every_benchmark():
    listed = bench("--help")
    for name in ("mask", "startup", "step", "trials"):
        assert f"  {name} " in listed
