"""Masks from files, transparency and colours, and painted shapes. About 1 s."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pictures import exif_of, oriented, saved, scene

from toolbox.color import integer_luma
from toolbox.data import sample
from toolbox.errors import DataError, UsageError
from toolbox.imaging import io
from toolbox.imaging.io import Photo
from toolbox.masks import detectors, sources
from toolbox.masks.sources import MaskOptions


def mask_of(rgb, options, *, alpha=None, path="a.png", relative_path=None, result=None):
    photo = Photo(pixels=rgb, format="PNG", alpha=alpha)
    return sources.mask_from_options(photo, rgb, options, path=path, relative_path=relative_path or path, result=result)


@pytest.fixture
def block():
    mask = np.zeros((24, 37), bool)
    mask[3:9, 4:20] = True
    return mask


def test_a_colour_marks_pixels_within_the_tolerance():
    rgb = scene()
    color = np.array([200, 250, 5])
    difference = np.abs(rgb.astype(int) - color).max(axis=2)
    for tolerance in (0, 12, 60, 255):
        options = MaskOptions(color=tuple(map(int, color)), tolerance=tolerance)
        assert np.array_equal(mask_of(rgb, options), difference <= tolerance)
    assert np.array_equal(mask_of(rgb, MaskOptions()), np.zeros((24, 37), bool))


@pytest.mark.parametrize(("text", "expected"), [("#ffffff", (255, 255, 255)), ("0a141E", (10, 20, 30))])
def test_parse_color(text, expected):
    assert sources.parse_color(text) == expected


@pytest.mark.parametrize("text", ["white", "#fff", "#12345g", "#1234567", "", "12\n"])
def test_other_texts_are_refused(text):
    with pytest.raises(UsageError) as raised:
        sources.parse_color(text)
    assert "is not a colour; write it as '#ffffff', red, green and blue from 00 to ff." in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_transparent_pixels_are_lost_in_addition_to_the_mask(tmp_path, block, kind):
    top = np.iinfo(kind).max
    alpha = np.full(block.shape, top, kind)
    alpha[20:, :] = top // 2
    io.write_png(tmp_path / "m.png", block)
    for options in (MaskOptions(), MaskOptions(search=False)):
        assert np.array_equal(mask_of(scene(), options, alpha=alpha), alpha < top)
    options = MaskOptions(path=tmp_path / "m.png")
    assert np.array_equal(mask_of(scene(), options, alpha=alpha), block | (alpha < top))


def test_the_mask_of_another_photograph_is_not_taken(tmp_path, block):
    photos, masks = tmp_path / "photos", tmp_path / "masks"
    photos.mkdir(), masks.mkdir()
    for name in ("a.png", "a.tif", "b.jpg"):
        (photos / name).write_bytes(b"x")
    io.write_png(masks / "a.png", block)
    io.write_png(masks / "b.png", block)

    def found(name, result=None):
        return mask_of(scene(), MaskOptions(path=masks), path=photos / name, relative_path=Path(name), result=result)

    assert np.array_equal(found("a.png"), block) and np.array_equal(found("b.jpg"), block)
    with pytest.raises(DataError, match=r"a.png may be the mask of a.png, not of a.tif; name the mask a.tif.png"):
        found("a.tif")
    io.write_png(masks / "a.tif.png", np.roll(block, 3))
    assert np.array_equal(found("a.tif"), np.roll(block, 3))
    # As `toolbox mask` names it beside A.png.
    io.write_png(masks / "a.png-2.png", np.roll(block, 1))
    assert np.array_equal(found("a.png", result=Path("out/a.png-2.png")), np.roll(block, 1))


def test_a_folder_of_masks_has_the_subfolders_of_the_photographs(tmp_path, block):
    masks = {"a.png": "a.png", "b.jpg": "b.png", "c.jpg": "c.jpg.png", "sub/a.png": "sub/a.tif", "ü.webp": "ü.bmp"}
    masks["e\u0301.jpg"] = "\u00e9.png"  # é as macOS writes it, and as others do
    for index, mask in enumerate(masks.values()):
        path = tmp_path / mask
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(
            saved(np.roll(block, index, axis=1).astype(np.uint8) * 255, path.suffix[1:].replace("tif", "tiff"))
        )
    io.write_png(tmp_path / "c.png", ~block)  # of a photo c.png; c.jpg has one of its own
    for index, photo in enumerate(masks):
        found = mask_of(scene(), MaskOptions(path=tmp_path), path=tmp_path / photo, relative_path=Path(photo))
        assert np.array_equal(found, np.roll(block, index, axis=1)), photo


@pytest.mark.parametrize(
    ("photo", "words"),
    [
        ("none.png", "{} has no mask for none.png"),
        ("sub/a.png", "{} has no mask for sub/a.png"),
        ("anim.jpg", "{} has no mask for anim.jpg (1 file left out: .gif; save it as PNG)"),
        ("two.jpg", "{} has 2 masks for two.jpg: two.bmp, two.png"),
        ("two.png", "{} has 2 masks for two.png: two.bmp, two.png"),
        ("small.png", "{}/small.png is 3x2 and photos/small.png 37x24; a mask must have the size of the upright photo"),
        ("cut.png", "{}/cut.png is cut short: the end of the PNG is missing"),
    ],
)
def test_a_missing_or_wrong_mask_is_refused(tmp_path, block, photo, words):
    for name in ("a.png", "two.png", "two.bmp"):
        (tmp_path / name).write_bytes(saved(block, name[-3:]))
    io.write_png(tmp_path / "small.png", np.ones((2, 3), bool))
    (tmp_path / "cut.png").write_bytes(saved(block, "png")[:-9])
    (tmp_path / "anim.gif").write_bytes(saved(block, "gif"))
    relative = Path(photo)
    with pytest.raises(DataError) as raised:
        mask_of(scene(), MaskOptions(path=tmp_path), path="photos" / relative, relative_path=relative)
    assert str(raised.value) == words.format(tmp_path)


def test_max_pixels_applies_to_masks(tmp_path, block):
    io.write_png(tmp_path / "m.png", block)
    with pytest.raises(DataError, match="more than the limit of 100"):
        mask_of(scene(), MaskOptions(path=tmp_path / "m.png", max_pixels=100))


def test_a_mask_grows_by_a_disc():
    mask = np.zeros((21, 25), bool)
    mask[10, 12] = True
    y, x = np.mgrid[:21, :25]
    for pixels in (1, 3, 6):
        found = sources.grow_mask(mask, pixels)
        distance = np.hypot(y - 10, x - 12)
        assert found[distance <= pixels - 0.5].all() and not found[distance >= pixels + 1].any()
    assert sources.grow_mask(mask, 0) is mask


def test_a_painted_shape_is_found_in_gray_and_sepia_and_must_have_one_colour():
    gray = integer_luma(io.read_rgb(io.find_images(sample.folder() / "photos")[0]))
    mask = np.zeros(gray.shape, bool)
    mask[60:140, 100:190] = True
    brown = np.clip(gray[..., None] * [1.07, 0.95, 0.78], 0, 255).astype(np.uint8)
    for picture in (np.repeat(gray[..., None], 3, axis=2), brown):
        for color in (90, (200, 30, 30)):
            damaged = picture.copy()
            damaged[mask] = color
            assert np.array_equal(detectors.find_painted_shape(damaged), mask)
    # Two colours of the same luma are not one painted shape.
    damaged[60:100, 100:190], damaged[100:140, 100:190] = (100, 100, 100), (130, 90, 72)
    assert integer_luma(damaged)[mask].min() == integer_luma(damaged)[mask].max()
    assert not detectors.find_painted_shape(damaged).any()


def test_the_orientation_of_a_mask_is_applied(tmp_path, block):
    stored = oriented(block.astype(np.uint8) * 255, 6)
    (tmp_path / "m.png").write_bytes(saved(stored, "png", exif=exif_of(6)))
    assert np.array_equal(mask_of(scene(), MaskOptions(path=tmp_path / "m.png")), block)
