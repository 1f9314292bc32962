"""Files of version 0.1 (a run folder, weight files, a recipe) are read, continued and restored with as they are."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from safetensors.numpy import load_file

import toolbox
from toolbox.cli import main
from toolbox.training import metric_log

FILES = Path(__file__).parents[1] / "reference" / "version-0.1"

# What three epochs of the run in FILES came to under version 0.1, by environment. Rounding differs between kinds of
# processors and versions of torch, so an environment that is not listed is not compared.
WEIGHTS = {
    ("2.14.1+cu130", "AVX2"): "1ed364374769ee8f9c5cbe57cf8d6706a21fdab080f9c33ab2226aa2cfeae777",
}


def invoke(*words):
    result = CliRunner().invoke(main, [str(word) for word in words])
    assert result.exit_code == 0, (result.output, result.exception)
    return result


def digest(path):
    found = hashlib.sha256()
    for name, value in sorted(load_file(path).items()):
        found.update(name.encode() + str(value.dtype).encode() + str(value.shape).encode() + value.tobytes())
    return found.hexdigest()


@pytest.fixture
def run(tmp_path):
    shutil.copytree(FILES / "run", tmp_path / "run")
    return tmp_path / "run"


def test_a_run_is_continued_and_its_records_have_the_names_of_today(run):
    result = invoke("run", "--resume", run, "--set", "training.steps=12", "--device", "cpu")
    assert "Continuing after step 6 of 12" in result.output
    records = list(metric_log.read_records(run))
    steps = [record for record in records if "validation" not in record]
    assert [record["step"] for record in steps] == list(range(12))
    assert all("d_accuracy" in record and "told" not in record for record in steps)
    assert json.loads((run / "summary.json").read_text("utf-8"))["best"]["step"] in (4, 8, 12)


def test_a_continued_run_comes_to_the_weights_of_version_0_1(run, monkeypatch):
    environment = (torch.__version__, torch.backends.cpu.get_cpu_capability())
    if environment not in WEIGHTS:
        pytest.skip(f"no weights of version 0.1 are recorded for torch {environment[0]} on {environment[1]}")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        invoke("run", "--resume", run, "--set", "training.steps=12", "--device", "cpu")
    finally:
        torch.set_num_threads(threads)
    assert digest(run / "checkpoints" / "step-00000012" / "generator.safetensors") == WEIGHTS[environment]


@pytest.mark.parametrize("name", ["default-half.safetensors", "luma-half.safetensors", "run"])
def test_weights_restore(name):
    restorer = toolbox.load_restorer(FILES / name, device="cpu")
    photo = np.random.default_rng(0).integers(0, 256, (64, 96), dtype=np.uint8)
    assert restorer(photo, np.zeros(photo.shape, bool)).shape == (64, 96, 3)


def test_a_recipe_is_valid():
    assert "is valid" in invoke("recipe", "validate", FILES / "run" / "recipe.toml").output


def test_renamed_names_of_the_public_face_warn_and_work():
    with pytest.warns(DeprecationWarning, match="toolbox.Judgement is now toolbox.PenaltyContext"):
        assert toolbox.Judgement is toolbox.PenaltyContext
