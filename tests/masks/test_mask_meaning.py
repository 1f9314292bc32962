"""What a mask file means: strokes, erased holes, white; what can't be decided or would destroy a photograph. 2 s."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from mask_pictures import SIZE, strokes
from pictures import saved, scene
from PIL import Image
from standins import gray, read_report

from toolbox.errors import DataError
from toolbox.imaging import io, mask_meaning
from toolbox.imaging.mask_meaning import UndecidedMaskError, lost_pixels


def layer(color, alpha):
    return np.dstack([np.full((*alpha.shape, 3), color, np.uint8), alpha])


@pytest.mark.parametrize("color", [(255, 255, 255), (0, 0, 0), (220, 20, 30), (130, 120, 125)])
@pytest.mark.parametrize("opacity", [255, 100])
def test_strokes_on_a_transparent_layer_are_lost(restore, color, opacity):
    painted = strokes() > 0
    Image.fromarray(layer(color, strokes() // 255 * opacity)).save("m.png")
    output, (mask,) = restore("--mask", "m.png")
    assert np.array_equal(mask, painted) and f"{100 * painted.mean():.1f} % lost" in output


def test_strokes_of_several_tones_on_a_transparent_layer_are_refused_with_what_to_choose(restore):
    # Chalk, spray and clone brushes paint such strokes.
    Image.fromarray(np.dstack([scene(*SIZE), strokes()])).save("m.png")
    output, _ = restore("--mask", "m.png", code=1)
    assert "say what is lost with --mask-means painted, transparent or white" in output
    assert np.array_equal(restore("--mask", "m.png", "--mask-means", "painted")[1][0], strokes() > 0)


def test_the_colour_below_transparent_pixels_does_not_count(restore):
    # GIMP keeps it, other editors write black or white there.
    for hidden in (0, 255, None):
        pixels = layer((255, 255, 255), strokes())
        pixels[strokes() == 0, :3] = scene(*SIZE)[strokes() == 0] if hidden is None else hidden
        Image.fromarray(pixels).save("m.png")
        assert np.array_equal(restore("--mask", "m.png")[1][0], strokes() > 0)


@pytest.mark.parametrize("name", ["m.png", "m.tif", "m.webp"])
def test_soft_strokes_in_every_format(restore, name):
    soft = cv2.GaussianBlur(strokes(), (9, 9), 0)
    Image.fromarray(layer((255, 255, 255), soft)).save(name, lossless=True)
    (mask,) = restore("--mask", name)[1]
    assert mask[soft >= 70].all() and not mask[soft < 50].any()


@pytest.mark.parametrize("value", [255, 128, 1, 0])
def test_an_alpha_that_is_the_same_everywhere_is_ignored(restore, value):
    white = np.repeat(strokes()[..., None], 3, axis=2)
    Image.fromarray(np.dstack([white, np.full(SIZE, value, np.uint8)])).save("m.png")
    assert np.array_equal(restore("--mask", "m.png")[1][0], strokes() > 0)


@pytest.mark.parametrize("color", [(0, 0, 0), (255, 255, 255), (90, 200, 40)])
def test_holes_erased_into_a_canvas_are_lost(restore, color):
    Image.fromarray(layer(color, 255 - strokes())).save("m.png")
    assert np.array_equal(restore("--mask", "m.png")[1][0], strokes() > 0)


def test_holes_erased_into_a_copy_of_the_photograph_are_lost(restore):
    Image.fromarray(np.dstack([np.repeat(gray()[..., None], 3, axis=2), 255 - strokes()])).save("m.png")
    assert np.array_equal(restore("--mask", "m.png")[1][0], strokes() > 0)


def half(color_left, color_right, visible):
    pixels = np.zeros((*SIZE, 4), np.uint8)
    pixels[:, :32, :3], pixels[:, 32:, :3] = color_left, color_right
    pixels[:, : int(64 * visible), 3] = 255
    return pixels


@pytest.mark.parametrize(
    "pixels",
    [
        half(255, 255, 0.5),  # as much painted as transparent
        half(0, 255, 0.75),  # black and white, and transparent
        np.where(strokes()[..., None] > 0, half(0, 255, 1), 0),  # black strokes and white ones
        np.dstack([scene(*SIZE) // 255 * 255, 255 - strokes()]),  # black canvas with white dots and holes
    ],
)
def test_a_mask_of_two_readings_is_refused_with_a_preview(restore, pixels):
    pixels[0, 40:50, :3] = 255
    Image.fromarray(pixels.astype(np.uint8)).save("m.png")
    output, masks = restore("--mask", "m.png", code=1)
    assert "m.png can be read in several ways; say what is lost with --mask-means painted, transparent or" in output
    assert "a.png.preview.png shows it in red (from left to right: painted, transparent, white)" in output
    assert not masks and not Path("out/a.png").exists()
    preview = io.read_rgb("out/a.png.preview.png")
    for index, reading in enumerate(mask_meaning.READINGS):
        part = preview[:, 72 * index :][:, :64]
        red = (part == (255, 0, 0)).all(axis=2)
        (lost,) = restore("--mask", "m.png", "--mask-means", reading, "--allow-large")[1]
        assert np.array_equal(red, lost) and np.array_equal(part[~red][:, 1], gray()[~red])


def test_a_photograph_is_no_mask(restore):
    Image.fromarray(scene(*SIZE, channels=1)).save("m.png")
    assert "m.png looks like a photograph, not like a mask in black and white" in restore("--mask", "m.png", code=1)[0]
    assert restore("--mask", "m.png", "--mask-means", "white")[1][0].mean() < 0.6
    assert (
        "m.png has no transparency, so --mask-means painted"
        in restore("--mask", "m.png", "--mask-means", "painted", code=1)[0]
    )


def test_inverted_and_large_masks_are_refused(restore):
    full = np.full(SIZE, 255, np.uint8)
    large = full.copy()
    large[:, :16] = 0
    cases = {"inverted": 255 - strokes(), "large": large, "frame": full}
    cases["frame"][8:40, 8:56] = 0  # half of the picture, with all of the border
    for name, pixels in cases.items():
        io.write_png("m.png", pixels)
        output, _ = restore("--mask", "m.png", code=1)
        words = "75.0 % counts as lost, more than 60%" if name == "large" else "m.png looks inverted: it marks"
        assert words in output and "--allow-large" in output, name
        assert np.array_equal(restore("--mask", "m.png", "--allow-large")[1][0], pixels > 0)
    io.write_png("m.png", np.full(SIZE, 255, np.uint8))
    for extra in ([], ["--allow-large"]):
        output = restore("--mask", "m.png", *extra, code=1)[0]
        assert "so there is nothing to restore it from; mark only what is lost; in a mask, that is white" in output
    output = restore("--color", "#808080", "--tolerance", 255, code=1)[0]
    assert "restore it from; choose another --color, or lower --tolerance" in output


def test_a_colour_transparency_and_growth_are_limited_too(restore):
    pixels = gray()
    pixels[:, :48] = 7
    io.write_png("a.png", pixels)
    refused = restore("--color", "#070707", "--tolerance", 0, code=1)[0]
    assert "75.0 % counts as lost, more than 60%. If this is right" in refused  # nothing on masks: there is none
    io.write_png("a.png", gray(), alpha=np.where(pixels == 7, 0, 255).astype(np.uint8))
    assert "75.0 % counts as lost" in restore("--mask", "none", code=1)[0] or (pixels == 7).mean() > 0.75
    io.write_png("a.png", gray())
    io.write_png("m.png", np.eye(*SIZE, dtype=np.uint8) * 255)
    assert "counts as lost, more than 60%" in restore("--mask", "m.png", "--grow", 40, code=1)[0]
    assert len(restore("--mask", "m.png", "--grow", 40, "--allow-large", code=0)[1]) == 1


def bmp32(pixels, alpha):
    """Return a BMP of 32 bits with a version 4 header that has an alpha channel."""
    height, width = pixels.shape[:2]
    data = np.dstack([pixels[..., ::-1], alpha])[::-1].tobytes()
    masks = b"".join(value.to_bytes(4, "little") for value in (0xFF0000, 0xFF00, 0xFF, 0xFF000000))
    numbers = (108, width, height, 32 << 16 | 1, 3, len(data), 2835, 2835, 0, 0)
    info = b"".join(number.to_bytes(4, "little") for number in numbers) + masks + b"BGRs" + bytes(48)
    start = 14 + len(info)
    return b"BM" + (start + len(data)).to_bytes(4, "little") + bytes(4) + start.to_bytes(4, "little") + info + data


@pytest.mark.parametrize("name", ["p.bmp", "p.png", "p.tif", "p.webp"])
def test_an_alpha_of_zeros_is_no_alpha(tmp_path, name):
    rgb = scene(*SIZE)
    zeros = np.zeros(SIZE, np.uint8)
    rgba = Image.fromarray(np.dstack([rgb, zeros]))
    if name == "p.bmp":
        (tmp_path / name).write_bytes(bmp32(rgb, zeros))
    else:
        rgba.save(tmp_path / name, lossless=True, exact=True)
    photo = io.read(tmp_path / name)
    assert photo.alpha is None and "alpha of zeros ignored" in photo.notes and np.array_equal(photo.pixels, rgb)
    if name == "p.bmp":
        (tmp_path / name).write_bytes(bmp32(rgb, np.where(zeros + np.eye(*SIZE) > 0, 255, 0).astype(np.uint8)))
        assert io.read(tmp_path / name).alpha.any()


def test_a_preview_restores_nothing(restore, monkeypatch):
    monkeypatch.setattr("toolbox.inference.loading.load_restorer", lambda *a, **b: pytest.fail("loads weights"))
    pixels = gray()
    pixels[10:30, 20:50] = 9
    io.write_png("a.png", pixels)
    lost = np.zeros(SIZE, bool)
    lost[10:30, 20:50] = True
    output, masks = restore("--preview")
    assert f"a.png -> out/a.png.preview.png (gray, {100 * lost.mean():.1f} % lost)" in output and not masks
    expected = np.repeat(pixels[..., None], 3, axis=2)
    expected[lost] = (255, 0, 0)
    assert np.array_equal(io.read_rgb("out/a.png.preview.png"), expected)
    assert sorted(path.name for path in Path("out").iterdir()) == ["a.png.preview.png", "report.json"]
    assert read_report(Path("out"))["preview"] == 1
    # What would be refused is shown nevertheless.
    io.write_png("m.png", 255 - strokes())
    output, _ = restore("--preview", "--mask", "m.png")
    assert f"({100 * (strokes() == 0).mean():.1f} % lost; not restored: m.png looks inverted" in output
    assert ((io.read_rgb("out/a.png.preview.png") == (255, 0, 0)).all(axis=2) == (strokes() == 0)).all()


def test_a_preview_does_not_replace_an_original(restore):
    Path("out").mkdir()
    Path("out/a.png.preview.png").hardlink_to("a.png")
    before = Path("a.png").read_bytes()
    assert "out/a.png.preview.png is one of the photographs" in restore("--preview", code=1)[0]
    assert Path("a.png").read_bytes() == before


def test_mask_means_needs_a_mask_file(restore):
    assert "a mask file; add one, for example --mask mask.png." in restore("--mask-means", "white", code=2)[0]


def test_score_reads_masks_in_the_same_way(tmp_path):
    (tmp_path / "m.png").write_bytes(saved(layer((255, 255, 255), strokes()), "PNG"))
    assert np.array_equal(io.read_mask(tmp_path / "m.png"), strokes() > 0)
    (tmp_path / "m.png").write_bytes(saved(half(0, 255, 0.75), "PNG"))
    with pytest.raises(UndecidedMaskError, match="m.png can be read in several ways"):
        io.read_mask(tmp_path / "m.png")
    with pytest.raises(DataError):
        lost_pixels(strokes(), None, "transparent")


@pytest.mark.parametrize(
    ("level", "dtype"),
    [(1, np.uint8), (100, np.uint8), (255, np.uint8), (1, np.uint16), (255, np.uint16), (65535, np.uint16)],
)
def test_the_levels_that_programs_write_are_white(tmp_path, level, dtype):
    io.write_png(tmp_path / "m.png", (strokes() > 0).astype(dtype) * dtype(level))
    assert np.array_equal(io.read_mask(tmp_path / "m.png"), strokes() > 0)


@pytest.mark.parametrize("color", [(255, 0, 0), (0, 0, 255), (0, 200, 0), (90, 0, 160)])
def test_strokes_of_a_colour_on_black_are_lost(tmp_path, color):
    Image.fromarray(np.uint8(strokes()[..., None] > 0) * np.uint8(color)).save(tmp_path / "m.png")
    assert np.array_equal(io.read_mask(tmp_path / "m.png"), strokes() > 0)


def test_a_mask_that_marks_nothing_is_black(restore):
    Image.fromarray(cv2.GaussianBlur(strokes() // 3, (5, 5), 0)).save("m.png")
    output, masks = restore("--mask", "m.png", code=1)
    assert "m.png marks nothing: white is lost, from 128 on, and its lightest pixel has" in output and not masks
    Image.fromarray(np.zeros(SIZE, np.uint8)).save("m.png")
    output, (mask,) = restore("--mask", "m.png")
    assert not mask.any() and "0.0 % lost" in output


def test_a_selection_that_is_saved_in_a_tiff_is_not_dropped_in_silence(restore):
    pixels = np.dstack([np.zeros((*SIZE, 3), np.uint8), strokes()])
    Image.frombytes("RGBX", SIZE[::-1], pixels.tobytes()).save("m.tif")
    output, (mask,) = restore("--mask", "m.tif")
    assert "m.tif: its extra channel, such as a saved selection, is not read" in output and not mask.any()
