"""`toolbox plugin new`: write a small package with a working plugin, from the templates in ``templates/``."""

from __future__ import annotations

import importlib.util
import keyword
import sys
from collections.abc import Iterator
from pathlib import Path
from string import Template

from toolbox import __version__
from toolbox.errors import UsageError
from toolbox.hooks import catalog
from toolbox.hooks.hookspecs import HOOK_API
from toolbox.hooks.kinds import KINDS
from toolbox.hooks.scaffold_examples import COMMAND, EXAMPLES
from toolbox.hooks.specs import NAME_PATTERN
from toolbox.utils import files

TEMPLATES = Path(__file__).with_name("templates")
NEW_KINDS = (*EXAMPLES, "command")


def write_package(name: str, kind: str, out: Path) -> Path:
    """Write the package `name` into the folder `out`, atomically.

    Args:
        name: the name of the package, its plugin, its component and its recipe: lower-case words joined by hyphens.
        kind: the kind of its component, one of `NEW_KINDS`.
        out: the folder to write it into; created if missing.

    Returns:
        The folder ``out / name``.

    Raises:
        UsageError: the name can't be used, or the folder ``out / name`` exists.
        OutputError: the package can't be written.
    """
    module = _module_name(name, kind)
    target = out / name
    if target.exists() or target.is_symlink():
        raise UsageError(f"{target} exists already; choose another name, or another folder with --out.")
    files.ensure_folder(out)

    def fill(folder: Path) -> None:
        for path, text in render_files(name, module, kind):
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(text, "utf-8")

    files.write_folder(target, fill)
    return target


def _module_name(name: str, kind: str) -> str:
    """Return the name of the Python package; UsageError if `name` can't be used."""
    remedy = "Choose another name."
    if not NAME_PATTERN.fullmatch(name):
        raise UsageError(f"'{name}' is not lower-case words joined by hyphens, as in edge-loss. {remedy}")
    module = name.replace("-", "_")
    if keyword.iskeyword(module) or keyword.issoftkeyword(module):
        raise UsageError(f"'{name}' is a keyword of Python. {remedy}")
    if module in sys.stdlib_module_names or importlib.util.find_spec(module) is not None:
        raise UsageError(f"A Python package '{module}' is installed already; one would hide the other. {remedy}")
    # Every user of the new plugin has the bundles that ship. Other plugins need not be imported for this.
    shipped = catalog.load(third_party=False)
    for entry in [*shipped.entries(kind), *shipped.entries("recipe")]:
        if entry.spec.name == name:
            raise UsageError(f"A {entry.kind} '{name}' ships with toolbox, in the plugin '{entry.plugin}'. {remedy}")
    if name in {record.name for record in shipped.plugins}:
        raise UsageError(f"A plugin '{name}' ships with toolbox. {remedy}")
    return module


def render_files(name: str, module: str, kind: str) -> Iterator[tuple[str, str]]:
    """Yield the path of each file in the package, and its text."""
    package = f"src/{module}"
    common = {"name": name, "module": module, "kind": kind, "api": HOOK_API, "version": __version__}
    files = {
        "pyproject.toml": "pyproject.toml",
        "README.md": "README.md",
        f"{package}/__init__.py": "__init__.py",
        f"{package}/plugin.py": "plugin.py",
        f"{package}/{kind}.py": f"{kind}.py",
        f"tests/test_{module}.py": "test.py",
    }
    if kind == "command":
        slots = common | {"command": COMMAND.command, "summary": COMMAND.summary}
        files |= {"README.md": "command_README.md", f"{package}/plugin.py": "command_plugin.py"}
    else:
        slots = common | _component_slots(name, kind)
        files[f"{package}/recipes/{name}.toml"] = "recipe.toml"
        if kind == "source":
            files[f"{package}/plugin.py"] = "source_plugin.py"
    for path, template in files.items():
        yield path, Template((TEMPLATES / f"{template}.in").read_text("utf-8")).substitute(slots)


def _component_slots(name: str, kind: str) -> dict[str, object]:
    """Return what the templates of a component need besides what all templates need."""
    example = EXAMPLES[kind]
    spec = KINDS[kind].spec.__name__
    indented = "".join(f"    {line}\n" for line in example.typing_imports)
    protocol = () if example.typing_imports else (example.protocol,)
    return {
        "kinds": KINDS[kind].plural,
        "hook": KINDS[kind].hook,
        "spec": spec,
        "imports": ", ".join(sorted({*protocol, *example.names, spec, "Field", "Params", "RecipeSpec"})),
        "typing_import": "from typing import TYPE_CHECKING\n" if example.typing_imports else "",
        "typing": "\nif TYPE_CHECKING:\n" + indented if example.typing_imports else "",
        "arguments": example.arguments,
        "protocol": example.protocol,
        "summary": example.summary,
        "reference": example.reference,
        "param": example.param,
        "factory": example.factory,
        "call": example.call,
        "spec_argument": f"\n            {example.spec_argument}" if example.spec_argument else "",
        "tables": Template(example.tables).substitute(name=name),
    }
