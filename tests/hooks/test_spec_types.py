"""A spec with a value of another type is refused where it is written, and the message names file and line."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path

import pytest
from commands import invoke, invoke_error
from plugin_sources import GOOD, WITH_PARAM
from pydantic import AliasChoices, BaseModel, ConfigDict, Field

from toolbox import GeneratorSpec, LossSpec, MetricSpec, Params, WeightsSpec
from toolbox.hooks import catalog, manager, registry
from toolbox.hooks.isolation import PluginWarning

FACTS = {"name": "rigged", "summary": "x", "build": print}


@pytest.mark.parametrize(
    ("spec", "facts", "fault"),
    [
        (LossSpec, {"role": "advers"}, "role of 'rigged' is 'advers'; use one of: 'reconstruction', 'adversarial'"),
        (LossSpec, {"name": 3}, "name of 3 is int, not str"),
        (LossSpec, {"summary": None}, "summary of 'rigged' is NoneType, not str"),
        (LossSpec, {"build": "build"}, "build of 'rigged' is str, not Callable"),
        (LossSpec, {"check": 3}, "check of 'rigged' is int"),
        (LossSpec, {"sees_real": "no"}, "sees_real of 'rigged' is str, not bool"),
        (MetricSpec, {"better": "high"}, "better of 'rigged' is 'high'; use one of: 'higher', 'lower'"),
        (GeneratorSpec, {"auxiliary": "gray"}, "auxiliary of 'rigged' is str"),
    ],
)
def test_a_field_of_another_type_is_named(spec, facts, fault):
    with pytest.raises((TypeError, ValueError), match=fault):
        spec(**FACTS | facts)


def test_values_of_the_right_types_are_taken():
    assert GeneratorSpec(**FACTS, auxiliary=lambda params: ("gray",)).auxiliary
    assert GeneratorSpec(**FACTS, auxiliary=["gray"]).auxiliary and LossSpec(**FACTS, check=None, warn=print).warn


def test_a_subclass_of_a_plugin_may_have_fields_of_types_that_are_not_here():
    @dataclass(frozen=True, kw_only=True)
    class Sharper(LossSpec):
        kernel: Absent | None = None  # noqa: F821 - imported for type checkers only

    assert Sharper(**FACTS).kernel is None


UNKNOWN = {
    "for type checkers only": ("", "Sequence[int] | None", r" \(field\) .* runs, Sequence: "),
    "misspelt": ("", "tuple[imt, ...]", r" \(field\) .* runs, imt: "),
    "of a module that is not imported": ("", "'torch.Tensor'", r" \(field\) .* runs, torch: "),
    "in another model": ("class Inner(Params):\n    a: Missing = 1\n", "Inner | None", " have .* runs, Missing: "),
    "inherited": ("class Base(Params):\n    a: Missing = 1\nParams = Base\n", "int", r" \(a\) .* runs, Missing: "),
}


@pytest.mark.parametrize("case", UNKNOWN)
def test_params_of_a_type_that_is_not_known_are_refused_when_the_plugin_is_added(case, tmp_path):
    before, kind, words = UNKNOWN[case]
    path = tmp_path / "rigged.py"
    path.write_text(WITH_PARAM.format(before=before, type=kind), "utf-8")
    line = invoke_error("plugin", "add", path, code=1)
    assert re.search(f"params of 'typed'{words}correct the name, or import it outside of `if TYPE_CHECKING`", line)


class Nested(BaseModel):
    inner: int = Field(1, validation_alias="i")


class Cased(Params):
    model_config = ConfigDict(alias_generator=str.upper)
    field: int = 1


class Both(Params):
    model_config = ConfigDict(populate_by_name=True)
    field: int = Field(1, alias="f")


class Chosen(Params):
    field: int = Field(1, validation_alias=AliasChoices("f", "field"))
    shown: int = Field(1, serialization_alias="s")


class Outer(Params):
    nested: list[Nested] | None = None


def test_aliases_that_recipes_can_not_write_are_refused_and_others_are_not():
    for params, names in ((Outer, "inner"), (Cased, "field")):
        with pytest.raises(ValueError, match=f"have aliases, which recipes don't use: {names};"):
            LossSpec(**FACTS, params=params)
    for params in (Both, Chosen):
        assert LossSpec(**FACTS, params=params)


@pytest.mark.parametrize("api", ["'1'", "None", "[1]", "1.5"])
def test_a_hook_api_that_is_no_whole_number_is_named(api, tmp_path):
    path = tmp_path / "rigged.py"
    path.write_text(f"TOOLBOX_API = {api}\n{GOOD.format(loss='new')}", "utf-8")
    line = f"TOOLBOX_API is {api}; it must be a whole number, such as TOOLBOX_API = 1"
    assert line in invoke_error("plugin", "add", path, code=1)


TYPES = {
    "a function": ("Callable[[int], int] | None = Field(None", "any"),
    "its own class": ("P | None = Field(None", "null"),
    "a class that follows": ("Later | None = Field(None", "null"),
    "a default from other params": ("int = Field(default_factory=lambda params: params['other']", "computed"),
    "a default that fails": ("int = Field(default_factory=lambda: 1 // 0", "computed"),
}


@pytest.mark.parametrize("case", TYPES)
def test_params_of_unusual_types_are_shown_and_leave_the_schema_of_recipes_whole(case, tmp_path):
    declaration, shown = TYPES[case]
    path = tmp_path / "rigged.py"
    source = WITH_PARAM.format(before="from collections.abc import Callable", type="OTHER")
    path.write_text(
        source.replace("OTHER = Field(None", declaration) + "class Later(Params):\n    a: int = 1\n", "utf-8"
    )
    invoke("plugin", "add", path)
    rows = invoke("show", "loss", "typed").stdout
    (row,) = [line for line in rows.splitlines() if line.startswith("field ")]
    assert shown in row
    schema = json.loads(invoke("recipe", "schema").stdout)
    tables = schema["properties"]["losses"]["additionalProperties"]["anyOf"]
    (table,) = [table for table in tables if table["properties"]["name"] == {"const": "typed"}]
    assert {"field", "other"} <= table["properties"].keys()


def test_nested_models_of_the_same_name_keep_their_own_fields_in_the_schema_of_recipes(tmp_path):
    """The models of one plugin replaced those of another, so that editors marked valid recipes."""
    for name, field in (("first", "alpha"), ("second", "beta")):
        path = tmp_path / f"{name}.py"
        source = WITH_PARAM.format(before=f"class Inner(Params):\n    {field}: int = 1\n", type="Inner | None")
        path.write_text(source.replace('"typed"', f'"{name}"'), "utf-8")
        invoke("plugin", "add", path)
    schema = json.loads(invoke("recipe", "schema").stdout)
    references = re.findall(r'"\$ref": "#/([^"]*)"', json.dumps(schema))
    assert all(name in schema["$defs"] for name in (reference.removeprefix("$defs/") for reference in references))
    fields = {}
    for table in schema["properties"]["losses"]["additionalProperties"]["anyOf"]:
        if (name := table["properties"]["name"]["const"]) in ("first", "second"):
            reference = table["properties"]["field"]["anyOf"][0]["$ref"]
            fields[name] = list(schema["$defs"][reference.removeprefix("#/$defs/")]["properties"])
    assert fields == {"first": ["alpha"], "second": ["beta"]}


def test_weights_need_a_path():
    with pytest.raises(TypeError, match="path of 'rigged' is str, not Path"):
        WeightsSpec(name="rigged", summary="x", path="x.safetensors", sha256="0" * 64, licence="MIT")
    WeightsSpec(name="rigged", summary="x", path=Path("x.safetensors"), sha256="A" * 64, licence="MIT")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("import math\nmath.sqrt(-1)\n", 2),
        (
            "from toolbox import LossSpec, hookimpl\n\n@hookimpl\ndef toolbox_losses():\n"
            "    return [LossSpec(name='a', summary='x', build=print, role='b')]\n",
            5,
        ),
    ],
)
def test_what_a_plugin_raises_has_its_line(text, line, tmp_path):
    path = tmp_path / "rigged.py"
    path.write_text(text)
    assert f"({path}:{line}). Correct the file" in invoke_error("plugin", "add", path, code=1)


def test_a_folder_is_not_added(tmp_path):
    (tmp_path / "plugin.py").mkdir()
    assert "plugin.py is a folder, not a file" in invoke_error("plugin", "add", tmp_path / "plugin.py")


def test_no_plugins_lists_the_others_as_disabled_and_imports_none(tmp_path):
    path = tmp_path / "loud.py"
    path.write_text("raise RuntimeError('imported')\n")
    invoke("plugin", "add", path, "--force")
    assert "by --no-plugins" in invoke("--no-plugins", "plugins", "--strict").stdout
    assert "'loud', which the option --no-plugins leaves out" in invoke_error("--no-plugins", "show", "loss", "loudest")


def test_a_name_in_toolbox_disable_that_is_no_plugin_is_named(monkeypatch):
    monkeypatch.setenv("TOOLBOX_DISABLE", "defualt")
    with pytest.warns(PluginWarning, match="TOOLBOX_DISABLE names 'defualt', and there is no .* mean 'default'?"):
        assert catalog.build(manager.load(registries=registry.read())).names("loss")
