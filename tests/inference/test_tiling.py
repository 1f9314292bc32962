"""Tiles against one call, on networks whose receptive radius is worked out by hand. About 5 s."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiled_networks import CPU, NETWORKS, Mean, Stack, tiled

from toolbox.errors import InstallationError
from toolbox.inference.photo_view import make_view
from toolbox.inference.tiling import OVERLAP, cut_into_tiles, probe_receptive_radius
from toolbox.utils import memory


def photo(height, width, seed=0):
    random = np.random.default_rng(seed)
    return make_view(random.integers(0, 256, (height, width, 3), dtype=np.uint8), random.random((height, width)) < 0.2)


@pytest.mark.parametrize("name", NETWORKS)
def test_the_probed_radius_is_the_one_worked_out_by_hand(name):
    network, multiple, radius = NETWORKS[name]
    assert probe_receptive_radius(network, CPU, multiple) == radius


def test_a_network_that_sees_the_whole_picture_has_no_radius():
    assert probe_receptive_radius(Mean(1), CPU, 1) is None
    assert probe_receptive_radius(Stack(OVERLAP // 2), CPU, 1) is None


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("size", [(233, 317), (700, 61), (5, 1200)])
def test_tiles_give_the_result_of_one_call(name, size):
    network, multiple, radius = NETWORKS[name]
    picture = photo(*size)
    whole = tiled(network, multiple, 4096).run(picture)
    in_tiles = tiled(network, multiple, 64 if size[0] == 5 else 200, probe_receptive_radius(network, CPU, multiple))
    assert not in_tiles.fits(picture.size)
    bands = list(in_tiles.run_bands(picture))
    assert [rows.start for rows, _ in bands] == [0, *(rows.stop for rows, _ in bands[:-1])]
    joined = np.concatenate([values for _, values in bands])
    assert joined.shape == whole.shape
    assert np.abs(joined - whole).max() < 1e-5


def test_without_a_known_radius_tiles_are_blended_without_a_visible_step():
    # Darker from left to right, so that each tile has another mean and gives another gray.
    ramp = np.repeat(np.linspace(255, 0, 900).astype(np.uint8)[None], 200, axis=0)
    values = tiled(Mean(1), 1, 256).run(make_view(ramp, np.zeros(ramp.shape, bool)))[..., 0]
    assert values[100, 0] > values[100, -1] + 0.5
    assert np.abs(np.diff(values[100])).max() < 0.01
    hard = tiled(Mean(1), 1, 256, 47).run(make_view(ramp, np.zeros(ramp.shape, bool)))[..., 0]
    assert np.abs(np.diff(hard[100])).max() > 0.03, "blended over two pixels, there is a step"


@given(st.integers(1, 3000), st.integers(1, 12), st.sampled_from([1, 2, 8, 32]), st.none() | st.integers(0, 200))
def test_weights_sum_to_one_and_tiles_start_at_multiples(length, tile, multiple, radius):
    tile = max(64, 2 * multiple) * tile
    total = np.zeros(length + tile + multiple)
    for start, weights in cut_into_tiles(length, tile, multiple, radius):
        assert start % multiple == 0 and start < length and len(weights) <= tile and weights.min() >= 0
        total[start : start + len(weights)] += weights
    assert np.allclose(total[:length], 1, atol=1e-6)


def test_neighbours_are_blended_where_both_are_right():
    tiles = cut_into_tiles(1000, 256, 1, 40)
    for (first, before), (second, after) in zip(tiles, tiles[1:], strict=False):
        assert not before[-40:].any() and not after[:40].any()
        assert first + 256 - second >= OVERLAP


def test_narrow_pictures_have_long_tiles():
    assert tiled(Stack(1), 32, 512).fits((64, 4096))
    assert tiled(Stack(1), 32, 512).tile_size(20, 9000) == (32, 8192)
    assert tiled(Stack(1), 32, 512).tile_size(900, 9000) == (512, 512)


class Hungry(Stack):
    """Raises an out-of-memory error above a number of pixels, and records the others."""

    limit = 150**2
    seen = ()

    def forward(self, image, mask):
        pixels = image.shape[-1] * image.shape[-2]
        if pixels > self.limit:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        self.seen = (*self.seen, pixels)
        return super().forward(image, mask)


def test_when_memory_runs_out_tiles_are_halved_with_a_warning():
    picture, warnings = photo(500, 500), []
    hungry = Hungry(1)
    network = tiled(hungry, 1, 512, 1, warnings.append)
    assert np.abs(network.run(picture) - tiled(Stack(1), 1, 512).run(picture)).max() < 1e-5
    assert network.tile == 125 and max(hungry.seen) <= 150**2
    assert warnings[0] == "Memory ran out at 500x500 pixels; continuing in tiles of 250."
    assert len(warnings) == 2


def test_when_memory_runs_out_in_the_smallest_tile_the_error_is_one_line():
    hungry = Hungry(1)
    hungry.limit = 10
    with pytest.raises(InstallationError, match="Memory ran out with tiles of"):
        tiled(hungry, 1, 512, 1, lambda line: None).run(photo(200, 200))


def test_any_other_error_is_raised():
    class Broken(Stack):
        def forward(self, image, mask):
            raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        tiled(Broken(1), 1, 64).run(photo(40, 40))


def test_which_errors_mean_that_memory_ran_out():
    errors = MemoryError(), torch.OutOfMemoryError("x"), RuntimeError("DefaultCPUAllocator: can't allocate memory: 9")
    assert all(memory.is_out_of_memory(error) for error in errors)
    assert not memory.is_out_of_memory(RuntimeError("a shape is wrong"))
