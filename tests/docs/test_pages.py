"""The docs' links, pages and examples: every plugin and recipe in them is loaded and checked. Some 10 s."""

from __future__ import annotations

import dataclasses
import importlib
import re
import shlex
import sys
import tomllib
from functools import cache

import pytest
import torch
from documents import DOCS, LINKED, PAGES, ROOT, blocks, name_of, prose, rows, section, slug

from toolbox.config import recipe
from toolbox.config.plan import bind
from toolbox.hooks import catalog, hookspecs, manager, registry, scaffold
from toolbox.hooks.specs import KINDS, RESERVED, Spec, plural
from toolbox.models.weight_file import WeightsHeader, write_weights
from toolbox.testing import check_plugin, table
from toolbox.utils.files import sha256

HOOKS = sorted(name for name in vars(hookspecs) if name.startswith("toolbox_"))
KIND_OF_HOOK = {f"toolbox_{plural(kind)}": kind for kind in KINDS}
# Pages that overlay the package of `toolbox plugin new`, its recipe too.
TUTORIALS = ("write-a-loss.md", "write-a-generator.md")
WITH_RECIPES = [path for path in PAGES if path.name not in TUTORIALS and blocks(path.read_text("utf-8"), "toml")]


# ---- links


@pytest.mark.parametrize("path", LINKED, ids=name_of)
def test_links_lead_somewhere(path):
    lost = []
    for target in re.findall(r"\[[^\]]*\]\(([^)\s]+)\)", prose(path.read_text("utf-8"))):
        if target.startswith(("https://", "http://")):
            continue
        place, _, anchor = target.partition("#")
        file = (path.parent / place).resolve() if place else path
        if not file.exists():
            lost.append(target)
        elif anchor and anchor not in {slug(h) for h in re.findall(r"^#+ (.+)$", prose(file.read_text("utf-8")), re.M)}:
            lost.append(target)
    assert not lost, f"{path.name} links to what is not there: {lost}"


def test_the_map_names_every_page():
    listed = re.findall(r"\]\(([^)#]+\.md)\)", (DOCS / "index.md").read_text("utf-8"))
    pages = {path.relative_to(DOCS).as_posix() for path in PAGES} - {"index.md"}
    assert pages == {target for target in listed if not target.startswith("..")}, "docs/index.md is the map of docs/"


# ---- hooks


@pytest.mark.parametrize("hook", HOOKS)
def test_every_hook_has_a_page_and_a_test(hook):
    page = (DOCS / "hooks" / f"{hook.removeprefix('toolbox_')}.md").read_text("utf-8")
    assert page.startswith(f"# Hook `{hook}`\n")
    assert any(hook in block and "@hookimpl" in block for block in blocks(page, "python")), "no example"
    others = [path for path in (ROOT / "tests").rglob("*.py") if path.name != "test_docs.py"]
    assert any(hook in path.read_text("utf-8") for path in others), f"no test uses {hook}"


@pytest.mark.parametrize("hook", HOOKS)
def test_every_field_of_the_spec_is_on_its_page(hook):
    spec = KINDS[KIND_OF_HOOK[hook]]
    page = (DOCS / "hooks" / f"{hook.removeprefix('toolbox_')}.md").read_text("utf-8")
    common = {field.name for field in dataclasses.fields(Spec)}
    wanted = {field.name for field in dataclasses.fields(spec)} - (common if issubclass(spec, Spec) else set())
    listed = {cell.strip("`") for cell in rows(section(page, f"The spec: `{spec.__name__}`"))} - {"field"}
    assert listed == wanted
    if wanted and issubclass(spec, Spec):
        assert "All fields of [every spec](specs.md)" in page


def test_what_every_spec_has_in_common():
    page = (DOCS / "hooks" / "specs.md").read_text("utf-8")
    fields = {field.name for field in dataclasses.fields(Spec)}
    listed = rows(section(page, "The fields that every component's spec has"))
    assert {cell.strip("`") for cell in listed} - {"field"} == fields
    assert all(f"`{name}`" in section(page, "Params") for name in RESERVED)


# ---- examples


@cache
def shipped():
    return registry.read().shipped


@pytest.fixture(autouse=True)
def alone(monkeypatch):
    """Leave out plugins that happen to be installed here; small networks are quickest on one thread."""
    monkeypatch.setattr(manager, "entry_points", lambda group: [])
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def catalog_with(path):
    """Return the catalog of the bundles and the plugin file `path`, which has to come in through the manager."""
    files = [registry.UserFile(name="example", file=path)] if path else []
    registries = registry.Registries(shipped=shipped(), user=registry.UserRegistry(files=files))
    loaded = catalog.build(manager.load(registries=registries))
    assert [record.cause for record in loaded.plugins if record.status != "ok"] == []
    return loaded


