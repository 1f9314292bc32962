"""Restoring photographs of any size: known pixels stay, holes meet their surroundings. About 15 s."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from catalogs import default_catalog
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import nn

import toolbox
from toolbox import color
from toolbox.config.binding import bind_component
from toolbox.errors import DataError, UsageError
from toolbox.imaging import chroma_upsampling, io
from toolbox.inference import hole_filling, loading
from toolbox.inference.modes import working_size
from toolbox.inference.restorer import Restorer
from toolbox.masks import lost_region
from toolbox.models.build import build_component
from toolbox.models.forward import probe_multiple

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def unet():
    """Return the default bundle's U-Net, very narrow, with random weights; it takes multiples of 16."""
    torch.manual_seed(0)
    return build_component(bind_component(default_catalog(), "generator", "inpainting-unet", {"width": 4})).eval()


class Gray(nn.Module):
    """Returns the gray `level` everywhere, or its input plus `more`; with a tint."""

    def __init__(self, level=None, more=0.0, tint=(0.0, 0.0, 0.0)):
        super().__init__()
        self.level, self.more, self.tint = level, more, tint

    def forward(self, image, mask):
        base = image if self.level is None else torch.full_like(image, self.level)
        return (base + self.more + image.new_tensor(self.tint).view(1, 3, 1, 1)).clamp(0, 1)


def restorer_of(network, keep, **options):
    multiple = probe_multiple(network, CPU)
    return Restorer(network=network, keep=keep, device=CPU, multiple=multiple, **options)


def photo(height, width, *, channels=None, dtype=np.uint8, seed=0):
    random = np.random.default_rng(seed)
    shape = (height, width) if channels is None else (height, width, channels)
    return random.integers(0, np.iinfo(dtype).max + 1, shape).astype(dtype)


def ramp(height, width):
    """A smooth gray photograph of 30 to 220."""
    y, x = np.mgrid[:height, :width]
    return (30 + 95 * y / height + 95 * x / width).astype(np.uint8)


def pillow(rgb):
    return np.array(Image.fromarray(rgb).convert("L"))


def box(height, width, *boxes):
    mask = np.zeros((height, width), bool)
    for top, left, bottom, right in boxes:
        mask[top:bottom, left:right] = True
    return mask


# ---- known pixels


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    size=st.tuples(st.integers(1, 300), st.integers(1, 300)),
    keep=st.sampled_from(["none", "luma", "rgb"]),
    channels=st.sampled_from([None, 3]),
    dtype=st.sampled_from([np.uint8, np.uint16]),
    short=st.sampled_from([None, 16, 64]),
    tile=st.sampled_from([64, 100, 640]),
    lost=st.sampled_from([0.0, 0.01, 0.5, 1.0]),
    seed=st.integers(0, 99),
)
def test_known_pixels_stay_for_any_input(unet, size, keep, channels, dtype, short, tile, lost, seed):
    image = photo(*size, channels=channels, dtype=dtype, seed=seed)
    mask = np.random.default_rng(seed).random(size) < lost
    before = image.copy(), mask.copy()
    lines: list[str] = []
    restored = replace(restorer_of(unet, keep, size=short, tile=tile), warn=lines.append)(image, mask)
    assert bool(lines) == bool(mask.all())
    assert np.array_equal(image, before[0]) and np.array_equal(mask, before[1])
    assert restored.shape == (*size, 3) and restored.dtype == dtype
    rgb = image if channels else np.repeat(image[..., None], 3, axis=2)
    if keep == "rgb":
        assert np.array_equal(restored[~mask], rgb[~mask])
    if keep == "luma":
        wanted = color.integer_luma(rgb)
        assert np.array_equal(color.integer_luma(restored)[~mask], wanted[~mask])
        if dtype == np.uint8:
            assert np.array_equal(pillow(restored)[~mask], wanted[~mask])


@pytest.mark.parametrize("size", [(1, 3000), (3000, 1), (2, 2), (17, 900)])
@pytest.mark.parametrize("keep", ["none", "luma", "rgb"])
def test_any_aspect(unet, size, keep):
    image = photo(*size)
    mask = box(*size, (0, 0, 1, 1))
    restored = restorer_of(unet, keep, size=32, tile=64)(image, mask)
    assert restored.shape == (*size, 3)
    if keep != "none":
        assert np.array_equal(pillow(restored)[~mask], image[~mask])


