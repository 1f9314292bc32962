"""Data sources (hook toolbox_sources): each gives the run of its data folder; cache, resuming, faults. 20 s."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from commands import invoke
from runs import newest_checkpoint, run, steps
from safetensors.torch import load_file

import toolbox
from toolbox.config.binding import bind
from toolbox.config.recipe import Recipe
from toolbox.data import loader, split
from toolbox.data.decoded_cache import open_cache
from toolbox.data.sources import build_source, open_source
from toolbox.errors import DataError, PluginError
from toolbox.hooks import blame, catalog
from toolbox.hooks.isolation import PluginWarning
from toolbox.imaging import io
from toolbox.testing import check_component

OPTIONS = ["--size", 32, "--batch", 2, "--epochs", 2]


@pytest.fixture(scope="module")
def installed():
    return catalog.load(third_party=False)


@pytest.fixture
def packed(competition, tmp_path):
    invoke("data", "pack", competition, tmp_path / "shards")
    return tmp_path / "shards"


def plan_of(installed, name):
    return bind(Recipe.load("default").set("source.name", name), installed)


def test_a_packed_folder_has_the_same_photographs_and_splits(installed, competition, packed):
    expected = toolbox.open_folder(competition)
    source = open_source(plan_of(installed, "webdataset"), packed)
    assert source.kind == "pairs"
    for ours, theirs in ((source.items, expected.items), (source.tests, expected.tests)):
        assert [item.name for item in ours] == [item.name for item in theirs]
        for one, other in zip(ours, theirs, strict=True):
            assert (io.read_gray(one.input) == io.read_gray(other.input)).all()
    settings = plan_of(installed, "webdataset").settings.split
    parts = [split.split_items(found.items, settings, print) for found in (source, expected)]
    assert [[item.name for item in part.train] for part in parts][0] == [item.name for item in parts[1].train]
    assert parts[0].leaks == parts[1].leaks


def test_a_run_over_tar_files_is_that_of_the_folder_and_resumes_exactly(tmp_path, competition, packed):
    source = ["--set", "source.name=webdataset"]
    run("--data", competition, "--out", tmp_path / "folder", *OPTIONS)
    run("--data", packed, "--out", tmp_path / "tar", *OPTIONS, *source, "--set", "training.steps=3")
    recipe = tmp_path / "tar" / "recipe.toml"
    recipe.write_text(recipe.read_text("utf-8").replace("steps = 3\n", ""), "utf-8")
    assert 'name = "webdataset"' in recipe.read_text("utf-8")
    run("--resume", tmp_path / "tar")
    assert steps(tmp_path / "tar") == steps(tmp_path / "folder")
    newest = [newest_checkpoint(tmp_path / name) / "generator.safetensors" for name in ("folder", "tar")]
    expected, actual = map(load_file, newest)
    assert all(bool((actual[key] == expected[key]).all()) for key in expected)
    assert (tmp_path / "tar" / "submission.zip").read_bytes() == (tmp_path / "folder" / "submission.zip").read_bytes()


def test_the_cache_follows_the_identity(installed, packed, monkeypatch):
    (item, *_) = open_source(plan_of(installed, "webdataset"), packed).items
    recipe = loader.SampleRecipe(size=32, seed=0, damage=(), augment=(), cache=open_cache())
    first = loader.load_sample(item, recipe, loader.Stream.VALIDATION)
    monkeypatch.setattr(type(item.truth), "read", lambda self: b"")
    again = loader.load_sample(item, recipe, loader.Stream.VALIDATION)
    assert (again.truth == first.truth).all()
    monkeypatch.setattr(type(item.truth), "identity", lambda self: "other bytes")
    with pytest.raises(DataError, match=r"shard-000000.tar/.*\.png"):
        loader.load_sample(item, recipe, loader.Stream.VALIDATION)


@pytest.mark.parametrize("name", ["folders", "webdataset", "lmdb"])
def test_the_sources_that_ship_conform(installed, name):
    checks = check_component(installed.find("source", name), None, installed)
    assert not [check for check in checks if check.status == "failed"], checks
    if name == "lmdb" and any("No module named 'lmdb'" in check.detail for check in checks):
        pytest.skip("needs the package lmdb, which is not here")
    assert {check.name for check in checks} >= {"opening", "images", "identity", "reading in threads"}


def broken(build):
    return toolbox.SourceSpec(name="broken", summary="A source", build=build, reference="a test")


@pytest.mark.parametrize(
    ("build", "error", "message"),
    [
        (
            lambda params, location: 3,
            PluginError,
            "returned int from build. Expected: build",
        ),
        (
            lambda params, location: 1 / 0,
            PluginError,
            r"ZeroDivisionError: division by zero \(.*test_sources.py:\d+\)",
        ),
        (lambda params, location: int("x"), DataError, "invalid literal"),
        (
            lambda params, location: toolbox.Source(kind="x", items=(toolbox.Item(name="a", truth="a.png"),)),
            PluginError,
            "a has no image, or one without name, read",
        ),
        (
            lambda params, location: toolbox.Source(kind="x", items=(toolbox.Item(name="a", input=Path("a.png")),)),
            DataError,
            "a has no truth",
        ),
        (lambda params, location: toolbox.Source(kind="x", items=()), DataError, "has 0 photographs"),
    ],
)
def test_a_source_that_breaks_its_contract_is_named(build, error, message, monkeypatch):
    loaded = catalog.load(third_party=False)
    entry = catalog.Entry(kind="source", spec=broken(build), plugin="test", distribution="", version="")
    loaded.components["source"]["broken"] = entry
    with pytest.raises(error, match="broken.*" + message):
        open_source(plan_of(loaded, "broken"), None)


class Photo:
    """An image of a source that has a fault."""

    def __init__(self, fault=""):
        self.fault = fault

    @property
    def name(self):
        if self.fault == "name":
            raise KeyError("no luck")
        return "a.png"

    def read(self):
        if self.fault == "folder":
            os.chdir("/")
        return b"x"

    def identity(self):
        return f"a {id(self)}"


def source_of(fault):
    items = (toolbox.Item(name="a.png", truth=Photo(fault)), toolbox.Item(name="b.png", truth=Photo()))
    spec = broken(lambda params, location: toolbox.Source(kind="x", items=items))
    loaded = catalog.load(third_party=False)
    entry = catalog.Entry(kind="source", spec=spec, plugin="test", distribution="", version="")
    loaded.components["source"]["broken"] = entry
    return open_source(plan_of(loaded, "broken"), None)


def test_photographs_may_come_from_a_generator_and_have_different_identities(installed):
    class Same(Photo):
        def identity(self):
            return "the same"

    def opened(items):
        spec = broken(lambda params, location: toolbox.Source(kind="x", items=items))
        loaded = catalog.load(third_party=False)
        entry = catalog.Entry(kind="source", spec=spec, plugin="test", distribution="", version="")
        loaded.components["source"]["broken"] = entry
        return open_source(plan_of(loaded, "broken"), None)

    names = ("a.png", "b.png")
    assert len(opened(toolbox.Item(name=name, truth=Photo()) for name in names).items) == 2
    with pytest.raises(DataError, match=r"a.png and b.png have the same identity\(\); return a text"):
        opened([toolbox.Item(name=name, truth=Same()) for name in names])
    with pytest.raises(PluginError, match="whose photographs are a int, not a tuple"):
        opened(3)


def test_an_image_whose_name_raises_names_the_source():
    with pytest.raises(KeyError) as caught:
        source_of("name")
    assert "Source 'broken' of the plugin 'test' raised KeyError: 'no luck'" in str(blame.explain(caught.value))


def test_what_reading_an_image_changes_is_put_back_and_named():
    folder = os.getcwd()
    with pytest.warns(PluginWarning, match="Source 'broken' of the plugin 'test' changed the working folder"):
        assert source_of("folder").items[0].truth.read() == b"x"
    assert os.getcwd() == folder


def test_images_that_are_not_unique_or_have_no_truth_are_refused(installed, tmp_path):
    import tarfile

    bound = plan_of(installed, "webdataset").source
    (tmp_path / "a.png").write_bytes(b"x")
    cases = ((("k.input.png",), "k has no truth"), (("a/k.png", "b/k.png"), "two images for the truth of k"))
    for names, message in cases:
        with tarfile.open(tmp_path / "x.tar", "w:") as archive:
            for name in names:
                archive.add(tmp_path / "a.png", name)
        with pytest.raises(DataError, match=message):
            build_source(bound, tmp_path / "x.tar")
    with pytest.raises(DataError, match="no tar file, and no folder"):
        build_source(bound, tmp_path / "nowhere")
    with pytest.raises(DataError, match="it needs data: a path"):
        build_source(bound, None)


def test_the_source_folders_is_the_default(installed, photos, tmp_path):
    assert open_source(plan_of(installed, "folders"), photos) == toolbox.open_folder(photos)


SOURCE = """
import sys
from pathlib import Path