def written(folder, page):
    """Write a page's plugin, and recipes and weights that it brings, as a reader would; return its file."""
    plugins = [block for block in blocks(page, "python") if "@hookimpl" in block]
    assert len(plugins) == 1, "a page has one plugin"
    text = plugins[0]
    for path in re.findall(r'"([\w-]+\.toml)"', text):
        (folder / "recipes").mkdir()
        body = next(b for b in blocks(page, "toml") if f"--recipe {path.removesuffix('.toml')} " in b.splitlines()[0])
        (folder / "recipes" / path).write_text(body, "utf-8")
    for path in re.findall(r'"([\w-]+\.safetensors)"', text):
        write_weights(folder / path, torch.nn.Linear(2, 2).state_dict(), WeightsHeader(recipe=""))
        text = text.replace("0" * 64, sha256(folder / path))
    file = folder / "example.py"
    file.write_text(text, "utf-8")
    return file


def conforms(results):
    """Demand that nothing failed, and that every component was tried."""
    wrong = [check for checks in results.values() for check in checks if check.status == "failed"]
    untried = [check for checks in results.values() for check in checks if check.name == "build"]
    assert not wrong and not untried, "\n" + table(results)
    assert len(results) > 1


@pytest.mark.parametrize("hook", HOOKS)
def test_a_hooks_example_conforms_and_its_checks_are_listed(hook, tmp_path):
    page = (DOCS / "hooks" / f"{hook.removeprefix('toolbox_')}.md").read_text("utf-8")
    file = written(tmp_path, page)
    catalog_with(file)
    results = check_plugin(file)
    conforms(results)
    common = (DOCS / "hooks" / "specs.md").read_text("utf-8")
    everywhere = set(rows(section(common, "What the conformance kit checks of each"))) - {"check"}
    found = {check.name for checks in results.values() for check in checks}
    listed = set(rows(section(page, "What the conformance kit checks"))) - {"check"}
    assert listed == found - everywhere
    assert {check.name for check in results["plugin/example"]} <= everywhere


def test_the_readmes_example_conforms(tmp_path):
    file = written(tmp_path, (ROOT / "README.md").read_text("utf-8"))
    catalog_with(file)
    conforms(check_plugin(file))


@pytest.mark.parametrize("path", WITH_RECIPES, ids=name_of)
def test_the_recipes_of_a_page_bind(path, tmp_path):
    page = path.read_text("utf-8")
    loaded = catalog_with(written(tmp_path, page) if path.parent.name == "hooks" else None)
    for number, block in enumerate(blocks(page, "toml")):
        if "project" in tomllib.loads(block):
            continue
        mine = tmp_path / f"mine{number}.toml"
        mine.write_text(block, "utf-8")
        bind(recipe.read(str(mine), lambda name: loaded.recipe(name).path), loaded).check()


@pytest.mark.parametrize("name", TUTORIALS)
def test_a_tutorial_makes_a_plugin_that_conforms(name, tmp_path, monkeypatch):
    page = (DOCS / name).read_text("utf-8")
    command = shlex.split(re.search(r"^toolbox plugin new (.+)$", page, re.MULTILINE)[1])
    kind = command[command.index("--kind") + 1] if "--kind" in command else "loss"
    folder = scaffold.write(command[0], kind, tmp_path)
    for block in [*blocks(page, "python"), *blocks(page, "toml")]:
        head, _, body = block.partition("\n")
        target = folder / head.removeprefix("# ")
        assert target.is_file(), f"`toolbox plugin new` writes no {head}"
        target.write_text(body, "utf-8")
    module = command[0].replace("-", "_")
    monkeypatch.syspath_prepend(str(folder / "src"))
    try:
        conforms(check_plugin(importlib.import_module(f"{module}.plugin")))
    finally:
        for loaded in [loaded for loaded in sys.modules if loaded.split(".")[0] == module]:
            del sys.modules[loaded]


def test_the_package_to_ship_is_the_one_that_is_written(tmp_path):
    (block,) = blocks((DOCS / "ship-it-to-pypi.md").read_text("utf-8"), "toml")
    shown = tomllib.loads(block)
    real = tomllib.loads((scaffold.write("my-loss", "loss", tmp_path) / "pyproject.toml").read_text("utf-8"))
    assert shown["project"].items() <= real["project"].items()
    assert shown["tool"]["setuptools"].items() <= real["tool"]["setuptools"].items()
    assert list(shown["project"]["entry-points"]) == [manager.GROUP]
