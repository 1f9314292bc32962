"""Detectors through `toolbox restore`, `toolbox mask`, recipes and `load_restorer`."""

from __future__ import annotations

import json

import numpy as np
import pytest
from commands import invoke, invoke_error
from pictures import smooth

import toolbox
from toolbox.color import integer_luma
from toolbox.config import recipe
from toolbox.config.binding import bind
from toolbox.errors import PluginError, UsageError
from toolbox.hooks import catalog as catalogs
from toolbox.hooks.catalog import Catalog, Entry
from toolbox.imaging import io
from toolbox.inference.detectors import default_mask, find_detector, recipe_detector
from toolbox.masks.detectors import PAINTED_SHAPE, LoadedDetector

CATALOG = catalogs.load(third_party=False)
TINY = {"generator": {"name": "inpainting-unet", "width": 4, "levels": 2}, "losses": {"mse": {}}}


def white(image, /):
    """Count white as lost."""
    gray = image if image.ndim == 2 else image.min(axis=2)
    return toolbox.Detection(mask=gray == 255, probabilities={"white": gray.astype(np.float32) / 255})


SPEC = toolbox.DetectorSpec(name="white", summary="White", build=lambda params: white, kinds=("white",))


@pytest.fixture
def with_white(monkeypatch):
    """Install the detector `white`, as a plugin would with the hook toolbox_detectors."""
    entry = Entry(kind="detector", spec=SPEC, plugin="test", distribution="", version="")
    components = CATALOG.components | {"detector": CATALOG.components["detector"] | {"white": entry}}
    catalog = Catalog(components=components, plugins=CATALOG.plugins)
    monkeypatch.setattr(catalogs, "load", lambda **options: catalog)
    return catalog


def scratched():
    image = np.minimum(smooth(40, 60), 250)
    image[:, 20:23] = 255
    return image, (image == 255).all(axis=2)


def test_a_detector_of_a_plugin_finds_what_is_filled_in_a_colour_photo(tmp_path, with_white):
    image, mask = scratched()
    (tmp_path / "in").mkdir()
    io.write_png(tmp_path / "in" / "a.png", image)
    words = ["restore", tmp_path / "in", "--device", "cpu"]
    assert "left as it is" in invoke(*words, "-o", tmp_path / "default").output
    invoke(*words, "-o", tmp_path / "out", "--detector", "white")
    restored = io.read_rgb(tmp_path / "out" / "a.png")
    assert np.array_equal(restored[~mask], image[~mask]) and (restored[mask] < 255).any(axis=1).all()
    assert np.array_equal(toolbox.restore(image, detector="white", device="cpu"), restored)


def test_the_mask_command_writes_what_a_detector_finds_and_its_probabilities(tmp_path, with_white):
    image, mask = scratched()
    (tmp_path / "in").mkdir()
    io.write_png(tmp_path / "in" / "a.png", image)
    words = ["mask", tmp_path / "in", "-o", tmp_path / "out", "--detector", "white", "--probabilities", "--json"]
    assert json.loads(invoke(*words).stdout)[0]["lost"] == mask.mean()
    assert np.array_equal(io.read_mask(tmp_path / "out" / "a.png"), mask)
    assert np.array_equal(io.read_gray(tmp_path / "out" / "a.white.png"), image.min(axis=2))


def test_a_recipe_names_its_detector(with_white):
    for restoring, name in ({}, None), ({"detector": "white"}, "white"), ({"detector": {"name": "white"}}, "white"):
        plan = bind(recipe.Recipe(name="tiny", tree=TINY | {"restoring": restoring}), with_white)
        found = recipe_detector(plan)
        assert (found and found.name) == name


def test_an_unknown_detector_is_refused_with_the_choices(tmp_path):
    with pytest.raises(UsageError, match="Detector 'scratch' is not known.*painted-shape"):
        find_detector("scratch", CATALOG)
    io.write_png(tmp_path / "a.png", smooth())
    words = ["restore", tmp_path / "a.png", "-o", tmp_path / "out", "--detector", "painted-shape"]
    assert "leave one out" in invoke_error(*words, "--mask", "none")


def test_the_default_detector_is_that_of_the_default_bundle():
    image = np.random.default_rng(0).integers(0, 200, (60, 60), dtype=np.uint8)
    image[20:40, 10:30] = 230
    expected = image == 230
    for detector in (PAINTED_SHAPE, find_detector("painted-shape", CATALOG)):
        assert detector.gray_only
        assert np.array_equal(detector(image).mask, expected)
        assert np.array_equal(default_mask(np.repeat(image[..., None], 3, axis=2), detector), expected)
        assert np.array_equal(default_mask(image.astype(np.uint16) << 8, detector), expected)
    colored = np.dstack([image, image, integer_luma(smooth(60, 60))])
    assert not default_mask(colored).any()


@pytest.mark.parametrize(
    ("detect", "message"),
    [
        (lambda image, /: image > 0, "no Detection"),
        (lambda image, /: toolbox.Detection(mask=image[:-1] > 0), "no Detection"),
        (lambda image, /: toolbox.Detection(mask=image), "no Detection"),
        (lambda image, /: 1 / 0, "raised ZeroDivisionError"),
        (lambda image, /: toolbox.Detection(mask=image > 0, probabilities=[image]), "probabilities that are a list"),
        (
            lambda image, /: toolbox.Detection(mask=image > 0, probabilities={"whte": np.zeros(image.shape)}),
            "returned probabilities of 'whte', which is not among the kinds of its spec",
        ),
    ],
)
def test_a_detector_that_breaks_the_contract_is_reported(detect, message):
    entry = Entry(kind="detector", spec=SPEC, plugin="test", distribution="", version="")
    with pytest.raises(PluginError, match=f"Detector 'white' of the plugin 'test'.*{message}"):
        LoadedDetector(name="broken", detect=detect, entry=entry)(integer_luma(smooth()))
