"""Reading recipes: inheritance, overrides, what is wrong with a file."""

from __future__ import annotations

import pytest

from toolbox.config import recipe
from toolbox.errors import UsageError


@pytest.fixture
def library(tmp_path):
    """Write recipes by name and return a function that finds them."""

    def write(**texts):
        for name, text in texts.items():
            (tmp_path / f"{name}.toml").write_text(text, "utf-8")
        return lambda name: tmp_path / f"{name}.toml"

    return write


def test_extends_merges_table_by_table(library):
    find = library(base="seed = 1\n[a.b]\nx = 1\ny = 2\n", child='extends = "base"\n[a.b]\ny = 3\n')
    assert recipe.read("child", find).tree == {"seed": 1, "a": {"b": {"x": 1, "y": 3}}}


def test_another_component_drops_the_inherited_params_and_keeps_its_place(library):
    find = library(
        base='[generator]\nname = "unet"\nwidth = 64\n[generator.optimizer]\nname = "adamw"\nlr = 1.0\n'
        "[losses.mse]\nweight = 50\npower = 2\n",
        child='extends = "base"\n[generator]\nname = "timm-unet"\n[losses.mse]\nname = "l1"\n',
    )
    tree = recipe.read("child", find).tree
    assert tree["generator"] == {"name": "timm-unet", "optimizer": {"name": "adamw", "lr": 1.0}}
    assert tree["losses"]["mse"] == {"name": "l1", "weight": 50}


def test_another_schedule_drops_every_key_of_the_inherited_one(library):
    find = library(
        base='[generator.schedule]\nname = "step"\nevery = 10\n',
        child='extends = "base"\n[generator.schedule]\nname = "cosine"\n',
    )
    assert recipe.read("child", find).tree["generator"] == {"schedule": {"name": "cosine"}}


def test_overrides_take_toml_values_and_bare_words(library):
    find = library(base="[generator.optimizer]\nlr = 1e-4\n")
    tree = recipe.read("base", find, ["generator.optimizer.lr=2e-4", "keep=luma", "losses.lost-x.on=[1, 2]"]).tree
    assert tree == {"generator": {"optimizer": {"lr": 2e-4}}, "keep": "luma", "losses": {"lost-x": {"on": [1, 2]}}}


@pytest.mark.parametrize("override", ["seed", "=3", "a..b=1"])
def test_an_override_that_is_none_says_how_to_write_one(library, override):
    with pytest.raises(UsageError, match="write KEY=VALUE"):
        recipe.read("base", library(base=""), [override])


def test_a_circle_is_named(library):
    find = library(a='extends = "b"', b='extends = "a"')
    with pytest.raises(UsageError, match="a.toml -> b.toml -> a.toml"):
        recipe.read("a", find)


def test_broken_toml_says_the_line(library):
    with pytest.raises(UsageError, match="line 2"):
        recipe.read("base", library(base="seed = 1\nkeep = \n"))


def test_the_sample_table_acts_only_on_the_sample_and_below_the_overrides(library):
    find = library(base="[data]\nsize = 512\n[sample]\nsize = 64\nepochs = 4\n")
    assert recipe.read("base", find).tree["data"]["size"] == 512
    tree = recipe.read("base", find, sample=True).tree
    assert (tree["data"]["size"], tree["training"]["epochs"]) == (64, 4)
    assert recipe.read("base", find, ["data.size=96"], sample=True).tree["data"]["size"] == 96
    assert recipe.read("base", find, ["sample.size=80"], sample=True).tree["data"]["size"] == 80


def test_a_path_is_taken_from_the_file_that_extends_it(tmp_path):
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "base.toml").write_text("seed = 5", "utf-8")
    (tmp_path / "deep" / "child.toml").write_text('extends = "base.toml"', "utf-8")

    def nobody(name):
        raise AssertionError(name)

    assert recipe.read(str(tmp_path / "deep" / "child.toml"), nobody).tree == {"seed": 5}
    with pytest.raises(UsageError, match="no recipe file"):
        recipe.read(str(tmp_path / "none.toml"), nobody)


def test_dump_is_read_back():
    tree = {"seed": 3, "generator": {"name": "x", "betas": [0.5, 0.9]}, "summary": 'a "quoted" é'}
    assert recipe.parse(recipe.dump(tree), "x") == tree
