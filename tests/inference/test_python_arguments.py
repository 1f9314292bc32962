"""The arguments of `toolbox.restore` and of a restorer: reasonable forms are taken, others are named in one line."""

from __future__ import annotations

import io as streams
import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from scenes import scene, second_photo, square_hole, tint_restorer
from tiffs import tiff

import toolbox
from toolbox.color import integer_luma
from toolbox.errors import DataError, UsageError
from toolbox.guidance.provenance import FROM_REFERENCE
from toolbox.imaging import io
from toolbox.inference.photo_arrays import as_mask, as_photo
from toolbox.masks.detectors import PAINTED_SHAPE

SIDE = 96
GRAY = integer_luma(scene(side=SIDE))
HOLE = square_hole(SIDE, 30, 50)


def restore(photo=GRAY, mask=HOLE, **options):
    return toolbox.restore(photo, mask, **{"weights": tint_restorer("luma")} | options)


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("color", 5, "5 is not a colour"),
        *[("tolerance", value, "tolerance is") for value in (-1, 256, float("nan"), "12", True)],
        *[("grow", value, "grow is") for value in (-1, 201, 1.5, float("inf"), "2")],
        *[("repair", value, "repair is") for value in ("yes", 1, None, ["scratch"])],
        *[("auto", value, "auto is") for value in ("no", None)],
        *[(name, value, f"{name} is ") for name in ("contrast", "cast", "evenness") for value in ("1", None, 2, -0.1)],
        ("mask_means", "black", "mask_means is 'black'"),
        ("detector", 3, "Detector '3' is not known"),
    ],
)
def test_options_of_a_wrong_type_or_range_are_named(option, value, message):
    with pytest.raises(UsageError, match=message):
        restore(mask="auto", **{option: value})


@pytest.mark.parametrize(
    ("option", "value"),
    [
        *[("evenness", kind(1)) for kind in (np.uint8, np.uint16, np.float16)],
        *[("cast", np.uint8(1)), ("contrast", np.uint8(1)), ("saturation", np.uint8(2)), ("grow", np.uint8(3))],
        *[(name, value) for name in ("auto", "repair", "allow_large") for value in (np.True_, np.False_)],
    ],
)
def test_numbers_of_numpy_mean_the_same_as_those_of_python(option, value):
    mask = "auto" if option == "repair" else HOLE
    expected = restore(mask=mask, **{option: value.item()})
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)  # of an overflow
        assert np.array_equal(restore(mask=mask, **{option: value}), expected)


def test_a_large_grow_tolerance_or_tile_of_few_bits():
    lost = HOLE & False
    lost[:4] = True
    with pytest.raises(DataError, match="all of it counts as lost"):
        restore(mask=lost, grow=np.uint8(200))
    white = scene(side=SIDE)
    white[:9] = 253
    for tolerance in (np.uint8(3), np.uint16(3), np.int8(3)):
        found = restore(white, "none", color="#ffffff", tolerance=tolerance)
        assert np.array_equal(found, restore(white, "none", color="#ffffff", tolerance=3))
    assert toolbox.load_restorer("luma", tile=np.uint8(128)).tile * 4 == 512


@pytest.mark.parametrize("value", ["1", [1], -0.1, 2.1, float("nan")])
def test_a_saturation_of_a_wrong_type_or_range_is_named(value):
    for call in (restore, tint_restorer("luma")):
        with pytest.raises(ValueError, match="a saturation of .* is not possible; use 0 to 2"):
            call(GRAY, HOLE, saturation=value)
    with pytest.raises(UsageError, match="A saturation of .* is not possible; use 0 to 2"):
        toolbox.load_restorer("luma", saturation=value)


@pytest.mark.parametrize("count", [1, 9, 2.5, "3", True, None])
def test_a_count_of_variants_of_a_wrong_type_or_range_is_named(count):
    with pytest.raises(ValueError, match="variants are not possible; use 2 to 8"):
        tint_restorer("luma").variants(GRAY, count=count)


@pytest.mark.parametrize("tile", [10, "64", 64.5, True])
def test_a_tile_of_a_wrong_type_or_range_is_named(tile):
    with pytest.raises(UsageError, match="A tile of .* pixels is not possible"):
        toolbox.load_restorer("luma", tile=tile)


@pytest.mark.parametrize(("option", "value"), [("fill", ""), ("fill", 3), ("post", [3]), ("device", 0), ("device", "")])
def test_options_of_the_weights_are_named_too(option, value):
    with pytest.raises(UsageError, match="is not"):
        restore(weights="luma", **{option: value})


def test_a_device_of_torch_is_a_device():
    assert toolbox.load_restorer("luma", device=torch.device("cpu")).device.type == "cpu"


def layer(opaque, color):
    """Return strokes of a colour on a transparent layer that has this colour everywhere, as editors export it."""
    return Image.fromarray(np.dstack([np.full((SIDE, SIDE, 3), color, np.uint8), opaque.astype(np.uint8) * 255]))


