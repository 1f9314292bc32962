"""`init`: what a new run starts from, what fits, and what does not; weights of a checkpoint. 15 s."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch
from commands import invoke, invoke_error
from runs import newest_checkpoint, run
from safetensors.torch import load_file

import toolbox
from toolbox.config.binding import bind
from toolbox.data import sample
from toolbox.hooks import catalog
from toolbox.imaging import io
from toolbox.models.initial import setting_differences

OPTIONS = ["--size", 32, "--batch", 2, "--steps", 1]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Train one step with a running average on three photographs; return the folder of photographs, and the run."""
    folder = tmp_path_factory.mktemp("initial")
    (folder / "photos").mkdir()
    for path in io.find_images(sample.folder() / "photos")[:3]:
        io.write_png(folder / "photos" / f"{path.stem}.png", io.read_rgb(path)[:32, :32])
    run("--data", folder / "photos", "--out", folder / "run", *OPTIONS, "--set", "training.average=0.9")
    return folder / "photos", folder / "run"


def validate(*overrides, code=0):
    settings = ("generator.width=4", "discriminator.width=4", *overrides)
    return invoke("recipe", "validate", "default", *(f"--set={setting}" for setting in settings), code=code)


def test_both_networks_start_from_a_run(trained, tmp_path):
    photos, folder = trained
    init = ["--set", f"generator.init={folder}", "--set", f"discriminator.init={folder}"]
    frozen = ["--set", "generator.optimizer.lr=1e-30", "--set", "generator.optimizer.weight_decay=0"]
    frozen += ["--set", "discriminator.optimizer.lr=1e-30", "--set", "discriminator.optimizer.weight_decay=0"]
    output = run("--data", photos, "--out", tmp_path / "next", *OPTIONS, *init, *frozen).output
    assert f"The generator starts from {folder}: all " in output
    assert f"The discriminator starts from {folder}: all " in output
    # After a step at a rate of almost 0, the weights are those of the run.
    best, checkpoint = load_file(folder / "best.safetensors"), newest_checkpoint(folder)
    judge = load_file(checkpoint / "discriminator.safetensors")
    now = newest_checkpoint(tmp_path / "next")
    for expected, name in ((best, "generator"), (judge, "discriminator")):
        actual = load_file(now / f"{name}.safetensors")
        weights = [key for key in expected if key.endswith("weight") and expected[key].ndim == 4]
        assert weights and all(torch.equal(actual[key], expected[key]) for key in weights)


@pytest.mark.parametrize("kind", ["run", "checkpoint", "file"])
def test_recipe_validate_says_that_everything_fits(trained, kind):
    _, folder = trained
    path = {"run": folder, "checkpoint": newest_checkpoint(folder), "file": folder / "best.safetensors"}[kind]
    line = validate(f"generator.init={path}").stdout.splitlines()[0]
    count = len(load_file(folder / "best.safetensors"))
    assert line == f"The generator starts from {path}: all {count} tensors fit."


def test_what_does_not_fit_is_said_in_words(trained):
    _, folder = trained
    line = validate("generator.levels=2", f"generator.init={folder}").stdout.splitlines()[0]
    assert "tensors fit, the others keep their random initial values: levels is 2 here and " in line
    output = invoke("recipe", "validate", "default", "--json", "--set", "discriminator.init=no.safetensors", code=2)
    faults = json.loads(output.stdout)["faults"]
    assert faults[0]["location"] == "discriminator.init" and "no weight file no.safetensors" in faults[0]["message"]


def test_weights_of_another_network_are_refused(trained, tmp_path):
    photos, folder = trained
    options = [*OPTIONS, "--device", "cpu", "--set", f"discriminator.init={folder / 'best.safetensors'}"]
    message = invoke("run", "--data", photos, "--out", tmp_path / "x", *options, code=1).stderr
    assert "fits the discriminator: " in message and "Traceback" not in message


def test_a_checkpoint_is_exported_and_restores(trained, tmp_path):
    _, folder = trained
    checkpoint = newest_checkpoint(folder)
    invoke("weights", "export", checkpoint, tmp_path / "mine.safetensors")
    exported, average = load_file(tmp_path / "mine.safetensors"), load_file(checkpoint / "average.safetensors")
    assert exported and all(torch.equal(value, average[f"module.{name}"]) for name, value in exported.items())
    photo = np.random.default_rng(0).integers(0, 256, (32, 40), dtype=np.uint8)
    results = [
        toolbox.restore(photo, "none", weights=toolbox.load_restorer(path, device="cpu"))
        for path in (checkpoint, tmp_path / "mine.safetensors")
    ]
    assert np.array_equal(*results)
    io.write_png(tmp_path / "photo.png", photo)
    invoke("restore", tmp_path / "photo.png", "-o", tmp_path / "out", "--weights", checkpoint, "--device", "cpu")
    assert np.array_equal(io.read_rgb(tmp_path / "out" / "photo.png"), results[0])


def test_a_damaged_checkpoint_or_one_without_its_run_is_named(trained, tmp_path):
    _, folder = trained
    copy = shutil.copytree(folder, tmp_path / "run")
    checkpoint = newest_checkpoint(copy)
    (copy / "best.safetensors").unlink()
    assert f"or name a checkpoint: {checkpoint}" in invoke_error("weights", "export", copy, "x.safetensors")
    (copy / "recipe.toml").rename(copy / "else.toml")
    message = invoke_error("weights", "export", checkpoint, "x.safetensors", code=1)
    assert "a checkpoint without the recipe of its run" in message
    (copy / "else.toml").rename(copy / "recipe.toml")
    with (checkpoint / "average.safetensors").open("ab") as stream:
        stream.write(b"x")
    assert "has changed since it was written" in invoke_error("weights", "export", checkpoint, "x.safetensors", code=1)
    (checkpoint / "manifest.json").write_text("[]", "utf-8")
    assert "manifest.json can't be read" in invoke_error("weights", "export", checkpoint, "x.safetensors", code=1)


def test_settings_that_differ_in_words():
    there = {"name": "a", "width": 8, "gray": {"depth": 2, "same": 1}, "optimizer": {"lr": 1}}
    here = {"name": "a", "width": 16, "gray": {"depth": 3, "same": 1}, "init": "x", "mode": "b"}
    assert setting_differences(there, here) == [
        "width is 16 here and 8 there",
        "gray.depth is 3 here and 2 there",
        "mode is b here and not set there",
    ]


def test_the_bound_recipe_keeps_init_and_weights_for_others_do_not():
    recipe = toolbox.Recipe.load("default").set("generator.init", "weights:luma")
    plan = bind(recipe, catalog.load(third_party=False))
    assert plan.initial == {"generator": "weights:luma"}
    assert plan.tree()["generator"]["init"] == "weights:luma"
    assert "init" not in plan.tree(include_initial=False)["generator"]
