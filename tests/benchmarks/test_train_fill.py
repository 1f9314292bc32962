"""The training of the weights of the fill `average`: its holes, its loss, and that numpy computes what was trained."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from click.testing import CliRunner
from toolbox_plugins.fills import weighting

from benchmarks import train_fill
from benchmarks.common import fill_holes, holes
from benchmarks.train_fill import OUTPUTS, Weighting, layers, make_parts, objective, train

CPU = torch.device("cpu")


@pytest.fixture
def parts(tmp_path, monkeypatch):
    monkeypatch.setattr(train_fill, "SIDE", 80)
    monkeypatch.setattr(train_fill, "PART", 64)
    random = np.random.default_rng(0)
    photo = cv2.resize(random.integers(0, 256, (12, 12, 3), dtype=np.uint8), (140, 140), interpolation=cv2.INTER_CUBIC)
    path = tmp_path / "photo.png"
    assert cv2.imwrite(str(path), photo)
    return np.stack(make_parts([path], random))


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
    corners = np.array([[4, 4], [12, 4], [12, 12], [4, 12]])
    shapes.edges[2, :4] = np.hstack([corners, np.roll(corners, -1, 0)])
    painted = fill_holes.paint(shapes, 20, CPU).numpy()
    assert painted[0].sum() == 36 and painted[0, 3:9, 2:8].all()
    assert abs(painted[1].sum() - 25 * np.pi) < 4
    assert painted[2].sum() == 64 and painted[2, 4:12, 4:12].all()


def test_holes_are_neither_tiny_nor_nearly_everything():
    area = fill_holes.random_holes(60, 64, np.random.default_rng(2), CPU).mean((1, 2, 3))
    assert area.min() >= fill_holes.SMALLEST_AREA and area.max() <= fill_holes.LARGEST_AREA
    assert area.std() > 0.05


def test_parts_have_the_truth_and_what_is_weighted(parts):
    truth, lost, mean = parts[:, 0], parts[:, 1], parts[:, 2]
    assert parts.shape[1:] == (3 + OUTPUTS + weighting.FEATURES, 64, 64)
    assert np.array_equal(truth[lost == 0], mean[lost == 0])
    assert lost.max() == 1 and np.abs(truth - mean)[lost == 1].mean() > 0.5


def test_training_lowers_the_loss_and_a_new_network_is_the_mean(parts):
    truth, lost, mean = (torch.from_numpy(parts[:, number : number + 1]).float() for number in range(3))
    new = Weighting()(torch.from_numpy(parts).float())
    assert torch.equal(new, mean / 255)
    trained = train(parts, parts[:0], 25, 2, 1e-2, 0.3, np.random.default_rng(3))
    better, plain = (
        float(objective(filled.detach(), truth / 255, lost)[0])
        for filled in (trained(torch.from_numpy(parts).float()), mean / 255)
    )
    assert better > plain + 0.002


def test_the_bundle_computes_what_was_trained(tmp_path):
    """The network of the training and the arrays of the bundle give the same luma, away from the border."""
    from safetensors.numpy import save_file

    random = np.random.default_rng(4)
    network = Weighting()
    torch.manual_seed(0)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    path = tmp_path / "weights.safetensors"
    save_file(layers(network), path)
    luma = cv2.GaussianBlur(random.uniform(0, 255, (90, 80)).astype(np.float32), (0, 0), 1)
    lost = np.zeros(luma.shape, bool)
    lost[20:60, 25:60] = True
    planes = np.where(lost, random.uniform(0, 255, (7, 90, 80)), luma).astype(np.float32)
    details, features = weighting.describe(planes, luma, lost)
    stack = np.concatenate([np.stack([luma, lost, np.where(lost, planes.mean(0), luma)], 2), details, features], 2)
    expected = network(torch.from_numpy(stack.transpose(2, 0, 1).astype(np.float32))[None])[0, 0].detach().numpy() * 255
    found = weighting.weighted_mean(planes, luma, lost, weighting.load_layers(path))
    assert np.abs(found - expected).max() < 0.01


def test_samples_of_other_options_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(train_fill, "make_parts", lambda paths, random: [np.ones((1, 2, 2), np.float16)])
    monkeypatch.setattr(train_fill.fill, "choose_photos", lambda *arguments: [])
    monkeypatch.setattr(train_fill, "train", lambda *arguments: Weighting())
    split = tmp_path / "split.csv"
    split.write_text("set")
    call = [str(tmp_path), "--split", str(split), "--out", str(tmp_path / "out"), "--samples", "2"]
    assert CliRunner().invoke(train_fill.command, call).exit_code == 0
    again = CliRunner().invoke(train_fill.command, [*call, "--rate", "0.1"])
    assert again.exit_code == 0 and "are used again" in again.output
    refused = CliRunner().invoke(train_fill.command, [*call, "--seed", "3"])
    assert refused.exit_code == 2 and "samples.npz was made with --seed 0, not 3; use that value" in refused.output
    split.write_text("other")
    assert "--split (SHA-256)" in CliRunner().invoke(train_fill.command, call).output