@pytest.mark.parametrize("mask", [layer(HOLE, 255), layer(HOLE, 0), Image.fromarray(HOLE), HOLE.astype(np.uint8) * 2])
def test_a_mask_means_the_same_as_its_file(mask, tmp_path):
    assert np.array_equal(as_mask(mask, GRAY.shape), HOLE)
    if isinstance(mask, Image.Image):
        mask.save(tmp_path / "mask.png")
        assert np.array_equal(as_mask(tmp_path / "mask.png", GRAY.shape), HOLE)


@pytest.mark.parametrize("mask", [np.ones_like(HOLE), np.full(GRAY.shape, 255, np.uint8)])
@pytest.mark.parametrize("options", [{}, {"allow_large": True}])
def test_a_photograph_that_is_lost_completely_is_refused(mask, options):
    with pytest.raises(DataError, match="all of it counts as lost"):
        restore(mask=mask, **options)


def test_an_inverted_or_large_mask_is_refused_unless_it_is_allowed():
    large = np.zeros_like(HOLE)
    large[2:-2, 2:-10] = True
    for mask, message in ((~HOLE, "looks inverted"), (large, "% counts as lost")):
        with pytest.raises(DataError, match=message):
            restore(mask=mask)
        assert restore(mask=mask, allow_large=True).shape == (SIDE, SIDE, 3)


def test_an_undecided_mask_is_decided_by_mask_means():
    colors = np.zeros((SIDE, SIDE, 3), np.uint8)
    colors[:48] = 255
    mask = Image.fromarray(np.dstack([colors, square_hole(SIDE, 30, 70).astype(np.uint8) * 255]))
    with pytest.raises(DataError, match="mask_means="):
        restore(mask=mask)
    assert restore(mask=mask, mask_means="painted").shape == (SIDE, SIDE, 3)


def test_the_shipped_weights_fill_alike_however_they_are_given():
    gray = scene(side=SIDE)[..., 0]
    restorer = toolbox.load_restorer("luma", device="cpu")
    expected = toolbox.restore(gray, HOLE, device="cpu")
    assert np.array_equal(toolbox.restore(gray, HOLE, weights=restorer), expected)
    assert np.array_equal(restorer(gray, HOLE), expected)


@pytest.mark.parametrize("option", [{"fill": "smooth"}, {"post": "none"}, {"tile": 64}, {"device": "cpu"}])
def test_an_option_that_a_restorer_does_not_take_is_refused(option):
    with pytest.raises(UsageError, match=f"a restorer, which keeps its own {next(iter(option))}; give them to"):
        restore(**option)


@pytest.mark.parametrize("form", ["path", "image", "array", "list of paths", "list of images"])
def test_a_reference_is_taken_in_every_form(form, tmp_path):
    truth = scene(side=320)
    gray, hole, other = integer_luma(truth), square_hole(320, 130, 180), second_photo(truth)
    io.write_png(tmp_path / "other.png", other)
    path, image = tmp_path / "other.png", Image.fromarray(other)
    reference = {"path": path, "image": image, "array": other, "list of paths": [path], "list of images": [image]}[form]
    expected = tint_restorer("luma")(gray, hole, reference=other)
    assert np.array_equal(tint_restorer("luma")(gray, hole, reference=reference), expected)
    assert np.array_equal(restore(gray, hole, reference=reference), expected)


def transparent(pixels, where, path):
    """Write a picture whose hidden pixels are noise, and return its path and the image."""
    hidden = np.random.default_rng(2).integers(0, 90, pixels.shape, np.uint8)
    drawn = np.where(where if pixels.ndim == 2 else where[..., None], hidden, pixels)
    io.write_png(path, drawn, alpha=np.where(where, 0, 255).astype(np.uint8))
    return path, Image.open(path)


@pytest.mark.parametrize("mask", [None, np.roll(HOLE, 20)])
def test_a_restorer_fills_transparent_parts_as_restore_does(mask, tmp_path):
    restorer = tint_restorer("luma")
    for photo in transparent(GRAY, HOLE, tmp_path / "a.png"):
        expected = toolbox.restore(photo, "auto" if mask is None else mask, weights=restorer)
        assert np.array_equal(np.asarray(restorer(photo, mask)), np.asarray(expected))


def test_transparent_parts_of_a_reference_are_not_copied(tmp_path):
    truth = scene(side=320)
    gray, hole, half = integer_luma(truth), square_hole(320, 130, 180), np.zeros((320, 320), bool)
    half[:, :150] = True
    for reference in transparent(second_photo(truth), half, tmp_path / "reference.png"):
        restored = tint_restorer("luma").restore(gray, hole, reference=reference)
        assert restored.used and not np.isin(restored.origin[:, :100], FROM_REFERENCE).any()