def test_colours_are_those_of_the_generator_at_any_scale():
    image = ramp(400, 600) // 2 + 40
    tinted = Gray(tint=(0.2, -0.1, -0.0877))
    for short in (None, 64):
        restored = restorer_of(tinted, "luma", size=short)(image, np.zeros(image.shape, bool)).astype(int)
        assert np.abs(restored[..., 0] - restored[..., 1] - 0.3 * 255).max() <= 1.5
        assert np.abs(restored[..., 2] - restored[..., 1] - 0.0123 * 255).max() <= 1.5


def test_a_colour_edge_stays_at_the_edge_of_the_luma():
    """Red left of column 203, gray right of it; colours found at a sixteenth of the side."""
    image = np.full((512, 512), 100, np.uint8)
    image[:, 203:] = 180

    class Colors(nn.Module):
        def forward(self, image, mask):
            red = (image[:, :1] < 0.55).to(image.dtype) * 0.3
            return torch.cat([image[:, :1] + red, image[:, 1:]], 1).clamp(0, 1)

    restored = restorer_of(Colors(), "luma", size=32)(image, np.zeros(image.shape, bool)).astype(int)
    away = restored[..., 0] - restored[..., 1]
    assert away[:, :202].min() > 70
    # Bilinear enlarging would give half of 77 here, and fade over two pixels of the small scale, 16 pixels each.
    assert away[:, 204:].max() < 25 and away[:, 204 + 32 :].max() == 0


def test_strips_give_the_result_of_one_strip(unet, monkeypatch):
    image = ramp(301, 222)
    mask = box(301, 222, (100, 50, 170, 120))
    restorer = restorer_of(unet, "luma", size=48)
    expected = restorer(image, mask)
    monkeypatch.setattr(chroma_upsampling, "_STRIP_ROWS", 1000)
    assert np.array_equal(restorer(image, mask), expected)


