"""Fills through `toolbox restore`, recipes and `load_restorer`: known pixels, defaults, refusals."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from commands import invoke, invoke_error
from pictures import scene

import toolbox
from toolbox.color import integer_luma
from toolbox.config import recipe
from toolbox.config.binding import bind
from toolbox.errors import PluginError, RecipeError, UsageError
from toolbox.hooks import catalog as catalogs
from toolbox.hooks.catalog import Entry
from toolbox.imaging import io
from toolbox.inference import loading
from toolbox.inference.fillers import LoadedFiller, fill_view, find_filler, recipe_filler
from toolbox.inference.photo_view import make_view

CATALOG = catalogs.load(third_party=False)
FILLERS = CATALOG.names("filler")
TINY = {"generator": {"name": "inpainting-unet", "width": 4, "levels": 2}, "losses": {"mse": {}}, "keep": "luma"}


@pytest.fixture(scope="module")
def restorer():
    return toolbox.load_restorer("luma", device="cpu")


def damaged(height, width, *, color, lost):
    image = scene(height, width, 3 if color else 1, seed=5)
    mask = np.zeros((height, width), bool)
    mask[lost] = True
    return image, mask


HOLES = {
    "at a corner": (40, 33, np.s_[:12, 20:]),
    "across": (20, 40, np.s_[:, 17:20]),
    "one of two pixels": (1, 2, np.s_[:, :1]),
}


@pytest.mark.parametrize("color", [False, True], ids=["gray", "colour"])
def test_any_hole_is_filled_by_default_and_known_pixels_are_exact(tmp_path, color):
    photos, masks = tmp_path / "photos", tmp_path / "masks"
    photos.mkdir()
    masks.mkdir()
    cases = {}
    for number, (height, width, lost) in enumerate(HOLES.values()):
        image, mask = damaged(height, width, color=color, lost=lost)
        cases[f"{number}.png"] = image, mask
        io.write_png(photos / f"{number}.png", image)
        io.write_png(masks / f"{number}.png", mask.astype(np.uint8) * 255)
    words = ["restore", photos, "--mask", masks, "--device", "cpu", "--keep", "rgb" if color else "luma"]
    for out in ("one", "two"):
        invoke(*words, "-o", tmp_path / out)
    invoke(*words, "-o", tmp_path / "auto", "--fill", "auto")
    for name, (image, mask) in cases.items():
        restored = io.read_rgb(tmp_path / "one" / name)
        known = restored if color else integer_luma(restored)
        assert np.array_equal(known[~mask], image[~mask])
        for again in ("two", "auto"):
            assert np.array_equal(restored, io.read_rgb(tmp_path / again / name))
        if color:
            expected = find_filler("auto", CATALOG)(image, mask)
            assert np.array_equal(restored, expected)


@pytest.mark.parametrize("size", [(1, 1), (17, 9)])
@pytest.mark.parametrize("color", [False, True], ids=["gray", "colour"])
def test_a_photo_lost_completely_is_no_error(restorer, size, color):
    image, mask = damaged(*size, color=color, lost=np.s_[:, :])
    lines: list[str] = []
    keep = "rgb" if color else "luma"
    filled = replace(restorer, filler=find_filler("auto", CATALOG), keep=keep, warn=lines.append)(image, mask)
    assert filled.shape == (*size, 3) and not integer_luma(filled).any()
    assert len(lines) == 1 and "all of the photograph counts as lost" in lines[0]


def test_the_network_fills_as_before_if_asked_or_if_the_recipe_says_nothing(tmp_path, restorer):
    image, mask = damaged(48, 64, color=False, lost=np.s_[10:34, 20:40])
    (tmp_path / "in").mkdir()
    io.write_png(tmp_path / "in" / "a.png", image)
    io.write_png(tmp_path / "mask.png", mask.astype(np.uint8) * 255)
    words = ["restore", tmp_path / "in", "--mask", tmp_path / "mask.png", "--device", "cpu"]
    invoke(*words, "-o", tmp_path / "network", "--fill", "network")
    network = toolbox.load_restorer("luma", device="cpu", fill="network")
    assert network.filler is None
    expected = network(image, mask)
    assert np.array_equal(io.read_rgb(tmp_path / "network" / "a.png"), expected)
    filled = toolbox.load_restorer("luma", device="cpu", fill="smooth")(image, mask)
    assert not np.array_equal(filled, expected)


def test_a_gray_photo_is_coloured_after_it_was_filled(restorer):
    image, mask = damaged(48, 64, color=False, lost=np.s_[10:34, 20:40])
    restored = toolbox.load_restorer("luma", device="cpu", fill="texture")(image, mask)
    filled = find_filler("texture", CATALOG)(image, mask)
    assert np.array_equal(integer_luma(restored), filled)
    assert np.array_equal(restored, restorer(filled, np.zeros_like(mask)))


@pytest.mark.parametrize(
    ("value", "name"),
    [(None, None), ("network", None), ("smooth", "smooth"), ({"name": "texture"}, "texture")],
)
def test_a_recipe_names_its_filler(value, name):
    restoring = {} if value is None else {"fill_with": value}
    plan = bind(recipe.Recipe(name="tiny", tree=TINY | {"restoring": restoring}), CATALOG)
    filler = recipe_filler(plan)
    assert (filler and filler.entry.spec.name) == name
    again = bind(recipe.Recipe(name="tiny", tree=recipe.parse(recipe.dump(plan.tree()), "again")), CATALOG)
    assert again.tree() == plan.tree()


def test_wrong_fillers_are_refused_with_the_choices(tmp_path):
    tree = TINY | {"restoring": {"fill_with": {"name": "textur"}}}
    with pytest.raises(RecipeError, match=r"restoring\.fill_with.*Did you mean 'texture'"):
        bind(recipe.Recipe(name="tiny", tree=tree), CATALOG)
    with pytest.raises(RecipeError, match=r"restoring\.fill_with.*radius"):
        bind(
            recipe.Recipe(name="tiny", tree=TINY | {"restoring": {"fill_with": {"name": "smooth", "radius": 1}}}),
            CATALOG,
        )
    with pytest.raises(UsageError, match="Filler 'blur' is not known.*network"):
        find_filler("blur", CATALOG)
    (tmp_path / "in").mkdir()
    io.write_png(tmp_path / "in" / "a.png", scene(8, 8, 1, seed=0))
    assert "'blur'" in invoke_error("restore", tmp_path / "in", "-o", tmp_path / "out", "--fill", "blur")


def test_the_old_name_of_the_networks_fill_size_is_read():
    for tree in (recipe.parse("[restoring]\nfill = 96\n", "old"), {"restoring": {"network_fill_size": 96}}):
        assert bind(recipe.Recipe(name="tiny", tree=TINY | tree), CATALOG).settings.restoring.network_fill_size == 96
    both = recipe.parse("[restoring]\nfill = 96\nnetwork_fill_size = 64\n", "both")
    assert both == {"restoring": {"network_fill_size": 64}}


BROKEN = Entry(
    kind="filler",
    spec=toolbox.FillerSpec(name="broken", summary="Broken", build=lambda params: None),
    plugin="test",
    distribution="",
    version="",
)


@pytest.mark.parametrize(
    ("filler", "message"),
    [
        (lambda image, mask, *, seed: image[:-1], r"returned uint8 \[7, 9\] for uint8 \[8, 9\]"),
        (lambda image, mask, *, seed: image.astype(np.float32), "returned float32"),
        (lambda image, mask, *, seed: None, "returned NoneType"),
        (lambda image, mask: image, "raised TypeError"),
    ],
)
def test_a_filler_that_breaks_the_contract_is_reported(filler, message):
    image, mask = damaged(8, 9, color=False, lost=np.s_[2:4, 2:4])
    with pytest.raises(PluginError, match=f"Filler 'broken' of the plugin 'test'.*{message}"):
        LoadedFiller(fill=filler, entry=BROKEN)(image, mask)


def test_a_filler_that_changes_everything_changes_no_known_pixel():
    image, mask = damaged(8, 9, color=True, lost=np.s_[2:4, 2:4])
    before = image.copy()

    def paint(image, mask, *, seed):
        image[:] = 7
        mask[:] = True
        return image

    filled = fill_view(make_view(image, mask), LoadedFiller(fill=paint))
    assert np.array_equal(image, before) and not filled.mask.any()
    assert (filled.image[mask] == 7).all() and np.array_equal(filled.image[~mask], before[~mask])


def test_a_filler_named_network_is_refused():
    with pytest.raises(ValueError, match="stands for the generator"):
        toolbox.FillerSpec(name="network", summary="No", build=lambda params: None)


def test_the_command_passes_the_default_of_the_shipped_weights(monkeypatch, tmp_path):
    seen = []
    monkeypatch.setattr(loading, "load_restorer", lambda weights, **options: seen.append(options["fill"]) or loading)
    monkeypatch.setattr("toolbox.inference.batch.restore_all", lambda *args, **options: iter(()))
    monkeypatch.setattr("toolbox.inference.detectors.weights_detector", lambda weights, catalog: None)
    (tmp_path / "in").mkdir()
    io.write_png(tmp_path / "in" / "a.png", scene(8, 8, 1, seed=0))
    for number, words in enumerate([[], ["--weights", "mine"], ["--weights", "mine", "--fill", "smooth"]]):
        invoke("restore", tmp_path / "in", "-o", tmp_path / str(number), *words)
    assert seen == ["auto", None, "smooth"]