@pytest.mark.parametrize("reference", [3, {"a": GRAY}, [None]])
def test_what_is_no_reference_is_a_type_error(reference):
    with pytest.raises(TypeError, match="is a path, a PIL image or a NumPy array"):
        restore(reference=reference)


@pytest.mark.parametrize("form", ["path", "image"])
def test_hints_are_taken_in_every_form(form, tmp_path):
    hints = np.zeros((SIDE, SIDE, 4), np.uint8)
    hints[60:63, 20:40] = (220, 30, 30, 255)
    image = Image.fromarray(hints)
    image.save(tmp_path / "hints.png")
    given = image if form == "image" else tmp_path / "hints.png"
    assert np.array_equal(restore(hints=given), restore(hints=hints))
    assert np.array_equal(tint_restorer("luma")(GRAY, HOLE, hints=given), restore(hints=hints))


def test_what_is_no_layer_of_hints_is_one_line():
    with pytest.raises(TypeError, match="a PIL image or a NumPy array"):
        restore(hints=[1])
    with pytest.raises(DataError, match="has no strokes on a transparent layer"):
        restore(hints=Image.fromarray(GRAY))


def test_all_calls_of_a_restorer_take_a_path(tmp_path):
    io.write_png(tmp_path / "photo.png", GRAY)
    restored = tint_restorer("luma").restore(tmp_path / "photo.png", HOLE).pixels
    assert np.array_equal(restored, tint_restorer("luma")(GRAY, HOLE))


@pytest.mark.parametrize(("mode", "order"), [("I;16", "<u2"), ("I;16B", ">u2"), ("I", "<i4")])
def test_an_image_of_16_bits_does_not_become_white(mode, order):
    levels = GRAY.astype(np.uint16) * 257
    image = Image.frombytes(mode, (SIDE, SIDE), levels.astype(order).tobytes())
    assert np.array_equal(as_photo(image).pixels, levels)


@pytest.mark.parametrize("photometric", [0, 1])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_an_opened_tiff_in_which_zero_is_white_is_no_negative(dtype, photometric, tmp_path):
    levels = GRAY.astype(dtype) * (257 if dtype == np.uint16 else 1)
    stored = levels if photometric else np.invert(levels)
    path = tmp_path / "photo.tif"
    path.write_bytes(tiff(stored[..., None], "none", kind=stored.dtype.str[1:], t262=[photometric]))
    assert np.array_equal(as_photo(path).pixels, levels)
    assert np.array_equal(as_photo(Image.open(path)).pixels, levels)


@pytest.mark.parametrize("mode", ["La", "RGBa"])
def test_an_image_with_transparency_keeps_it(mode):
    opaque = layer(~HOLE, 90).convert("LA" if mode == "La" else "RGBA")
    assert np.array_equal(as_photo(opaque.convert(mode)).alpha > 0, ~HOLE)


def test_images_without_levels_without_pixels_or_cut_short_are_one_line():
    data = streams.BytesIO()
    Image.fromarray(GRAY).save(data, "PNG")
    with pytest.raises(DataError, match="the image can't be decoded"):
        as_photo(Image.open(streams.BytesIO(data.getvalue()[:-2000])))
    with pytest.raises(ValueError, match="mode F"):
        as_photo(Image.fromarray(GRAY.astype(np.float32) / 255))
    with pytest.raises(ValueError, match="the photo is empty"):
        as_photo(Image.new("L", (0, 5)))
    with pytest.raises(ValueError, match="levels from 0 to 65535"):
        as_photo(Image.fromarray(np.full((4, 4), 70000, np.int32)))


@pytest.mark.parametrize(
    ("mask", "options", "words"),
    [
        (HOLE, {"tolerance": 20}, "tolerance has no effect without color"),
        ("auto", {"tolerance": 20}, "tolerance has no effect without color"),
        *[
            (mask, {"mask_means": "white"}, "mask_means has an effect only on a mask")
            for mask in (HOLE, "auto", "none")
        ],
        *[(mask, {"detector": "painted-shape"}, "detector has no effect") for mask in (HOLE, "none")],
        ("auto", {"detector": "painted-shape", "color": "#ffffff"}, "detector has no effect"),
        *[(HOLE, {"tone": "keep", "keep": keep}, "can't be combined") for keep in ("rgb", "none")],
    ],
)
def test_options_without_effect_are_named(mask, options, words):
    with pytest.raises(UsageError, match=words):
        restore(mask=mask, **options)


def test_a_restorer_warns_that_a_mask_leaves_no_work_for_repair():
    restorer = replace(tint_restorer("luma"), repair=PAINTED_SHAPE)
    with pytest.warns(UserWarning, match="repair has no effect with a mask"):
        restorer(GRAY, HOLE)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        restorer(GRAY)
        toolbox.restore(GRAY, HOLE, weights=restorer)


def test_no_mask_says_what_to_write_instead():
    with pytest.raises(TypeError, match='mask is None; write "auto" to find the lost region, or "none" if nothing is'):
        toolbox.restore(GRAY, None)
