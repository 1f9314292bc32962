"""Plugins that fail: each is left out as a whole, with its cause, and everything else works."""

from __future__ import annotations

import json
import sys
import warnings

import pluggy
import pytest
from catalogs import DEFAULT, registries
from click.testing import CliRunner
from plugin_sources import BROKEN, GOOD

from toolbox.cli import main
from toolbox.hooks import catalog, manager
from toolbox.hooks.registry import Bundle, UserFile, UserRegistry


def load(tmp_path, *sources, user=None):
    """Load the default bundle and plugin files a, b, … with these sources."""
    files = []
    for name, source in zip("abc", sources, strict=False):
        path = tmp_path / f"{name}.py"
        path.write_text(source, "utf-8")
        files.append(UserFile(name=name, file=path))
    own = (user or UserRegistry()).model_copy(update={"files": files})
    return catalog.build(manager.load(registries=registries(DEFAULT, user=own)))


def record(loaded, name):
    return next(record for record in loaded.plugins if record.name == name)


@pytest.fixture
def home(tmp_path, monkeypatch):
    """Give the commands a configuration folder of their own."""
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.setenv("TOOLBOX_HOME", str(folder))
    return folder


def add(home, tmp_path, source, name="stranger"):
    path = tmp_path / f"{name}.py"
    path.write_text(source, "utf-8")
    with (home / "registry.toml").open("a", encoding="utf-8") as lines:
        lines.write(f'[[files]]\nname = "{name}"\nfile = {json.dumps(str(path))}\n')


def test_a_good_plugin_is_loaded_beside_the_bundles(tmp_path):
    loaded = load(tmp_path, GOOD.format(loss="fancy"))
    assert loaded.find("loss", "fancy").plugin == "a"
    assert record(loaded, "a").components == [("loss", "fancy")]


def test_a_file_that_imports_a_file_beside_it_is_not_told_to_install_that(tmp_path):
    (tmp_path / "layers.py").write_text("x = 1")
    cause = record(load(tmp_path, "from layers import x"), "a").cause
    assert cause.startswith("it imports 'layers', which lies beside it") and "pip" not in cause


def test_a_cause_has_no_full_stop_because_sentences_go_on_after_it():
    def fail():
        raise RuntimeError("no luck.")

    failed = manager.PluginRecord(name="a", origin="package", source="a.plugin")
    loaded = manager.Manager(pm=pluggy.PluginManager("toolbox"), records=[failed])
    manager.register(loaded, manager.Candidate(record=failed, load=fail))
    assert failed.cause == "import failed: RuntimeError: no luck"


@pytest.mark.parametrize(("source", "cause"), BROKEN.values(), ids=list(BROKEN))
def test_a_broken_plugin_is_left_out_as_a_whole(tmp_path, source, cause):
    modules = set(sys.modules)
    loaded = load(tmp_path, source, GOOD.format(loss="fancy"))
    broken = record(loaded, "a")
    assert broken.status == "failed"
    assert cause in broken.cause and "\n" not in broken.cause
    assert broken.components == []
    assert not [entry for entry in loaded.entries() if entry.plugin == "a"]
    assert record(loaded, "b").status == record(loaded, "default").status == "ok"
    assert {"fancy", "mse"} <= set(loaded.names("loss"))
    for name in set(sys.modules) - modules:
        if name.startswith("toolbox_user_plugins"):
            del sys.modules[name]


def test_every_misspelt_hook_is_named(tmp_path):
    cause = record(load(tmp_path, BROKEN["misspelt hooks"][0]), "a").cause
    assert "toolbox_loses" in cause and "toolbox_penaltys" in cause


def test_two_plugins_with_one_component_keep_the_first_and_name_both(tmp_path):
    loaded = load(tmp_path, GOOD.format(loss="same"), GOOD.format(loss="same"))
    assert loaded.find("loss", "same").plugin == "a"
    assert "exists already in the plugin 'a'" in record(loaded, "b").cause


def test_a_file_that_the_registry_has_twice_is_loaded_once_and_the_other_entry_is_named(tmp_path):
    path, link = tmp_path / "a.py", tmp_path / "link.py"
    path.write_text(GOOD.format(loss="same"), "utf-8")
    link.symlink_to(path)
    user = UserRegistry(
        files=[UserFile(name=name, file=file) for name, file in zip("abc", (path, path, link), strict=True)]
    )
    loaded = catalog.build(manager.load(registries=registries(DEFAULT, user=user)))
    assert loaded.find("loss", "same").plugin == "a"
    for name in "bc":
        assert record(loaded, name).cause == f"it is the same file as the plugin 'a': toolbox plugin remove {name}"
    disabled = user.model_copy(update={"disabled": ["a"]})
    loaded = catalog.build(manager.load(registries=registries(DEFAULT, user=disabled)))
    assert loaded.find("loss", "same").plugin == "b"


