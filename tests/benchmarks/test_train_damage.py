"""`benchmarks train-damage`: its samples, its tracer, and that a short training writes weights."""

from __future__ import annotations

import time
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from click.testing import CliRunner
from pictures import smooth
from safetensors.torch import load_file
from toolbox_plugins.damage import wear
from toolbox_plugins.damage.kinds import KINDS
from toolbox_plugins.damage.patches import draw_flakes
from toolbox_plugins.damage.structures import DRAWERS
from toolbox_plugins.damage.tracer import trace_half
from toolbox_plugins.damage.wear import MIN_CHANGE, lay_wear

from benchmarks import train_damage
from benchmarks.common.batch_tracer import trace_batch
from benchmarks.common.damage_batches import HARD, Pool, objective
from benchmarks.common.damage_samples import PORTION, SIZES, Workers, development_samples, make_sample
from toolbox import weights_path
from toolbox.color import integer_luma

SETTINGS = train_damage.Settings(
    seconds=0,
    device="cpu",
    workers=1,
    batch=1,
    rate=1e-3,
    encoder=0.35,
    average=0.9,
    repeats=2.0,
    capacity=8,
    freeze=False,
    measured=1,
    seed=0,
)


def photo(size=300):
    return integer_luma(smooth(size, size))


def test_a_batch_is_traced_as_each_picture_but_for_rounding():
    random = np.random.default_rng(0)
    pictures = np.clip(photo(128) + random.normal(0, 8, (2, 128, 128)), 0, 255).astype(np.uint8)
    pictures[0] = cv2.line(pictures[0].copy(), (5, 3), (100, 120), 255, 2)
    traced = trace_batch(torch.from_numpy(pictures).float()).numpy()
    expected = np.stack([trace_half(picture) for picture in pictures])
    assert traced.shape == expected.shape and np.abs(expected).max() > 1
    assert np.abs(traced - expected).max() < 0.02


def test_wear_is_labelled_where_it_changes_the_photograph():
    gray = photo(160)
    labelled = 0
    for seed in range(12):
        worn, labels = lay_wear(gray, np.random.default_rng(seed))
        again, same = lay_wear(gray, np.random.default_rng(seed))
        assert np.array_equal(worn, again) and np.array_equal(labels, same)
        change = np.abs(worn.astype(int) - gray)[labels > 0]
        labelled += len(change) > 0
        assert not len(change) or np.median(change) >= MIN_CHANGE - 1
    assert labelled > 6


def test_the_label_of_a_crease_joins_its_light_and_its_dark_side(monkeypatch):
    def draw_crease(size, side, random):
        relief = np.zeros(size, np.float32)
        relief[30:33], relief[35:38] = 1, -1
        return relief

    monkeypatch.setattr(wear, "draw_crease", draw_crease)
    monkeypatch.setattr(wear, "_WEAR", ((draw_crease, "fold", 1.0, 0.35),) * 3)
    gray = np.full((128, 128), 128, np.uint8)
    worn, labels = lay_wear(gray, np.random.default_rng(1))
    assert (worn[33:35] == 128).all() and (labels[30:38] == KINDS.index("fold") + 1).all()
    assert not labels[:29].any() and not labels[39:].any()


def test_no_samples_are_taken_while_enough_were_never_drawn():
    class Endless:
        def receive(self, timeout=0.0):
            return np.zeros((PORTION, 2, 256, 256), np.uint8)

    training = train_damage.Training.__new__(train_damage.Training)
    training.pools = {256: Pool(256, 2 * PORTION, torch.device("cpu"))}
    assert training.receive(Endless(), most=1000) == train_damage.ENOUGH // PORTION
    training.pools[256].drawn += PORTION
    assert training.receive(Endless(), most=1000) == 1


@pytest.mark.parametrize("draw", dict.fromkeys(DRAWERS), ids=lambda draw: draw.__name__)
def test_a_structure_changes_the_photograph_and_keeps_its_size(draw):
    gray = photo(128)
    changed = [draw(gray.copy(), np.random.default_rng(seed)) for seed in range(4)]
    assert all(each.shape == gray.shape and each.dtype == np.uint8 for each in changed)
    assert any((each != gray).any() for each in changed)


def test_samples_are_repeatable_and_half_of_them_are_sound():
    samples = [make_sample(np.random.default_rng(seed), 64, [photo()], None) for seed in range(40)]
    again = make_sample(np.random.default_rng(3), 64, [photo()], None)
    assert np.array_equal(samples[3], again) and again.shape == (2, 64, 64) and again.dtype == np.uint8
    assert 8 <= sum(sample[1].any() for sample in samples) <= 32
    assert max(sample[1].max() for sample in samples) <= 5


def test_a_sound_sample_with_a_false_alarm_is_drawn_more_often():
    pool = Pool(32, 16, torch.device("cpu"))
    pool.add(torch.zeros((8, 2, 32, 32), dtype=torch.uint8))
    random = torch.Generator().manual_seed(0)
    drawn = pool.draw(8, random)
    alarmed = drawn.indices == drawn.indices[0]
    logits = torch.zeros((8, 6, 16, 16))
    logits[:, 0] = 9.0
    logits[alarmed, 1] = 20.0
    pool.reweight(drawn, logits)
    indices = pool.choose(4000, random)
    share = float((indices == drawn.indices[0]).float().mean())
    assert share == pytest.approx(HARD / (HARD + 7), abs=0.05)


