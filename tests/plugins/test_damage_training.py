"""The recipe `damage`: its network is that of the detector, it learns, and its weights are found. Some 5 s."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from commands import invoke, invoke_error
from pictures import smooth
from toolbox_plugins.damage import detector as detectors
from toolbox_plugins.damage.generator import DamageGenerator
from toolbox_plugins.damage.kinds import KINDS

import toolbox
from toolbox.color import integer_luma
from toolbox.config.binding import bind
from toolbox.data import sample
from toolbox.data.folders import open_folder
from toolbox.data.loader import Samples, Stream, iterate_batches
from toolbox.distributed.accelerator import make_accelerator
from toolbox.errors import PluginError
from toolbox.hooks import catalog as catalogs
from toolbox.imaging import io
from toolbox.models.samples import sample_recipe
from toolbox.models.weight_file import WeightsHeader, read_tensors, write_weights
from toolbox.training.state import build_state
from toolbox.training.step import take_steps
from toolbox.utils.console import Console


def short_recipe():
    """Return the recipe from random weights, at 64 pixels, for two steps."""
    recipe = toolbox.Recipe.load("damage").set("generator.init", "").set("training.steps", 2)
    recipe = recipe.set("data", {"size": 64, "cache": False}).set("sample", {"size": 64, "batch": 4})
    return recipe.set("split.method", "random").set("generator.optimizer.lr", 2e-3)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "damage"
    return toolbox.train(short_recipe(), out=folder, device="cpu", console=Console(silent=True))


def test_the_recipe_starts_from_the_weights_that_ship():
    assert toolbox.Recipe.load("damage").tree["generator"]["init"] == "weights:print-damage"
    tensors = read_tensors(toolbox.weights_path("print-damage"))
    assert {name: value.shape for name, value in tensors.items()} == {
        name: value.shape for name, value in DamageGenerator().state_dict().items()
    }


def test_the_network_gives_the_maps_of_the_detector():
    gray = integer_luma(smooth(96, 128))
    cv2.line(gray, (5, 60), (60, 10), 255, 2)
    path = toolbox.weights_path("print-damage")
    network, trained = detectors.load_network(path), DamageGenerator().eval()
    trained.load_state_dict(read_tensors(path))
    picture = torch.from_numpy(gray).float().expand(1, 3, -1, -1) / 255
    with torch.inference_mode():
        both = [trained(each, each[:, :1]).softmax(1)[:, 1:] for each in (picture, picture.flip(-1))]
        half = (both[0] + both[1].flip(-1)) / 2
        found = torch.nn.functional.interpolate(half, scale_factor=2.0, mode="bilinear")[0].numpy()
        odd = trained(picture[..., :70, :101], picture[:, :1, :70, :101])
    assert np.abs(found - detectors.probabilities(network, gray)).max() < 1e-5
    assert odd.shape == (1, 1 + len(KINDS), 35, 51)


def test_the_loss_of_a_batch_of_sample_photographs_falls():
    plan = bind(short_recipe().set("generator.schedule.warmup_steps", 1), catalogs.load(third_party=False))
    accelerator = make_accelerator("cpu", "fp32")
    built = build_state(plan, accelerator, torch.float32)
    items = open_folder(sample.folder() / "photos").items[:4]
    samples = Samples(items=items, recipe=sample_recipe(plan), stream=Stream.TRAIN)
    (batch,) = iterate_batches(samples, [[(0, number) for number in range(4)]], 0, torch.device("cpu"))
    assert batch.kinds == KINDS and batch.labels.any() and not batch.labels.flatten(1).any(1).all()
    records = list(take_steps(built, [batch] * 8, accelerator, seed=0, first=0))
    losses = [record.terms["g"] for record in records]
    assert losses[-1] < 0.7 * losses[0]


def test_exported_weights_are_those_of_the_detector(run, tmp_path):
    gray = integer_luma(smooth(96, 96))
    io.write_png(tmp_path / "old.png", gray)
    assert run.result.finished and {"f1", "f1.scratch", "f1.tear"} <= set(run.result.best.figures)
    invoke("weights", "export", run.folder, tmp_path / "mine.safetensors", "--half")
    for weights in (run.folder, tmp_path / "mine.safetensors"):
        out = tmp_path / f"masks-{weights.name}"
        words = ["mask", tmp_path / "old.png", "-o", out, "--damage", "--damage-weights", weights, "--probabilities"]
        invoke(*words)
        written = io.read_gray(out / "old.tear.png")
        found = toolbox.build("detector", "print-damage", weights=str(weights))(gray).probabilities["tear"]
        assert np.abs(written / 255 - found).max() < 0.003 and 0 < found.max() < 1
    assert not np.allclose(found, toolbox.build("detector", "print-damage")(gray).probabilities["tear"], atol=0.01)
    words = [*words[:4], "--damage-weights", weights]
    assert "--damage-weights needs --damage" in invoke_error(*words)


@pytest.mark.parametrize("kinds", [KINDS[:2], ("sky",), ()])
def test_a_file_of_weights_that_find_other_kinds_is_named(run, tmp_path, kinds):
    recipe = (run.folder / "recipe.toml").read_text("utf-8")
    file = tmp_path / "other.safetensors"
    write_weights(file, read_tensors(run.folder / "best.safetensors"), WeightsHeader(recipe=recipe, kinds=kinds))
    io.write_png(tmp_path / "a.png", integer_luma(smooth(48, 64)))
    words = ["mask", tmp_path / "a.png", "-o", tmp_path / "out", "--damage", "--damage-weights", file]
    found = ", ".join(kinds) or "nothing that its header names"
    line = f"{file} can't be used: it was trained to find {found}, not {', '.join(KINDS)}; choose other weights."
    assert line in invoke_error(*words, code=1)


@pytest.mark.parametrize("name", ["artefacts/dots/a.png", "dust-polygons.npz"])
@pytest.mark.parametrize("data", [b"", b"text", b"PK\3\4"])
def test_an_artefact_that_can_not_be_read_is_named(tmp_path, name, data):
    (tmp_path / "artefacts" / "dots").mkdir(parents=True)
    (tmp_path / name).write_bytes(data)
    with pytest.raises(PluginError, match=f"{tmp_path / name} can't be read"):
        toolbox.build("degradation", "print-damage", artefacts=str(tmp_path))
