"""`toolbox plugin check` and `plugins --strict` look inside weights: their recipe, and whether they fit."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest
import torch
from commands import invoke
from safetensors.torch import save_file

from toolbox import WeightsSpec
from toolbox.config import recipe
from toolbox.config.binding import bind
from toolbox.hooks import catalog
from toolbox.models.build import build_generator
from toolbox.models.weight_file import WeightsHeader, write_weights
from toolbox.testing import check_component

SMALL = ["generator.width=4", "generator.levels=2"]


def write(path, *, fault=""):
    """Write a weight file with one fault."""
    shipped = catalog.load(third_party=False)
    tree = recipe.read("default", lambda name: shipped.recipe(name).path, SMALL).tree
    plan = bind(recipe.Recipe(name="default", tree=tree), shipped)
    state = build_generator(plan, torch.device("cpu")).state_dict()
    text = recipe.dump(plan.tree())
    if fault == "another size":
        text = text.replace("width = 4", "width = 8")
    elif fault == "an unknown component":
        text = text.replace("inpainting-unet", "somebodys-unet")
    elif fault == "not finite":
        next(iter(state.values())).fill_(torch.nan)
    if fault == "no header":
        save_file({"x": torch.ones(1)}, path)
    elif fault == "no safetensors":
        path.write_bytes(b"\x80\x04 no safetensors")
    else:
        write_weights(path, state, WeightsHeader(recipe=text, recipe_name="default"))


FAULTS = {
    "another size": "does not fit",
    "an unknown component": "Generator 'somebodys-unet' is not known",
    "not finite": "is not finite",
    "no header": "its header has no recipe",
    "no safetensors": "can't be read as safetensors",
}


def spec_of(path, name="default"):
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return WeightsSpec(name="mine", summary="x", path=path, sha256=digest, licence="MIT", recipe=name)


@pytest.mark.parametrize("fault", FAULTS)
def test_weights_that_can_not_be_used_fail_although_their_sha256_is_right(fault, tmp_path):
    path = tmp_path / "mine.safetensors"
    write(path, fault=fault)
    checks = {check.name: check for check in check_component(spec_of(path))}
    assert checks["sha256"].status == "ok"
    assert checks["fit"].status == "failed" and FAULTS[fault] in checks["fit"].detail


@pytest.mark.parametrize("fault", FAULTS)
def test_weights_without_a_recipe_name_must_fit_the_recipe_that_they_have(fault, tmp_path):
    path = tmp_path / "mine.safetensors"
    write(path, fault=fault)
    checks = {check.name: check for check in check_component(spec_of(path, name=""))}
    if fault == "no header":  # weights that a component loads itself
        assert checks.keys() == {"sha256"}
    else:
        assert checks["fit"].status == "failed" and FAULTS[fault] in checks["fit"].detail


def test_a_sha256_in_capital_letters_is_the_same(tmp_path):
    path = tmp_path / "mine.safetensors"
    write(path)
    spec = spec_of(path)
    spec = replace(spec, sha256=spec.sha256.upper())
    assert [check.status for check in check_component(spec)] == ["ok", "ok", "ok"]


def test_sound_weights_pass_and_a_recipe_that_is_not_here_is_noted(tmp_path):
    path = tmp_path / "mine.safetensors"
    write(path)
    assert [check.status for check in check_component(spec_of(path))] == ["ok", "ok", "ok"]
    assert [check.status for check in check_component(spec_of(path, "absent"))] == ["ok", "ok", "noted"]


def test_plugins_strict_looks_inside_weights(tmp_path):
    path = tmp_path / "mine.safetensors"
    write(path, fault="another size")
    spec = spec_of(path)
    (tmp_path / "mine.py").write_text(
        "from pathlib import Path\nfrom toolbox import WeightsSpec, hookimpl\n@hookimpl\ndef toolbox_weights():\n"
        f"    return [WeightsSpec(name='mine', summary='x', path=Path({str(path)!r}), sha256='{spec.sha256}',"
        " licence='MIT', recipe='default')]\n"
    )
    invoke("plugin", "add", "mine.py")
    invoke("plugins")
    result = invoke("plugins", "--strict", code=1)
    assert "toolbox: weights 'mine' of 'mine': fit: " in result.stderr and "does not fit" in result.stderr
