"""The conformance kit on whole plugins, and `toolbox plugin check`. Takes about 8 s."""

from __future__ import annotations

import json
import types

import pytest
from rigged.sound import loss, mse

from toolbox import hookimpl
from toolbox.cli.plugin_check import check as check_targets
from toolbox.errors import UsageError
from toolbox.testing import assert_plugin_conforms, check_plugin
from toolbox.testing.plugins import check_light_import

PLUGIN = """
from toolbox import LossSpec, hookimpl
{heavy}

def square(restored, truth, mask):
    return (restored - truth).square().mean()

@hookimpl
def toolbox_losses():
    return [LossSpec(name="square", summary="Squares", build=lambda params: square, reference="by hand")]
"""


def make_plugin(*specs):
    module = types.ModuleType("in_memory")

    def toolbox_losses():
        return list(specs)

    module.toolbox_losses = hookimpl(toolbox_losses)
    return module


def test_all_components_of_a_plugin_are_checked():
    good = loss(lambda: mse)
    assert_plugin_conforms(make_plugin(good))
    results = check_plugin(make_plugin(good))
    assert list(results) == ["plugin/in_memory", "loss/rigged"]
    with pytest.raises(AssertionError, match="exists already|twice"):
        assert_plugin_conforms(make_plugin(good, good))
    with pytest.raises(AssertionError, match="gradient flow"):
        assert_plugin_conforms(make_plugin(loss(lambda: lambda a, b, m: mse(a.detach(), b, m))))


def test_a_heavy_import_is_found_in_a_fresh_interpreter(tmp_path):
    light_plugin, heavy, broken = (tmp_path / f"{name}.py" for name in ("light", "heavy", "broken"))
    light_plugin.write_text(PLUGIN.format(heavy=""))
    heavy.write_text(PLUGIN.format(heavy="import torch"))
    broken.write_text("raise ValueError('out of tune')")
    assert check_light_import(str(light_plugin)).status == "ok"
    assert check_light_import(str(heavy)).detail.startswith("imports torch")
    assert "out of tune" in check_light_import(str(broken)).detail


def test_the_command_checks_files_plugins_and_components(tmp_path, capsys):
    good, broken = tmp_path / "good.py", tmp_path / "broken.py"
    good.write_text(PLUGIN.format(heavy=""))
    broken.write_text("raise ValueError('out of tune')")
    assert check_targets([str(good)], False, third_party=False) == 0
    output = capsys.readouterr().out
    assert "loss/square" in output
    assert output.splitlines()[-1] == "2 checked, 20 checks: 0 failed, 0 noted"
    assert check_targets([str(broken)], False, third_party=False) == 1
    assert "out of tune" in capsys.readouterr().out
    assert check_targets(["losses/mse", "psnr"], True, third_party=False) == 0
    rows = json.loads(capsys.readouterr().out)
    assert {row["component"] for row in rows} == {"loss/mse", "metric/psnr"}
    assert set(rows[0]) == {"component", "check", "status", "detail"}


@pytest.mark.parametrize("target", ["msee", "losses/msee", "looses/mse", "nowhere.py"])
def test_an_unknown_target_is_a_usage_error(target):
    with pytest.raises(UsageError, match="is not known|There is no file"):
        check_targets([target], False, third_party=False)


@pytest.mark.parametrize("target", ["./missing", "../missing", "/missing/loss", "~/missing", "a/b/c"])
def test_an_unknown_path_is_not_taken_for_a_kind(target, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=f"There is no file or folder {target}; name a plugin, component"):
        check_targets([target], False, third_party=False)
    (tmp_path / "a/b/c").mkdir(parents=True)
    with pytest.raises(UsageError, match="There is no pyproject.toml in a/b/c; name a plugin"):
        check_targets(["a/b/c"], False, third_party=False)


@pytest.mark.parametrize("target", ["my-loss", "./my-loss", "nested/my-loss"])
def test_a_package_that_is_not_installed_is_named(tmp_path, monkeypatch, target):
    monkeypatch.chdir(tmp_path)
    (tmp_path / target).mkdir(parents=True)
    (tmp_path / target / "pyproject.toml").touch()
    with pytest.raises(UsageError, match=f"'{target}' is a package that is not installed. To install it: pip install"):
        check_targets([target], False, third_party=False)


CALL = """
import random
import numpy as np
from toolbox import LossSpec, hookimpl
{first}

def build(params):
    def loss(restored, truth, mask):
        {call}
        return (restored - truth).abs().mean()
    return loss

@hookimpl
def toolbox_losses():
    return [LossSpec(name="changing", summary="x", build=build, reference="by hand")]
"""
SEEDING = ("np.random.seed(0)", "np.random.seed(1234)", "random.seed(7)", "np.random.rand()", "random.random()")


def checked(path, **words):
    path.write_text(CALL.format(**{"first": "", "call": "pass", **words}), "utf-8")
    return {(name, check.name): check for name, checks in check_plugin(path).items() for check in checks}


@pytest.mark.parametrize("call", SEEDING)
def test_seeds_of_numpy_and_python_in_a_call_are_found(call, tmp_path):
    checks = checked(tmp_path / "seeding.py", call=call)
    assert checks["loss/changing", "deterministic value"].status == "failed"


@pytest.mark.parametrize("first", SEEDING[:3])
def test_seeds_of_numpy_and_python_at_the_import_are_found(first, tmp_path):
    loading = checked(tmp_path / "seeding.py", first=first)["plugin/seeding", "loading"]
    assert loading.status == "failed" and "random numbers when it was loaded" in loading.detail


def test_a_file_with_the_name_of_a_standard_module_can_be_imported(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    assert checked(tmp_path / "random.py", call="random.getstate()")["plugin/random", "light import"].status == "ok"


def test_what_a_loss_prints_is_not_in_the_results(tmp_path, capfd):
    checked(tmp_path / "noisy.py", first="print('hello')", call="print('hello')")
    output = capfd.readouterr()
    assert output.out == "" and "hello" in output.err