from toolbox import Item, Source, SourceSpec, hookimpl

FAULT = {fault!r}


class Image:
    def __init__(self, path):
        self.path, self.name = path, path.name

    def read(self):
        if FAULT == "read raises":
            raise OSError("no luck")
        return None if FAULT == "read returns None" else self.path.read_bytes()

    def identity(self):
        return None if FAULT == "identity returns None" else str(self.path)


def build(params, location):
    if FAULT == "ends the program":
        sys.exit(0)
    items = [
        Item(name="same.png" if FAULT == "equal names" else path.name, input=None, truth=Image(path))
        for path in sorted(Path(location).iterdir())
    ]
    return Source(kind="photos", items=tuple(items), tests=())


@hookimpl
def toolbox_sources():
    return [SourceSpec(name="mine", summary="x", build=build)]
"""


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("read raises", "Source 'mine' of the plugin 'mine' can't read"),
        ("read returns None", "returned NoneType from read() of"),
        ("identity returns None", "returned NoneType from identity() of"),
        ("ends the program", "Source 'mine' of the plugin 'mine' ends the program (SystemExit: 0)"),
        ("equal names", "same.png is the name of several photographs"),
    ],
)
def test_a_source_that_fails_is_named(fault, words, photos, tmp_path):
    (tmp_path / "mine.py").write_text(SOURCE.format(fault=fault), "utf-8")
    invoke("plugin", "add", tmp_path / "mine.py")
    options = ["--data", photos, "--out", tmp_path / "run", *OPTIONS, "--set", "source.name=mine"]
    output = run(*options, code=1).output
    assert words in output and "Traceback" not in output