def test_small_tiles_give_the_result_of_one_call():
    convolution = nn.Conv2d(3, 3, 5, padding=2)

    class Convolution(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = convolution

        def forward(self, image, mask):
            return torch.sigmoid(self.layer(image))

    image = photo(300, 500, channels=3)
    nothing = np.zeros((300, 500), bool)
    for keep in ("none", "luma"):
        at_once, in_tiles = (
            restorer_of(Convolution(), keep, tile=tile)(image, nothing).astype(int) for tile in (640, 128)
        )
        assert np.abs(at_once - in_tiles).max() <= 1


# ---- lost pixels

HOLES = {
    "in the middle": [(100, 80, 190, 200)],
    "at a side": [(0, 100, 60, 160)],
    "in a corner": [(240, 300, 300, 400)],
    "many": [(10, 10, 14, 14), (30, 300, 50, 310), (150, 20, 230, 140), (151, 160, 250, 360), (299, 0, 300, 2)],
}


@pytest.mark.parametrize("keep", ["luma", "rgb"])
@pytest.mark.parametrize("name", HOLES)
def test_holes_meet_their_surroundings(keep, name):
    """The generator fills every hole with a gray far from the truth; steps at the borders are still small."""
    image = ramp(300, 400)
    mask = box(300, 400, *HOLES[name])
    damaged = np.where(mask, 0, image).astype(np.uint8)
    given = damaged if keep == "luma" else np.repeat(damaged[..., None], 3, axis=2)
    restored = restorer_of(Gray(0.6), keep, size=64, tile=256)(given, mask)
    luma = pillow(restored).astype(int)
    assert np.array_equal(luma[~mask], image[~mask])
    steps = [np.abs(np.diff(luma, axis=axis)) for axis in (0, 1)]
    borders = [np.diff(mask.astype(int), axis=axis) != 0 for axis in (0, 1)]
    at_borders = np.concatenate([step[border] for step, border in zip(steps, borders, strict=True)])
    assert at_borders.mean() < 6 and at_borders.max() <= 25
    error = np.abs(0.6 * 255 - image[mask].astype(int)).mean()
    assert at_borders.mean() < error / 4


def test_a_correct_filling_is_not_changed():
    image = ramp(300, 400)
    mask = box(300, 400, (60, 60, 200, 300))
    truth = torch.from_numpy(image.astype(np.float32) / 255)

    class Oracle(nn.Module):
        def forward(self, image, mask):
            return truth[: image.shape[2], : image.shape[3]].expand_as(image)

    restored = Restorer(network=Oracle(), keep="luma", device=CPU, multiple=1, tile=640)(
        np.where(mask, 0, image).astype(np.uint8), mask
    )
    assert np.abs(pillow(restored).astype(int) - image).max() <= 2


def test_a_hole_larger_than_a_tile_is_filled_at_a_smaller_scale():
    image = ramp(900, 900)
    mask = box(900, 900, (100, 100, 800, 800))
    seen = []

    class Sees(Gray):
        def forward(self, image, mask):
            seen.append(image.shape[-2:].numel())
            return super().forward(image, mask)

    restorer = restorer_of(Sees(0.5), "luma", size=64, tile=200)
    seen.clear()
    luma = pillow(restorer(np.where(mask, 255, image).astype(np.uint8), mask))
    assert max(seen) <= 200**2
    assert np.array_equal(luma[~mask], image[~mask])
    # The shift that makes one gray meet a slope at its border is, spread smoothly, that slope.
    assert np.abs(luma.astype(int) - image)[mask].max() <= 4


def test_a_part_is_enlarged_as_the_whole():
    small = cv2.GaussianBlur(np.random.default_rng(0).random((40, 61, 3), dtype=np.float32), (0, 0), 1)
    whole = cv2.resize(small, (500, 333), interpolation=cv2.INTER_CUBIC)
    part = hole_filling.enlarge_part(small, (333, 500), [100, 50], (200, 300))
    # OpenCV's warp rounds positions to 1/32 of a pixel of `small`; a pixel of `whole` is four of these steps.
    step = np.abs(np.diff(whole, axis=1)).max()
    assert np.abs(part - whole[100:300, 50:350]).max() < step / 4
    assert np.array_equal(hole_filling.enlarge_part(whole, (333, 500), [100, 50], (200, 300)), whole[100:300, 50:350])


@pytest.mark.parametrize(
    ("size", "fill", "largest"), [(None, None, 640), (64, None, 64), (64, 128, 128), (None, 96, 96)]
)
def test_a_hole_is_filled_at_the_scale_of_the_recipe(size, fill, largest):
    seen = []

    class Sees(Gray):
        def forward(self, image, mask):
            if mask.any():
                seen.append(image.shape[-2:].numel())
            return super().forward(image, mask)

    restorer = restorer_of(Sees(0.5), "rgb", size=size, network_fill_size=fill)
    restorer(np.repeat(ramp(600, 600)[..., None], 3, axis=2), box(600, 600, (200, 200, 400, 380)))
    assert 0.9 * min(largest, 600) ** 2 < max(seen) <= largest**2


def test_if_everything_is_lost_the_result_is_the_generators():
    for keep in ("luma", "rgb", "none"):
        with pytest.warns(UserWarning, match="all of the photograph counts as lost, so there is nothing"):
            restored = restorer_of(Gray(0.25), keep)(photo(60, 70), np.ones((60, 70), bool))
        assert set(np.unique(restored)) == {64}


def test_the_generator_sees_one_flat_colour_under_the_mask():
    seen = []

    class Sees(Gray):
        def forward(self, image, mask):
            seen.append((image.clone(), mask.clone()))
            return super().forward(image, mask)

    image = photo(50, 60)
    mask = box(50, 60, (10, 10, 20, 30))
    image[12:14, 10:30] = 99
    restorer = restorer_of(Sees(0.5), "luma")
    seen.clear()
    restorer(image, mask)
    (seen_image, seen_mask), *_ = seen
    assert np.array_equal(seen_mask[0, 0, :50, :60].numpy() > 0, mask)
    assert torch.allclose(seen_image[0, :, 10:20, 10:30], torch.tensor(99 / 255))


def test_without_a_mask_the_lost_region_of_a_gray_photograph_is_found():
    image = ramp(200, 200) // 2 + np.random.default_rng(0).integers(0, 20, (200, 200)).astype(np.uint8)
    mask = box(200, 200, (60, 70, 110, 130))
    image[mask] = 3
    assert np.array_equal(lost_region.find_lost_region(image), mask)
    for given_image in (image, np.repeat(image[..., None], 3, axis=2), image.astype(np.uint16) * 257):
        restored = restorer_of(Gray(0.9), "rgb")(given_image)
        top = np.iinfo(given_image.dtype).max
        assert (restored[mask][:, 0] > 0.15 * top).all()
        gray = given_image if given_image.ndim == 2 else given_image[..., 0]
        assert np.array_equal(restored[~mask][:, 0], gray[~mask])


def test_without_a_mask_nothing_of_a_colour_photograph_is_lost():
    image = photo(80, 80, channels=3)
    image[20:60, 20:60] = 7
    assert np.array_equal(restorer_of(Gray(0.5), "rgb")(image), image)


def test_dust_shares_regions_and_every_hole_is_in_one():
    mask = np.zeros((600, 700), bool)
    random = np.random.default_rng(0)
    for size, count in ((2, 100), (26, 30)):
        for y, x in zip(random.integers(0, 600 - size, count), random.integers(0, 700 - size, count), strict=True):
            mask[y : y + size, x : x + size] = True
    mask[100:400, 300:500] = True
    regions = list(hole_filling.hole_regions(mask, 256, 512))
    total = np.zeros(mask.shape, int)
    for region in regions:
        assert (region.holes <= mask[region.hole_box]).all()
        total[region.hole_box] += region.holes
    assert np.array_equal(total, mask.astype(int))
    by_side = {side: [region for region in regions if region.working_side == side] for side in (0, 512, 256)}
    assert all(1 < len(by_side[side]) <= 3 * 3 for side in (0, 512))
    assert sum(map(len, by_side.values())) == len(regions)


@pytest.mark.parametrize("keep", ["luma", "rgb"])
def test_a_hole_of_a_small_photograph_is_resized_too(keep):
    seen = []

    class Sees(Gray):
        def forward(self, image, mask):
            seen.append((image.shape[-2:].numel(), bool(mask.any())))
            return super().forward(image, mask)

    given = ramp(500, 500) if keep == "luma" else np.repeat(ramp(500, 500)[..., None], 3, axis=2)
    restorer = Restorer(network=Sees(0.5), keep=keep, device=CPU, multiple=1, network_fill_size=128)
    restorer(given, box(500, 500, (100, 100, 400, 400)))
    assert [size for size, lost in seen if lost][0] <= 128**2


@pytest.mark.parametrize("keep", ["luma", "rgb"])
def test_dust_is_filled_smoothly_without_the_network(keep):
    image = ramp(600, 700)
    mask = box(600, 700, *((y, x, y + 16, x + 9) for y in range(50, 550, 60) for x in range(50, 650, 60)))
    damaged = np.where(mask, 255, image).astype(np.uint8)
    given = damaged if keep == "luma" else np.repeat(damaged[..., None], 3, axis=2)

    class Luma(Gray):
        def forward(self, image, mask):
            assert keep == "luma" and not seen, "called for more than the colours"
            seen.append(image.shape)
            return super().forward(image, mask)

    seen = []
    restorer = Restorer(network=Luma(0.0), keep=keep, device=CPU, multiple=1, size=64, tile=256)
    restored = restorer(given, mask)
    assert np.abs(pillow(restored).astype(int) - image).max() <= 2


# ---- sizes, types


@pytest.mark.parametrize(
    ("size", "short", "found"),
    [
        ((4000, 6000), 256, (256, 384)),
        ((100, 80), 256, (100, 80)),
        ((1000, 300), None, (1000, 300)),
        ((100, 10_000), 100, (4, 400)),
        ((1, 3000), 16, (1, 64)),
    ],
)
def test_working_size(size, short, found):
    assert working_size(size, short) == found


@pytest.mark.parametrize(
    "image", [np.zeros((4, 4), np.float32), np.zeros((4, 4, 4), np.uint8), np.zeros((0, 4), np.uint8)]
)
def test_arrays_of_other_types_and_shapes_are_refused(image):
    with pytest.raises(ValueError, match="is"):
        restorer_of(Gray(0.5), "none")(image, np.zeros(image.shape[:2], bool))


@pytest.mark.parametrize(
    ("mask", "error", "words"),
    [
        (np.zeros((4, 5), bool), DataError, "the mask is 5x4 and the photo 4x4"),
        (np.zeros((4, 4), np.float32), ValueError, "a mask is .* bool or uint8"),
        ([[True]], TypeError, "a mask is a path, a PIL image or a NumPy array, not a list"),
        ("missing.png", DataError, "missing.png does not exist"),
        ("", ValueError, "the path of a mask is empty"),
    ],
)
def test_a_mask_of_another_size_or_type_is_refused(mask, error, words):
    with pytest.raises(error, match=words):
        restorer_of(Gray(0.5), "none")(np.zeros((4, 4), np.uint8), mask)


def test_a_mask_may_be_whatever_a_photograph_may_be(tmp_path):
    image = np.random.default_rng(0).integers(0, 256, (32, 40), np.uint8)
    mask = np.zeros((32, 40), bool)
    mask[8:12, 5:30] = True
    white = mask.astype(np.uint8) * 255
    io.write_png(tmp_path / "mask.png", white)
    restorer = restorer_of(Gray(0.5), "rgb")
    expected = restorer(image, mask)
    forms = [white, white[..., None], Image.fromarray(white), tmp_path / "mask.png", str(tmp_path / "mask.png")]
    assert all(np.array_equal(restorer(image, form), expected) for form in forms)


def test_a_warning_of_the_restorer_is_a_python_warning_by_default():
    class Hungry(Gray):
        def forward(self, image, mask):
            if image.shape[-2:].numel() > 200**2:
                raise torch.OutOfMemoryError("CUDA out of memory.")
            return super().forward(image, mask)

    restorer = restorer_of(Hungry(0.25), "none")
    with pytest.warns(UserWarning, match="continuing in tiles of"):
        restored = restorer(photo(256, 256), np.zeros((256, 256), bool))
    assert set(np.unique(restored)) == {64}


# ---- saturation


@pytest.mark.parametrize("keep", ["luma", "rgb", "none"])
def test_saturation_scales_the_predicted_colours_only(keep):
    restorer = restorer_of(Gray(tint=(0.08, 0.0, -0.08)), keep)
    gray = ramp(64, 64)
    mask = box(64, 64, (20, 20, 40, 40))
    image = np.repeat(gray[..., None], 3, axis=2) if keep == "rgb" else gray
    results = {factor: restorer(image, mask, saturation=factor).astype(int) for factor in (0, 0.5, 1, 2)}
    assert np.array_equal(results[1], restorer(image, mask))
    assert np.ptp(results[0], axis=2).max() == 0
    chroma = {factor: (result[..., 0] - result[..., 2])[mask].mean() for factor, result in results.items()}
    if keep == "rgb":  # the hole meets its gray surroundings
        assert all(np.array_equal(result[~mask], image[~mask]) for result in results.values())
    else:
        assert chroma[0.5] == pytest.approx(chroma[1] / 2, abs=1) and chroma[2] == pytest.approx(2 * chroma[1], abs=2)
    lumas = [color.integer_luma(result.astype(np.uint8)).astype(int) for result in results.values()]
    assert all(np.abs(luma - lumas[0]).max() <= 1 for luma in lumas)
    if keep == "luma":
        assert all(np.array_equal(luma[~mask], gray[~mask]) for luma in lumas)


def test_a_saturation_that_is_not_possible_is_refused():
    with pytest.raises(ValueError, match="use 0 to 2"):
        restorer_of(Gray(), "luma")(ramp(32, 32), saturation=3)
    with pytest.raises(UsageError, match="use 0 to 2"):
        toolbox.load_restorer("luma", saturation=-1)


def test_toolbox_load_restorer_passes_its_arguments_on(monkeypatch):
    seen = []
    monkeypatch.setattr(loading, "load_restorer", lambda *args, **options: seen.append((args, options)))
    toolbox.load_restorer("luma", tile=128, fill="smooth")
    defaults = {"device": None, "keep": None, "saturation": 1.0, "post": None, "repair": False}
    expected = defaults | {"tile": 128, "fill": "smooth"}
    assert seen == [(("luma",), expected)]
