"""`toolbox restore` with a stand_in-in for the weights: what the restorer gets, and what is written. About 3 s."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pictures import ORIENTATION, exif_of, oriented, saved, smooth
from PIL import Image
from profiles import profile
from standins import FILL, gray, gray_to_rgb, install_stand_in, run_restore

from toolbox.color import integer_luma
from toolbox.imaging import io


@pytest.fixture
def stand_in(monkeypatch):
    return install_stand_in(monkeypatch)


@pytest.fixture
def restore(stand_in):
    return run_restore


# ---- what the restorer gets


def test_a_gray_photo_with_red_marks_is_gray(tmp_path, restore, stand_in):
    mask = np.zeros((48, 64), bool)
    mask[10:20, 5:60] = True
    pixels = gray_to_rgb(gray())
    pixels[mask] = (255, 0, 0)
    io.write_png(tmp_path / "a.png", pixels)
    io.write_png(tmp_path / "m.png", mask)
    restore(tmp_path / "a.png", "-o", "one", "--color", "#ff0000", "--tolerance", 0)
    restore(tmp_path / "a.png", "-o", "two", "--mask", tmp_path / "m.png")
    restore(tmp_path / "a.png", "-o", "three")
    for keep, image, seen_mask in stand_in.calls:
        assert keep == "luma" and image.ndim == 2 and np.array_equal(seen_mask, mask)
        assert np.array_equal(image[~mask], gray()[~mask])
    assert len(stand_in.calls) == 3


def test_a_flat_shape_in_a_colour_photo_is_part_of_it(tmp_path, restore, stand_in):
    pixels = smooth(96, 128)
    pixels[20:50, 30:70] = (200, 0, 0)
    io.write_png(tmp_path / "a.png", pixels)
    result = restore(tmp_path / "a.png", "-o", "out")
    assert "left as it is: in colour, and nothing of it is lost; mark what is lost with --mask, or" in result.output
    assert not stand_in.calls and list(Path("out").iterdir()) == [Path("out/report.json")]


def test_transparent_pixels_are_added_to_the_painted_shape(tmp_path, restore, stand_in):
    pixels = gray(96, 128)
    pixels[20:50, 30:70] = 200
    alpha = np.full(pixels.shape, 255, np.uint8)
    alpha[80:, :9] = 0
    io.write_png(tmp_path / "a.png", pixels, alpha=alpha)
    restore(tmp_path / "a.png", "-o", "out")
    expected = alpha == 0
    expected[20:50, 30:70] = True
    assert np.array_equal(stand_in.calls[0][2], expected)
    restore(tmp_path / "a.png", "-o", "none", "--mask", "none")
    assert np.array_equal(stand_in.calls[1][2], alpha == 0)


@pytest.mark.parametrize(("keep", "dimensions"), [("luma", 2), ("rgb", 3), ("none", 3)])
def test_keep_is_passed_to_the_restorer(tmp_path, restore, stand_in, keep, dimensions):
    io.write_png(tmp_path / "a.png", smooth())
    io.write_png(tmp_path / "m.png", np.eye(24, 37) > 0)
    restore(tmp_path / "a.png", "-o", "out", "--mask", tmp_path / "m.png", "--keep", keep)
    assert [(mode, image.ndim) for mode, image, _ in stand_in.calls] == [(keep, dimensions)]


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_a_sepia_photo_keeps_its_tone_and_its_depth(tmp_path, restore, stand_in, kind):
    level = np.linspace(30, 220, 96 * 128).reshape(96, 128)
    sepia = (
        (level[..., None] * [1.07, 0.95, 0.78] * (np.iinfo(kind).max / 255)).clip(0, np.iinfo(kind).max).astype(kind)
    )
    mask = np.zeros((96, 128), bool)
    mask[40:60, 50:80] = True
    io.write_png(tmp_path / "s.png", np.where(mask[..., None], np.iinfo(kind).max, sepia).astype(kind))
    io.write_png(tmp_path / "m.png", mask)
    restore(tmp_path / "s.png", "-o", "out", "--mask", tmp_path / "m.png", "--tone", "keep")
    found = io.read(Path("out/s.png")).pixels
    assert found.dtype == kind and np.array_equal(found[~mask], sepia[~mask])
    # FILL in the tone of the photo, worked out by hand.
    expected = np.array([1.07, 0.95, 0.78]) / (0.299 * 1.07 + 0.587 * 0.95 + 0.114 * 0.78) * FILL
    assert np.abs(found[mask] / (np.iinfo(kind).max / 255) - expected).max() < 1.5
    io.write_png(tmp_path / "whole.png", sepia)
    result = restore(tmp_path / "whole.png", "-o", "out", "--mask", "none", "--tone", "keep")
    assert "left as it is: its tone is kept, and nothing of it is lost" in result.output and len(stand_in.calls) == 1


# ---- what is written


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.tif", "a.webp"])
def test_results_are_upright_and_have_the_exif(tmp_path, restore, name, orientation):
    kind = {"jpg": "JPEG", "tif": "TIFF"}.get(name[2:], name[2:].upper())
    upright = gray(24, 40)
    options = {"lossless": True} if kind == "WEBP" else {"quality": 100} if kind == "JPEG" else {}
    stored = oriented(upright, orientation)
    (tmp_path / name).write_bytes(saved(gray_to_rgb(stored), kind, exif=exif_of(orientation), **options))
    restore(tmp_path / name, "-o", "out", "--mask", "none")
    (path,) = [path for path in Path("out").iterdir() if path.stem == "a"]
    with Image.open(path) as opened:
        exif = opened.getexif()
        assert exif[271] == "Maker" and exif.get(ORIENTATION, 1) == 1 and opened.size == (40, 24)
        found = integer_luma(np.array(opened))
    assert np.abs(found.astype(int) - upright).max() <= (4 if kind == "JPEG" else 0)


@pytest.mark.parametrize("form", ["lossless", "keep"])
@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.tif", "a.webp"])
def test_exif_text_is_kept_byte_for_byte(tmp_path, restore, name, form):
    words = "großmutter, 할머니".encode()
    exif = Image.Exif()
    # Cameras and editors write UTF-8 in fields that should be ASCII, in the photo's directory and in the camera's.
    inner = {0xA430: Latin(words.decode("latin-1"))}
    exif[0x010E], exif[0x8298], exif[0x8769] = words, words, inner
    exif.load(exif.tobytes())  # Pillow writes the inner directory into a TIFF only after it has read one
    exif[0x010E], exif[0x8298], exif[0x8769] = words, words, inner
    exif.get_ifd(0x8769).update(inner)
    Image.fromarray(gray()).save(tmp_path / name, exif=exif)
    assert (tmp_path / name).read_bytes().count(words) == 3
    restore(tmp_path / name, "-o", "out", "--mask", "none", "--format", form)
    (path,) = [path for path in Path("out").iterdir() if path.stem == "a"]
    with Image.open(path) as opened:
        found = opened.getexif()
        # Pillow decodes text as Latin-1, and returns bytes for a field that is not text.
        assert found[0x010E] == found[0x8298] == found.get_ifd(0x8769)[0xA430] == words.decode("latin-1")


class Latin(str):
    """Text that Pillow encodes as Latin-1."""

    def encode(self, *_):
        return super().encode("latin-1")


def test_a_gray_profile_is_converted_to_srgb(tmp_path, restore):
    (tmp_path / "a.png").write_bytes(saved(gray(), "PNG", icc_profile=profile(b"GRAY")))
    result = restore(tmp_path / "a.png", "-o", "out", "--mask", "none")
    assert "colours converted to sRGB" in result.output
    linear = gray() / 255  # the profile's gamma is 1
    srgb = 255 * np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    with Image.open("out/a.png") as opened:
        assert "icc_profile" not in opened.info
        assert np.abs(np.array(opened)[..., 0] - srgb).max() <= 1.5


def test_format_keep_warns_once_of_its_loss(tmp_path, restore):
    for name in ("a.jpg", "b.webp"):
        Image.fromarray(gray()).save(tmp_path / name)
    result = restore(tmp_path / "a.jpg", tmp_path / "b.webp", "-o", "out", "--mask", "none", "--format", "keep")
    assert result.output.count("loses a little") == 1
    assert {path.name for path in Path("out").iterdir()} == {"a.jpg", "b.webp", "report.json"}


@pytest.mark.parametrize("name", ["ünï côdé 火\n.png", "x" * 251 + ".png", "a'b\"c .png", "-o.png"])
def test_unusual_names(tmp_path, restore, name):
    folder = tmp_path / "in"
    folder.mkdir()
    io.write_png(folder / name, gray())
    result = restore(folder, "-o", "out", "--mask", "none", "--before-after")
    assert np.array_equal(io.read_rgb(Path("out") / name)[..., 0], gray())
    assert len(result.output.splitlines()) == 1 and len(list(Path("out").iterdir())) == 3
