"""The parts of the fills: regions, extrapolation, patches, propagation, blending; their memory; the plugin."""

from __future__ import annotations

import importlib
import itertools
import subprocess
import sys

import cv2
import numpy as np
import pytest
from toolbox_plugins.fills.auto import auto
from toolbox_plugins.fills.average import average
from toolbox_plugins.fills.blend import blend
from toolbox_plugins.fills.frequency import extrapolate, frequency
from toolbox_plugins.fills.patches import SIDE, Scale, upsample_sources
from toolbox_plugins.fills.propagation import MOVES, choose_labels
from toolbox_plugins.fills.regions import CELL, regions
from toolbox_plugins.fills.texture import context, texture


def test_every_lost_pixel_is_in_one_region_alone():
    random = np.random.default_rng(0)
    mask = np.zeros((900, 700), np.uint8)
    for _ in range(60):
        start, stop = (tuple(map(int, random.integers(0, (700, 900)))) for _ in range(2))
        cv2.line(mask, start, stop, 1, int(random.integers(1, 5)))
    cv2.circle(mask, (350, 450), 90, 1, -1)
    mask = mask.astype(bool)
    count = np.zeros(mask.shape, int)
    found = list(regions(mask, lambda thickness, side: 7))
    for region in found:
        assert not (region.target & ~mask[region.box]).any()
        count[region.box] += region.target
        rows, columns = np.nonzero(region.target)
        inner = [(int(one.min()), int(one.max())) for one in (rows, columns)]
        for part, (first, last), length in zip(region.box, inner, mask.shape, strict=True):
            assert first == min(7, first + part.start) and part.stop == min(length, part.start + last + 8)
    assert np.array_equal(count, mask.astype(int))
    assert max(region.thickness for region in found) > 85


def test_thin_holes_are_cut_into_cells_and_small_ones_are_not():
    mask = np.zeros((CELL * 2, CELL * 4), bool)
    mask[10:14] = True
    mask[100:140, CELL - 20 : CELL + 20] = True
    found = sorted(int(region.target.sum()) for region in regions(mask, lambda thickness, side: 0))
    assert found == sorted([1600, *[4 * CELL] * 4])


def test_a_wave_goes_on_through_a_block():
    """One wave that fits the window is found again; a constant and a slope are left as they are."""
    y, x = np.mgrid[:96, :96].astype(np.float32)
    wave = 100 + 50 * np.sin(2 * np.pi * (3 * x + 5 * y) / 64)[..., None]
    lost = np.zeros((96, 96), bool)
    lost[44:52, 44:52] = True
    assert np.abs(extrapolate(wave, lost, depth=0) - wave)[lost].max() < 12
    for plain in (np.full_like(wave, 77), (x + 2 * y)[..., None]):
        assert np.abs(extrapolate(plain, lost, depth=0) - plain)[lost].max() < 4


@pytest.mark.parametrize("fill", [frequency, average], ids=["frequency", "average"])
def test_gray_in_three_channels_stays_gray(fill):
    random = np.random.default_rng(1)
    gray = cv2.GaussianBlur(random.integers(0, 256, (90, 90)).astype(np.uint8), (0, 0), 2)
    mask = np.zeros(gray.shape, bool)
    mask[30:60, 30:60] = True
    found = fill(np.repeat(gray[..., None], 3, axis=2), mask).astype(int)
    assert np.abs(np.diff(found, axis=2)).max() <= 1
    assert np.abs(found[..., 0] - fill(gray, mask)).max() <= 1


def test_patches_find_the_copy_of_what_is_known_of_them():
    """The right half repeats the left one; the lost pixels hold what the truth is."""
    random = np.random.default_rng(2)
    left = random.uniform(0, 255, (40, 40, 1)).astype(np.float32)
    values, lost = np.concatenate([left, left], axis=1), np.zeros((40, 80), bool)
    lost[15:25, 15:25] = True
    scale = Scale(values, lost, np.zeros_like(lost))
    true = scale.targets + 40
    assert scale.cost(true).max() == 0
    wrong = np.random.default_rng(3).choice(np.flatnonzero(scale.valid), len(true))
    wrong[::7] = true[::7]
    found = scale.search(scale.search(wrong, random, 20), random, 20)
    assert (found == true).mean() > 0.95
    scale.image[lost.ravel()] = 0
    scale.vote(true)
    assert np.abs(scale.image - values.reshape(-1, 1)).max() < 1e-3


def test_what_is_carried_to_a_finer_scale_is_the_same_offset():
    lost = np.zeros((40, 60), bool)
    lost[16:24, 20:28] = True
    coarse = Scale(np.zeros((40, 60, 1), np.float32), lost, np.zeros_like(lost))
    large = np.kron(lost, np.ones((2, 2), bool))
    fine = Scale(np.zeros((80, 120, 1), np.float32), large, np.zeros_like(large))
    sources = upsample_sources(coarse, coarse.targets + 15, fine)
    assert set(np.unique(sources - fine.targets)) == {30}
    assert fine.valid[sources].all() and len(fine.offsets) == SIDE**2


