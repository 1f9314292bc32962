"""`toolbox plugin`: add, enable, disable, remove and check plugins. Takes about 5 s."""

from __future__ import annotations

import json
import shutil
import tomllib

import pytest
from commands import invoke, invoke_error, plugin_status
from plugin_sources import BROKEN, GOOD

from toolbox.hooks import registry
from toolbox.hooks.registry import Bundle, Registries, Registry, UserRegistry


@pytest.fixture
def failing_plugin(tmp_path):
    """Return a plugin file that creates the file `imported` when it is imported, and then fails."""
    path = tmp_path / "stranger.py"
    path.write_text("from pathlib import Path\nPath('imported').touch()\nraise RuntimeError('no luck')", "utf-8")
    return path


def test_a_file_is_added_used_and_removed(tmp_path):
    path = tmp_path / "fancy.py"
    path.write_text(GOOD.format(loss="fancy"), "utf-8")
    assert f"Added the plugin 'fancy', {path}. Components: loss 'fancy'." in invoke("plugin", "add", "fancy.py").stdout
    assert plugin_status("fancy")["source"] == str(path) and plugin_status("fancy")["status"] == "ok"
    assert "is already added as 'fancy'" in invoke_error("plugin", "add", "fancy.py", "--name", "other")
    invoke("plugin", "disable", "fancy")
    assert "and disabled: toolbox plugin enable fancy" in invoke_error("plugin", "add", "fancy.py", "--name", "other")
    invoke("plugin", "enable", "fancy")
    (tmp_path / "hard.py").hardlink_to(path)
    assert f"hard.py is the same file as {path}, which is already added as" in invoke_error("plugin", "add", "hard.py")
    shutil.copy(path, tmp_path / "copy.py")
    assert f"taken by a plugin of {path}" in invoke_error("plugin", "add", "copy.py", "--name", "fancy")
    assert "exists already in the plugin 'fancy'" in invoke_error("plugin", "add", "copy.py", code=1)
    assert "taken by a plugin of toolbox-restore" in invoke_error("plugin", "add", "copy.py", "--name", "default")
    assert "is not a valid plugin name" in invoke_error("plugin", "add", "copy.py", "--name", "a,b")
    assert "Did you mean 'fancy'?" in invoke_error("plugin", "remove", "fanzy")
    assert f"Its file was not deleted: {path}" in invoke("plugin", "remove", "fancy").stdout
    assert plugin_status("fancy") is None and path.is_file()
    assert tomllib.loads(registry.user_path().read_text("utf-8")) == {}


def test_a_plugin_whose_file_was_moved_is_removed_without_a_word_of_a_file_that_is_not_there(tmp_path):
    path = tmp_path / "fancy.py"
    path.write_text(GOOD.format(loss="fancy"), "utf-8")
    invoke("plugin", "add", "fancy.py")
    path.rename(tmp_path / "moved.py")
    output = invoke("plugin", "remove", "fancy").stdout
    assert output == f"Removed the plugin 'fancy'. Its file was moved or deleted before: {path}\n"


@pytest.mark.parametrize(("source", "cause"), BROKEN.values(), ids=list(BROKEN))
def test_a_broken_file_is_rejected_and_with_force_it_does_not_stop_other_commands(tmp_path, source, cause):
    (tmp_path / "broken.py").write_text(source, "utf-8")
    message = invoke_error("plugin", "add", "broken.py", code=1)
    assert cause in message and message.endswith("Correct the file, or add it anyway with --force")
    assert not registry.user_path().exists()
    added = json.loads(invoke("plugin", "add", "broken.py", "--force", "--json").stdout)
    assert added["status"] == "failed" and cause in added["cause"]
    run = invoke("run", "--recipe", "default", "--dry-run")
    assert "Dry run: nothing was written." in run.stdout
    assert "toolbox plugin disable broken" in run.stderr
    invoke("plugin", "disable", "broken")
    assert invoke("run", "--recipe", "default", "--dry-run").stderr == ""
    assert plugin_status("broken")["status"] == "disabled"


