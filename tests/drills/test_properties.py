"""Properties of restoring with the shipped generators: sizes, depths, channels, luma, tiles. About 20 s."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from catalogs import default_catalog
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from PIL import Image
from tiled_networks import NETWORKS, tiled
from torch import nn

import toolbox
from toolbox import color
from toolbox.config.binding import bind_component
from toolbox.config.settings import Restoring
from toolbox.imaging import io
from toolbox.inference import output_paths
from toolbox.inference.batch import restore_all
from toolbox.inference.loading import make_restorer
from toolbox.inference.options import RestoreOptions
from toolbox.inference.photo_view import make_view
from toolbox.inference.restorer import Restorer
from toolbox.inference.tiling import OVERLAP, cut_into_tiles, probe_receptive_radius
from toolbox.masks.sources import MaskOptions
from toolbox.models.build import build_component
from toolbox.models.forward import run_generator

CPU = torch.device("cpu")
FEW = settings(deadline=None, max_examples=25, suppress_health_check=list(HealthCheck))
MANY = settings(FEW, max_examples=400)
LENGTHS = [FEW, pytest.param(MANY, marks=pytest.mark.drill)]


@pytest.fixture(scope="module")
def restorers():
    """Return the shipped restorer, and the default U-Net at the published width and with small random weights."""
    torch.manual_seed(0)
    unet = build_component(bind_component(default_catalog(), "generator", "inpainting-unet", {"width": 8}))
    return {
        "luma": toolbox.load_restorer("luma", device="cpu"),
        "unet": make_restorer(unet, "luma", CPU, Restoring(tile=128)),
    }


def picture(size, channels, dtype, seed):
    random = np.random.default_rng(seed)
    top = np.iinfo(dtype).max
    y, x = (np.linspace(0, 1, side) for side in size)
    smooth = 0.5 + 0.5 * np.sin(6 * y[:, None, None] + 5 * x[None, :, None] + np.arange(channels))
    noise = random.random((*size, channels)) - 0.5
    return np.rint((smooth + 0.2 * noise).clip(0, 1) * top).astype(dtype)


def pillow(rgb):
    return np.array(Image.fromarray(rgb).convert("L"))


def lost_pixels(mask, alpha):
    """Return what is lost by the mask and by transparency; an alpha of all zeros is no alpha."""
    if alpha is None or not alpha.any():
        return mask
    return mask | (alpha < np.iinfo(alpha.dtype).max // 2 + 1)


def restore_file(restorer, pixels, alpha, mask, keep, folder):
    """Write a picture to a file, restore it as `toolbox restore` does, and return the pixels.

    None if it was left as it is, or refused because all of it is lost.
    """
    io.write_png(folder / "in" / "a.png", pixels, alpha=alpha)
    io.write_png(folder / "m.png", mask)
    options = RestoreOptions(
        mask_options=MaskOptions(path=folder / "m.png", meaning="white", allow_large=True), keep=keep, overwrite=True
    )
    (result,) = restore_all(output_paths.plan_jobs([folder / "in" / "a.png"], folder / "out"), restorer, options)
    if result.status == "left as it is":
        assert keep == "rgb" and not lost_pixels(mask, alpha).any()
        return None
    if lost_pixels(mask, alpha).all():
        assert result.status == "failed" and result.reason.startswith("all of it counts as lost"), result
        return None
    assert result.status == "restored", result
    return io.read(folder / "out" / "a.png").pixels


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("name", ["luma", "unet"])
def test_any_picture_is_restored(restorers, tmp_path, name, length):
    (tmp_path / "in").mkdir()

    @length
    @given(
        size=st.tuples(st.integers(1, 300), st.integers(1, 300)),
        channels=st.integers(1, 4),
        dtype=st.sampled_from([np.uint8, np.uint16]),
        keep=st.sampled_from(["luma", "luma", "rgb", "none"]),
        fraction=st.sampled_from([0.0, 0.01, 0.3, 1.0]),
        seed=st.integers(0, 99),
    )
    @example(size=(1, 1), channels=4, dtype=np.uint16, keep="luma", fraction=0.0, seed=0)
    @example(size=(300, 300), channels=1, dtype=np.uint8, keep="luma", fraction=0.3, seed=0)
    @example(size=(1, 300), channels=2, dtype=np.uint16, keep="luma", fraction=0.3, seed=0)
    def check(size, channels, dtype, keep, fraction, seed):
        samples = picture(size, channels, dtype, seed)
        alpha = np.ascontiguousarray(samples[..., -1]) if channels in (2, 4) else None
        pixels = samples[..., 0] if channels < 3 else samples[..., :3]
        pixels = np.ascontiguousarray(pixels)
        mask = np.zeros(size, bool)
        rows, columns = (int(np.ceil(side * fraction)) for side in size)
        mask[:rows, :columns] = fraction > 0
        found = restore_file(restorers[name], pixels, alpha, mask, keep, tmp_path)
        if found is None:
            return
        assert found.shape == (*size, 3) and found.dtype == dtype
        lost = lost_pixels(mask, alpha)
        rgb = pixels if pixels.ndim == 3 else np.repeat(pixels[..., None], 3, axis=2)
        if keep == "luma":
            assert np.array_equal(color.integer_luma(found)[~lost], color.integer_luma(rgb)[~lost])
            if dtype == np.uint8:
                assert np.array_equal(pillow(found)[~lost], pillow(rgb)[~lost])
        if keep == "rgb":
            assert np.array_equal(found[~lost], rgb[~lost])

    check()


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("name", ["luma", "unet"])
def test_the_generators_result_is_finite_and_in_range(restorers, name, length):
    network, multiple = restorers[name].network, restorers[name].multiple

    @length
    @given(
        size=st.tuples(st.integers(1, 300), st.integers(1, 300)),
        gray=st.booleans(),
        dtype=st.sampled_from([np.uint8, np.uint16]),
        tile=st.sampled_from([64, 160, 640]),
        seed=st.integers(0, 99),
    )
    def check(size, gray, dtype, tile, seed):
        pixels = picture(size, 1 if gray else 3, dtype, seed)
        view = make_view(pixels[..., 0] if gray else pixels, np.random.default_rng(seed).random(size) < 0.1)
        values = tiled(network, multiple, max(tile, multiple)).run(view)
        assert values.shape == (*size, 3) and np.isfinite(values).all()
        assert values.min() >= 0 and values.max() <= 1

    check()


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("name", NETWORKS)
def test_tiles_give_the_result_of_one_call_at_any_size(name, length):
    network, multiple, radius = NETWORKS[name]
    assert probe_receptive_radius(network, CPU, multiple) == radius < OVERLAP / 2

    @length
    @given(
        size=st.tuples(st.integers(1, 300), st.integers(1, 300)),
        # A tile needs twice the overlap to have room for it.
        tile=st.integers(2 * OVERLAP, 256),
        seed=st.integers(0, 99),
    )
    def check(size, tile, seed):
        view = make_view(picture(size, 3, np.uint8, seed), np.random.default_rng(seed).random(size) < 0.1)
        whole = tiled(network, multiple, 4096).run(view)
        assert np.abs(tiled(network, multiple, tile, radius).run(view) - whole).max() < 1e-5

    check()


def steps_at_borders(restorer, tile, gray, mask):
    """Return the steps of the colours at the borders of tiles and the middles of overlaps, and those elsewhere."""
    values = tiled(restorer.network, restorer.multiple, tile, restorer.receptive_radius).run(make_view(gray, mask))
    differences = np.stack([values[..., 0] - values[..., 1], values[..., 2] - values[..., 1]], axis=-1)
    at, elsewhere = [], []
    for axis in (0, 1):
        step = np.abs(np.diff(differences, axis=axis)).max(-1)
        starts = [
            start for start, _ in cut_into_tiles(gray.shape[axis], tile, restorer.multiple, restorer.receptive_radius)
        ]
        borders = np.zeros(gray.shape[axis] - 1, bool)
        for before, after in zip(starts, starts[1:], strict=False):
            borders[[after - 1, (after + before + tile) // 2 - 1, min(before + tile, len(borders)) - 1]] = True
        at.append(np.compress(borders, step, axis=axis).ravel())
        elsewhere.append(np.compress(~borders, step, axis=axis).ravel())
    return np.concatenate(at), np.concatenate(elsewhere)


@pytest.mark.parametrize("count", [3, pytest.param(24, marks=pytest.mark.drill)])
def test_the_shipped_weights_show_no_steps_at_the_borders_of_tiles(restorers, shared, count, capsys):
    folder = shared / "benchmarks" / "kodak24-damaged"
    ratios = []
    for path in io.find_images(folder / "input")[:count]:
        gray, mask = io.read_gray(path), io.read_mask(folder / "masks" / path.name)
        at, elsewhere = steps_at_borders(restorers["luma"], 256, gray, mask)
        assert len(at) > 1000
        ratios.append(np.mean(at) / np.percentile(elsewhere, 99))
        # Of other steps, one in a hundred is larger than that.
        assert np.percentile(at, 95) < np.percentile(elsewhere, 99), path.name
    with capsys.disabled():
        print(
            f"mean step at borders by the 99th percentile elsewhere: {np.mean(ratios):.2f}, at most {max(ratios):.2f}"
        )
    assert max(ratios) < 1


def test_a_step_at_a_border_is_detected(restorers, shared):
    folder = shared / "benchmarks" / "kodak24-damaged"
    path = io.find_images(folder / "input")[0]
    gray, mask = io.read_gray(path), io.read_mask(folder / "masks" / path.name)

    class Shifting(nn.Module):
        """Adds the mean of a tile to its red, which makes steps at the borders."""

        def __init__(self):
            super().__init__()
            self.network = restorers["luma"].network

        def forward(self, image, mask):
            made = run_generator(self.network, "none", image, mask)["restored"]
            return made + image.new_tensor([1.0, 0, 0]).view(1, 3, 1, 1) * 2 * (image.mean() - 0.5)

    rigged = Restorer(network=Shifting(), keep="none", device=CPU, multiple=restorers["luma"].multiple)
    object.__setattr__(rigged, "receptive_radius", 47)
    at, elsewhere = steps_at_borders(rigged, 256, gray, mask)
    assert np.percentile(at, 95) > np.percentile(elsewhere, 99)
