"""Wrong inputs of the benchmarks and training programs end in one line, as those of `toolbox` do."""

from __future__ import annotations

import importlib
from pathlib import Path

import click
import numpy as np
import pytest
from click.testing import CliRunner
from safetensors.numpy import save_file

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def benchmarks(monkeypatch):
    """Import the benchmarks from the checkout; they are not installed."""
    monkeypatch.syspath_prepend(str(ROOT))
    return importlib.import_module("benchmarks.__main__").main


@pytest.fixture
def inputs(tmp_path, monkeypatch):
    """Write wrong inputs, and make their folder the working folder."""
    monkeypatch.chdir(tmp_path)
    Path("empty").mkdir()
    Path("noise").write_bytes(bytes(range(256)))
    Path("none.csv").write_text("file,set\nmissing.jpg,train\n", encoding="utf-8")
    Path("columns.csv").write_text("a,b\n1,2\n", encoding="utf-8")
    save_file({"a": np.zeros(1)}, "other.safetensors")


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("train-color noise --out out", "noise is no whole file of `color-pack`"),
        ("train-color other.safetensors --out out", "other.safetensors is no whole file of `color-pack`"),
        ("train-fill empty --split none.csv --out out", "missing.jpg"),
        ("train-fill empty --split columns.csv --out out", "columns.csv is no table with the columns file and set"),
        ("train-fill empty --split noise --out out", "noise is no table"),
        ("fill --photos empty --split none.csv --quick", "none.csv has no photograph of the set 'test'"),
        ("fill --pairs empty --quick", "empty/truth"),
        ("color-pack empty --out pack.safetensors", "does not exist"),
        ("color-pack empty --out empty", "is a directory"),
        ("score --photos empty --quick", "empty has no photographs"),
        ("page --height 0", "0 is not in the range"),
        ("restoring --rounds 0", "0 is not in the range"),
        ("fit-hues luma-score --photos empty --out map.safetensors", "does not exist"),
        ("fit-hues luma-scor --photos empty --out map.safetensors", "luma-score"),
        ("fit-hues luma-score --photos empty --out empty", "is a directory"),
        ("fit-hues luma-score --photos empty --out noise/map.safetensors", "a part of its path is a file"),
    ],
)
def test_a_wrong_input_is_one_line(benchmarks, inputs, command, words):
    result = CliRunner().invoke(benchmarks, command.split())
    assert result.exit_code in (1, 2) and isinstance(result.exception, SystemExit), repr(result.exception)
    assert words in result.stderr.splitlines()[-1]
    assert not Path("pack.safetensors").exists()


def test_every_whole_number_has_a_range(benchmarks):
    unbounded = {
        f"{name} {option.opts[0]}"
        for name in benchmarks.list_commands(None)
        for option in benchmarks.get_command(None, name).params
        if type(option.type) is type(click.INT) and option.opts[0] != "--seed"
    }
    assert unbounded == set()
