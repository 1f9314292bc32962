"""The public Python interface: the same bytes as the command line, photographs of every kind, readable errors. 15 s."""

from __future__ import annotations

import sys
import types

import numpy as np
import pytest
from commands import invoke
from PIL import Image
from runs import run as run_command

import toolbox
from toolbox.data import sample
from toolbox.errors import DataError, RecipeError, UsageError
from toolbox.hooks import catalog as catalogs
from toolbox.imaging import io
from toolbox.utils.console import Console, default_console


@pytest.fixture(scope="module")
def restorer():
    """The shipped weights on the CPU."""
    return toolbox.load_restorer("luma", device="cpu")


@pytest.fixture
def gray():
    """A gray photograph (40, 56) with a hole."""
    return io.read_gray(io.find_images(sample.folder() / "photos")[0])[:40, :56]


def tiny_recipe():
    recipe = toolbox.Recipe.load("default").set("generator.width", 4).set("discriminator", {"width": 4})
    return recipe.set("data.size", 32).set("training.batch", 2).set("training.steps", 2)


def content(path):
    """Return the bytes of a file, of a log without the records that have times."""
    data = path.read_bytes()
    return [line for line in data.splitlines() if b'"epoch_end"' not in line] if path.suffix == ".jsonl" else data


def test_train_and_toolbox_run_write_the_same_bytes(tmp_path, photos):
    trained = toolbox.train(tiny_recipe(), data=photos, out=tmp_path / "a", device="cpu")
    run_command("--data", photos, "--out", tmp_path / "b", "--size", 32, "--batch", 2, "--steps", 2)
    names = {path.relative_to(tmp_path / "a") for path in (tmp_path / "a").rglob("*") if path.is_file()}
    assert names == {path.relative_to(tmp_path / "b") for path in (tmp_path / "b").rglob("*") if path.is_file()}
    # The progress of a checkpoint has the seconds that the run took.
    names = {name for name in names if name.suffix in (".safetensors", ".png", ".toml", ".jsonl", ".zip")}
    assert len(names) >= 8
    different = {name for name in names if content(tmp_path / "a" / name) != content(tmp_path / "b" / name)}
    assert not different
    assert trained.result.finished and trained.result.steps == 2
    again = toolbox.train(trained.recipe.set("training.steps", 3), resume=trained, device="cpu")
    assert again.result.steps == 3 and toolbox.Run.open(again.folder).recipe.tree["training"]["steps"] == 3
    rows = again.metrics()
    assert [row["step"] for row in rows if "loss.mse" in row] == [0, 1, 2]
    assert all(not isinstance(value, dict) for row in rows for value in row.values())
    assert again.summary.best is not None and again.previews
    assert toolbox.load_network(again).kinds == (), "a run is accepted wherever its folder is"
    with pytest.raises(UsageError, match=r"is not an empty folder.*with out=DIR.*resume="):
        toolbox.train(tiny_recipe(), data=photos, out=again, device="cpu")


@pytest.mark.parametrize("kind", ["path", "pil", "(H, W)", "(H, W, 1)", "(H, W, 3)"])
def test_restore_takes_a_path_an_image_and_arrays(tmp_path, gray, restorer, kind):
    io.write_png(tmp_path / "gray.png", gray)
    photo = {
        "path": tmp_path / "gray.png",
        "pil": Image.fromarray(gray),
        "(H, W)": gray,
        "(H, W, 1)": gray[..., None],
        "(H, W, 3)": np.repeat(gray[..., None], 3, axis=2),
    }[kind]
    mask = np.zeros(gray.shape, bool)
    mask[5:15, 8:20] = True
    restored = toolbox.restore(photo, mask, weights=restorer)
    assert isinstance(restored, Image.Image) == (kind == "pil")
    pixels = np.asarray(restored)
    assert pixels.shape == (*gray.shape, 3) and pixels.dtype == np.uint8
    assert np.array_equal(pixels, toolbox.restore(gray, mask, weights=restorer))
    assert (pixels[..., 0] != pixels[..., 2]).any(), "no colours"


