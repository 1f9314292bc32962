"""The figures of photographs against scikit-image and plain NumPy, their means and bootstrap intervals. 2 s."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from skimage import color
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from toolbox.errors import PluginError, WeightsError
from toolbox.evaluation import figures, lpips
from toolbox.evaluation.figures import ExtraFigures, measure, summarize


@pytest.fixture
def pair():
    """Return a restored photograph, its truth and a mask."""
    random = np.random.default_rng(0)
    truth = random.integers(0, 200, (24, 30, 3), dtype=np.uint8)
    restored = np.clip(truth + random.integers(-20, 40, truth.shape), 0, 255).astype(np.uint8)
    mask = np.zeros((24, 30), bool)
    mask[5:12, 5:20] = True
    return restored, truth, mask


def test_figures_are_those_of_other_libraries(pair):
    restored, truth, mask = pair
    found = measure(restored, truth, mask, ExtraFigures())
    assert list(found) == [name for name in figures.ORDER if name != "lpips"]
    assert found["psnr"] == pytest.approx(peak_signal_noise_ratio(truth, restored))
    assert found["ssim"] == pytest.approx(structural_similarity(truth, restored, channel_axis=-1, data_range=255))
    true_ab, ab = (color.rgb2lab(picture)[..., 1:] for picture in (truth, restored))
    assert found["ab"] == pytest.approx(np.linalg.norm(ab - true_ab, axis=-1).mean(), rel=2e-3)
    assert found["ab_gray"] == pytest.approx(np.linalg.norm(true_ab, axis=-1).mean(), rel=2e-3)
    assert found["ab_ratio"] == pytest.approx(found["ab"] / found["ab_gray"])
    assert found["score"] == pytest.approx(0.2 * found["S"] + 0.4 * found["M"] + 0.4 * found["C"])


def test_undefined_figures_are_none(pair):
    _, truth, _ = pair
    gray = np.full_like(truth, 90)
    found = measure(gray, gray, None, ExtraFigures())
    assert found["M"] is found["score"] is found["psnr"] is found["ab_ratio"] is found["colorfulness_ratio"] is None
    assert found["ab"] == 0 and found["colorfulness"] == 0 and found["ssim"] == 1


def test_means_are_over_what_is_defined_and_quotients_are_of_means():
    rows = {
        "a": {"S": 0.5, "M": None, "C": 0.1, "ab": 2.0, "ab_gray": 4.0},
        "b": {"S": 0.7, "M": 0.4, "C": 0.3, "ab": 9.0, "ab_gray": 8.0},
    }
    table = summarize(rows)
    assert table.mean["M"] == 0.4 and table.mean["S"] == pytest.approx(0.6) and table.mean["C"] == pytest.approx(0.2)
    assert table.mean["score"] == pytest.approx(0.2 * 0.6 + 0.4 * 0.4 + 0.4 * 0.2)
    assert table.mean["ab_ratio"] == pytest.approx(11 / 12)
    assert table.intervals["M"] is None and table.intervals["ab_ratio"] == pytest.approx((0.5, 1.125))
    assert all(interval is None for interval in summarize({"a": rows["b"]}).intervals.values())


def test_the_interval_is_that_of_the_normal_distribution_and_repeatable():
    random = np.random.default_rng(1)
    values = random.normal(0.5, 0.1, 400)
    rows = {str(index): {"S": value, "M": value, "C": value} for index, value in enumerate(values)}
    low, high = summarize(rows).intervals["S"]
    half = 1.96 * values.std() / 20
    assert low == pytest.approx(values.mean() - half, abs=0.1 * half)
    assert high == pytest.approx(values.mean() + half, abs=0.1 * half)
    assert summarize(rows).intervals["score"] == pytest.approx((low, high))
    assert summarize(rows).intervals == summarize(rows).intervals != summarize(rows, seed=1).intervals


def test_metrics_of_plugins_are_added_and_a_failing_one_is_named(pair):
    calls = []

    def broken(*arrays):
        calls.append(arrays)
        raise PluginError("no luck")

    extra = ExtraFigures(metrics={"lost": lambda a, b, mask: float(mask.sum()), "bad": broken, "psnr": broken})
    found = [measure(*pair, extra) for _ in range(2)]
    assert found[0]["lost"] == 7 * 15 and found[0]["bad"] is None
    assert len(calls) == 1 and extra.all_notes() == ["The metric 'bad' has failed: no luck"]


def lpips_file(path, **changes):
    random = torch.Generator().manual_seed(0)
    tensors, inputs, index = {}, 3, 0
    for level, count in enumerate(lpips.LAYERS):
        for _ in range(count):
            tensors[f"features.{index}.weight"] = torch.randn(4, inputs, 3, 3, generator=random)
            tensors[f"features.{index}.bias"] = torch.zeros(4)
            inputs, index = 4, index + 2
        index += 1
        tensors[f"lpips.lin{level}.model.1.weight"] = torch.full((1, 4, 1, 1), 0.25)
    save_file({name: value for name, value in tensors.items() if name not in changes}, path)
    return path


def test_lpips_is_zero_for_equal_pictures_and_names_a_wrong_file(tmp_path, pair):
    restored, truth, _ = pair
    distance = lpips.Lpips(lpips_file(tmp_path / "a.safetensors"))
    assert distance(truth, truth) == 0 < distance(restored, truth)
    assert distance(truth[:8], truth[:8]) is None
    broken = lpips_file(tmp_path / "b.safetensors", **{"lpips.lin2.model.1.weight": None})
    with pytest.raises(WeightsError, match="no lpips.lin2.model.1.weight"):
        lpips.Lpips(broken)
    with pytest.raises(WeightsError, match="can't be read as safetensors"):
        (tmp_path / "c.safetensors").write_bytes(b"x")
        lpips.Lpips(tmp_path / "c.safetensors")
