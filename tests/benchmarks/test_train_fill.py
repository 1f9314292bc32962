"""The training of the fill network: its loss, its holes, and a short run."""

from __future__ import annotations

import json

import numpy as np
import torch
from safetensors.torch import load_file
from toolbox_plugins.fills.network import FillNet

from benchmarks import train_fill
from benchmarks.common import fill_holes, fill_samples, holes
from benchmarks.train_fill import Settings, Training, make_case, objective

CPU = torch.device("cpu")


def lumas(count=4, side=280):
    random = np.random.default_rng(0)
    return [random.integers(0, 256, (side, side + 10 * number), dtype=np.uint8) for number in range(count)]


def test_the_loss_is_the_score_of_rows():
    """A hole of one row has no windows that cross a row, so that both are the same."""
    random = np.random.default_rng(1)
    truth, filled = random.integers(0, 256, (2, 20, 40), dtype=np.uint8)
    lost = np.zeros(truth.shape, bool)
    lost[7, 5:35] = True
    planes = [torch.from_numpy(plane.astype(np.float32))[None, None] for plane in (filled / 255, truth / 255, lost)]
    similarity, absolute = objective(*planes)
    assert abs(float(similarity) - holes.lost_structure(filled, truth, lost)) < 1e-4
    assert abs(float(absolute) - np.abs(filled[lost].astype(int) - truth[lost]).mean() / 255) < 1e-6


def test_shapes_are_painted_where_they_are():
    shapes = fill_holes.Shapes(3)
    shapes.rectangles[0] = 2, 3, 8, 9
    shapes.circles[1] = 10, 10, 5
    # A square that is drawn twice is empty by the even-odd rule; drawn once it is full.
    corners = np.array([[4, 4], [12, 4], [12, 12], [4, 12]])
    shapes.edges[2, :4] = np.hstack([corners, np.roll(corners, -1, 0)])
    painted = fill_holes.paint(shapes, 20, CPU).numpy()
    assert painted[0].sum() == 36 and painted[0, 3:9, 2:8].all()
    assert abs(painted[1].sum() - 25 * np.pi) < 4
    assert painted[2].sum() == 64 and painted[2, 4:12, 4:12].all()


def test_holes_are_neither_tiny_nor_nearly_everything():
    area = fill_holes.random_holes(200, 64, np.random.default_rng(2), CPU).mean((1, 2, 3))
    assert area.min() >= fill_holes.SMALLEST_AREA and area.max() <= fill_holes.LARGEST_AREA
    assert area.std() > 0.05


def test_crops_are_pieces_of_photographs():
    photos = lumas()
    crops = (fill_samples.Photos(photos, CPU).crops(6, 50, np.random.default_rng(3)) * 255).round().byte().numpy()
    for crop in crops[:, 0]:
        assert any(
            np.array_equal(photo[y : y + 50, x : x + 50], crop)
            for photo in photos
            for y, x in np.argwhere(photo[:-49, :-49] == crop[0, 0])
        )


def test_a_sample_has_the_luma_where_it_is_known():
    luma, waves, lost = fill_samples.extrapolated_sample(lumas(), np.random.default_rng(4))
    assert np.array_equal(luma[lost == 0], waves[lost == 0]) and (luma != waves)[lost == 1].mean() > 0.5


def test_a_training_writes_weights_and_figures(tmp_path, monkeypatch):
    monkeypatch.setattr(train_fill, "FillNet", lambda: FillNet((32, 32, 32)))
    monkeypatch.setattr(train_fill, "SIDES", (64,))
    monkeypatch.setattr(train_fill, "SIDE_FREQUENCIES", (1.0,))
    monkeypatch.setattr(train_fill, "SIDE", 64)
    photos = lumas(2, 80)
    lost = np.zeros(photos[0].shape, bool)
    lost[30:60, 30:60] = True
    training = Training(Settings(seconds=1e-6, batch=2, workers=0), photos, [make_case(photos[0], lost)], tmp_path)
    similarity, absolute = training.step(0.1)
    assert -1 < similarity < 1 and 0 < absolute < 1
    training.run()
    lines = [json.loads(line) for line in (tmp_path / "figures.jsonl").read_text("utf-8").splitlines()]
    assert lines[-1]["step"] == 1 and -1 < lines[-1]["development"] < 1
    state = load_file(tmp_path / "fill.safetensors")
    assert state["stem.weight"].dtype == torch.float16
    assert state["head.weight"].abs().max() > 0