def test_restore_gives_what_the_command_writes(tmp_path, gray):
    gray = gray.copy()
    gray[5:15, 8:20] = 255
    io.write_png(tmp_path / "gray.png", gray)
    invoke("restore", tmp_path / "gray.png", "-o", tmp_path / "out", "--device", "cpu")
    expected = io.read_rgb(tmp_path / "out" / "gray.png")
    assert np.array_equal(toolbox.restore(tmp_path / "gray.png", device="cpu"), expected)


def test_a_colour_photograph_without_damage_is_returned_unchanged(restorer):
    photo = np.random.default_rng(0).integers(0, 256, (32, 48, 3), np.uint8)
    assert np.array_equal(toolbox.restore(photo, weights=restorer), photo)


@pytest.mark.parametrize("mask", [np.ones((2, 2), bool), Image.new("L", (2, 2))])
def test_a_mask_of_another_size_is_refused(gray, mask):
    with pytest.raises(DataError, match="the mask is 2x2 and the photo 56x40"):
        toolbox.restore(gray, mask)


@pytest.mark.parametrize("values", [np.array([[0, 255]]), np.array([[0, 1]]), np.array([[False, True]])])
def test_masks_of_255_of_1_and_of_booleans_mean_the_same(values):
    from toolbox.inference.photo_arrays import as_mask

    array = values if values.dtype == bool else values.astype(np.uint8)
    assert as_mask(array, (1, 2)).tolist() == [[False, True]]


@pytest.mark.parametrize("photo", [np.zeros((4, 4)), np.zeros((4, 4, 2), np.uint8), np.zeros((0, 4), np.uint8)])
def test_an_array_that_is_no_photograph_is_refused(photo):
    with pytest.raises(ValueError, match="photo is"):
        toolbox.restore(photo)


def test_options_that_are_not_valid_are_named(gray):
    with pytest.raises(UsageError, match="keep is 'all'; it must be auto or one of none, luma, rgb"):
        toolbox.restore(gray, keep="all")
    with pytest.raises(UsageError, match="tone is 'sepia'"):
        toolbox.restore(gray, tone="sepia")


@pytest.mark.parametrize("photo", [None, [[0, 1]], 3])
def test_what_is_no_photograph_is_named(gray, photo):
    with pytest.raises(TypeError, match="a photo is a path, a PIL image or a NumPy array, not a"):
        toolbox.restore(photo)
    with pytest.raises(TypeError, match="a mask is a path, a PIL image or a NumPy array, not a|mask is None; write"):
        toolbox.restore(gray, photo)


def test_a_post_processor_may_be_named_alone():
    from toolbox.inference.postprocessors import find_postprocessors

    catalog = catalogs.load(third_party=False)
    alone, listed = (find_postprocessors(names, catalog) for names in ("match-grain", ["match-grain"]))
    assert [each.entry for each in alone] == [each.entry for each in listed] and len(alone) == 1
    with pytest.raises(UsageError, match="Postprocessor 'match-gain' is not known"):
        find_postprocessors("match-gain", catalog)


class Misspelt:
    def on_steps(self, record):
        """Never called."""


@pytest.mark.parametrize(
    ("observer", "words"),
    [("csv-file", "is a str: it has none of the methods on_start"), (Misspelt(), "on_steps is never called.*on_step")],
)
def test_an_observer_that_is_never_called_is_refused(tmp_path, observer, words):
    with pytest.raises(TypeError, match=rf"observers\[0\] .*{words}"):
        toolbox.train(tiny_recipe(), out=tmp_path / "run", observers=[observer])
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("kind", ["optimizer", "schedule", "source", "recipe", "weights", "command"])
def test_kinds_that_are_not_built_from_params_alone_are_refused(kind):
    with pytest.raises(UsageError, match=f"toolbox.build builds no {kind.removesuffix('s')}s: "):
        toolbox.build(kind, "any")


