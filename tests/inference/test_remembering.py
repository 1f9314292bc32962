"""A restorer that remembers gives the same bytes, and calls its network and its filler once for equal inputs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from scenes import scene, square_hole, tint_restorer
from toolbox_plugins.fills import regions
from torch import nn

from toolbox.color import integer_luma
from toolbox.hooks import catalog
from toolbox.inference.fillers import LoadedFiller, find_filler
from toolbox.inference.likely_colors import ColorField, color_field
from toolbox.inference.remembering import RememberingNetwork, remembering_filler

HOLE = square_hole(320, 130, 180)


class Counted(nn.Module):
    def __init__(self, network):
        super().__init__()
        self.network, self.calls = network, 0

    def forward(self, image, mask):
        self.calls += 1
        return self.network(image, mask)


def filler(calls):
    def fill(image, mask, *, seed=0):
        calls.append(1)
        return np.where(mask, 77, image).astype(image.dtype)

    return LoadedFiller(fill=fill)


def parts():
    """Return a restorer, its counted network, and the list of its filler's calls."""
    calls = []
    restorer = tint_restorer("luma", 128)
    network = Counted(restorer.network).eval()
    object.__setattr__(restorer, "network", network)
    object.__setattr__(restorer, "filler", filler(calls))
    return restorer, network, calls


def test_other_hints_and_saturation_calculate_nothing_again():
    restorer, network, fills = parts()
    gray = integer_luma(scene())
    hints = np.zeros((320, 320, 4), np.uint8)
    hints[60:63, 60:80] = (220, 30, 30, 255)
    expected = [restorer(gray, HOLE), restorer(gray, HOLE, hints=hints), restorer(gray, HOLE, saturation=0.5)]
    network.calls = 0
    fills.clear()
    quick = replace(restorer, network=RememberingNetwork(network), filler=remembering_filler(restorer.filler))
    results = [quick(gray, HOLE), quick(gray, HOLE, hints=hints), quick(gray, HOLE, saturation=0.5)]
    assert (network.calls, len(fills)) == (1, 1)
    for result, wanted in zip(results, expected, strict=True):
        assert np.array_equal(result, wanted)
    quick(gray, np.roll(HOLE, 9, 0))
    assert (network.calls, len(fills)) == (2, 2)


def test_what_a_caller_writes_into_a_result_is_not_remembered():
    gray = integer_luma(scene())
    fill = remembering_filler(filler([]))
    filled = fill(gray, HOLE)
    filled[:] = 0
    assert (fill(gray, HOLE)[HOLE] == 77).all()


def test_the_memory_is_bounded():
    counted = Counted(tint_restorer("luma").network)
    network = RememberingNetwork(counted, max_bytes=3 * 4 * 64 * 64)
    pictures = [torch.full((1, 3, 64, 64), value) for value in (0.2, 0.4)]
    mask = torch.zeros(1, 1, 64, 64)
    for picture in (*pictures, pictures[1], pictures[0]):
        network(picture, mask)
    assert counted.calls == 3


def test_the_likely_colours_are_the_classes_by_probability_and_look_different():
    centres = np.array([[0, 0], [0.1, 0], [0.11, 0.001], [-0.1, 0.02], [0, 0.2]], np.float32)
    weights = np.array([0.4, 0.3, 0.1, 0.2, 0], np.float32)
    field = ColorField(
        centres=centres,
        probabilities=np.tile(weights[:, None, None], (1, 4, 4)),
        luma=np.full((4, 4), 0.5, np.float32),
    )
    colors = field.at(0.5, 0.5)
    # The expected colour, the first blue and its opposite. Gray looks like the first, the second blue like the second,
    # and the last colour is not likely.
    assert len(colors) == 3
    assert int(colors[1][5:], 16) > 150 > 100 > int(colors[2][5:], 16)
    assert field.at(1, 1) == colors


def test_a_network_without_classes_offers_the_colours_of_its_result():
    gray = integer_luma(scene())
    colors = color_field(tint_restorer("luma"), gray, HOLE).at(0.2, 0.3)
    assert colors and all(len(color) == 7 and color[0] == "#" for color in colors)


def test_a_new_hole_fills_only_itself_and_its_neighbours(monkeypatch):
    filler = find_filler("auto", catalog.load(third_party=False))
    gray, calls = integer_luma(scene()), []
    one_hole, two_holes = HOLE.copy(), HOLE.copy()
    two_holes[5:20, 290:310] = True
    expected = [filler(gray, mask) for mask in (one_hole, two_holes, one_hole)]
    original = regions.fill_target
    monkeypatch.setattr(regions, "fill_target", lambda *args: calls.append(1) or original(*args))
    quick = remembering_filler(filler)
    counts = []
    for mask, wanted in zip((one_hole, two_holes, one_hole), expected, strict=True):
        assert np.array_equal(quick(gray, mask), wanted)
        counts.append(len(calls))
    assert counts == [1, 2, 2]
    assert not np.array_equal(quick(gray, mask, seed=1), wanted) and len(calls) == 3