def test_the_objective_is_lower_for_the_right_labels():
    labels = torch.zeros((2, 16, 16), dtype=torch.int64)
    labels[0, 4:8] = 3
    right = 12.0 * torch.nn.functional.one_hot(labels, 6).permute(0, 3, 1, 2)
    assert objective(right, labels) < 0.2 < objective(-right, labels)


def test_a_process_sends_samples_and_its_errors_after_opencv_has_used_threads():
    cv2.GaussianBlur(np.zeros((2000, 2000), np.uint8), (31, 31), 3)
    workers = Workers(photographs=[photo()], artefacts=None, count=1)
    broken = Workers(photographs=[], artefacts=None, count=1)
    for each in (workers, broken):
        each.start()
    try:
        portion = workers.receive(timeout=120)
        assert portion is not None and portion.shape[0] == PORTION and portion.shape[-1] in SIZES
        end = time.monotonic() + 120
        while not broken.errors and time.monotonic() < end:
            assert broken.receive(timeout=0.1) is None
        assert "Traceback" in broken.errors[0] and not workers.errors
    finally:
        for each in (workers, broken):
            each.stop()


def test_a_step_changes_the_weights_unless_its_gradient_is_not_finite(tmp_path):
    start, messages = load_file(weights_path("print-damage")), []
    training = train_damage.Training(SETTINGS, start, lambda **figures: messages.append(figures))
    pool = training.pools[256] = Pool(64, 8, torch.device("cpu"))
    pool.add(
        torch.from_numpy(np.stack([make_sample(np.random.default_rng(seed), 64, [photo()], None) for seed in range(8)]))
    )
    assert np.isfinite(training.train_step(256, 0.5))
    training.save(tmp_path / "weights.safetensors")
    trained = load_file(tmp_path / "weights.safetensors")
    assert trained.keys() == start.keys() and {value.dtype for value in trained.values()} >= {torch.float16}
    assert not torch.equal(trained["head.weight"], start["head.weight"])
    kept = training.network.head.weight.detach().clone()
    training.network.head.bias.data.fill_(float("nan"))
    assert np.isnan(training.train_step(256, 0.5)) and training.skipped == 1
    assert torch.equal(training.network.head.weight, kept)
    training.average.module.head.bias.fill_(float("nan"))
    (tmp_path / "weights.safetensors").unlink()
    training.save(tmp_path / "weights.safetensors")
    assert not (tmp_path / "weights.safetensors").exists() and "not finite" in messages[0]["event"]


def test_frozen_stages_keep_their_weights_and_statistics():
    start = load_file(weights_path("print-damage"))
    training = train_damage.Training(replace(SETTINGS, freeze=True), start, print)
    pool = training.pools[256] = Pool(64, 8, torch.device("cpu"))
    pool.add(
        torch.from_numpy(np.stack([make_sample(np.random.default_rng(seed), 64, [photo()], None) for seed in range(8)]))
    )
    training.train_step(256, 0.5)
    trained = {
        name: value.half() for name, value in training.network.state_dict().items() if value.dtype.is_floating_point
    }
    changed = {name for name, value in trained.items() if not torch.equal(value, start[name].half())}
    assert changed and not any(
        name.startswith(("encoder.conv_stem", "encoder.bn1", "encoder.blocks.0.", "encoder.blocks.1."))
        for name in changed
    )
    assert any(name.startswith("encoder.blocks.4.") for name in changed)


def test_flakes_are_few_small_pieces():
    for seed in range(8):
        alpha = draw_flakes((160, 200), 160.0, np.random.default_rng(seed))
        count, _, stats, _ = cv2.connectedComponentsWithStats((alpha > 0.5).astype(np.uint8))
        assert alpha.shape == (160, 200) and 0 < alpha.max() <= 1 and alpha.min() == 0
        assert count <= 7 and stats[1:, cv2.CC_STAT_AREA].max(initial=0) < 0.02 * alpha.size


def test_the_measurement_counts_what_is_marked():
    start = load_file(weights_path("print-damage"))
    training = train_damage.Training(SETTINGS, start, print)
    sound = np.stack([photo(256), np.zeros((256, 256), np.uint8)])
    corner = np.array([[0, 0], [90, 0], [60, 30], [40, 34], [0, 80]])
    torn = np.stack([cv2.fillPoly(each.copy(), [corner], level) for each, level in zip(sound, (255, 1), strict=True)])
    figures = training.measure(torn[None], sound[None])
    assert figures["scratch"] > 0.5 and figures["dust"] == 0.0
    assert figures["sound_percent"] == 0.0 == figures["sound_over_0.5_percent"]


def test_development_samples_are_damaged_and_sound_squares():
    damaged, sound = development_samples([photo()], None, 5)
    assert damaged.shape == sound.shape == (5, 2, 512, 512)
    assert not sound[:, 1].any() and sum(each.any() for each in damaged[:, 1]) >= 4


def test_a_folder_without_photographs_is_refused(tmp_path):
    result = CliRunner().invoke(train_damage.command, ["--shared", str(tmp_path), "--out", str(tmp_path / "out")])
    assert result.exit_code == 1 and "has no photograph of the set train" in result.output
