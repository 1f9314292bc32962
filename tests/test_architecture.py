"""The import directions, and what the light half of the program may not load."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
HEAVY = ("torch", "timm", "cv2", "segmentation_models_pytorch", "torchvision", "accelerate", "numpy")
LIGHT = (
    *("__init__", "errors", "contracts", "specs", "hookspecs", "recipe", "settings", "registry", "manager", "catalog"),
    *("plan", "faults", "schema"),
)
ENGINE = ("training", "parts", "restore", "validation", "checkpoint", "data")


def imported(path: Path, *, top_only: bool = False) -> set[str]:
    """Return the modules that a file imports, those under TYPE_CHECKING left out."""
    found = set()
    tree = ast.parse(path.read_text("utf-8"))
    typing_only = {
        id(child)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for child in ast.walk(node)
    }
    for node in tree.body if top_only else ast.walk(tree):
        if id(node) in typing_only:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            found |= {node.module or ""} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def sources(folder: str) -> list[Path]:
    found = sorted((ROOT / folder).rglob("*.py"))
    assert found
    return found


@pytest.mark.parametrize("path", sources("toolbox"), ids=lambda path: path.stem)
def test_the_core_imports_no_bundle_and_nothing_imports_the_cli(path):
    names = imported(path)
    assert not [name for name in names if name.startswith(("toolbox_plugins", "plugins"))]
    if "cli" not in path.parts and path.stem != "__main__":
        assert not [name for name in names if name.startswith("toolbox.cli")]


@pytest.mark.parametrize("path", sources("plugins"), ids=lambda path: "/".join(path.parts[-2:]))
def test_a_bundle_imports_the_public_face_alone(path):
    ours = {name for name in imported(path) if name.split(".")[0] in ("toolbox", "toolbox_plugins")}
    allowed = ("toolbox", "toolbox.testing", "toolbox.backbones")
    assert not [name for name in ours if name not in allowed and not _is_face(name)]


def _is_face(name: str) -> bool:
    import toolbox

    parent, _, member = name.rpartition(".")
    return parent in ("toolbox.testing", "toolbox.backbones") or (parent == "toolbox" and member in toolbox.__all__)


@pytest.mark.parametrize("name", LIGHT)
def test_nothing_heavy_above_the_torch_line(name):
    roots = {module.split(".")[0] for module in imported(ROOT / "toolbox" / f"{name}.py", top_only=True)}
    assert not roots & set(HEAVY)


@pytest.mark.parametrize("path", sorted((ROOT / "plugins").glob("*/plugin.py")), ids=lambda path: path.parent.name)
def test_no_plugin_module_imports_anything_heavy(path):
    roots = {module.split(".")[0] for module in imported(path, top_only=True)}
    assert not roots & set(HEAVY)


@pytest.mark.parametrize("name", ENGINE)
def test_the_engine_knows_no_plugins_files_or_click(name):
    names = imported(ROOT / "toolbox" / f"{name}.py")
    assert not names & {"click", "toolbox.manager", "toolbox.recipe", "toolbox.catalog", "pluggy"}


@pytest.mark.parametrize("command", [["list"], ["plugins"], ["show", "loss", "ssim"], ["recipe", "show", "default"]])
def test_the_listing_commands_load_nothing_heavy(command):
    code = (
        "import sys, json; from toolbox.cli import main\n"
        f"try: main({command!r})\n"
        "except SystemExit as end: assert not end.code, end.code\n"
        f"print(json.dumps([name for name in {HEAVY!r} if name in sys.modules]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout.splitlines()[-1]) == []


def test_no_module_opens_pickles_or_runs_text():
    banned = {"torch.load", "pickle.load", "pickle.loads", "yaml.load", "eval", "exec"}
    for path in [*sources("toolbox"), *sources("plugins")]:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call):
                name = ast.unparse(node.func)
                assert name not in banned, f"{path}:{node.lineno}"
                assert not name.endswith((".save_state", ".load_state")) or name.startswith("checkpoint."), path
