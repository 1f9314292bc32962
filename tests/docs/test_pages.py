"""Check links, paths and examples in the docs. Every plugin and recipe in them is loaded and checked. 60 s."""

from __future__ import annotations

import ast
import dataclasses
import importlib
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
import zlib
from functools import cache

import pytest
import torch
from documents import DOCS, LINKED, PAGES, ROOT, blocks, name_of, prose, rows, section, slug

import toolbox
from toolbox.config import recipe
from toolbox.config.binding import bind
from toolbox.hooks import catalog, manager, registry, scaffold
from toolbox.hooks.kinds import KINDS
from toolbox.hooks.params import RESERVED_KEYS
from toolbox.hooks.specs import ComponentSpec
from toolbox.testing import check_plugin, table
from toolbox.utils.files import sha256

KIND_OF_HOOK = {kind.hook: kind for kind in KINDS.values()}
HOOKS = sorted(KIND_OF_HOOK)
# The weights of the example that publishes some; version 0.1 wrote them with the recipe `default`.
WEIGHTS = ROOT / "tests" / "reference" / "version-0.1" / "default-half.safetensors"
# Pages whose examples replace files of the package that `toolbox plugin new` writes.
TUTORIALS = ("write-a-loss.md", "write-a-generator.md")
WITH_RECIPES = [path for path in PAGES if path.name not in TUTORIALS and blocks(path.read_text("utf-8"), "toml")]


# ---- links


@pytest.mark.parametrize("path", LINKED, ids=name_of)
def test_links_have_a_target(path):
    broken = []
    for target in re.findall(r"\[[^\]]*\]\(([^)\s]+)\)", prose(path.read_text("utf-8"))):
        if target.startswith(("https://", "http://")):
            continue
        relative_path, _, anchor = target.partition("#")
        file = (path.parent / relative_path).resolve() if relative_path else path
        if not file.exists():
            broken.append(target)
        elif anchor and anchor not in {slug(h) for h in re.findall(r"^#+ (.+)$", prose(file.read_text("utf-8")), re.M)}:
            broken.append(target)
    assert not broken, f"{path.name} has broken links: {broken}"


@pytest.mark.parametrize("path", LINKED, ids=name_of)
def test_source_paths_exist(path):
    mentioned = re.findall(
        r"\b((?:toolbox|plugins|tests|benchmarks|docs)/[\w./-]*\w\.(?:py|toml|md|json|csv|npz))\b",
        path.read_text("utf-8"),
    )
    assert not [found for found in mentioned if not (ROOT / found).exists()]


def test_contributing_has_a_row_for_every_folder():
    mapped = set(rows(section((ROOT / "CONTRIBUTING.md").read_text("utf-8"), "Map"))) - {"folder"}
    folders = {f"`toolbox/{path.name}/`" for path in (ROOT / "toolbox").iterdir() if (path / "__init__.py").is_file()}
    assert {cell for cell in mapped if re.fullmatch(r"`toolbox/\w+/`", cell)} == folders


def test_contributing_has_the_folders_in_the_order_of_imports():
    tree = ast.parse((ROOT / "tests" / "test_architecture.py").read_text("utf-8"))
    (layers,) = (
        ast.literal_eval(n.value) for n in tree.body if isinstance(n, ast.Assign) and n.targets[0].id == "LAYERS"
    )
    layer_of = {name: number for number, layer in enumerate(layers) for name in layer}
    cells = rows(section((ROOT / "CONTRIBUTING.md").read_text("utf-8"), "Map"))
    listed = [cell.strip("`").split("/")[1].removesuffix(".py") for cell in cells if re.match(r"`toolbox/\w", cell)]
    assert set(listed) == set(layer_of)
    assert [layer_of[name] for name in listed] == sorted(layer_of.values())


def test_the_wheel_in_the_readme_has_the_current_version():
    wheels = re.findall(r"toolbox_restore-(.+?)-py3-none-any\.whl", (ROOT / "README.md").read_text("utf-8"))
    assert wheels and set(wheels) == {toolbox.__version__}


def test_the_wheel_in_the_readme_has_the_current_size():
    (said,) = re.findall(r"-py3-none-any\.whl` \((\d+) MB\)", (ROOT / "README.md").read_text("utf-8"))
    files = [path for folder in ("toolbox", "plugins") for path in (ROOT / folder).rglob("*") if path.is_file()]
    size = sum(len(zlib.compress(path.read_bytes())) for path in files if "__pycache__" not in path.parts)
    assert size / 1e6 == pytest.approx(int(said), rel=0.1)