def test_propagation_finds_the_least_of_all_labellings():
    """A grid of 2x3 pixels with three labels: 729 labellings, each looked at."""
    random = np.random.default_rng(4)
    y, x = np.divmod(np.arange(6), 3)
    number = np.full((4, 5), 6)
    number[y + 1, x + 1] = np.arange(6)
    neighbours = [number[y + 1 + down, x + 1 + across] for down, across in MOVES]

    def energy(labels: np.ndarray) -> float:
        total = costs[np.arange(6), labels].sum()
        for beside in (neighbours[0], neighbours[2]):
            here = np.flatnonzero(beside < 6)
            one, other = labels[here], labels[beside[here]]
            total += (seams[here, one, other] + seams[beside[here], one, other]).sum()
        return float(total)

    for _ in range(5):
        costs = random.uniform(0, 10, (6, 3)).astype(np.float32)
        points = random.uniform(0, 4, (6, 3, 2))
        seams = np.linalg.norm(points[:, :, None] - points[:, None], axis=-1).astype(np.float32)
        least = min(energy(np.array(labels)) for labels in itertools.product(range(3), repeat=6))
        assert energy(choose_labels(costs, seams, neighbours, (y + x) % 2)) < least * 1.02 + 1e-4


def test_blending_keeps_gradients_and_meets_the_border():
    """Copies that are darker by 60 throughout are lifted to what is around them."""
    grain = np.random.default_rng(5).normal(0, 5, (30, 30)).astype(np.float32)
    values = np.concatenate([grain + 150, grain + 90], axis=1)
    lost = np.zeros((30, 60), bool)
    lost[10:20, 10:20] = True
    places = np.flatnonzero(lost.ravel())
    found = blend(values.reshape(-1, 1), lost, places + 30)[:, 0]
    assert np.abs(found - values[lost]).max() < 0.1


def test_how_far_texture_looks_grows_with_the_hole():
    assert context(5, 400) == 64 and context(60, 120) == 150 and context(20, 106) == 106


def test_auto_extrapolates_where_waves_go_on_and_copies_patches_where_they_fade(monkeypatch):
    called = []
    module = importlib.import_module("toolbox_plugins.fills.auto")
    real = module.copy_patches
    monkeypatch.setattr(module, "copy_patches", lambda *arguments: called.append(1) or real(*arguments))
    y = np.mgrid[:160, :160][0]
    stripes = (128 + 60 * np.sin(2 * np.pi * y / 16)).astype(np.uint8)
    mask = np.zeros(stripes.shape, bool)
    mask[60:100, 60:100] = True
    auto(stripes, mask)
    assert not called
    noise = np.random.default_rng(6).normal(128, 40, (160, 160)).clip(0, 255).astype(np.uint8)
    hair = np.zeros(noise.shape, bool)
    hair[:, 80:83] = True
    auto(noise, hair)
    assert not called
    auto(noise, mask)
    assert called


MEMORY = """
import numpy as np
from toolbox.utils.memory import peak_memory
from toolbox_plugins.fills.auto import auto
image = np.zeros((4000, 6000), np.uint8)
random = np.random.default_rng(0)
for row in range(0, 4000, 500):
    image[row : row + 500] = random.integers(0, 200, (500, 6000), dtype=np.uint8)
mask = np.zeros(image.shape, bool)
mask[1300:2300, 2000:3000] = True
auto(image, mask)
print(peak_memory())
"""


def test_a_megapixel_lost_of_twenty_four_takes_at_most_one_and_a_half_gigabytes():
    done = subprocess.run([sys.executable, "-c", MEMORY], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 1.5e9


def test_long_thin_holes_of_texture_stay_in_bounds():
    image = np.random.default_rng(7).integers(0, 256, (600, 900), dtype=np.uint8)
    mask = np.zeros(image.shape, np.uint8)
    cv2.line(mask, (-10, 300), (910, 320), 1, 9)
    found = texture(image, mask.astype(bool))
    assert np.array_equal(found[mask == 0], image[mask == 0]) and found[mask > 0].std() > 20


def test_the_bundle_brings_its_fills():
    import toolbox

    if not hasattr(toolbox, "FillerSpec"):
        pytest.skip("the core has no hook for fills yet")
    from toolbox_plugins.fills import plugin

    specs = plugin.toolbox_fillers()
    assert [spec.name for spec in specs] == ["auto", "texture", "frequency", "average", "smooth"]
    image, mask = np.full((20, 20), 9, np.uint8), np.zeros((20, 20), bool)
    mask[5:9, 5:9] = True
    for spec in specs:
        assert (spec.build(spec.params())(image, mask, seed=1) == 9).all()
