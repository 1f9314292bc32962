"""The import directions, and what the light half of the program may not load."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest
from commands import run_python
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
HEAVY = ("torch", "timm", "cv2", "segmentation_models_pytorch", "torchvision", "numpy")
# The folders of the core, lowest first. A folder imports itself and those of the rows above it.
LAYERS = (
    ("errors", "color", "smooth_fill"),
    ("utils",),
    ("distributed",),
    ("hooks", "imaging"),
    ("config", "masks", "guidance", "prints"),
    ("data",),
    ("models",),
    ("inference",),
    ("evaluation",),
    ("reports",),
    ("testing",),
    ("training",),
    ("diagnostics",),
    ("api",),
    ("web",),
    ("cli",),
)
# The public face imports from these folders when it is imported; the rest is imported inside its functions.
FACE = {"api", "errors", "hooks", "inference", "masks"}
# What bundles may import besides the public face.
PUBLIC_MODULES = ("toolbox.testing", "toolbox.backbones", "toolbox.color", "toolbox.smooth_fill", "toolbox.steps")
LIGHT = (
    *("__init__", "errors", "utils/files", "utils/paths"),
    *(f"hooks/{name}" for name in ("protocols", "specs", "hookspecs", "registry", "manager", "catalog")),
    *(f"config/{name}" for name in ("recipe", "settings", "plan", "messages", "json_schema")),
)
# What a run and a restoration are made of must not know where components come from.
ENGINE = (
    *("training/step", "training/state", "training/validate", "training/checkpoint"),
    *(
        "models/build",
        "models/forward",
        "models/weight_file",
        "data/loader",
        "inference/tiling",
        "inference/hole_filling",
    ),
)


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


def folder_of(path: Path) -> str:
    inside = path.relative_to(ROOT / "toolbox").parts
    return inside[0] if len(inside) > 1 else path.stem


def test_every_folder_of_the_core_has_its_layer():
    found = {folder_of(path) for path in sources("toolbox")} - {"__init__", "__main__"}
    public = {path.stem for path in (ROOT / "toolbox").glob("*.py")} - {"__init__", "__main__"}
    assert found - {name for row in LAYERS for name in row} <= public
    assert len(list((ROOT / "toolbox").glob("*.py"))) <= 8


@pytest.mark.parametrize("path", sources("toolbox"), ids=lambda path: str(path.relative_to(ROOT / "toolbox")))
def test_the_core_imports_downwards_only(path):
    names = imported(path)
    assert not [name for name in names if name.startswith(("toolbox_plugins", "plugins"))]
    own = folder_of(path)
    used = {name.split(".")[1] for name in names if name.startswith("toolbox.")} - {own, "__version__"}
    if own == "__init__":
        assert used <= FACE
        return
    rows = [row for row in LAYERS if own in row]
    if not rows:  # __main__, and the public names of what lies in a folder
        assert used <= {"cli"} if own == "__main__" else used <= {"imaging", "models", "data", "training"}
        return
    allowed = {name for row in LAYERS[: LAYERS.index(rows[0])] for name in row}
    assert used <= allowed


@pytest.mark.parametrize("path", sources("plugins"), ids=lambda path: "/".join(path.parts[-2:]))
def test_a_bundle_imports_the_public_face_alone(path):
    ours = {name for name in imported(path) if name.split(".")[0] in ("toolbox", "toolbox_plugins")}
    assert not [name for name in ours if name != "toolbox" and name not in PUBLIC_MODULES and not _is_face(name)]


def _is_face(name: str) -> bool:
    import toolbox

    parent, _, member = name.rpartition(".")
    return parent in PUBLIC_MODULES or (parent == "toolbox" and member in toolbox.__all__)


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
    assert not names & {"click", "toolbox.hooks.manager", "toolbox.config.recipe", "toolbox.hooks.catalog", "pluggy"}


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


@pytest.mark.parametrize(
    ("command", "unused"),
    [
        ("restore", ("toolbox.training", "toolbox.web", "timm", "torchvision", "accelerate", "rich", "numpy.random")),
        ("mask", ("toolbox.training", "toolbox_plugins", "torch", "rich")),
    ],
)
def test_commands_on_photographs_load_nothing_that_they_do_not_use(tmp_path, command, unused):
    Image.new("L", (32, 32)).save(tmp_path / "photo.png")
    code = (
        "import sys, json; from toolbox.cli import main\n"
        f"try: main([{command!r}, {str(tmp_path / 'photo.png')!r}, '-o', {str(tmp_path / 'out')!r}])\n"
        "except SystemExit as end: assert not end.code, end.code\n"
        f"print(json.dumps([name for name in {unused!r} if name in sys.modules]))"
    )
    assert json.loads(run_python("-c", code).splitlines()[-1]) == []


# Modules whose files run what their maker wrote when they are opened.
PICKLES = ("pickle", "_pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal")
BANNED = {
    "torch.load",
    "torch.save",
    "torch.jit.load",
    "yaml.load",
    "yaml.unsafe_load",
    "yaml.full_load",
    "pandas.read_pickle",
}
BUILTINS = {"eval", "exec", "compile"}
# Accelerate's write and read pickles; ours, of the same names, are functions of `toolbox.training.checkpoint`.
STATES = {"save_state", "load_state"}
OURS = "toolbox.training.checkpoint"


def forbidden(text: str) -> list[str]:
    """Return what in a module opens pickles or runs text, each with its line; names are followed to their imports."""
    tree = ast.parse(text)
    names: dict[str, str] = {}
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                root = alias.name.split(".")[0]
                names[alias.asname or root] = alias.name if alias.asname else root
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
            modules = [node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)]
        else:
            continue
        found += [f"{node.lineno}: imports {name}" for name in modules if name.split(".")[0] in PICKLES]
        # Not by a name of its own either, under which a call would not be known.
        found += [f"{node.lineno}: imports {name}" for name in modules if name in BANNED]
    for node in ast.walk(tree):
        if isinstance(node, ast.Name | ast.Attribute) and isinstance(node.ctx, ast.Load):
            whole = ast.unparse(node)
            root, dot, rest = whole.partition(".")
            full = names.get(root, root) + dot + rest
            owner, _, last = full.rpartition(".")
            builtin = full.removeprefix("builtins.") in BUILTINS and (owner == "builtins" or root not in names)
            if full in BANNED or builtin or (owner and last in STATES and owner != OURS):
                found.append(f"{node.lineno}: {whole}")
        if isinstance(node, ast.Call):
            # numpy's load takes it third.
            words = [word.value for word in node.keywords if word.arg == "allow_pickle"]
            words += node.args[2:3] if ast.unparse(node.func) in ("np.load", "numpy.load") else []
            allowed = [word for word in words if not (isinstance(word, ast.Constant) and word.value is False)]
            found += [f"{node.lineno}: allow_pickle" for _ in allowed]
    return found


@pytest.mark.parametrize("folder", ["toolbox", "plugins", "benchmarks"])
def test_no_module_opens_pickles_or_runs_text(folder):
    found = {path: forbidden(path.read_text("utf-8")) for path in sources(folder)}
    assert not {str(path): faults for path, faults in found.items() if faults}


@pytest.mark.parametrize(
    "text",
    [
        "import torch\ntorch.load(path)",
        "import torch as t\nt.load(path)",
        "from torch import load\nload(path)",
        "from torch import load as read\nread(path)",
        "import torch\nread = torch.load\nread(path)",
        "import torch\nfunctools.partial(torch.load, weights_only=True)",
        "import torch.nn\ntorch.save(x, path)",
        "import pickle",
        "import pickle as p",
        "from pickle import loads",
        "from pickle import Unpickler as U",
        "import cloudpickle",
        "import dill, json",
        "from joblib import load",
        "import shelve",
        "def f():\n    import marshal",
        "eval(text)",
        "exec(text, {})",
        "import builtins\nbuiltins.exec(text)",
        "from builtins import eval as run\nrun(text)",
        "run = eval\nrun(text)",
        "list(map(eval, texts))",
        "compile(text, 'x', 'exec')",
        "import yaml\nyaml.load(text)",
        "from yaml import unsafe_load",
        "accelerator.save_state(folder)",
        "self.engine.load_state(folder)",
        "bench.engine.save_state",
        "from accelerate import Accelerator\nAccelerator().load_state(folder)",
        "import numpy as np\nnp.load(path, None, True)",
        "import numpy as np\nnp.load(path, allow_pickle=True)",
        "np.lib.format.read_array(stream, allow_pickle=flag)",
    ],
)
def test_what_opens_pickles_or_runs_text_is_seen(text):
    assert forbidden(text)


@pytest.mark.parametrize(
    "text",
    [
        "model.eval()",
        "self.network.eval().to(device)",
        "re.compile('a')",
        "torch.compile(network)",
        "from toolbox.training import checkpoint\ncheckpoint.save_state(folder, parts, progress)",
        "from toolbox.training import checkpoint\ncheckpoint.load_state(saved, parts)",
        "def save_state(folder): ...\nsave_state(1)",
        "import yaml\nyaml.safe_load(text)",
        "import json\njson.load(stream)",
        "np.lib.format.read_array(stream, allow_pickle=False)",
        "from safetensors.torch import load_file, save\nload_file(path)",
        "scheduler.load_state_dict(state)",
        "importlib.import_module(name)",
    ],
)
def test_safe_calls_with_similar_names_are_allowed(text):
    assert not forbidden(text)
