"""The environment that the exact bits of a run depend on, besides its recipe, seed and photographs.

Checkpoints record it.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import cv2
import torch

from toolbox.config.plan import BoundComponent, Plan
from toolbox.distributed import collectives
from toolbox.utils.json_values import parse_json
from toolbox.utils.versions import DISTRIBUTION, list_versions

# The packages that compute pictures, networks or their updates. The number of data workers changes no bit.
PACKAGES = (DISTRIBUTION, "torch", "torchvision", "timm", "segmentation-models-pytorch", "numpy", "pillow")
PLUGIN = "plugin "  # what the entry of a plugin begins with
# Recorded by version 0.1. It is no longer used, and does not change the bits of a continued run.
RETIRED_PACKAGES = {"accelerate"}
# Version 0.1 recorded no memory layout, because it had only this one.
OLD_MEMORY_FORMAT = "channels-last"

Fingerprint = dict[str, str | int]


def fingerprint(device: torch.device, memory_format: str, plugins: Mapping[str, str] | None = None) -> Fingerprint:
    """Return versions, device, memory layout, number of processes and, on a CPU, number of threads.

    `plugins` is what `plugin_versions` returned for the plan.
    """
    current: Fingerprint = {**list_versions(PACKAGES)}
    current |= {f"{PLUGIN}{name}": version for name, version in (plugins or {}).items()}
    current["opencv"] = cv2.__version__
    current["device"] = device_name(device)
    current["memory_format"] = memory_format
    current["processes"] = collectives.world_size()
    if device.type == "cpu":
        current["threads"] = torch.get_num_threads()
    return current


def plugin_versions(plan: Plan) -> dict[str, str]:
    """Return the version of each plugin that a plan uses, by its name; for code from outside also its SHA-256."""
    return code_versions(plan.walk())


def code_versions(components: Iterable[BoundComponent]) -> dict[str, str]:
    """Return the version of each plugin of some components, by its name; for code from outside also its SHA-256.

    The version alone is not enough: a plugin that is a single file has none, and the code of a package that is
    installed with ``pip install -e`` changes without it.
    """
    versions = {}
    for component in components:
        entry = component.entry
        if entry.plugin in versions:
            continue
        code = "" if entry.distribution == DISTRIBUTION else f"sha256 {_code_digest(entry.module)[:12]}"
        versions[entry.plugin] = ", ".join(part for part in (entry.version, code) if part)
    return versions


def _code_digest(module: str) -> str:
    """Return the SHA-256 of the Python files of the package or the single file that a module belongs to."""
    source = getattr(sys.modules.get(module.partition(".")[0]), "__file__", None)
    if source is None:
        return ""
    path = Path(source)
    hashed = hashlib.sha256()
    if path.name != "__init__.py":  # a single file may be renamed
        return hashlib.sha256(path.read_bytes()).hexdigest()
    for file in sorted(path.parent.rglob("*.py")):
        hashed.update(file.relative_to(path.parent).as_posix().encode() + b"\0" + file.read_bytes())
    return hashed.hexdigest()


def read_fingerprint(saved: Path) -> Fingerprint:
    """Return the environment in which a checkpoint was written; empty if it was not recorded yet."""
    state: dict[str, Any] = parse_json((saved / "state.json").read_text("utf-8"))
    return with_current_names(state.get("conditions", {}))


def with_current_names(recorded: Fingerprint) -> Fingerprint:
    """Return a recorded fingerprint without retired packages, and with the memory layout of version 0.1 filled in."""
    if not recorded:
        return recorded
    known = {name: value for name, value in recorded.items() if name not in RETIRED_PACKAGES}
    return {"memory_format": OLD_MEMORY_FORMAT} | known


def differences(recorded: Fingerprint, current: Fingerprint) -> list[str]:
    """Return a phrase for each recorded entry that is different now."""

    def shown(name: str) -> str:
        return name if name.startswith(PLUGIN) else name.replace("_", " ")

    return [
        f"{shown(name)} {value} then, {current.get(name, 'none')} now"
        for name, value in recorded.items()
        if current.get(name) != value
    ]


def environment_differences(saved: Path, current: Fingerprint) -> list[str]:
    """Return a line that says why a run continued from a checkpoint differs in its bits; none if it does not."""
    changes = differences(read_fingerprint(saved), current)
    return [f"The continued run will not be bit for bit the same: {'; '.join(changes)}."] if changes else []


def device_name(device: torch.device) -> str:
    """Return the model of a GPU, or the widest instruction set of the CPU, which decides the order of sums."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"CPU with {torch.backends.cpu.get_cpu_capability()}" if device.type == "cpu" else device.type
