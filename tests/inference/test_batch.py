"""`toolbox restore` with a stand-in for the weights: what the restorer is given, and what comes out. Some 3 s."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pictures import ORIENTATION, exif_of, oriented, saved, smooth
from PIL import Image
from profiles import profile
from standins import FILL, gray, restored, standing, three

from toolbox.color import integer_luma
from toolbox.imaging import io


@pytest.fixture
def stand(monkeypatch):
    return standing(monkeypatch)


@pytest.fixture
def restore(stand):
    return restored


# ---- what the restorer is given


def test_red_scribbles_on_a_gray_photo_do_not_make_it_coloured(tmp_path, restore, stand):
    mask = np.zeros((48, 64), bool)
    mask[10:20, 5:60] = True
    pixels = three(gray())
    pixels[mask] = (255, 0, 0)
    io.write_png(tmp_path / "a.png", pixels)
    io.write_png(tmp_path / "m.png", mask)
    restore(tmp_path / "a.png", "-o", "one", "--color", "#ff0000", "--tolerance", 0)
    restore(tmp_path / "a.png", "-o", "two", "--mask", tmp_path / "m.png")
    restore(tmp_path / "a.png", "-o", "three")
    for keep, image, lost in stand.calls:
        assert keep == "luma" and image.ndim == 2 and np.array_equal(lost, mask)
        assert np.array_equal(image[~mask], gray()[~mask])
    assert len(stand.calls) == 3


def test_a_shape_in_a_coloured_photo_belongs_to_it(tmp_path, restore, stand):
    pixels = smooth(96, 128)
    pixels[20:50, 30:70] = (200, 0, 0)
    io.write_png(tmp_path / "a.png", pixels)
    result = restore(tmp_path / "a.png", "-o", "out")
    assert "left as it is: in colour, and nothing of it is lost; tell what is with --mask, or" in result.output
    assert not stand.calls and list(Path("out").iterdir()) == [Path("out/report.json")]


def test_transparency_is_united_with_what_is_found(tmp_path, restore, stand):
    pixels = gray(96, 128)
    pixels[20:50, 30:70] = 200
    alpha = np.full(pixels.shape, 255, np.uint8)
    alpha[80:, :9] = 0
    io.write_png(tmp_path / "a.png", pixels, alpha=alpha)
    restore(tmp_path / "a.png", "-o", "out")
    expected = alpha == 0
    expected[20:50, 30:70] = True
    assert np.array_equal(stand.calls[0][2], expected)
    restore(tmp_path / "a.png", "-o", "none", "--mask", "none")
    assert np.array_equal(stand.calls[1][2], alpha == 0)


@pytest.mark.parametrize(("keep", "given"), [("luma", 2), ("rgb", 3), ("none", 3)])
def test_keep_goes_to_the_restorer(tmp_path, restore, stand, keep, given):
    io.write_png(tmp_path / "a.png", smooth())
    io.write_png(tmp_path / "m.png", np.eye(24, 37) > 0)
    restore(tmp_path / "a.png", "-o", "out", "--mask", tmp_path / "m.png", "--keep", keep)
    assert [(one, image.ndim) for one, image, _ in stand.calls] == [(keep, given)]


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_a_sepia_photo_keeps_its_tone_and_its_depth(tmp_path, restore, stand, kind):
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
    # FILL in the tone of the photo: the formula of the tone, worked out here.
    wanted = np.array([1.07, 0.95, 0.78]) / (0.299 * 1.07 + 0.587 * 0.95 + 0.114 * 0.78) * FILL
    assert np.abs(found[mask] / (np.iinfo(kind).max / 255) - wanted).max() < 1.5
    io.write_png(tmp_path / "whole.png", sepia)
    result = restore(tmp_path / "whole.png", "-o", "out", "--mask", "none", "--tone", "keep")
    assert "left as it is: its tone is kept, and nothing of it is lost" in result.output and len(stand.calls) == 1


# ---- what comes out


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.tif", "a.webp"])
def test_results_are_upright_with_their_exif(tmp_path, restore, name, orientation):
    kind = {"jpg": "JPEG", "tif": "TIFF"}.get(name[2:], name[2:].upper())
    upright = gray(24, 40)
    options = {"lossless": True} if kind == "WEBP" else {"quality": 100} if kind == "JPEG" else {}
    stored = oriented(upright, orientation)
    (tmp_path / name).write_bytes(saved(three(stored), kind, exif=exif_of(orientation), **options))
    restore(tmp_path / name, "-o", "out", "--mask", "none")
    (path,) = [path for path in Path("out").iterdir() if path.stem == "a"]
    with Image.open(path) as opened:
        exif = opened.getexif()
        assert exif[271] == "Maker" and exif.get(ORIENTATION, 1) == 1 and opened.size == (40, 24)
        found = integer_luma(np.array(opened))
    assert np.abs(found.astype(int) - upright).max() <= (4 if kind == "JPEG" else 0)


@pytest.mark.parametrize("form", ["lossless", "keep"])
@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.tif", "a.webp"])
def test_text_of_exif_comes_out_byte_for_byte(tmp_path, restore, name, form):
    words = "großmutter, 할머니".encode()
    exif = Image.Exif()
    # As cameras and editors write it: UTF-8 (or any other) in a field of ASCII, in the photo's part and the camera's.
    inner = {0xA430: Latin(words.decode("latin-1"))}
    exif[0x010E], exif[0x8298], exif[0x8769] = words, words, inner
    exif.load(exif.tobytes())  # Pillow asks for a part that was read before it writes it into a TIFF
    exif[0x010E], exif[0x8298], exif[0x8769] = words, words, inner
    exif.get_ifd(0x8769).update(inner)
    Image.fromarray(gray()).save(tmp_path / name, exif=exif)
    assert (tmp_path / name).read_bytes().count(words) == 3
    restore(tmp_path / name, "-o", "out", "--mask", "none", "--format", form)
    (path,) = [path for path in Path("out").iterdir() if path.stem == "a"]
    with Image.open(path) as opened:
        found = opened.getexif()
        # Pillow gives text as Latin-1, whatever it is, and what is no text as bytes.
        assert found[0x010E] == found[0x8298] == found.get_ifd(0x8769)[0xA430] == words.decode("latin-1")


class Latin(str):
    """Text whose bytes Pillow takes as they are."""

    def encode(self, *_):
        return super().encode("latin-1")


def test_a_gray_profile_becomes_srgb(tmp_path, restore):
    (tmp_path / "a.png").write_bytes(saved(gray(), "PNG", icc_profile=profile(b"GRAY")))
    result = restore(tmp_path / "a.png", "-o", "out", "--mask", "none")
    assert "ICC profile converted" in result.output
    linear = gray() / 255  # the profile's gamma is 1
    srgb = 255 * np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    with Image.open("out/a.png") as opened:
        assert "icc_profile" not in opened.info
        assert np.abs(np.array(opened)[..., 0] - srgb).max() <= 1.5


def test_what_format_keep_costs_is_said_once(tmp_path, restore):
    for name in ("a.jpg", "b.webp"):
        Image.fromarray(gray()).save(tmp_path / name)
    result = restore(tmp_path / "a.jpg", tmp_path / "b.webp", "-o", "out", "--mask", "none", "--format", "keep")
    assert result.output.count("loses a little") == 1
    assert {path.name for path in Path("out").iterdir()} == {"a.jpg", "b.webp", "report.json"}


@pytest.mark.parametrize("name", ["ünï côdé 火\n.png", "x" * 251 + ".png", "a'b\"c .png", "-o.png"])
def test_names_of_all_kinds(tmp_path, restore, name):
    folder = tmp_path / "in"
    folder.mkdir()
    io.write_png(folder / name, gray())
    result = restore(folder, "-o", "out", "--mask", "none", "--before-after")
    assert np.array_equal(io.read_rgb(Path("out") / name)[..., 0], gray())
    assert len(result.output.splitlines()) == 1 and len(list(Path("out").iterdir())) == 3