def test_enabling_disabling_and_removing_import_nothing(tmp_path, failing_plugin):
    invoke("plugin", "add", failing_plugin, "--force")
    (tmp_path / "imported").unlink()
    disabled = json.loads(invoke("plugin", "disable", "stranger", "--json").stdout)
    assert disabled == {"name": "stranger", "enabled": False, "changed": True}
    assert "was already disabled" in invoke("plugin", "disable", "stranger").stdout
    assert "is now enabled" in invoke("plugin", "enable", "stranger").stdout
    assert "Did you mean 'stranger'?" in invoke_error("plugin", "enable", "strangr")
    assert "Did you mean 'stranger'?" in invoke_error("plugin", "disable", "strangr")
    assert "surely-absent" in invoke_error("plugin", "add", "surely-absent")
    invoke("plugin", "new", "edge-loss")
    invoke("plugin", "remove", "stranger")
    assert not (tmp_path / "imported").exists()
    assert tomllib.loads(registry.user_path().read_text("utf-8")) == {}


def test_a_bundle_can_be_disabled_but_not_removed():
    assert "ships with toolbox and can't be removed" in invoke_error("plugin", "remove", "smp")
    invoke("plugin", "disable", "smp")
    assert plugin_status("smp")["status"] == "disabled" and "toolbox plugin disable" in plugin_status("smp")["cause"]
    invoke("plugin", "enable", "smp")
    assert plugin_status("smp")["status"] == "ok"


def test_enabling_warns_if_the_environment_disables_the_plugin(monkeypatch):
    monkeypatch.setenv("TOOLBOX_DISABLE", "smp")
    assert "TOOLBOX_DISABLE still disables 'smp'" in invoke("plugin", "enable", "smp").stderr
    assert json.loads(invoke("plugin", "enable", "smp", "--json").stdout)["enabled"] is False


def test_enabling_a_bundle_that_ships_disabled_is_saved(monkeypatch):
    shipped = Registry(bundles=[Bundle(name="extra", module="surely_absent", enabled=False)])
    monkeypatch.setattr(registry, "read", lambda: Registries(shipped=shipped, user=registry.read_user()))
    invoke("plugin", "enable", "extra")
    assert registry.read_user() == UserRegistry(enabled=["extra"])
    invoke("plugin", "disable", "extra")
    assert registry.read_user() == UserRegistry(disabled=["extra"])


def test_an_uninstalled_plugin_can_be_enabled_again():
    registry.change_user(lambda user: registry.with_enabled(user, "gone", enabled=False))
    assert "'gone' (not installed) is now enabled" in invoke("plugin", "enable", "gone").stdout
    assert "'gone' is not known" in invoke_error("plugin", "enable", "gone")


# ---- the user's registry


@pytest.mark.parametrize("text", [b"[[files]\n", b"[[files]]\nname = 3\nfile = 'x'\n", b"unknown = 1\n", b"\xff"])
def test_an_invalid_registry_is_named_and_never_overwritten(text, tmp_path, failing_plugin):
    path = registry.user_path()
    path.parent.mkdir()
    path.write_bytes(text)
    for command in (["add", failing_plugin], ["enable", "smp"], ["disable", "smp"], ["remove", "x"]):
        message = invoke_error("plugin", *command, code=1)
        assert f"mv {path} {path}.broken" in message
    assert path.read_bytes() == text
    assert not (tmp_path / "imported").exists()


def test_a_linked_registry_is_written_in_place(tmp_path):
    target = tmp_path / "target.toml"
    target.write_text('disabled = ["gone"]\n', "utf-8")
    registry.user_path().parent.mkdir()
    registry.user_path().symlink_to(target)
    invoke("plugin", "disable", "smp")
    assert registry.user_path().is_symlink()
    assert tomllib.loads(target.read_text("utf-8")) == {"disabled": ["gone", "smp"]}


def test_check_prints_the_results_of_the_conformance_kit(failing_plugin):
    assert "loss/mse" in invoke("plugin", "check", "mse").stdout
    assert "no luck" in invoke("plugin", "check", failing_plugin, code=1).stdout
