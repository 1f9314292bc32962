"""Several plausible colourings: the first is the ordinary one, they differ, and the luma stays. About 5 s."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scenes import scene, square_hole, tint_restorer
from standins import run_restore
from torch import nn

from toolbox.color import integer_luma
from toolbox.imaging import io
from toolbox.inference.restorer import Restorer

SIDE = 96
HOLE = square_hole(SIDE, 20, 40)


class Hesitant(nn.Module):
    """A generator that hesitates between colours where the photograph is bright and is certain of gray elsewhere."""

    def __init__(self):
        super().__init__()
        self.calls = 0
        angles = torch.arange(8) * torch.pi / 4
        ring = 0.12 * torch.stack([angles.cos(), angles.sin()], dim=1)
        self.register_buffer("centres", torch.cat([torch.zeros(1, 2), ring]))

    def forward(self, image, mask):
        self.calls += 1
        luma = image.mean(1, keepdim=True)
        certain = torch.where(luma < 0.5, 12.0, 0.0)
        return luma.expand(-1, 3, -1, -1), {"classes": torch.cat([certain, *[torch.zeros_like(luma)] * 8], dim=1)}


def hesitant_restorer(network=None):
    return Restorer(network=network or Hesitant(), keep="luma", device=torch.device("cpu"), multiple=1, size=SIDE)


def halves():
    """Return a photograph whose left half is dark, with a little texture."""
    gray = integer_luma(scene(2, SIDE)) // 8
    gray[:, : SIDE // 2] += 40
    gray[:, SIDE // 2 :] += 170
    return gray


def chroma(rgb):
    return np.ptp(rgb.astype(int), axis=2)


def test_the_first_is_the_ordinary_result_and_the_others_differ_where_the_network_hesitates():
    gray = halves()
    restorations = list(hesitant_restorer().variants(gray, HOLE, count=8))
    assert len(restorations) == 8
    assert np.array_equal(restorations[0].pixels, hesitant_restorer()(gray, HOLE))
    for restoration in restorations:
        assert np.array_equal(integer_luma(restoration.pixels)[~HOLE], gray[~HOLE])
        assert chroma(restoration.pixels[:, :40]).max() <= 12
    bright = [restoration.pixels[:, 56:].astype(int) for restoration in restorations]
    differences = [np.abs(a - b).mean() for n, a in enumerate(bright) for b in bright[:n]]
    assert min(differences) > 2


def test_variants_are_repeatable_and_fewer_are_the_first_of_more():
    gray = halves()
    three, four = (list(hesitant_restorer().variants(gray, HOLE, count=count)) for count in (3, 4))
    assert (len(three), len(four)) == (3, 4)
    assert all(np.array_equal(a.pixels, b.pixels) for a, b in zip(three, four, strict=False))


def test_the_network_runs_as_often_for_eight_variants_as_for_two():
    calls = []
    for count in (2, 8):
        network = Hesitant()
        list(hesitant_restorer(network).variants(halves(), HOLE, count=count))
        calls.append(network.calls)
    assert calls[0] == calls[1]


def test_strokes_hold_in_every_variant():
    hints = np.zeros((SIDE, SIDE, 4), np.uint8)
    hints[70:74, 60:90] = (90, 120, 220, 255)
    for restoration in hesitant_restorer().variants(halves(), HOLE, count=3, hints=hints):
        red, _, blue = restoration.pixels[71:73, 65:85].astype(int).mean((0, 1))
        assert blue > red + 60


@pytest.mark.parametrize(
    ("restorer", "count", "message"),
    [
        (hesitant_restorer(), 1, "use 2 to 8"),
        (hesitant_restorer(), 9, "use 2 to 8"),
        (tint_restorer("luma"), 4, "classes of colours"),
        (tint_restorer("rgb"), 4, "Variants need keep"),
    ],
)
def test_variants_that_are_not_possible_are_refused(restorer, count, message):
    with pytest.raises(ValueError, match=message):
        restorer.variants(halves(), HOLE, count=count)


@pytest.fixture
def photo(tmp_path, monkeypatch):
    monkeypatch.setattr("toolbox.inference.loading.load_restorer", lambda *_, **__: hesitant_restorer())
    io.write_png(tmp_path / "photo.png", halves())
    return tmp_path / "photo.png"


def test_the_command_writes_the_variants_and_a_sheet(photo):
    out = photo.parent / "out"
    run_restore(photo, "-o", out, "--variants", "3")
    paths = [out / f"photo.png.v{number}.png" for number in (1, 2, 3)]
    variants = [io.read_rgb(path) for path in paths]
    result = io.read_rgb(out / "photo.png")
    assert np.array_equal(variants[0], result)
    assert not np.array_equal(variants[1], result)
    sheet = io.read_rgb(out / "photo.png.variants.png")
    assert np.array_equal(sheet[:SIDE, :SIDE], result)
    assert sheet.shape[1] == 2 * SIDE + 8
    assert not (out / "photo.png.v4.png").exists()


def test_variants_are_added_to_an_existing_result_without_changing_it(photo):
    out = photo.parent / "out"
    run_restore(photo, "-o", out)
    changed = (out / "photo.png").stat().st_mtime_ns
    run_restore(photo, "-o", out, "--variants", "2")
    assert (out / "photo.png").stat().st_mtime_ns == changed
    assert (out / "photo.png.v2.png").exists()
    assert "there already" in run_restore(photo, "-o", out, "--variants", "2").output


def test_a_photo_that_keeps_its_colours_has_no_variants(photo):
    io.write_png(photo.parent / "colour.png", scene(2, SIDE))
    out = photo.parent / "out"
    run_restore(photo.parent / "colour.png", "-o", out, "--variants", "2")
    assert not list(out.glob("*.v1.png"))
    colour = scene(2, SIDE)
    io.write_png(photo.parent / "hole.png", colour, alpha=np.where(HOLE, 0, 255).astype(np.uint8))
    arguments = (photo.parent / "hole.png", "-o", out, "--variants", "2")
    assert "there already" not in run_restore(*arguments).output
    assert "there already" in run_restore(*arguments).output
    assert not list(out.glob("*.v1.png"))
    result = run_restore(photo, "-o", out, "--variants", "2", "--keep", "rgb", code=2)
    assert "no new colours" in result.output