def test_build_binds_and_builds():
    network = toolbox.build("generators", "inpainting-unet", width=4)
    assert sum(p.numel() for p in network.parameters()) > 0
    loss = toolbox.build("loss", "hole", inner={"name": "mse"})
    assert callable(loss)
    with pytest.raises(RecipeError, match=r'hole.inner: is .mse.; it must be a table: { name = "mse" }'):
        toolbox.build("loss", "hole", inner="mse")
    with pytest.raises(RecipeError, match="widht.*Did you mean 'width'"):
        toolbox.build("generator", "inpainting-unet", widht=4)
    with pytest.raises(UsageError, match="Kind 'network' is not known"):
        toolbox.build("network", "inpainting-unet")


def test_score_of_arrays_and_of_folders(tmp_path):
    truth = io.read_rgb(io.find_images(sample.folder() / "photos")[0])[:32, :32]
    mask = np.zeros((32, 32), bool)
    mask[8:20, 8:20] = True
    assert toolbox.score(truth, truth, masks=mask).score == 1
    for name in ("truth", "results", "masks"):
        (tmp_path / name).mkdir()
        io.write_png(tmp_path / name / "a.png", mask * np.uint8(255) if name == "masks" else truth)
    scores = toolbox.score(tmp_path / "results", str(tmp_path / "truth"), masks=tmp_path / "masks")
    assert scores.mean.score == 1 and list(scores.images) == ["a.png"]
    with pytest.raises(ValueError, match="same shape"):
        toolbox.score(truth, truth[:16])


def test_score_takes_pil_images_and_refuses_lists(gray):
    picture = Image.fromarray(np.repeat(gray[..., None], 3, axis=2))
    mask = np.zeros(gray.shape, np.uint8)
    mask[4:30, 4:30] = 255
    by_image = toolbox.score(picture, picture, masks=Image.fromarray(mask))
    assert by_image == toolbox.score(np.asarray(picture), np.asarray(picture), masks=mask > 0)
    with pytest.raises(TypeError, match="one picture, or the folders of several, not a list"):
        toolbox.score([picture], [picture])


def test_a_key_that_is_none_is_refused():
    with pytest.raises(UsageError, match="'generator..lr' is not a key"):
        toolbox.Recipe.load("default").set("generator..lr", 1)


def test_training_shows_the_preview_of_each_validation(tmp_path, photos):
    class Recorder(Console):
        shown: list = []

        def show_picture(self, path):
            assert path.is_file()
            self.shown.append(path)

    run = toolbox.train(tiny_recipe(), data=photos, out=tmp_path / "a", device="cpu", console=Recorder(silent=True))
    assert Recorder.shown == run.previews and len(run.previews) == 1


def test_a_folder_that_is_no_run_is_refused(tmp_path):
    for folder in (tmp_path, "x" * 5000):
        with pytest.raises(UsageError, match="not a run folder"):
            toolbox.Run.open(folder)


class FakeHandle:
    def __init__(self):
        self.shown = []

    def update(self, value):
        self.shown.append(value)


def test_a_notebook_gets_a_bar_and_pictures_inline(monkeypatch, capsys, tmp_path):
    assert isinstance(default_console(), Console)
    handle, displayed = FakeHandle(), []

    def display(value, display_id=False):
        displayed.append(value)
        return handle

    shell = type("ZMQInteractiveShell", (), {})()
    functions = types.SimpleNamespace(HTML=str, Image=lambda filename: filename, display=display)
    monkeypatch.setitem(sys.modules, "IPython", types.SimpleNamespace(get_ipython=lambda: shell, display=functions))
    console = default_console()
    console.print_line("epoch 1")
    with console.progress_bar("training <1>", 2) as advance:
        advance()
        advance()
    console.show_picture(tmp_path / "epoch-001.png")
    assert capsys.readouterr().out == "epoch 1\n"
    assert displayed[0].startswith('<progress value="0" max="2"></progress> training &lt;1&gt; 0/2')
    assert handle.shown[-1].startswith('<progress value="2" max="2">')
    assert displayed[1] == str(tmp_path / "epoch-001.png")
