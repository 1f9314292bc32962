"""The mean of weight files, and their calibration."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from catalogs import default_catalog
from click.testing import CliRunner
from commands import invoke
from PIL import Image
from safetensors.torch import load_file
from toolbox_plugins.luma.classes import COUNT

from toolbox.cli import main
from toolbox.config import recipe
from toolbox.config.binding import bind
from toolbox.errors import UsageError
from toolbox.hooks import catalog
from toolbox.imaging import io
from toolbox.models import weight_file
from toolbox.models.average import average_weights
from toolbox.models.build import build_generator
from toolbox.models.calibrate import calibrate_weights, central_square
from toolbox.models.weight_file import WeightsHeader
from toolbox.models.weights import load_trained

LUMA = ["generator.width=4", "generator.backbone=tf_efficientnet_lite0", "generator.init=", "restoring.size=64"]


def write(path, name, overrides, seed):
    torch.manual_seed(seed)
    found = catalog.load()
    plan = bind(recipe.read(name, lambda one: found.recipe(one).path, overrides), found)
    network = build_generator(plan, torch.device("cpu"))
    header = WeightsHeader(recipe=recipe.dump(plan.tree()), recipe_name=name, step=seed, loss=0.5)
    weight_file.write_weights(path, network.state_dict(), header)
    return path


@pytest.fixture
def photos(tmp_path):
    draw = np.random.default_rng(0)
    (tmp_path / "photos").mkdir()
    for index in range(4):
        picture = cv2.GaussianBlur(draw.integers(0, 256, (70, 90, 3)).astype(np.uint8), (0, 0), 6)
        io.write_png(tmp_path / "photos" / f"{index}.png", cv2.normalize(picture, None, 0, 255, cv2.NORM_MINMAX))
    return tmp_path / "photos"


def test_the_average_is_the_mean_of_every_number(tmp_path):
    small = ["generator.width=4", "generator.levels=2"]
    paths = [write(tmp_path / f"{seed}.safetensors", "default", small, seed) for seed in (1, 2, 3)]
    average_weights(paths, tmp_path / "mean.safetensors", default_catalog())
    found, given = load_file(tmp_path / "mean.safetensors"), [load_file(path) for path in paths]
    assert len(found) == len(given[0]) > 0
    for name, value in found.items():
        assert torch.allclose(value, torch.stack([one[name] for one in given]).mean(0), atol=1e-7)
    header = weight_file.read_header(tmp_path / "mean.safetensors")
    assert header.step is None and header.loss is None
    load_trained(tmp_path / "mean.safetensors", torch.device("cpu"))


def test_other_networks_and_a_single_file_are_refused(tmp_path):
    one = write(tmp_path / "1.safetensors", "default", ["generator.width=4", "generator.levels=2"], 1)
    other = write(tmp_path / "2.safetensors", "default", ["generator.width=8", "generator.levels=2"], 1)
    with pytest.raises(UsageError, match="different"):
        average_weights([one, other], tmp_path / "mean.safetensors", default_catalog())
    with pytest.raises(UsageError, match="at least two"):
        average_weights([one], tmp_path / "mean.safetensors", default_catalog())
    with pytest.raises(UsageError, match="1.safetensors is there twice"):
        average_weights([one, other.parent / "." / one.name], tmp_path / "mean.safetensors", default_catalog())
    assert not (tmp_path / "mean.safetensors").exists()


def test_calibrated_weights_give_the_colours_that_were_fitted(tmp_path, photos):
    path = write(tmp_path / "luma.safetensors", "luma", LUMA, 1)
    before = load_trained(path, torch.device("cpu")).network
    target = tmp_path / "fitted.safetensors"
    changed = calibrate_weights(path, io.find_images(photos), target, catalog.load(), {"colorfulness": 0.3})
    trained = load_trained(target, torch.device("cpu"))
    assert trained.plan.tree()["generator"]["saturation"] == changed["saturation"] != [1.0]
    assert trained.network.saturation.tolist() == pytest.approx(changed["saturation"])
    gray = torch.rand(1, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        old, new = (one.decode(gray, torch.zeros_like(gray))[0] for one in (before, trained.network))
    # p^(1/T) exp(l . c): the logits lie on a line, but for a shift that is the same for all places.
    shift = (new - new.mean(1, keepdim=True)).flatten(2)[0]
    was = (old - old.mean(1, keepdim=True)).flatten(2)[0]
    slope = torch.linalg.lstsq(torch.stack([was[:, 0], *trained.network.centres.T], 1), shift[:, :1]).solution
    assert slope.shape == (3, 1) and len(shift) == COUNT
    fitted = slope[0] * was + trained.network.centres @ slope[1:]
    assert torch.allclose(fitted - fitted.mean(0), shift, atol=1e-3)


def test_a_generator_without_the_method_is_refused(tmp_path, photos):
    path = write(tmp_path / "1.safetensors", "default", ["generator.width=4", "generator.levels=2"], 1)
    with pytest.raises(UsageError, match="can't be calibrated"):
        calibrate_weights(path, io.find_images(photos), tmp_path / "out.safetensors", default_catalog(), {})


def test_weights_are_calibrated_on_one_photograph_in_colour(tmp_path, photos):
    path = write(tmp_path / "luma.safetensors", "luma", LUMA, 1)
    (tmp_path / "empty").mkdir()
    Image.new("L", (40, 40), 90).save(tmp_path / "gray.png")
    colour = io.find_images(photos)[0]
    for data, code, words in (
        (colour, 0, "saturation = ["),
        (tmp_path / "gray.png", 1, "gray.png is gray, and colours are fitted to colour photographs; take it out."),
        (tmp_path / "empty", 2, "has no photographs; choose another folder."),
    ):
        arguments = ["weights", "calibrate", path, "--data", data, "-o", tmp_path / f"{data.stem}.safetensors"]
        assert words in invoke(*arguments, code=code).output


def test_the_central_square_is_the_middle():
    photo = np.zeros((40, 100, 3), np.uint8)
    photo[:, 30:70] = 200
    assert torch.allclose(central_square(photo, 20), torch.full((3, 20, 20), 200 / 255))


def test_the_commands_write_files_and_refuse_other_names(tmp_path, photos):
    one, two = (write(tmp_path / f"{seed}.safetensors", "luma", LUMA, seed) for seed in (1, 2))
    mean, fitted = tmp_path / "mean.safetensors", tmp_path / "fitted.safetensors"
    runner = CliRunner()
    done = runner.invoke(main, ["weights", "average", str(one), str(two), "-o", str(mean)])
    assert done.exit_code == 0 and mean.is_file(), done.output
    words = ["weights", "calibrate", str(mean), "--data", str(photos), "--limit", "2", "-o", str(fitted)]
    done = runner.invoke(main, words)
    assert done.exit_code == 0 and "saturation = [" in done.output, done.output
    load_trained(fitted, torch.device("cpu"))
    done = runner.invoke(main, ["weights", "average", str(one), str(two), "-o", str(tmp_path / "mean.bin")])
    assert done.exit_code == 2 and "must end in .safetensors" in done.output


@pytest.mark.parametrize("name", ["one.safetensors", "./one.safetensors", "link.safetensors", "dangling.onnx"])
def test_no_weights_are_replaced(tmp_path, photos, name):
    source = write(tmp_path / "one.safetensors", "luma", LUMA, 1)
    (tmp_path / "link.safetensors").symlink_to(source)
    (tmp_path / "dangling.onnx").symlink_to(tmp_path / "gone")
    before = source.read_bytes()
    commands = [["export", "--half"]] if name.endswith("onnx") else [["export"], ["average"], ["calibrate"]]
    for verb, *flags in commands:
        more = [*flags, *(["--data", str(photos)] if verb == "calibrate" else [])]
        done = CliRunner().invoke(main, ["weights", verb, str(source), *more, "-o", str(tmp_path / name)])
        assert done.exit_code == 2 and "exists and is not replaced" in done.output, done.output
    assert source.read_bytes() == before and not (tmp_path / "gone").exists()