@pytest.mark.parametrize(
    ("line", "cause"),
    [
        (
            "import surely_absent_t",
            "it needs the package 'surely_absent_t', which is not installed: pip install surely",
        ),
        ("import surely_absent_t.part", "it needs the package 'surely_absent_t', which is not installed"),
        ("import torch.nn.functionals", "import failed: ModuleNotFoundError: No module named 'torch.nn.functionals'"),
        ("import json.part", "import failed: ModuleNotFoundError: No module named 'json.part'"),
        ("import toolbox.losses_of_mine", "No module named 'toolbox.losses_of_mine'"),
    ],
)
def test_only_a_package_that_is_missing_is_to_be_installed(tmp_path, line, cause):
    path = tmp_path / "a.py"
    path.write_text(f"{line}\n", "utf-8")
    user = UserRegistry(files=[UserFile(name="a", file=path)])
    found = record(catalog.build(manager.load(registries=registries(DEFAULT, user=user))), "a").cause
    assert cause in found and ("pip install" in found) == ("surely_absent" in line)
    assert ("another version of toolbox" in found) == ("toolbox." in line)


def test_a_file_with_the_name_of_a_package_is_added_under_another(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    distribution(tmp_path, "alpha", "shared-name", "alpha_plugin_t", GOOD.format(loss="alpha"))
    path = tmp_path / "mine.py"
    path.write_text(GOOD.format(loss="mine"), "utf-8")
    user = UserRegistry(files=[UserFile(name="shared-name", file=path)])
    loaded = catalog.build(manager.load(registries=registries(DEFAULT, user=user)))
    causes = [record.cause for record in loaded.plugins if record.name == "shared-name" and record.cause]
    remedy = f"toolbox plugin remove shared-name, then toolbox plugin add {path} --name ANOTHER"
    assert len(causes) == 1 and causes[0].endswith(remedy)


def distribution(folder, name, entry, module, source):
    """Lay out an installed distribution with an entry point."""
    (folder / f"{module}.py").write_text(source, "utf-8")
    info = folder / f"{name}-1.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.2\n", "utf-8")
    (info / "entry_points.txt").write_text(f"[toolbox.plugins]\n{entry} = {module}\n", "utf-8")


