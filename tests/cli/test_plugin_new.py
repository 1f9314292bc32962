"""`toolbox plugin new`: packages created, installed with pip and run. Takes about 20 s."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import sys
import tomllib
from pathlib import Path

import pytest
from commands import invoke, invoke_error, plugin_status, run_python, run_toolbox

from toolbox.hooks import scaffold
from toolbox.hooks.hookspecs import HOOK_API

DISTRIBUTION = Path(__file__).parents[1] / "helpers" / "distribution"
PIP = "pip install --no-deps --no-build-isolation --no-index --no-input --quiet --target".split()
TINY = ["--size", "32", "--steps", "2", "--device", "cpu", "--set", "generator.width=4", "--set", "generator.levels=2"]


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """Install a new package with a loss, and the distribution of the test helpers, with pip; return their folder."""
    if not importlib.util.find_spec("pip"):
        pytest.skip("needs pip in this environment")
    folder = tmp_path_factory.mktemp("installed")
    # A copy, because pip builds inside the source folder.
    shutil.copytree(DISTRIBUTION, folder / "tint")
    scaffold.write_package("halo-loss", "loss", folder)
    target = folder / "target"
    run_python("-m", *PIP, target, folder / "halo-loss", folder / "tint")
    return target


def test_a_new_package_of_each_kind_passes_its_test(tmp_path):
    for kind in scaffold.NEW_KINDS:
        invoke("plugin", "new", f"my-{kind}", "--kind", kind)
    folders = [tmp_path / f"my-{kind}" for kind in scaffold.NEW_KINDS]
    path = os.pathsep.join(str(folder / "src") for folder in folders)
    output = run_python("-W", "error", "-m", "pytest", "-q", *folders, path=path)
    assert f"{len(folders)} passed" in output


def test_a_new_package_has_the_listed_files(tmp_path):
    result = json.loads(invoke("plugin", "new", "edge-loss", "--out", "deep/er", "--json").stdout)
    names = ("__init__.py", "loss.py", "plugin.py", "recipes/edge-loss.toml")
    source = [f"src/edge_loss/{name}" for name in names]
    assert result["files"] == ["README.md", "pyproject.toml", *source, "tests/test_edge_loss.py"]
    assert result["folder"] == "deep/er/edge-loss" and result["kind"] == "loss"
    assert "pip install -e other-loss" in invoke("plugin", "new", "other-loss").stdout
    for path in Path(result["folder"]).rglob("*.*"):
        assert path.is_dir() or "$" not in path.read_text("utf-8"), path


@pytest.mark.parametrize(
    ("name", "message"),
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
def test_an_invalid_or_taken_name_is_rejected(name, message, tmp_path):
    assert message in invoke_error("plugin", "new", name)
    assert list(tmp_path.iterdir()) == []


def test_an_existing_folder_is_not_changed(tmp_path):
    (tmp_path / "edge-loss").mkdir()
    (tmp_path / "edge-loss" / "letter.txt").write_text("dear", "utf-8")
    assert "edge-loss exists already" in invoke_error("plugin", "new", "edge-loss")
    assert [path.name for path in tmp_path.rglob("*")] == ["edge-loss", "letter.txt"]


def test_after_an_error_no_file_remains(tmp_path, monkeypatch):
    def fail(*arguments):
        yield "README.md", "text"
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(scaffold, "render_files", fail)
    assert "No space left" in invoke_error("plugin", "new", "edge-loss", code=1)
    assert list(tmp_path.iterdir()) == []


def test_a_new_package_can_be_installed_listed_and_run(installed, tmp_path):
    rows = {(row["kind"], row["name"]): row for row in json.loads(run_toolbox("list", "--json", path=installed))}
    for kind in ("loss", "recipe"):
        row = rows[kind, "halo-loss"]
        assert (row["plugin"], row["distribution"], row["version"]) == ("halo-loss", "halo-loss", "0.1.0")
    test = installed.parent / "halo-loss" / "tests"
    assert "1 passed" in run_python("-m", "pytest", "-q", "-o", "pythonpath=", test, path=installed)
    output = run_toolbox("run", "--recipe", "halo-loss", "--out", "run", *TINY, path=installed)
    assert "halo-loss x10" in output and "Pixel loss (MSE)" in output
    bound = tomllib.loads((tmp_path / "run" / "recipe.toml").read_text("utf-8"))
    assert bound["requires"] == {"halo-loss": "halo-loss 0.1.0"}


def test_for_a_package_that_is_not_installed_the_error_has_the_command():
    invoke("plugin", "new", "edge-loss")
    install = "pip install -e ./edge-loss"
    assert install in invoke_error("plugin", "check", "edge-loss") and install in invoke_error(
        "plugin", "add", "edge-loss"
    )
    for command in (["plugin", "check"], ["plugin", "add"]):
        assert "is part of a package" in invoke_error(*command, "edge-loss/src/edge_loss/plugin.py")


def test_a_recipe_names_its_missing_plugin(tmp_path):
    invoke("plugin", "new", "edge-loss")
    recipe = "edge-loss/src/edge_loss/recipes/edge-loss.toml"
    output = invoke("run", "--recipe", recipe, "--dry-run", code=2).stderr
    assert "losses.edge-loss: Loss 'edge-loss' is not known." in output
    assert "needs the plugin 'edge-loss' (edge-loss 0.1.0), which is not here: pip install edge-loss" in output


# ---- an installed distribution


def test_a_distribution_is_listed_with_its_name_and_version(installed, monkeypatch):
    rows = json.loads(run_toolbox("list", "--json", path=installed))
    listed = {(row["kind"], row["name"], row["version"]) for row in rows if row["distribution"] == "tint-terms"}
    assert listed == {("loss", "tint-shift", "0.3.1"), ("metric", "tint-shift", "0.3.1")}
    monkeypatch.syspath_prepend(str(installed))
    assert "loss/tint-shift" in invoke("plugin", "check", "tint").stdout
    assert "tint-terms 0.3.1 is installed" in invoke("plugin", "add", "tint_terms>=0.3").stdout
    package = json.loads(invoke("plugin", "add", "Tint-Terms", "--json").stdout)
    assert package == {"distribution": "tint-terms", "version": "0.3.1", "plugins": ["tint"]}
    assert "belongs to the package tint-terms 0.3.1. To remove it: pip uninstall tint-terms" in invoke_error(
        "plugin", "remove", "tint"
    )
    assert "(tint-terms 0.3.1) is now disabled" in invoke("plugin", "disable", "tint").stdout
    assert plugin_status("tint")["status"] == "disabled" and plugin_status("tint")["version"] == "0.3.1"
    invoke("plugin", "enable", "tint")
    assert plugin_status("tint")["status"] == "ok"


def test_a_plugin_written_for_the_first_version_of_the_hooks_runs_unchanged(installed, tmp_path):
    assert HOOK_API == 1
    settings = ["--set", "losses.tint-shift.power=1.5", "--set", "metrics.tint-shift.name=tint-shift"]
    output = run_toolbox("run", "--recipe", "default", "--out", "run", *settings, *TINY, path=installed)
    assert "tint-shift x1" in output
    records = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text("utf-8").splitlines()]
    assert all(record["loss.tint-shift"] > 0 for record in records if "g" in record)
    assert [record["validation"]["tint-shift"] > 0 for record in records if "validation" in record] == [True]


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("surely-absent", "surely-absent is not installed. To install it: pip install surely-absent."),
        ("surely-absent[a,b]>=2,<3", "pip install 'surely-absent[a,b]>=2,<3'"),
        ("git+https://example.org/x", "To install a package: pip install git+https://example.org/x"),
        ("click", "is installed but has no plugin"),
        (".", "is a folder. To install it as a package: pip install -e ."),
        ("nowhere.py", "There is no file nowhere.py"),
        ("two words", "neither a Python file nor a requirement"),
    ],
)
def test_for_a_target_without_a_plugin_the_error_says_what_to_type(target, message):
    assert message in invoke_error("plugin", "add", target)


# ---- the commands that are printed, and those in the README


@pytest.fixture(autouse=True)
def forget_new_packages():
    """Remove the imported packages: another test may create one of the same name."""
    yield
    for name in [name for name in sys.modules if name.startswith("my_")]:
        del sys.modules[name]


def new_package(name, kind, monkeypatch):
    """Create a package, make it importable with its entry points as pip does, and return what was printed."""
    printed = invoke("plugin", "new", name, "--kind", kind).stdout
    project = tomllib.loads((Path(name) / "pyproject.toml").read_text("utf-8"))["project"]
    metadata = Path(name) / "src" / f"{name.replace('-', '_')}-{project['version']}.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {project['version']}\n", "utf-8")
    points = [
        f"[{group}]\n" + "".join(f"{key} = {value}\n" for key, value in entries.items())
        for group, entries in project["entry-points"].items()
    ]
    (metadata / "entry_points.txt").write_text("\n".join(points), "utf-8")
    monkeypatch.syspath_prepend(str(metadata.parent.absolute()))
    return printed


SMALL = ["--size", "32", "--steps", "1", "--batch", "2", "--device", "cpu", "--set", "data.repeat=1"]
NARROW = ["--set", "generator.width=4", "--set", "generator.levels=2"]


@pytest.mark.parametrize("kind", scaffold.NEW_KINDS)
def test_the_commands_for_a_new_package_work(kind, photos, monkeypatch):
    name = f"my-{kind}"
    printed = new_package(name, kind, monkeypatch)
    readme = (Path(name) / "README.md").read_text("utf-8")
    lines = [line.partition("#")[0].strip() for line in (printed + readme).splitlines()]
    commands = list(dict.fromkeys(tuple(line.split()[1:]) for line in lines if line.startswith("toolbox ")))
    assert ("plugin", "check", name) in commands and (("run", "--recipe", name) in commands) == (kind != "command")
    for command in commands:
        if command[0] != "run":
            invoke(*command)
            continue
        small = [*SMALL, *(NARROW if kind != "generator" else [])]
        output = invoke(*command, *small, "--out", "run").output
        assert "sample: 24 train" in output and "this run uses the package's" in output
        assert "photos: 4 train, 2 validate" in invoke(*command, *small, "--data", photos, "--dry-run").output


def test_the_source_of_a_new_package_reads_a_list(photos, monkeypatch, tmp_path):
    new_package("list-source", "source", monkeypatch)
    names = sorted(path.name for path in photos.iterdir())[:3]
    (photos / "some.txt").write_text("# three\n" + "\n".join(names), "utf-8")
    run = ["run", "--recipe", "list-source", "--dry-run", "--data"]
    assert "photos: 2 train, 1 validate" in invoke(*run, photos / "some.txt").output
    assert "neither a text file with one path a line nor a folder" in invoke_error(*run, tmp_path / "none", code=1)


def test_a_source_that_opens_the_sample_photographs_trains_on_them_as_the_default_does():
    outlines = [invoke("run", "--dry-run", "--set", setting).stdout for setting in ("seed=42", "source.name=folders")]
    assert "64 pixels" in outlines[0]
    assert outlines[0].replace("default-1", "") == outlines[1].replace("default-1", "")
