"""Arguments from Python: what is reasonable is taken, everything else is named. 4 s."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny_weights import write_tiny_run

import toolbox
from toolbox.errors import UsageError

PICTURE = np.zeros((16, 16, 3), np.uint8)


def collector():
    class Collector(toolbox.Observer):
        def on_step(self, record):
            pass

    return Collector


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("data.size", np.int64(64), 64),
        ("generator.optimizer.lr", np.float32(0.5), 0.5),
        ("generator.optimizer.betas", (0.9, np.float64(0.99)), [0.9, 0.99]),
        ("generator.optimizer.betas", np.array([0.9, 0.99]), [0.9, 0.99]),
        ("generator.init", Path("runs/one"), "runs/one"),
        ("data", {"size": np.int32(64)}, {"size": 64}),
    ],
    ids=repr,
)
def test_numbers_of_numpy_paths_and_tuples_are_settings(key, value, expected):
    tree = toolbox.Recipe.load("default").set(key, value).tree
    for part in key.split("."):
        tree = tree[part]
    found = {name: tree[name] for name in expected} if isinstance(expected, dict) else tree
    assert found == expected and type(found) is type(expected)


def test_numbers_of_numpy_are_params():
    assert toolbox.build("generator", "inpainting-unet", width=np.int64(4), levels=2) is not None


def test_a_run_can_start_from_weights_at_a_path(tmp_path, photos):
    tiny = write_tiny_run(tmp_path / "tiny")
    recipe = toolbox.Recipe.load("default").set("generator", {"width": np.int64(4), "levels": 2, "init": tiny})
    recipe = recipe.set("discriminator.width", 4).set("data.size", np.int64(32)).set("training.steps", 1)
    run = toolbox.train(recipe, data=photos, out=tmp_path / "run", device="cpu")
    assert run.result.finished and run.recipe.tree["generator"]["init"] == str(tiny)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: toolbox.Recipe.load(3), TypeError, "a recipe is a name or a path .*, not a int"),
        (lambda: toolbox.Recipe.load(""), UsageError, "Recipe '' is not known"),
        (lambda: toolbox.Recipe.load("default").set(3, 1), TypeError, "a key is a string such as"),
        (lambda: toolbox.train({"generator": {}}), TypeError, "a recipe is a name or a path .*, not a dict"),
        (lambda: toolbox.train("default", data=""), UsageError, "data: the path is empty"),
        (lambda: toolbox.train("default", out=""), UsageError, "out: the path is empty"),
        (lambda: toolbox.train(resume=""), UsageError, "resume: the path is empty"),
        (lambda: toolbox.train("default", data=[PICTURE]), TypeError, "data is a path, not a list"),
        (lambda: toolbox.train(resume="run", out="other"), UsageError, "leave out `out`"),
        (lambda: toolbox.train("default", observers=collector()()), TypeError, r"observers=\[observer\]"),
        (lambda: toolbox.train("default", observers=[collector()]), TypeError, r"is a class; .*: Collector\(\)"),
        (lambda: toolbox.Run.open(""), UsageError, "folder: the path is empty"),
        (lambda: toolbox.Run.open(None), TypeError, "folder is a path, not a NoneType"),
        (lambda: toolbox.score("", "truth"), UsageError, "restored: the path is empty"),
        (lambda: toolbox.score("restored", PICTURE), TypeError, "truth is a path, not a ndarray"),
        (lambda: toolbox.score(PICTURE, "truth"), TypeError, "restored is a picture, and truth a str"),
        (lambda: toolbox.score(PICTURE, PICTURE, inputs=PICTURE), TypeError, "inputs and lpips only with folders"),
        (lambda: toolbox.score(PICTURE, PICTURE, lpips="x"), TypeError, "inputs and lpips only with folders"),
        (lambda: toolbox.score("run", data=""), UsageError, "data: the path is empty"),
        (lambda: toolbox.score("run", data="x", sise=3), TypeError, "no option sise. Did you mean 'size'"),
        (lambda: toolbox.score("run", data="x", size=0), UsageError, "size is 0; it must be a whole number of at"),
        (lambda: toolbox.score("run", data="x", seed=-1), UsageError, "seed is -1; it must be a whole number of at"),
        (lambda: toolbox.score("run", data="x", held_out="no"), UsageError, "held_out is 'no'; it must be True"),
        (lambda: toolbox.load_network("luma", device="gpu"), UsageError, "gpu is not a device"),
        (lambda: toolbox.load_restorer(None), TypeError, "weights are a name or a path, not a NoneType"),
        (lambda: toolbox.load_restorer(np.zeros((9, 9))), TypeError, "weights are a name or a path, not a ndarray"),
        (lambda: toolbox.load_network(3), TypeError, "weights are a name or a path, not a int"),
        (lambda: toolbox.load_restorer("luma", post=3), TypeError, "post is a name or a list of names, not a int"),
        (lambda: toolbox.load_restorer("luma", post={"name": "x"}), TypeError, "post is a name or a list of names"),
        (lambda: toolbox.open_folder(""), UsageError, "the path is empty"),
        (lambda: toolbox.open_folder(3), TypeError, "is a path, not a int"),
        (lambda: toolbox.find_painted_shape(Image.new("L", (9, 9))), TypeError, "an image is a NumPy array"),
    ],
)
def test_wrong_arguments_are_named(call, error, words):
    with pytest.raises(error, match=words):
        call()


def test_a_folder_may_be_a_string_and_counts_are_true(photos):
    assert toolbox.open_folder(str(photos)).kind == "photos"
    with pytest.raises(toolbox.errors.DataError, match="contains 6 photographs. At least 7 are needed."):
        toolbox.open_folder(photos, min_count=7)


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"weights": "absent"}, UsageError, "Weights 'absent' is not known"),
        ({"fill": "absent"}, UsageError, "Filler 'absent' is not known"),
        ({"post": "absent"}, UsageError, "Postprocessor 'absent' is not known"),
        ({"device": "gpu"}, UsageError, "gpu is not a device"),
        ({"tile": 3}, UsageError, "A tile of 3 pixels is not possible"),
        ({"saturation": 5}, ValueError, "a saturation of 5 is not possible"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_options_are_checked_also_if_there_is_nothing_to_restore(options, error, words, monkeypatch):
    photo = np.random.default_rng(0).integers(0, 255, (32, 32, 3), np.uint8)
    with pytest.raises(error, match=words):
        toolbox.restore(photo, **options)

    def fail(*arguments, **options):
        raise AssertionError("nothing is restored, so no weights are needed")

    monkeypatch.setattr("toolbox.inference.arrays.load_restorer", fail)
    assert (toolbox.restore(photo) == photo).all()