def test_two_distributions_with_one_entry_point_name_keep_the_first_and_name_it(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    distribution(tmp_path, "alpha", "shared-name", "alpha_plugin_t", GOOD.format(loss="alpha"))
    distribution(tmp_path, "beta", "shared-name", "beta_plugin_t", GOOD.format(loss="beta"))
    loaded = catalog.build(manager.load(registries=registries(DEFAULT)))
    mine = [r for r in loaded.plugins if r.name == "shared-name"]
    assert [(r.distribution, r.version, r.status) for r in mine] == [("alpha", "1.2", "ok"), ("beta", "1.2", "failed")]
    assert "alpha 1.2" in mine[1].cause and mine[1].cause.endswith("uninstall one of the two") and not mine[1].remedy
    assert "beta_plugin_t" not in sys.modules
    assert loaded.find("loss", "alpha").origin == "alpha 1.2"
    assert "beta" not in loaded.names("loss")


def test_a_package_with_the_name_of_a_bundle_is_not_disabled_with_it(tmp_path, monkeypatch):
    """The remedy was `toolbox plugin disable luma`, which disables the bundle too."""
    monkeypatch.syspath_prepend(str(tmp_path))
    distribution(tmp_path, "alpha", "default", "alpha_plugin_t", GOOD.format(loss="alpha"))
    mine = [one for one in manager.load(registries=registries(DEFAULT)).records if one.name == "default"]
    failed = next(one for one in mine if one.status == "failed")
    assert failed.distribution == "alpha" and not failed.remedy
    assert failed.cause.endswith("has the same name; uninstall alpha, or give its entry point another name")


def test_a_param_with_a_name_of_pydantic_prints_no_warning_of_its_own(tmp_path):
    source = (
        "from toolbox import Field, LossSpec, Params, hookimpl\n"
        "class P(Params):\n    copy: int = Field(1, description='x')\n"
        "@hookimpl\ndef toolbox_losses(): return [LossSpec(name='new', summary='x', params=P, build=print)]\n"
    )
    (tmp_path / "a.py").write_text(source, "utf-8")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        user = UserRegistry(files=[UserFile(name="a", file=tmp_path / "a.py")])
        found = record(catalog.build(manager.load(registries=registries(DEFAULT, user=user))), "a")
    assert "have names that pydantic uses: copy" in found.cause


@pytest.mark.parametrize("how", ["registry", "environment", "bundle"])
def test_a_disabled_plugin_is_never_imported(tmp_path, monkeypatch, how):
    source = "raise AssertionError('imported')"
    if how == "environment":
        monkeypatch.setenv("TOOLBOX_DISABLE", " , a")
        from toolbox.hooks import registry

        monkeypatch.setenv("TOOLBOX_HOME", str(tmp_path))
        given = registries(DEFAULT)
        given = type(given)(
            shipped=given.shipped,
            user=UserRegistry(files=[UserFile(name="a", file=tmp_path / "a.py")]),
            disabled_by_environment=registry.read().disabled_by_environment,
        )
        (tmp_path / "a.py").write_text(source, "utf-8")
        loaded = catalog.build(manager.load(registries=given))
    elif how == "registry":
        loaded = load(tmp_path, source, user=UserRegistry(disabled=["a"]))
    else:
        off = Bundle(name="a", module="surely_absent", enabled=False)
        loaded = catalog.build(manager.load(registries=registries(DEFAULT, off)))
    assert record(loaded, "a").status == "disabled"
    assert record(loaded, "a").seconds == 0


def test_a_slow_import_is_named_with_its_time(home, tmp_path, monkeypatch):
    monkeypatch.setattr(manager, "SLOW_SECONDS", 0.05)
    add(home, tmp_path, "import time; time.sleep(0.1)\n" + GOOD.format(loss="fancy"))
    result = CliRunner().invoke(main, ["plugins"])
    line = next(line for line in result.stdout.splitlines() if line.startswith("stranger"))
    assert "slow import: 0." in line


def test_plugins_shows_a_line_for_each_and_strict_fails(home, tmp_path):
    add(home, tmp_path, "raise RuntimeError('no luck')")
    result = CliRunner().invoke(main, ["plugins"])
    assert result.exit_code == 0
    line = next(line for line in result.stdout.splitlines() if line.startswith("stranger"))
    assert "failed" in line and "no luck" in line and "toolbox plugin disable stranger" in line
    assert CliRunner().invoke(main, ["plugins", "--strict"]).exit_code == 1
    listed = json.loads(CliRunner().invoke(main, ["plugins", "--json"]).stdout)
    assert {row["name"]: row["status"] for row in listed}["stranger"] == "failed"


def test_without_plugins_only_the_bundles_are_loaded(home, tmp_path):
    add(home, tmp_path, "raise AssertionError('imported')")
    result = CliRunner().invoke(main, ["--no-plugins", "plugins", "--strict"])
    assert result.exit_code == 0
    line = next(line for line in result.stdout.splitlines() if line.startswith("stranger"))
    assert "disabled" in line and line.endswith("by --no-plugins")


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ('[[files]]\nname = "a"\nfile = "a.py"\n', "files.0.file: a.py is not an absolute path; write the whole path"),
        ('[[files]]\nname = "a"\nfile = "~/a.py"\n', "files.0.file: ~/a.py is not an absolute path"),
        (
            '[[files]]\nname = "a"\nfile = "/x/a.py"\n[[files]]\nname = "a"\nfile = "/y/a.py"\n',
            "files: 'a' is the name of two files; rename one of the two",
        ),
    ],
)
def test_a_registry_that_was_edited_by_hand_loads_no_file_by_chance(home, tmp_path, monkeypatch, text, fault):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.py").write_text(GOOD.format(loss="new"), "utf-8")
    (home / "registry.toml").write_text(text, "utf-8")
    for arguments in (["plugins"], ["plugin", "remove", "a"]):
        assert fault in CliRunner().invoke(main, arguments, env={"COLUMNS": "500"}).output
    assert (home / "registry.toml").read_text("utf-8") == text


@pytest.mark.parametrize("text", ["[[files]\n", "[[files]]\nname = 3\nfile = 'x'\n", "unknown = 1\n"])
def test_a_broken_user_registry_stops_nothing(home, text):
    (home / "registry.toml").write_text(text, "utf-8")
    result = CliRunner().invoke(main, ["plugins"])
    assert result.exit_code == 0
    assert "user-registry" in result.stdout and "registry.toml" in result.stdout
    listed = CliRunner().invoke(main, ["list", "losses"])
    assert listed.exit_code == 0 and "mse" in listed.stdout
