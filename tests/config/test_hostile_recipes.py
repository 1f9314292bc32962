"""Byte order marks and encodings of files that users write, and numbers that are not finite."""

from __future__ import annotations

import codecs
import json
import math
import os
from typing import get_args, get_origin

import pytest
from commands import invoke, invoke_error
from pydantic import BaseModel, ValidationError

from toolbox.config import recipe
from toolbox.config.binding import bind
from toolbox.config.component_options import options_class
from toolbox.config.recipe import Recipe
from toolbox.config.settings import Settings
from toolbox.data import folders
from toolbox.errors import DataError, RecipeError
from toolbox.hooks import catalog, registry
from toolbox.hooks.kinds import KINDS
from toolbox.hooks.specs import ComponentSpec
from toolbox.inference.detectors import damage_detector

TEXT = 'extends = "default"\nsummary = "é"\n'
ENCODINGS = {
    "utf-8": TEXT.encode(),
    "utf-8-sig": TEXT.encode("utf-8-sig"),
    "utf-16-le": codecs.BOM_UTF16_LE + TEXT.encode("utf-16-le"),
    "utf-16-be": codecs.BOM_UTF16_BE + TEXT.encode("utf-16-be"),
    "utf-32": TEXT.encode("utf-32"),
}


@pytest.mark.parametrize("data", ENCODINGS.values(), ids=list(ENCODINGS))
def test_a_recipe_is_read_in_every_unicode_encoding(tmp_path, data):
    (tmp_path / "mine.toml").write_bytes(data)
    assert Recipe.load(tmp_path / "mine.toml").tree["summary"] == "é"


def test_a_recipe_that_extends_one_with_a_mark_is_valid(tmp_path):
    (tmp_path / "base.toml").write_bytes(ENCODINGS["utf-8-sig"])
    (tmp_path / "mine.toml").write_bytes(codecs.BOM_UTF8 + b'extends = "base.toml"\n')
    assert "is valid" in invoke("recipe", "validate", "mine.toml").output


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (TEXT.encode("latin-1"), "it is not text in utf-8: byte 31 is wrong; save it as UTF-8"),
        (codecs.BOM_UTF16_LE + b"e", "it is not text in utf-16"),
        (TEXT.replace("é", "e").encode("utf-16-le"), "is not valid TOML"),  # without a mark
    ],
)
def test_another_encoding_is_one_line(tmp_path, data, says):
    (tmp_path / "mine.toml").write_bytes(data)
    assert says in invoke_error("recipe", "validate", "mine.toml")


def test_the_registry_and_the_tables_are_read_with_a_mark(competition):
    registry.user_path().parent.mkdir(parents=True)
    registry.user_path().write_bytes(codecs.BOM_UTF8 + b'disabled = ["luma"]\n')
    assert registry.read_user().disabled == ["luma"]
    for name in ("train.csv", "test.csv"):
        table = competition / name
        table.write_text(table.read_text("utf-8"), "utf-16")
    source = folders.open_folder(competition)
    assert (len(source.items), len(source.tests)) == (6, 2)
    (competition / "train.csv").write_bytes(b"input_image_path\n\xff\n")
    with pytest.raises(DataError, match=r"train.csv can't be read as csv: it is not text in utf-8: byte 17 is wrong"):
        folders.open_folder(competition)


def models(annotation):
    """Yield the pydantic models in an annotation, and those of their fields."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
        for field in annotation.model_fields.values():
            yield from models(field.annotation)
    for argument in get_args(annotation):
        yield from models(argument)


def has_float(annotation):
    return annotation is float or any(has_float(argument) for argument in get_args(annotation))


def all_models():
    """Return every table of a recipe: settings, options, optimizers, schedules, params of every component."""
    loaded = catalog.load(third_party=False)
    specs = [entry.spec for entry in loaded.entries() if isinstance(entry.spec, ComponentSpec)]
    roots = [Settings, *(options_class(kind) for kind in KINDS), *(spec.params for spec in specs)]
    return {model for root in roots for model in models(root)}


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan])
def test_no_number_of_a_recipe_may_be_infinite_or_nan(value):
    checked = 0
    for model in all_models():
        for name, field in model.model_fields.items():
            if not has_float(field.annotation):
                continue
            raw = [value, value] if get_origin(field.annotation) is tuple else value
            with pytest.raises(ValidationError) as failure:
                model.model_validate_json(json.dumps({name: raw}), strict=True)
            assert name in {error["loc"][0] for error in failure.value.errors()}, (model, name)
            checked += 1
    assert checked > 30


def test_the_fault_names_key_and_value():
    recipe = Recipe.load("default").set("generator.optimizer.lr", math.inf).set("losses.mse.weight", math.nan)
    with pytest.raises(RecipeError) as failure:
        bind(recipe, catalog.load(third_party=False))
    faults = {fault.location: fault.message for fault in failure.value.faults}
    assert faults == {
        "generator.optimizer.lr": "is inf; it must be a finite number",
        "losses.mse.weight": "is nan; it must be a finite number",
    }


@pytest.mark.parametrize("option", [["--minutes", "inf"], ["--minutes", "nan"], ["--set", "data.zoom=inf"]])
def test_an_option_that_is_not_finite_is_a_fault(option):
    result = invoke("run", *option, code=2)
    assert "finite number" in result.stderr and "Traceback" not in result.output


@pytest.mark.parametrize("number", ["9" * 4000, "0x" + "f" * 5000, '"' + "x" * 5000 + '"', "[" + "1," * 3000 + "]"])
@pytest.mark.parametrize("key", ["training.batch_size", "seed", "losses", "losses.ssim.weight", "data.mode"])
def test_a_long_value_is_shortened_in_the_fault(key, number):
    installed = catalog.load(third_party=False)
    with pytest.raises(RecipeError) as caught:
        bind(recipe.read("default", lambda name: installed.recipe(name).path, [f"{key}={number}"]), installed)
    assert len(str(caught.value)) < 1000 and key.split(".")[0] in str(caught.value)


def test_a_path_that_is_not_utf8_is_one_line(tmp_path):
    """It was two lines about a surrogate in JSON."""
    with pytest.raises(RecipeError) as raised:
        damage_detector({"weights": os.fsdecode(b"caf\xe9/damage.safetensors")}, catalog.load(third_party=False))
    (fault,) = raised.value.faults
    assert fault.message == "has a name that is not UTF-8, which no recipe can hold; rename that file or folder"
    assert fault.location.endswith("weights")
