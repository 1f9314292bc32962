"""What is told and found to be lost. Some 1 s."""

from __future__ import annotations

import numpy as np
import pytest
from pictures import oriented, saved, scene

from toolbox.color import integer_luma
from toolbox.data import sample
from toolbox.errors import DataError, UsageError
from toolbox.imaging import io
from toolbox.imaging.io import Photo
from toolbox.masks import sources
from toolbox.masks.sources import MaskOptions


def told(rgb, choice, *, alpha=None, path="a.png", place=None):
    photo = Photo(pixels=rgb, format="PNG", alpha=alpha)
    return sources.mask_from_options(photo, path, place or path, rgb, choice)


@pytest.fixture
def block():
    mask = np.zeros((24, 37), bool)
    mask[3:9, 4:20] = True
    return mask


def test_a_colour_is_told_within_its_tolerance():
    rgb = scene()
    wanted = np.array([200, 250, 5])
    apart = np.abs(rgb.astype(int) - wanted).max(axis=2)
    for tolerance in (0, 12, 60, 255):
        choice = MaskOptions(color=tuple(int(one) for one in wanted), tolerance=tolerance)
        assert np.array_equal(told(rgb, choice), apart <= tolerance)
    assert np.array_equal(told(rgb, MaskOptions()), np.zeros((24, 37), bool))


@pytest.mark.parametrize(("text", "found"), [("#ffffff", (255, 255, 255)), ("0a141E", (10, 20, 30))])
def test_colours_are_read(text, found):
    assert sources.parse_color(text) == found


@pytest.mark.parametrize("text", ["white", "#fff", "#12345g", "#1234567", "", "12\n"])
def test_what_is_no_colour(text):
    with pytest.raises(UsageError) as raised:
        sources.parse_color(text)
    assert "is not a colour; write it as '#ffffff', red, green and blue from 00 to ff." in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_what_is_transparent_is_lost_with_what_is_given(tmp_path, block, kind):
    top = np.iinfo(kind).max
    alpha = np.full(block.shape, top, kind)
    alpha[20:, :] = top // 2
    given = tmp_path / "m.png"
    io.write_png(given, block)
    for choice in (MaskOptions(), MaskOptions(given=False)):
        assert np.array_equal(told(scene(), choice, alpha=alpha), alpha < top)
    assert np.array_equal(told(scene(), MaskOptions(given=given), alpha=alpha), block | (alpha < top))


def test_a_folder_has_the_mask_at_the_same_place(tmp_path, block):
    places = {"a.png": "a.png", "b.jpg": "b.png", "c.jpg": "c.jpg.png", "sub/a.png": "sub/a.tif", "ü.webp": "ü.bmp"}
    for index, mask in enumerate(places.values()):
        path = tmp_path / mask
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(
            saved(np.roll(block, index, axis=1).astype(np.uint8) * 255, path.suffix[1:].replace("tif", "tiff"))
        )
    io.write_png(tmp_path / "c.png", ~block)  # of a photo c.png; c.jpg has one of its own
    for index, photo in enumerate(places):
        found = told(scene(), MaskOptions(given=tmp_path), path=tmp_path / photo, place=tmp_path.__class__(photo))
        assert np.array_equal(found, np.roll(block, index, axis=1)), photo


@pytest.mark.parametrize(
    ("photo", "words"),
    [
        ("none.png", "{} has no mask for none.png"),
        ("sub/a.png", "{} has no mask for sub/a.png"),
        ("two.jpg", "{} has 2 masks for two.jpg: two.bmp, two.png"),
        ("small.png", "{}/small.png is 3x2 and photos/small.png 37x24; a mask must be of the photo's size, upright"),
        ("cut.png", "{}/cut.png is cut short: the end of the PNG is missing"),
    ],
)
def test_a_mask_that_is_not_there_or_not_right(tmp_path, block, photo, words):
    for name in ("a.png", "two.png", "two.bmp"):
        (tmp_path / name).write_bytes(saved(block, name[-3:]))
    io.write_png(tmp_path / "small.png", np.ones((2, 3), bool))
    (tmp_path / "cut.png").write_bytes(saved(block, "png")[:-9])
    place = tmp_path.__class__(photo)
    with pytest.raises(DataError) as raised:
        told(scene(), MaskOptions(given=tmp_path), path="photos" / place, place=place)
    assert str(raised.value) == words.format(tmp_path)


def test_a_mask_is_limited_in_size_as_a_photograph_is(tmp_path, block):
    io.write_png(tmp_path / "m.png", block)
    with pytest.raises(DataError, match="more than the limit of 100"):
        told(scene(), MaskOptions(given=tmp_path / "m.png", max_pixels=100))


def test_growing_is_by_a_disc():
    mask = np.zeros((21, 25), bool)
    mask[10, 12] = True
    y, x = np.mgrid[:21, :25]
    for pixels in (1, 3, 6):
        found = sources.grow_mask(mask, pixels)
        far = np.hypot(y - 10, x - 12)
        assert found[far <= pixels - 0.5].all() and not found[far >= pixels + 1].any()
    assert sources.grow_mask(mask, 0) is mask


def test_a_painted_shape_is_found_in_gray_and_brown_and_must_be_of_one_colour():
    gray = integer_luma(io.read_rgb(io.find_images(sample.folder() / "photos")[0]))
    mask = np.zeros(gray.shape, bool)
    mask[60:140, 100:190] = True
    brown = np.clip(gray[..., None] * [1.07, 0.95, 0.78], 0, 255).astype(np.uint8)
    for picture in (np.repeat(gray[..., None], 3, axis=2), brown):
        for color in (90, (200, 30, 30)):
            damaged = picture.copy()
            damaged[mask] = color
            assert np.array_equal(sources.find_painted_shape(damaged), mask)
    # One luma in two colours was not painted by one stroke.
    damaged[60:100, 100:190], damaged[100:140, 100:190] = (100, 100, 100), (130, 90, 72)
    assert integer_luma(damaged)[mask].min() == integer_luma(damaged)[mask].max()
    assert not sources.find_painted_shape(damaged).any()


def test_a_mask_is_turned_upright_as_the_photograph_is(tmp_path, block):
    from pictures import exif_of

    stored = oriented(block.astype(np.uint8) * 255, 6)
    (tmp_path / "m.png").write_bytes(saved(stored, "png", exif=exif_of(6)))
    assert np.array_equal(told(scene(), MaskOptions(given=tmp_path / "m.png")), block)
