"""`toolbox bench` on tiny networks: what it measures, what it advises, what can't be had."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from toolbox.cli import main
from toolbox.diagnostics import benchmark

TINY = [
    "--set",
    "generator.width=4",
    "--set",
    "discriminator.width=4",
    "--size",
    "32",
    "--seconds",
    "0",
    "--device",
    "cpu",
]


def bench(*arguments):
    return CliRunner().invoke(main, ["bench", *TINY, *arguments])


def test_every_way_is_measured_and_the_fastest_is_one_of_them():
    result = bench("--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    rows = {tuple(row["settings"]): row for row in found["rows"]}
    assert set(rows) == set(benchmark.variants("cpu", compiled=False))
    assert tuple(found["best"]) == max(rows, key=lambda name: rows[name]["pictures"])
    for row in rows.values():
        assert row["fault"] is None and row["steps"] == 1
        assert 0 < row["waiting"] < 1
        assert row["pictures"] == pytest.approx(6 / row["seconds"])
        # The parts and the waiting are the whole step.
        assert sum(row["parts"].values()) + row["waiting"] * row["seconds"] == pytest.approx(row["seconds"])


def test_the_table_says_how_to_use_the_fastest():
    result = bench()
    assert result.exit_code == 0, result.output
    assert "Recipe 'default' on cpu: 32 pixels, batch 6, 30 photographs" in result.output
    assert "To use it: toolbox run --set training.precision=" in result.output
    for part in ("restore and judge", "discriminator's losses and gradients", "updates", "waiting for data"):
        assert f"  {part} " in result.output


def test_what_does_not_work_here_is_said_and_the_exit_code_tells():
    result = bench("--size", "16")
    assert result.exit_code == 1
    assert result.output.count("not here: ") == 3 and "To use it" not in result.output


def test_a_gpu_is_asked_for_half_precision_too_and_compiling_only_when_asked():
    ways = benchmark.variants("cuda", compiled=True)
    assert ("training.precision=fp16",) in ways
    assert [way for way in ways if "training.compile=true" in way] == [
        (f"training.precision={one}", "training.compile=true") for one in ("fp32", "bf16", "fp16")
    ]
    assert not any("training.compile=true" in way for way in benchmark.variants("cuda", compiled=False))
