"""`toolbox plugin`: packages written, really installed and run; files added, switched, removed. Some 25 s."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner
from plugin_sources import BROKEN, GOOD

from toolbox.cli import main
from toolbox.hooks import registry, scaffold
from toolbox.hooks.registry import Bundle, Registries, Registry, UserRegistry

DISTRIBUTION = Path(__file__).parents[1] / "helpers" / "distribution"
PIP = "pip install --no-deps --no-build-isolation --no-index --no-input --quiet --target".split()
TINY = ["--size", "32", "--steps", "2", "--device", "cpu", "--set", "generator.width=4", "--set", "generator.levels=2"]


def call(*arguments, code=0):
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert result.exit_code == code, result.output
    return result


def refused(*arguments, code=2):
    """Return the one line that a command is refused with."""
    lines = call(*arguments, code=code).stderr.splitlines()
    assert len(lines) == 1 and lines[0].startswith("toolbox: "), lines
    return lines[0]


def status(name):
    return next((row for row in json.loads(call("plugins", "--json").stdout) if row["name"] == name), None)


def python(*arguments, path="", folder=None):
    """Run the interpreter by itself, with the folders of `path` to import from."""
    environment = {**os.environ, "PYTHONPATH": str(path), "OMP_NUM_THREADS": "1", "PIP_CONFIG_FILE": os.devnull}
    command = [sys.executable, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def toolbox(*arguments, path):
    return python("-c", "from toolbox.cli import main; main()", *arguments, path=path)


@pytest.fixture
def stranger(tmp_path):
    """A plugin file that says when it is imported, and breaks."""
    path = tmp_path / "stranger.py"
    path.write_text("from pathlib import Path\nPath('imported').touch()\nraise RuntimeError('no luck')", "utf-8")
    return path


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """A new package with a loss, and the distribution beside these tests, both installed by pip."""
    if not importlib.util.find_spec("pip"):
        pytest.skip("needs pip in this environment")
    folder = tmp_path_factory.mktemp("installed")
    # pip builds inside the sources, which the repository should not see.
    shutil.copytree(DISTRIBUTION, folder / "tint")
    scaffold.write_package("halo-loss", "loss", folder)
    target = folder / "target"
    python("-m", *PIP, target, folder / "halo-loss", folder / "tint")
    return target


# ---- new


def test_a_new_package_of_each_kind_passes_its_test(tmp_path):
    for kind in scaffold.EXAMPLES:
        call("plugin", "new", f"my-{kind}", "--kind", kind)
    folders = [tmp_path / f"my-{kind}" for kind in scaffold.EXAMPLES]
    path = os.pathsep.join(str(folder / "src") for folder in folders)
    told = python("-W", "error", "-m", "pytest", "-q", *folders, path=path)
    assert "6 passed" in told


def test_a_new_package_is_what_was_said(tmp_path):
    facts = json.loads(call("plugin", "new", "edge-loss", "--out", "deep/er", "--json").stdout)
    names = ("__init__.py", "loss.py", "plugin.py", "recipes/edge-loss.toml")
    source = [f"src/edge_loss/{name}" for name in names]
    assert facts["files"] == ["README.md", "pyproject.toml", *source, "tests/test_edge_loss.py"]
    assert facts["folder"] == "deep/er/edge-loss" and facts["kind"] == "loss"
    assert "pip install -e other-loss" in call("plugin", "new", "other-loss").stdout
    for path in Path(facts["folder"]).rglob("*.*"):
        assert path.is_dir() or "$" not in path.read_text("utf-8"), path


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("Edge", "is not lower-case words"),
        ("class", "is a keyword of Python"),
        ("random", "'random' is installed already"),
        ("torch", "'torch' is installed already"),
        ("mse", "A loss 'mse' ships with toolbox"),
        ("published", "A recipe 'published' ships with toolbox"),
        ("smp", "A plugin 'smp' ships with toolbox"),
    ],
)
def test_a_name_that_cannot_be_had_is_refused(name, says, tmp_path):
    assert says in refused("plugin", "new", name)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_there_is_left_alone(tmp_path):
    (tmp_path / "edge-loss").mkdir()
    (tmp_path / "edge-loss" / "letter.txt").write_text("dear", "utf-8")
    assert "edge-loss exists already" in refused("plugin", "new", "edge-loss")
    assert [path.name for path in tmp_path.rglob("*")] == ["edge-loss", "letter.txt"]


def test_nothing_is_left_half_written(tmp_path, monkeypatch):
    def broken(*facts):
        yield "README.md", "text"
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(scaffold, "render_files", broken)
    assert "No space left" in refused("plugin", "new", "edge-loss", code=1)
    assert list(tmp_path.iterdir()) == []


def test_a_new_package_installs_is_listed_and_runs(installed, tmp_path):
    rows = {(row["kind"], row["name"]): row for row in json.loads(toolbox("list", "--json", path=installed))}
    for kind in ("loss", "recipe"):
        row = rows[kind, "halo-loss"]
        assert (row["plugin"], row["distribution"], row["version"]) == ("halo-loss", "halo-loss", "0.1.0")
    test = installed.parent / "halo-loss" / "tests"
    assert "1 passed" in python("-m", "pytest", "-q", "-o", "pythonpath=", test, path=installed)
    told = toolbox("run", "--recipe", "halo-loss", "--out", "run", *TINY, path=installed)
    assert "halo-loss x10" in told and "Pixel loss (MSE)" in told
    bound = tomllib.loads((tmp_path / "run" / "recipe.toml").read_text("utf-8"))
    assert bound["requires"] == {"halo-loss": "halo-loss 0.1.0"}


def test_a_package_that_is_not_installed_is_told_from_a_stranger_s():
    call("plugin", "new", "edge-loss")
    install = "pip install -e ./edge-loss"
    assert install in refused("plugin", "check", "edge-loss") and install in refused("plugin", "add", "edge-loss")
    for words in (["plugin", "check"], ["plugin", "add"]):
        assert "is part of a package" in refused(*words, "edge-loss/src/edge_loss/plugin.py")


def test_a_recipe_names_the_plugin_that_is_absent(tmp_path):
    call("plugin", "new", "edge-loss")
    recipe = "edge-loss/src/edge_loss/recipes/edge-loss.toml"
    told = call("run", "--recipe", recipe, "--dry-run", code=2).stderr
    assert "losses.edge-loss: Loss 'edge-loss' is not known." in told
    assert "needs the plugin 'edge-loss' (edge-loss 0.1.0), not here: pip install it" in told


# ---- a distribution of its own


def test_a_distribution_is_listed_with_its_name_and_version(installed, monkeypatch):
    rows = json.loads(toolbox("list", "--json", path=installed))
    mine = {(row["kind"], row["name"], row["version"]) for row in rows if row["distribution"] == "tint-terms"}
    assert mine == {("loss", "tint-shift", "0.3.1"), ("metric", "tint-shift", "0.3.1")}
    monkeypatch.syspath_prepend(str(installed))
    assert "loss/tint-shift" in call("plugin", "check", "tint").stdout
    assert "tint-terms 0.3.1 is installed" in call("plugin", "add", "tint_terms>=0.3").stdout
    found = json.loads(call("plugin", "add", "Tint-Terms", "--json").stdout)
    assert found == {"distribution": "tint-terms", "version": "0.3.1", "plugins": ["tint"]}
    assert "comes with tint-terms 0.3.1. To remove it: pip uninstall tint-terms" in refused("plugin", "remove", "tint")
    assert "(tint-terms 0.3.1) is switched off" in call("plugin", "disable", "tint").stdout
    assert status("tint")["status"] == "disabled" and status("tint")["version"] == "0.3.1"
    call("plugin", "enable", "tint")
    assert status("tint")["status"] == "ok"


@pytest.mark.parametrize(
    ("target", "says"),
    [
        ("surely-absent", "surely-absent is not installed. To install it: pip install surely-absent."),
        ("surely-absent[a,b]>=2,<3", "pip install 'surely-absent[a,b]>=2,<3'"),
        ("git+https://example.org/x", "To install a package: pip install git+https://example.org/x"),
        ("click", "is installed and brings no plugin"),
        (".", "is a folder. If it is a package: pip install -e ."),
        ("nowhere.py", "There is no file nowhere.py"),
        ("two words", "neither a Python file nor a requirement"),
    ],
)
def test_what_is_no_plugin_says_what_to_type(target, says):
    assert says in refused("plugin", "add", target)


# ---- add, enable, disable, remove


def test_a_file_is_added_used_and_removed(tmp_path):
    path = tmp_path / "fancy.py"
    path.write_text(GOOD.format(loss="fancy"), "utf-8")
    assert f"Added the plugin 'fancy', {path}. It brings loss 'fancy'." in call("plugin", "add", "fancy.py").stdout
    assert status("fancy")["source"] == str(path) and status("fancy")["status"] == "ok"
    assert "was added before, as 'fancy'" in refused("plugin", "add", "fancy.py", "--name", "other")
    shutil.copy(path, tmp_path / "copy.py")
    assert f"taken by a plugin of {path}" in refused("plugin", "add", "copy.py", "--name", "fancy")
    assert "exists already in the plugin 'fancy'" in refused("plugin", "add", "copy.py", code=1)
    assert "taken by a plugin of toolbox-restore" in refused("plugin", "add", "copy.py", "--name", "default")
    assert "can't be a plugin's name" in refused("plugin", "add", "copy.py", "--name", "a,b")
    assert "Did you mean 'fancy'?" in refused("plugin", "remove", "fanzy")
    assert f"Its file stays: {path}" in call("plugin", "remove", "fancy").stdout
    assert status("fancy") is None and path.is_file()
    assert tomllib.loads(registry.user_path().read_text("utf-8")) == {}


@pytest.mark.parametrize(("source", "cause"), BROKEN.values(), ids=list(BROKEN))
def test_a_broken_file_is_refused_with_its_cause_and_added_by_force_stops_nothing(tmp_path, source, cause):
    (tmp_path / "broken.py").write_text(source, "utf-8")
    said = refused("plugin", "add", "broken.py", code=1)
    assert cause in said and said.endswith("Mend it, or add it all the same with --force")
    assert not registry.user_path().exists()
    added = json.loads(call("plugin", "add", "broken.py", "--force", "--json").stdout)
    assert added["status"] == "failed" and cause in added["cause"]
    run = call("run", "--recipe", "default", "--dry-run")
    assert "Dry run: nothing was written." in run.stdout
    assert "toolbox plugin disable broken" in run.stderr
    call("plugin", "disable", "broken")
    assert call("run", "--recipe", "default", "--dry-run").stderr == ""
    assert status("broken")["status"] == "disabled"


def test_switching_and_removing_import_nothing(tmp_path, stranger):
    call("plugin", "add", stranger, "--force")
    (tmp_path / "imported").unlink()
    off = json.loads(call("plugin", "disable", "stranger", "--json").stdout)
    assert off == {"name": "stranger", "enabled": False, "changed": True}
    assert "is already switched off" in call("plugin", "disable", "stranger").stdout
    assert "is switched on" in call("plugin", "enable", "stranger").stdout
    assert "Did you mean 'stranger'?" in refused("plugin", "enable", "strangr")
    assert "Did you mean 'stranger'?" in refused("plugin", "disable", "strangr")
    assert "surely-absent" in refused("plugin", "add", "surely-absent")
    call("plugin", "new", "edge-loss")
    call("plugin", "remove", "stranger")
    assert not (tmp_path / "imported").exists()
    assert tomllib.loads(registry.user_path().read_text("utf-8")) == {}


def test_a_bundle_is_switched_off_and_not_removed():
    assert "ships with toolbox and can't be removed" in refused("plugin", "remove", "smp")
    call("plugin", "disable", "smp")
    assert status("smp")["status"] == "disabled" and "toolbox plugin disable" in status("smp")["cause"]
    call("plugin", "enable", "smp")
    assert status("smp")["status"] == "ok"


def test_enabling_says_that_the_environment_says_otherwise(monkeypatch):
    monkeypatch.setenv("TOOLBOX_DISABLE", "smp")
    assert "TOOLBOX_DISABLE names 'smp' too" in call("plugin", "enable", "smp").stderr
    assert json.loads(call("plugin", "enable", "smp", "--json").stdout)["enabled"] is False


def test_a_bundle_that_ships_switched_off_is_written_down_as_on(monkeypatch):
    shipped = Registry(bundles=[Bundle(name="extra", module="surely_absent", enabled=False)])
    monkeypatch.setattr(registry, "read", lambda: Registries(shipped=shipped, user=registry.read_user()))
    call("plugin", "enable", "extra")
    assert registry.read_user() == UserRegistry(enabled=["extra"])
    call("plugin", "disable", "extra")
    assert registry.read_user() == UserRegistry(disabled=["extra"])


def test_what_is_uninstalled_can_still_be_taken_off_the_list():
    registry.change_user(lambda user: registry.with_enabled(user, "gone", enabled=False))
    assert "'gone' (not installed now) is switched on" in call("plugin", "enable", "gone").stdout
    assert "'gone' is not known" in refused("plugin", "enable", "gone")


# ---- the user's registry


@pytest.mark.parametrize("text", [b"[[files]\n", b"[[files]]\nname = 3\nfile = 'x'\n", b"unknown = 1\n", b"\xff"])
def test_a_broken_registry_is_named_and_never_overwritten(text, tmp_path, stranger):
    path = registry.user_path()
    path.parent.mkdir()
    path.write_bytes(text)
    for words in (["add", stranger], ["enable", "smp"], ["disable", "smp"], ["remove", "x"]):
        said = refused("plugin", *words, code=1)
        assert f"mv {path} {path}.broken" in said
    assert path.read_bytes() == text
    assert not (tmp_path / "imported").exists()


def test_a_registry_behind_a_link_stays_there(tmp_path):
    kept = tmp_path / "kept.toml"
    kept.write_text('disabled = ["gone"]\n', "utf-8")
    registry.user_path().parent.mkdir()
    registry.user_path().symlink_to(kept)
    call("plugin", "disable", "smp")
    assert registry.user_path().is_symlink()
    assert tomllib.loads(kept.read_text("utf-8")) == {"disabled": ["gone", "smp"]}


def test_check_gives_the_verdict_of_the_kit(stranger):
    assert "loss/mse" in call("plugin", "check", "mse").stdout
    assert "no luck" in call("plugin", "check", stranger, code=1).stdout
