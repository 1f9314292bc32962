"""The palette of another scene: what looks alike takes its colours, the rest and the luma stay. About 3 s."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from scenes import scene, tint_restorer
from torch import nn

import toolbox
from toolbox.color import integer_luma
from toolbox.guidance.provenance import Origin, source_type
from toolbox.imaging import io
from toolbox.inference.palette import make_palette
from toolbox.inference.reference_files import read_palette
from toolbox.inference.remembering import RememberingNetwork
from toolbox.inference.restorer import Restorer

CENTRES = torch.tensor([[0.0, 0.0], [0.15, -0.1], [-0.15, 0.1], [-0.12, -0.12]])
SIDE = 96
NO_MASK = np.zeros((SIDE, SIDE), bool)


class Bands(nn.Module):
    """A generator without colours, whose classes are decided by luma: gray, blue or red; green never."""

    def __init__(self):
        super().__init__()
        self.register_buffer("centres", CENTRES)

    def forward(self, image, mask):
        luma = image.mean(1, keepdim=True)
        near = [-(((luma - middle) / 0.1) ** 2) for middle in (0.2, 0.5, 0.8)]
        likely = torch.cat([near[0], near[1], torch.maximum(near[1], near[2]), torch.full_like(luma, -30)], dim=1)
        return luma.expand(-1, 3, -1, -1), {"classes": likely}


def bands_restorer(network=None, keep="luma"):
    return Restorer(network=network or Bands(), keep=keep, device=torch.device("cpu"), multiple=1, size=SIDE)


def flat(*colors):
    """Return a photograph (SIDE, SIDE, 3) of flat columns."""
    columns = [np.full((SIDE, SIDE // len(colors), 3), color, np.uint8) for color in colors]
    return np.concatenate(columns, axis=1)


# Their luma is about 51, 128 and 204: one for each band.
DARK, MIDDLE, BRIGHT = (51, 51, 51), (128, 128, 128), (204, 204, 204)
RED_MIDDLE, GREEN_MIDDLE = (190, 105, 80), (80, 160, 90)


def differences(rgb, columns):
    """Return the mean R - B in some columns."""
    return (rgb[:, columns, 0].astype(int) - rgb[:, columns, 2]).mean()


def test_what_looks_alike_takes_the_colours_and_the_rest_keeps_the_networks():
    gray = integer_luma(flat(DARK, MIDDLE, BRIGHT))
    restored = bands_restorer().restore(gray, NO_MASK, palette=flat(RED_MIDDLE))
    assert np.array_equal(integer_luma(restored.pixels), gray)
    left, middle, right = slice(4, 26), slice(38, 58), slice(70, 92)
    assert differences(restored.pixels, middle) > 80
    assert abs(differences(restored.pixels, left)) < 3
    assert abs(differences(restored.pixels, right)) < 3
    assert (restored.origin[:, middle] == Origin.COLOUR_FROM_PALETTE).all()
    assert (restored.origin[:, left] == Origin.COLOUR_FROM_NETWORK).all()
    assert source_type(restored.origin[:, middle]) == "compositeWithTrainedAlgorithmicMedia"


def test_a_colour_that_the_network_does_not_expect_is_not_used():
    gray = integer_luma(flat(MIDDLE))
    restored = bands_restorer().restore(gray, NO_MASK, palette=flat(GREEN_MIDDLE))
    assert np.array_equal(restored.pixels, bands_restorer()(gray, NO_MASK))
    assert restored.notes == ("the palette has almost nothing like this photo",)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_the_library_takes_palettes_of_any_size_and_depth(dtype):
    gray = integer_luma(flat(MIDDLE))
    palette = flat(RED_MIDDLE)[:33, :47].astype(dtype) * (257 if dtype == np.uint16 else 1)
    assert differences(bands_restorer()(gray, NO_MASK, palette=palette), slice(0, SIDE)) > 80
    assert differences(bands_restorer(RememberingNetwork(Bands()))(gray, palette=palette), slice(0, SIDE)) > 80


def test_toolbox_restore_takes_a_palette_as_a_file(tmp_path):
    io.write_png(tmp_path / "palette.png", flat(RED_MIDDLE))
    gray = integer_luma(flat(MIDDLE))
    restored = toolbox.restore(gray, "none", weights=bands_restorer(), palette=tmp_path / "palette.png")
    assert differences(restored, slice(0, SIDE)) > 80
    with pytest.raises(ValueError, match="A palette needs keep"):
        toolbox.restore(flat(RED_MIDDLE), "none", weights=bands_restorer(), palette=flat(RED_MIDDLE))


def test_hidden_pixels_of_a_palette_give_no_colours(tmp_path):
    palette = flat(RED_MIDDLE)
    hidden = np.zeros((SIDE, SIDE), bool)
    hidden[:, SIDE // 2 :] = True
    palette[hidden] = palette[hidden][:, ::-1]  # blue
    alpha = np.where(hidden, 0, 255).astype(np.uint8)
    io.write_png(tmp_path / "palette.png", palette, alpha=alpha)
    expected = bands_restorer()(integer_luma(flat(MIDDLE)), NO_MASK, palette=flat(RED_MIDDLE))
    for given in (tmp_path / "palette.png", Image.open(tmp_path / "palette.png")):
        restored = bands_restorer()(integer_luma(flat(MIDDLE)), NO_MASK, palette=given)
        assert np.abs(restored.astype(int) - expected).max() <= 2
    assert np.array_equal(read_palette(tmp_path / "palette.png")[~hidden], palette[~hidden])


def test_strokes_come_before_a_palette():
    hints = np.zeros((SIDE, SIDE, 4), np.uint8)
    hints[40:44, 30:60] = (90, 120, 220, 255)
    restored = bands_restorer().restore(integer_luma(flat(MIDDLE)), NO_MASK, hints=hints, palette=flat(RED_MIDDLE))
    assert restored.origin[42, 45] == Origin.COLOUR_FROM_HINT
    assert differences(restored.pixels[40:44], slice(30, 60)) < -50


@pytest.mark.parametrize(
    ("restorer", "palette", "message"),
    [
        (tint_restorer("luma"), scene(), "classes of colours"),
        (bands_restorer(), flat(MIDDLE), "is gray"),
        (bands_restorer(), flat(RED_MIDDLE).astype(float), "uint8 or uint16"),
        (bands_restorer(), np.zeros((4, 4, 2), np.uint8), "uint8 or uint16"),
        (bands_restorer(keep="rgb"), flat(RED_MIDDLE), "A palette needs keep"),
    ],
)
def test_a_palette_that_can_not_be_used_is_refused(restorer, palette, message):
    with pytest.raises(ValueError, match=message):
        restorer.restore(integer_luma(flat(MIDDLE)), NO_MASK, palette=palette)


def test_the_shares_of_a_colour_sum_to_one_and_are_largest_at_its_class():
    classes = bands_restorer().color_predictor(integer_luma(flat(MIDDLE)))
    shares = classes.shares(CENTRES.numpy())
    assert np.allclose(shares.sum(1), 1)
    assert (shares.argmax(1) == np.arange(4)).all()
    palette = make_palette(flat(RED_MIDDLE), bands_restorer().color_predictor)
    assert palette.features.shape == (len(palette.luma), 4)
