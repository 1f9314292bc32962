"""Files of version 0.1 still work: a run folder is resumed, weight files restore, a recipe is valid."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from safetensors.numpy import load_file

import toolbox
from toolbox.cli import main
from toolbox.reports import run_records
from toolbox.training import checkpoint, fingerprint

FILES = Path(__file__).parents[1] / "reference" / "version-0.1"

# The weights of the run in FILES after three epochs with version 0.1, by environment. Rounding differs between types of
# processors and versions of torch, so only the listed environments are compared.
WEIGHTS = {
    ("2.14.1+cu130", "AVX2"): "1ed364374769ee8f9c5cbe57cf8d6706a21fdab080f9c33ab2226aa2cfeae777",
}


def invoke(*arguments):
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert result.exit_code == 0, (result.output, result.exception)
    return result


def digest(path):
    """Return the SHA-256 of a safetensors file's names, types, shapes and values."""
    hashed = hashlib.sha256()
    for name, value in sorted(load_file(path).items()):
        hashed.update(name.encode() + str(value.dtype).encode() + str(value.shape).encode() + value.tobytes())
    return hashed.hexdigest()


@pytest.fixture
def run(tmp_path):
    shutil.copytree(FILES / "run", tmp_path / "run")
    return tmp_path / "run"


def test_a_run_is_resumed_and_its_records_get_the_current_names(run):
    result = invoke("run", "--resume", run, "--set", "training.steps=12", "--device", "cpu")
    assert "Continuing after step 6 of 12" in result.output
    records = list(run_records.read_records(run))
    steps = [record for record in records if not {"validation", "epoch_end"} & record.keys()]
    assert [record["step"] for record in steps] == list(range(12))
    assert all("d_accuracy" in record and "told" not in record for record in steps)
    assert run_records.read_summary(run).best.step in (4, 8, 12)


def test_the_summary_and_the_environment_of_a_run_are_read():
    summary = run_records.read_summary(FILES / "run")
    assert summary.best.step == 4
    assert (summary.loss_before, summary.loss_after) == (0.07381346076726913, 0.07378923892974854)
    assert run_records.read_run_info(FILES / "run").recipe == "default"
    saved, _ = checkpoint.newest_checkpoint(FILES / "run" / "checkpoints")
    recorded = fingerprint.read_fingerprint(saved)
    assert recorded["memory_format"] == "channels-last" and "accelerate" not in recorded


def test_a_resumed_run_has_the_weights_of_version_0_1(run):
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
