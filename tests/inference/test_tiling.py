"""Tiles against the whole, on networks whose reach can be worked out by hand. Some 5 s."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiled_networks import CPU, NETWORKS, Mean, Stack, of

from toolbox.errors import InstallationError
from toolbox.inference.photo_view import view
from toolbox.inference.tiling import OVERLAP, cut, probe_receptive_radius
from toolbox.utils import memory


def photo(height, width, seed=0):
    random = np.random.default_rng(seed)
    return view(random.integers(0, 256, (height, width, 3), dtype=np.uint8), random.random((height, width)) < 0.2)


@pytest.mark.parametrize("name", NETWORKS)
def test_the_reach_that_is_probed_is_the_one_worked_out(name):
    network, multiple, reach = NETWORKS[name]
    assert probe_receptive_radius(network, CPU, multiple) == reach


def test_a_network_that_sees_everything_has_no_reach():
    assert probe_receptive_radius(Mean(1), CPU, 1) is None
    assert probe_receptive_radius(Stack(OVERLAP // 2), CPU, 1) is None


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("size", [(233, 317), (700, 61), (5, 1200)])
def test_tiles_give_what_the_whole_gives(name, size):
    network, multiple, reach = NETWORKS[name]
    picture = photo(*size)
    whole = of(network, multiple, 4096).whole(picture)
    cutting = of(network, multiple, 64 if size[0] == 5 else 200, probe_receptive_radius(network, CPU, multiple))
    assert not cutting.fits(picture.size)
    bands = list(cutting.bands(picture))
    assert [rows.start for rows, _ in bands] == [0, *(rows.stop for rows, _ in bands[:-1])]
    joined = np.concatenate([values for _, values in bands])
    assert joined.shape == whole.shape
    assert np.abs(joined - whole).max() < 1e-5


def test_without_a_known_reach_tiles_change_over_without_a_step():
    # Darker from left to right, so that the mean of every tile is another and each gives another gray.
    ramp = np.repeat(np.linspace(255, 0, 900).astype(np.uint8)[None], 200, axis=0)
    values = of(Mean(1), 1, 256).whole(view(ramp, np.zeros(ramp.shape, bool)))[..., 0]
    assert values[100, 0] > values[100, -1] + 0.5
    assert np.abs(np.diff(values[100])).max() < 0.01
    hard = of(Mean(1), 1, 256, 47).whole(view(ramp, np.zeros(ramp.shape, bool)))[..., 0]
    assert np.abs(np.diff(hard[100])).max() > 0.03, "with a change-over of two pixels there is a step"


@given(st.integers(1, 3000), st.integers(1, 12), st.sampled_from([1, 2, 8, 32]), st.none() | st.integers(0, 200))
def test_weights_sum_to_one_and_tiles_begin_at_multiples(length, tile, multiple, reach):
    tile = max(64, 2 * multiple) * tile
    total = np.zeros(length + tile + multiple)
    for start, weights in cut(length, tile, multiple, reach):
        assert start % multiple == 0 and start < length and len(weights) <= tile and weights.min() >= 0
        total[start : start + len(weights)] += weights
    assert np.allclose(total[:length], 1, atol=1e-6)


def test_neighbours_change_over_where_neither_is_wrong():
    parts = cut(1000, 256, 1, 40)
    for (first, before), (second, after) in zip(parts, parts[1:], strict=False):
        assert not before[-40:].any() and not after[:40].any()
        assert first + 256 - second >= OVERLAP


def test_narrow_pictures_go_in_long_tiles():
    assert of(Stack(1), 32, 512).fits((64, 4096))
    assert of(Stack(1), 32, 512)._shape(20, 9000) == (32, 8192)
    assert of(Stack(1), 32, 512)._shape(900, 9000) == (512, 512)


class Hungry(Stack):
    """Has memory for so many pixels."""

    limit = 150**2
    seen = ()

    def forward(self, image, mask):
        pixels = image.shape[-1] * image.shape[-2]
        if pixels > self.limit:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        self.seen = (*self.seen, pixels)
        return super().forward(image, mask)


def test_where_memory_runs_out_tiles_are_halved_and_it_says_so():
    picture, said = photo(500, 500), []
    hungry = Hungry(1)
    tired = of(hungry, 1, 512, 1, said.append)
    assert np.abs(tired.whole(picture) - of(Stack(1), 1, 512).whole(picture)).max() < 1e-5
    assert tired.side == 125 and max(hungry.seen) <= 150**2
    assert said[0] == "Memory ran out at 500x500 pixels; going on in tiles of 250."
    assert len(said) == 2


def test_where_memory_runs_out_at_the_least_tile_it_ends_in_one_line():
    hungry = Hungry(1)
    hungry.limit = 10
    with pytest.raises(InstallationError, match="Memory ran out with tiles of"):
        of(hungry, 1, 512, 1, lambda line: None).whole(photo(200, 200))


def test_any_other_error_comes_through():
    class Broken(Stack):
        def forward(self, image, mask):
            raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        of(Broken(1), 1, 64).whole(photo(40, 40))


def test_what_says_that_memory_ran_out():
    errors = MemoryError(), torch.OutOfMemoryError("x"), RuntimeError("DefaultCPUAllocator: can't allocate memory: 9")
    assert all(memory.is_out_of_memory(error) for error in errors)
    assert not memory.is_out_of_memory(RuntimeError("a shape is wrong"))
