"""`toolbox bench` with tiny networks: what it measures, what it recommends, what does not work."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from toolbox.cli import main
from toolbox.diagnostics import benchmark

TINY = ["--set", "generator.width=4", "--set", "discriminator.width=4"]
TINY += ["--size", "32", "--seconds", "0", "--device", "cpu"]


def bench(*options):
    return CliRunner().invoke(main, ["bench", *TINY, *options])


def test_every_variant_is_measured_and_the_fastest_is_one_of_them():
    result = bench("--json")
    assert result.exit_code == 0, result.output
    printed = json.loads(result.stdout)
    rows = {tuple(row["settings"]): row for row in printed["rows"]}
    assert set(rows) == set(benchmark.variants("cpu", compiled=False))
    assert tuple(printed["best"]) == max(rows, key=lambda name: rows[name]["pictures"])
    for row in rows.values():
        assert row["fault"] is None and row["steps"] == 1
        assert 0 < row["waiting"] < 1
        assert row["pictures"] == pytest.approx(6 / row["seconds"])
        # The parts and the waiting time add up to the step.
        assert sum(row["parts"].values()) + row["waiting"] * row["seconds"] == pytest.approx(row["seconds"])


def test_the_memory_layout_of_every_row_is_shown():
    rows = {tuple(row["settings"]): row["memory_format"] for row in json.loads(bench("--json").stdout)["rows"]}
    for name in ("contiguous", "channels-last"):
        assert rows["training.precision=fp32", f"training.memory_format={name}"] == name
    chosen = rows[("training.precision=fp32",)]
    assert chosen in ("contiguous", "channels-last")
    (line,) = [line for line in bench().output.splitlines() if line.startswith("precision=fp32  ")]
    assert line.endswith(f"  {chosen}")


def test_the_table_says_how_to_use_the_fastest_settings():
    result = bench()
    assert result.exit_code == 0, result.output
    assert "Recipe 'default' on cpu: 32 pixels, batch 6, 30 photographs" in result.output
    assert "To use them: toolbox run --set training.precision=" in result.output
    for part in ("forward passes", "discriminator's losses and gradients", "updates", "waiting for data"):
        assert f"  {part} " in result.output


def test_variants_that_do_not_work_are_listed_and_the_exit_code_is_1():
    result = bench("--size", "16")
    assert result.exit_code == 1
    assert result.output.count("does not work: ") == len(benchmark.variants("cpu", compiled=False))
    assert "To use them" not in result.output


def test_fp16_is_measured_on_a_gpu_only_and_compiling_only_on_request():
    variants = benchmark.variants("cuda", compiled=True)
    assert ("training.precision=fp16",) in variants
    assert [variant for variant in variants if "training.compile=true" in variant] == [
        (f"training.precision={precision}", "training.compile=true") for precision in ("fp32", "bf16", "fp16")
    ]
    assert not any("training.compile=true" in variant for variant in benchmark.variants("cuda", compiled=False))
    assert not any("training.precision=fp16" in variant for variant in benchmark.variants("cpu", compiled=True))
