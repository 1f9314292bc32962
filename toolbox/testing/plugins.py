"""The checks of a plugin as a whole: it loads, and its import is fast."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from toolbox.hooks import catalog as catalogs
from toolbox.hooks import manager as managers
from toolbox.hooks import registry
from toolbox.hooks.catalog import Catalog
from toolbox.hooks.manager import Candidate, PluginRecord, file_loader, register
from toolbox.testing.checks import Check

# Packages that take too long to import for `toolbox list`.
HEAVY_PACKAGES = (
    *("torch", "torchvision", "timm", "cv2", "segmentation_models_pytorch", "torchmetrics", "kornia", "lpips"),
    *("spandrel", "lightning", "transformers", "diffusers", "tensorflow", "jax", "onnxruntime"),
    *("scipy", "skimage", "sklearn", "pandas", "matplotlib"),
)

# Run in a new interpreter: imports a plugin, calls its hooks, and prints the heavy packages that this imported.
PROBE = """
import importlib, importlib.util, json, sys, time
import toolbox
source, heavy = sys.argv[1], [name for name in sys.argv[2].split(",") if name not in sys.modules]
started = time.perf_counter()
if source.endswith(".py"):
    spec = importlib.util.spec_from_file_location("probed_plugin", source)
    plugin = importlib.util.module_from_spec(spec)
    sys.modules["probed_plugin"] = plugin
    spec.loader.exec_module(plugin)
else:
    module, _, attributes = source.partition(":")
    plugin = importlib.import_module(module)
    for name in filter(None, attributes.split(".")):
        plugin = getattr(plugin, name)
for name in dir(plugin):
    if name.startswith("toolbox_") and callable(getattr(plugin, name)):
        getattr(plugin, name)()
print(json.dumps([[name for name in heavy if name in sys.modules], time.perf_counter() - started]))
"""


def catalog_with(plugin: Any, name: str) -> tuple[Catalog, PluginRecord]:  # noqa: ANN401 - a module, an object, a path
    """Return the catalog of the bundles that ship and one more plugin, and the record of that plugin.

    Args:
        plugin: a module or an object with hooks, or the path of a Python file.
        name: the name to give to the plugin.
    """
    shipped = registry.read().shipped
    module = getattr(plugin, "__name__", "")
    # If the plugin is itself a bundle that ships, it must not be loaded twice.
    others = [bundle for bundle in shipped.bundles if bundle.module != module]
    manager = managers.load(
        third_party=False,
        registries=registry.Registries(
            shipped=shipped.model_copy(update={"bundles": others}), user=registry.UserRegistry()
        ),
    )
    record = PluginRecord(name=name, origin="file", source=str(getattr(plugin, "__file__", plugin)))
    manager.records.append(record)
    load = file_loader(name, plugin) if isinstance(plugin, Path) else lambda: plugin
    register(manager, Candidate(record=record, load=load))
    return catalogs.build(manager), record


def check_loading(record: PluginRecord) -> Check:
    """Check whether the plugin's components are in the catalog."""
    if record.status == "failed":
        return Check(name="loading", status="failed", detail=record.cause)
    if record.status == "disabled":
        return Check(name="loading", status="noted", detail=f"disabled, {record.cause}")
    if record.note:
        return Check(name="loading", status="failed", detail=f"{record.note}; remove that")
    return Check(name="loading", status="ok", detail=f"{len(record.components)} components")


def check_light_import(source: str) -> Check:
    """Check that importing a plugin and calling its hooks imports no heavy package, such as torch.

    Args:
        source: a module's name, an entry point's value (``module:object``), or the path of a Python file.
    """
    # The modules beside a file are not importable when it is added; one of them may have the name of a standard module.
    beside = Path(source).resolve().parent if source.endswith(".py") else None
    paths = [path for path in sys.path if path and Path(path).resolve() != beside]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    done = subprocess.run(
        [sys.executable, "-P", "-c", PROBE, source, ",".join(HEAVY_PACKAGES)],
        capture_output=True,
        text=True,
        env=environment,
    )
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no message"])[-1]
        return Check(name="light import", status="failed", detail=f"a new interpreter can't load it: {reason}")
    imported, seconds = json.loads(done.stdout.splitlines()[-1])
    if imported:
        detail = f"imports {', '.join(imported)}, which delays every command; import them inside build"
        return Check(name="light import", status="failed", detail=detail)
    return Check(name="light import", status="ok", detail=f"{1000 * seconds:.0f} ms, nothing heavy")


def source_of(plugin: Any) -> str | None:  # noqa: ANN401
    """Return the module name or file from which a new interpreter can load `plugin`; None if it exists only here."""
    if isinstance(plugin, Path):
        return str(plugin)
    module = plugin if isinstance(plugin, ModuleType) else sys.modules.get(type(plugin).__module__)
    if module is None or module.__name__ == "__main__" or getattr(module, "__file__", None) is None:
        return None
    # A module that sys.modules does not have under its own name was loaded from its file.
    return module.__name__ if sys.modules.get(module.__name__) is module else str(module.__file__)
