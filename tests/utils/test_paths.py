"""The user's folders without a home: nothing of the user's is needed to train and to restore."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from commands import invoke, invoke_error

from toolbox.errors import InstallationError, OutputError
from toolbox.hooks import registry
from toolbox.utils import paths


@pytest.fixture(params=["no entry in the user database", "HOME is empty", "HOME is relative"])
def no_home(request, monkeypatch):
    """Take away every variable and entry that names a home, in one of the ways in which containers have none."""
    for name in ("TOOLBOX_HOME", "TOOLBOX_CACHE", "XDG_CONFIG_HOME", "XDG_CACHE_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    if request.param == "no entry in the user database":
        import pwd

        def no_entry(uid):
            raise KeyError(uid)

        monkeypatch.setattr(pwd, "getpwuid", no_entry)
    else:
        monkeypatch.setenv("HOME", "" if request.param == "HOME is empty" else "home")


def test_without_a_home_the_listing_commands_work(no_home, tmp_path):
    Path("home/.config/toolbox").mkdir(parents=True)  # not read: it is in the working folder
    Path("home/.config/toolbox/registry.toml").write_text("disabled = ['luma']\n", "utf-8")
    Path(".config/toolbox").mkdir(parents=True)
    Path(".config/toolbox/registry.toml").write_text("disabled = ['luma']\n", "utf-8")
    assert "luma" in invoke("list", "recipes").output
    assert registry.read_user() == registry.UserRegistry()


def test_without_a_home_a_change_names_the_variable(no_home):
    assert "Set TOOLBOX_HOME to a folder" in invoke_error("plugin", "disable", "luma", code=1)
    with pytest.raises(InstallationError, match="no home folder"):
        paths.config_dir()


def test_without_a_home_the_cache_is_temporary_and_private(no_home):
    folder = paths.cache_dir()
    assert folder.is_dir() and folder == paths.cache_dir()
    assert folder.stat().st_mode & 0o077 == 0


def test_without_a_home_doctor_says_so(no_home):
    output = invoke("doctor").output
    assert "configuration: none. This user has no home folder. Set TOOLBOX_HOME" in output


def test_a_relative_folder_of_the_system_is_ignored(monkeypatch, tmp_path):
    monkeypatch.delenv("TOOLBOX_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    for value in ("relative", ""):
        monkeypatch.setenv("XDG_CONFIG_HOME", value)
        assert paths.config_dir() == tmp_path / ".config" / "toolbox"
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "xdg"))
    assert paths.config_dir() == tmp_path / "xdg" / "toolbox"


def test_a_home_that_does_not_exist_is_no_fault(monkeypatch):
    for name in ("TOOLBOX_HOME", "TOOLBOX_CACHE"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", "/nonexistent")
    assert "default" in invoke("list", "recipes").output
    assert os.path.isabs(paths.cache_dir())


@pytest.mark.parametrize(
    ("variable", "folder", "lost"),
    [
        ("TOOLBOX_HOME", paths.config_dir, "Plugins can't be added or disabled"),
        ("TOOLBOX_CACHE", paths.cache_dir, "Each run decodes its photographs"),
    ],
)
def test_a_tilde_is_the_home_and_doctor_names_a_folder_that_can_not_be_written(
    variable, folder, lost, monkeypatch, tmp_path
):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv(variable, "~/mine")
    assert folder() == tmp_path / "home/mine"
    assert lost not in invoke("doctor").output
    assert not (tmp_path / "home").exists()
    (tmp_path / "home").write_text("a file", "utf-8")
    line = next(line for line in invoke("doctor").output.splitlines() if lost in line)
    assert f"{tmp_path / 'home'} can't be written: a part of its path is a file" in line


def test_doctor_names_a_working_folder_that_can_not_be_written(monkeypatch):
    def refuse(folder):
        raise OutputError(f"{folder} can't be written: the disk is mounted read-only")

    monkeypatch.setattr("toolbox.utils.files.ensure_folder", refuse)
    output = invoke("doctor", code=1).output
    assert f"!!  runs: {os.getcwd()} can't be written: the disk is mounted read-only" in output