def test_deprecated_names_of_the_public_interface_work():
    listed = re.findall(
        r"^\| `toolbox\.(\w+)` \| `toolbox\.(\w+)` \| ([\d.]+) \|$", (DOCS / "stability.md").read_text("utf-8"), re.M
    )
    assert listed
    for old, new, version in listed:
        with pytest.warns(DeprecationWarning, match=f"{old} .*{new}.*{re.escape(version)}"):
            assert getattr(toolbox, old) is getattr(toolbox, new)


@pytest.mark.parametrize("path", [path for path in LINKED if "python -c" in path.read_text("utf-8")], ids=name_of)
def test_python_in_shell_examples_runs(path):
    code = re.findall(r"python -c \"(.+?)\"", path.read_text("utf-8"))
    for line in code:
        assert subprocess.run([sys.executable, "-c", line], check=True, capture_output=True, text=True).stdout


@pytest.mark.parametrize("path", LINKED, ids=name_of)
def test_benchmarks_exist(path):
    named = re.findall(r"python -m benchmarks ([a-z][\w-]*)", path.read_text("utf-8").replace("\n", " "))
    assert not [name for name in named if not (ROOT / "benchmarks" / f"{name.replace('-', '_')}.py").is_file()]


def test_python_examples_run(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    (code,) = blocks((DOCS / "restore.md").read_text("utf-8"), "python")
    done = subprocess.run([sys.executable, "-c", code + "assert colour.shape == (64, 64, 3)"], capture_output=True)
    assert done.returncode == 0, done.stderr


def test_the_index_lists_every_page():
    listed = re.findall(r"\]\(([^)#]+\.md)\)", (DOCS / "index.md").read_text("utf-8"))
    pages = {path.relative_to(DOCS).as_posix() for path in PAGES} - {"index.md"}
    assert pages == {target for target in listed if not target.startswith("..")}, "docs/index.md must list every page"


# ---- hooks


@pytest.mark.parametrize("hook", HOOKS)
def test_every_hook_has_a_page_and_a_test(hook):
    page = (DOCS / "hooks" / f"{hook.removeprefix('toolbox_')}.md").read_text("utf-8")
    assert page.startswith(f"# Hook `{hook}`\n")
    assert any(hook in block and "@hookimpl" in block for block in blocks(page, "python")), "no example"
    tests = [path for path in (ROOT / "tests").rglob("*.py") if path.parent.name != "docs"]
    assert any(hook in path.read_text("utf-8") for path in tests), f"no test uses {hook}"


@pytest.mark.parametrize("hook", HOOKS)
def test_every_field_of_the_spec_is_on_its_page(hook):
    spec = KIND_OF_HOOK[hook].spec
    page = (DOCS / "hooks" / f"{hook.removeprefix('toolbox_')}.md").read_text("utf-8")
    common = {field.name for field in dataclasses.fields(ComponentSpec)}
    expected = {field.name for field in dataclasses.fields(spec)} - (
        common if issubclass(spec, ComponentSpec) else set()
    )
    listed = {cell.strip("`") for cell in rows(section(page, f"The spec: `{spec.__name__}`"))} - {"field"}
    assert listed == expected
    if expected and issubclass(spec, ComponentSpec):
        assert "All fields of [every spec](specs.md)" in page


def test_the_page_on_specs_has_the_common_fields():
    page = (DOCS / "hooks" / "specs.md").read_text("utf-8")
    fields = {field.name for field in dataclasses.fields(ComponentSpec)}
    listed = rows(section(page, "The fields that every component's spec has"))
    assert {cell.strip("`") for cell in listed} - {"field"} == fields
    assert all(f"`{name}`" in section(page, "Params") for name in RESERVED_KEYS)


# ---- examples


@cache
def shipped_registry():
    return registry.read().shipped


@pytest.fixture(autouse=True)
def isolate(monkeypatch):
    """Ignore plugins that are installed on this machine, and use one thread, which is fastest for small networks."""
    monkeypatch.setattr(manager, "entry_points", lambda group: [])
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def catalog_with(path):
    """Return the catalog of the bundles and the plugin file `path`, loaded by the manager."""
    files = [registry.UserFile(name="example", file=path)] if path else []
    registries = registry.Registries(shipped=shipped_registry(), user=registry.UserRegistry(files=files))
    loaded = catalog.build(manager.load(registries=registries))
    assert [record.cause for record in loaded.plugins if record.status != "ok"] == []
    return loaded


def write_plugin(folder, page):
    """Write the plugin of a page with its recipes and weights, as a reader would; return its file."""
    plugins = [block for block in blocks(page, "python") if "@hookimpl" in block]
    assert len(plugins) == 1, "a page must have one plugin"
    text = plugins[0]
    for path in re.findall(r'"([\w-]+\.toml)"', text):
        (folder / "recipes").mkdir()
        body = next(b for b in blocks(page, "toml") if f"--recipe {path.removesuffix('.toml')} " in b.splitlines()[0])
        (folder / "recipes" / path).write_text(body, "utf-8")
    for path in re.findall(r'"([\w-]+\.safetensors)"', text):
        shutil.copy(WEIGHTS, folder / path)
        text = text.replace("0" * 64, sha256(folder / path))
    file = folder / "example.py"
    file.write_text(text, "utf-8")
    return file


def require_conforming(results):
    """Check that nothing failed, and that every component was tested."""
    failed = [check for checks in results.values() for check in checks if check.status == "failed"]
    untested = [check for checks in results.values() for check in checks if check.name == "build"]
    assert not failed and not untested, "\n" + table(results)
    assert len(results) > 1


@pytest.mark.parametrize("hook", HOOKS)
def test_the_example_of_a_hook_conforms_and_its_checks_are_listed(hook, tmp_path):
    page = (DOCS / "hooks" / f"{hook.removeprefix('toolbox_')}.md").read_text("utf-8")
    file = write_plugin(tmp_path, page)
    catalog_with(file)
    results = check_plugin(file)
    require_conforming(results)
    common = (DOCS / "hooks" / "specs.md").read_text("utf-8")
    common_checks = set(rows(section(common, "What the conformance kit checks of each"))) - {"check"}
    found = {check.name for checks in results.values() for check in checks}
    listed = set(rows(section(page, "What the conformance kit checks"))) - {"check"}
    assert listed == found - common_checks
    assert {check.name for check in results["plugin/example"]} <= common_checks


def test_the_example_of_the_readme_conforms(tmp_path):
    file = write_plugin(tmp_path, (ROOT / "README.md").read_text("utf-8"))
    catalog_with(file)
    require_conforming(check_plugin(file))


@pytest.mark.parametrize("path", WITH_RECIPES, ids=name_of)
def test_the_recipes_of_a_page_are_valid(path, tmp_path):
    page = path.read_text("utf-8")
    has_plugin = any("@hookimpl" in block for block in blocks(page, "python"))
    loaded = catalog_with(write_plugin(tmp_path, page) if has_plugin else None)
    for number, block in enumerate(blocks(page, "toml")):
        if "project" in tomllib.loads(block):
            continue
        mine = tmp_path / f"mine{number}.toml"
        mine.write_text(block, "utf-8")
        bind(recipe.read(str(mine), lambda name: loaded.recipe(name).path), loaded).check()


@pytest.mark.parametrize("name", TUTORIALS)
def test_the_plugin_of_a_tutorial_conforms(name, tmp_path, monkeypatch):
    page = (DOCS / name).read_text("utf-8")
    command = shlex.split(re.search(r"^toolbox plugin new (.+)$", page, re.MULTILINE)[1])
    kind = command[command.index("--kind") + 1] if "--kind" in command else "loss"
    folder = scaffold.write_package(command[0], kind, tmp_path)
    for block in [*blocks(page, "python"), *blocks(page, "toml")]:
        first_line, _, body = block.partition("\n")
        target = folder / first_line.removeprefix("# ")
        assert target.is_file(), f"`toolbox plugin new` writes no {first_line}"
        target.write_text(body, "utf-8")
    module = command[0].replace("-", "_")
    monkeypatch.syspath_prepend(str(folder / "src"))
    try:
        require_conforming(check_plugin(importlib.import_module(f"{module}.plugin")))
    finally:
        for loaded in [loaded for loaded in sys.modules if loaded.split(".")[0] == module]:
            del sys.modules[loaded]


def test_the_package_on_the_page_is_that_of_plugin_new(tmp_path):
    (block,) = blocks((DOCS / "ship-it-to-pypi.md").read_text("utf-8"), "toml")
    on_page = tomllib.loads(block)
    written = tomllib.loads((scaffold.write_package("my-loss", "loss", tmp_path) / "pyproject.toml").read_text("utf-8"))
    assert on_page["project"].items() <= written["project"].items()
    assert on_page["tool"]["setuptools"].items() <= written["tool"]["setuptools"].items()
    assert list(on_page["project"]["entry-points"]) == [manager.ENTRY_POINT_GROUP]
