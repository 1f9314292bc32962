"""What a plugin must do as a whole: load, say nothing heavy at import, bring components that keep their contracts."""

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

# What `toolbox list` has no time for.
HEAVY = ("torch", "torchvision", "timm", "cv2", "segmentation_models_pytorch")

# Run in a fresh interpreter: imports a plugin, calls its hooks, and says what that loaded.
PROBE = """
import importlib, importlib.util, json, sys, time
import toolbox
source, heavy = sys.argv[1], sys.argv[2].split(",")
started = time.perf_counter()
if source.endswith(".py"):
    spec = importlib.util.spec_from_file_location("probed_plugin", source)
    plugin = importlib.util.module_from_spec(spec)
    sys.modules["probed_plugin"] = plugin
    spec.loader.exec_module(plugin)
else:
    module, _, place = source.partition(":")
    plugin = importlib.import_module(module)
    for name in filter(None, place.split(".")):
        plugin = getattr(plugin, name)
for name in dir(plugin):
    if name.startswith("toolbox_") and callable(getattr(plugin, name)):
        getattr(plugin, name)()
print(json.dumps([[name for name in heavy if name in sys.modules], time.perf_counter() - started]))
"""


def catalog_with(plugin: Any, name: str) -> tuple[Catalog, PluginRecord]:  # noqa: ANN401 - a module, an object, a path
    """Return the catalog of the bundles that ship with one plugin more, and what became of that plugin.

    Args:
        plugin: a module or an object with hooks, or the path of a Python file.
        name: what to call it.
    """
    shipped = registry.read().shipped
    module = getattr(plugin, "__name__", "")
    # A bundle under test is not loaded a second time beside itself.
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


def loads(record: PluginRecord) -> Check:
    """Return whether the plugin came into the catalog, and why not."""
    if record.status == "failed":
        return Check(name="loads", status="failed", detail=record.cause)
    if record.status == "disabled":
        return Check(name="loads", status="noted", detail=f"disabled, {record.cause}")
    return Check(name="loads", status="ok", detail=f"{len(record.components)} components")


def light(source: str) -> Check:
    """Return whether importing a plugin and calling its hooks loads torch or other heavy packages.

    Args:
        source: a module's name, an entry point's value (``module:object``), or the path of a Python file.
    """
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    done = subprocess.run(
        [sys.executable, "-c", PROBE, source, ",".join(HEAVY)], capture_output=True, text=True, env=environment
    )
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no message"])[-1]
        return Check(name="light import", status="failed", detail=f"a fresh interpreter can't load it: {reason}")
    loaded, seconds = json.loads(done.stdout.splitlines()[-1])
    if loaded:
        detail = f"loads {', '.join(loaded)}, which every command waits for; import them inside build"
        return Check(name="light import", status="failed", detail=detail)
    return Check(name="light import", status="ok", detail=f"{1000 * seconds:.0f} ms, nothing heavy")


def source_of(plugin: Any) -> str | None:  # noqa: ANN401
    """Return where a fresh interpreter finds `plugin`: a module's name or file, None for one made in memory."""
    if isinstance(plugin, Path):
        return str(plugin)
    module = plugin if isinstance(plugin, ModuleType) else sys.modules.get(type(plugin).__module__)
    if module is None or module.__name__ == "__main__" or getattr(module, "__file__", None) is None:
        return None
    # A module that a package does not hold under its own name was loaded from its file.
    return module.__name__ if sys.modules.get(module.__name__) is module else str(module.__file__)
