"""The program that fits the map of `expected-hues`: it finds a map, and its file is read by the post-processor."""

from __future__ import annotations

import numpy as np
from safetensors.numpy import load_file, save_file
from toolbox_plugins.luma.classes import COUNT
from toolbox_plugins.luma.expected_hues import BINS

from benchmarks import fit_hues
from toolbox import weights_path


def test_the_fit_finds_a_linear_map():
    random = np.random.default_rng(0)
    weight, bias = random.normal(size=(COUNT, BINS)), random.normal(size=BINS)
    shares = random.random((500, COUNT))
    found = fit_hues.fit(shares, shares @ weight + bias, ridge=1e-6)
    assert np.allclose(found.weight, weight, atol=1e-3) and np.allclose(found.bias, bias, atol=1e-2)
    weaker = fit_hues.fit(shares, shares @ weight + bias, ridge=1e3)
    assert np.linalg.norm(weaker.weight) < 0.5 * np.linalg.norm(weight)


def test_the_shipped_file_has_the_form_that_the_program_writes(tmp_path):
    found = fit_hues.fit(np.random.default_rng(0).random((9, COUNT)), np.ones((9, BINS)), ridge=1.0)
    save_file(fit_hues.tensors(found), tmp_path / "map.safetensors")
    written, shipped = load_file(tmp_path / "map.safetensors"), load_file(weights_path("expected-hues"))
    assert {name: (one.shape, one.dtype) for name, one in written.items()} == {
        name: (one.shape, one.dtype) for name, one in shipped.items()
    }
