"""Weights restore where the plugins of their training are not installed."""

from __future__ import annotations

import json
from dataclasses import asdict

import pytest
from safetensors.torch import load_file, save_file
from tiny_weights import write_tiny_run

from toolbox.errors import WeightsError
from toolbox.hooks import catalog
from toolbox.inference.loading import load_restorer
from toolbox.models import weight_file
from toolbox.models.weights import export_weights
from toolbox.utils.run_names import BEST


@pytest.fixture
def weights(tmp_path):
    """Weights of a run with a loss, a metric, an optimizer and an observer that are not installed."""
    path = write_tiny_run(tmp_path / "run") / BEST
    tensors, header = load_file(path), asdict(weight_file.read_header(path))
    for name in ('name = "mse"', 'name = "adamw"'):
        assert name in header["recipe"]
        header["recipe"] = header["recipe"].replace(name, 'name = "theirs"')
    header["recipe"] += '\n[observers.theirs]\n[metrics.theirs]\n[requires]\n"their-plugin" = ""\n'
    save_file(tensors, path, {"toolbox": json.dumps(header)})
    return path


def test_weights_restore_without_the_plugins_of_their_training(weights):
    assert load_restorer(weights, device="cpu").multiple >= 1


def test_they_are_not_passed_on_with_a_recipe_that_lacks_something(weights, tmp_path):
    with pytest.raises(
        WeightsError, match="generator.optimizer.name: Optimizer 'theirs' is not known.*the plugin 'their-plugin'"
    ):
        export_weights(weights, tmp_path / "out.safetensors", catalog.load(third_party=False), half=False)
    assert not (tmp_path / "out.safetensors").exists()
