"""JPEG files whose end is missing: what is there is decoded, and what is not there is transparent."""

from __future__ import annotations

import io as streams

import numpy as np
import pytest
from pictures import exif_of, saved, smooth
from PIL import Image

from toolbox.errors import DataError
from toolbox.imaging import io

WIDTH, HEIGHT = 203, 150
KINDS = {
    "baseline": {},
    "4:4:4": {"subsampling": 0},
    "restart markers": {"restart_marker_rows": 1},
    "optimized": {"optimize": True},
    "gray": {"gray": True},
    "CMYK": {"cmyk": True},
}


def noisy(**options):
    """Return a JPEG with detail everywhere, and its pixels as Pillow decodes them."""
    rng = np.random.default_rng(0)
    pixels = (smooth(HEIGHT, WIDTH) * 0.6 + rng.integers(0, 90, (HEIGHT, WIDTH, 1))).astype(np.uint8)
    image = Image.fromarray(pixels)
    mode = "L" if options.pop("gray", False) else "CMYK" if options.pop("cmyk", False) else "RGB"
    data = saved(image.convert(mode), "JPEG", **options)
    return data, io.decode(data, "a").pixels


@pytest.mark.parametrize("options", [*KINDS.values(), {"progressive": True}], ids=[*KINDS, "progressive"])
def test_a_complete_picture_without_an_end_marker(options):
    data, pixels = noisy(**options)
    for cut in (1, 2):
        photo = io.decode(data[:-cut], "a", accept_cut=True)
        assert np.array_equal(photo.pixels, pixels) and photo.alpha is None
        assert photo.cautions == ("the end marker of the JPEG is missing; the picture is complete",)
        with pytest.raises(DataError, match="the end of the JPEG is missing. If a viewer shows the whole"):
            io.decode(data[:-cut], "a")
    assert not io.decode(data, "a", accept_cut=True).cautions


@pytest.mark.parametrize("options", KINDS.values(), ids=KINDS)
@pytest.mark.parametrize("tail", [b"", b"\xff\xd9", bytes(3000)], ids=["cut", "cut and closed", "zeros"])
def test_missing_rows_are_transparent_and_said(options, tail):
    data, pixels = noisy(**options)
    for kept in (0.98, 0.7, 0.3):
        cut = data[: int(kept * len(data))] + tail
        photo = io.decode(cut, "a", accept_cut=True)
        known, share = photo.alpha == 255, 1 - (photo.alpha == 255).mean()
        # Upsampled colours of the last complete row of blocks depend on the next one.
        assert np.array_equal(photo.pixels[: known.all(1).sum() - 1], pixels[: known.all(1).sum() - 1])
        assert abs(share - (1 - kept)) < 0.2 and not known[-1, -1]
        expected = f"the file is cut short: {100 * share:.1f} % of the picture is missing at its end"
        assert photo.cautions == (expected,)
        with pytest.raises(DataError, match="is cut short"):
            io.decode(cut, "a")


def test_a_turned_photograph_lacks_what_it_lacks():
    data, _ = noisy()
    turned = saved(Image.open(streams.BytesIO(data)), "JPEG", exif=exif_of(6))
    photo = io.decode(turned[: len(turned) // 2], "a", accept_cut=True)
    assert photo.pixels.shape[:2] == photo.alpha.shape == (WIDTH, HEIGHT)
    assert (photo.alpha[:, :40] == 0).all() and (photo.alpha[:, -40:] == 255).all()


def test_a_progressive_file_loses_detail_first():
    data, pixels = noisy(progressive=True)
    photo = io.decode(data[: int(0.8 * len(data))], "a", accept_cut=True)
    assert photo.cautions == ("the file is cut short: the whole picture is there, with less detail",)
    assert photo.alpha is None and np.abs(photo.pixels.astype(int) - pixels).mean() < 30
    start = data.index(b"\xff\xda")
    photo = io.decode(data[: start + 100], "a", accept_cut=True)
    assert (photo.alpha[-20:] == 0).all() and "% of the picture is missing" in photo.cautions[0]


def test_what_has_no_picture_is_refused():
    data, _ = noisy()
    for cut in (20, data.index(b"\xff\xda") + 3, data.index(b"\xff\xda") + 15):
        with pytest.raises(DataError, match="^a "):
            io.decode(data[:cut], "a", accept_cut=True)


def test_a_gray_corner_is_no_missing_part():
    gray = np.full((HEIGHT, WIDTH, 3), 128, np.uint8)
    gray[:40] = 30
    photo = io.decode(saved(gray, "JPEG"), "a", accept_cut=True)
    assert photo.alpha is None and not photo.cautions
    assert io.decode(saved(gray, "JPEG"), "a").pixels.shape == gray.shape
