"""A spec with a value of another type is refused where it is written, and the message names file and line."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
from commands import invoke, invoke_error

from toolbox import GeneratorSpec, LossSpec, MetricSpec, WeightsSpec
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
