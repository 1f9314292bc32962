"""What this installation has, what does not fit together, and what to install instead."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from toolbox.utils import paths
from toolbox.utils.versions import DISTRIBUTION, NOT_INSTALLED, find_version

PACKAGES = (
    "torch",
    "torchvision",
    "timm",
    "segmentation-models-pytorch",
    "opencv-python",
    "numpy",
    "pillow",
    "accelerate",
    "pluggy",
    "pydantic",
    "safetensors",
)

MISMATCH = (
    "torch and torchvision do not fit together (operator torchvision::nms does not exist): one is a CPU build and the "
    "other is not, or their versions differ. Reinstall both from one place: pip install --force-reinstall torch "
    "torchvision, or, for a CPU build, the command that https://pytorch.org/get-started/locally/ shows."
)
SYSTEM_LIBRARIES = (
    "OpenCV needs a library of the system that is not here ({library}). On Debian or Ubuntu: apt-get install libgl1 "
    "libglib2.0-0; or, without root: pip uninstall opencv-python && pip install opencv-python-headless."
)


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One line of `toolbox doctor`: what was looked at, whether it is well, what to do if not."""

    what: str
    ok: bool
    detail: str


def explain_import(error: BaseException) -> str | None:
    """Return one line with the remedy for the import failures that are known, None for others."""
    text = str(error)
    if "torchvision::nms" in text or ("torchvision" in text and "undefined symbol" in text):
        return MISMATCH
    for library in ("libGL.so", "libglib-2.0", "libgthread-2.0", "libSM.so", "libXext.so", "libxcb"):
        if library in text:
            return SYSTEM_LIBRARIES.format(library=text.split(":")[0])
    if isinstance(error, ModuleNotFoundError) and error.name and not error.name.startswith("toolbox"):
        package = error.name.split(".")[0]
        return f"The package '{package}' is not installed here. Reinstall: pip install toolbox-restore"
    return None


def check_packages() -> list[Finding]:
    """Return a finding for Python, for every package that matters, and for what should not be here."""
    findings = [Finding(what="python", ok=sys.version_info >= (3, 11), detail=platform.python_version())]
    for name in PACKAGES:
        version = find_version(name)
        headless = find_version("opencv-python-headless") if name == "opencv-python" else None
        if version is not None:
            findings.append(Finding(what=name, ok=True, detail=version))
        elif headless is not None:
            findings.append(Finding(what=name, ok=True, detail=f"headless {headless}"))
        else:
            findings.append(Finding(what=name, ok=False, detail=f"{NOT_INSTALLED}: pip install {DISTRIBUTION}"))
    for module in ("torchvision", "cv2", "timm"):
        findings.extend(_try_import(module))
    stranger = find_version("toolbox")
    if stranger is not None:
        findings.append(
            Finding(
                what="toolbox",
                ok=False,
                detail=f"another project's distribution 'toolbox' {stranger} is installed and writes into "
                "the same folder; pip uninstall toolbox, then pip install --force-reinstall --no-deps toolbox-restore",
            )
        )
    return findings


def check_devices() -> list[Finding]:
    """Return a finding for each device that torch can compute on."""
    import torch

    cores, threads = os.cpu_count(), torch.get_num_threads()
    findings = [Finding(what="cpu", ok=True, detail=f"{cores} cores, {threads} threads, {platform.machine()}")]
    for index in range(torch.cuda.device_count()):
        facts = torch.cuda.get_device_properties(index)
        memory = f"{facts.total_memory / 2**30:.0f} GiB"
        findings.append(Finding(what=f"cuda:{index}", ok=True, detail=f"{facts.name}, {memory}"))
    if torch.backends.mps.is_available():
        findings.append(Finding(what="mps", ok=True, detail="Apple GPU (not tested by us)"))
    return findings


def check_folders() -> list[Finding]:
    """Return a finding for each place that is written to: runs, cache, configuration."""
    free = shutil.disk_usage(".").free / 2**30
    return [
        Finding(what="runs", ok=free > 2, detail=f"./runs, {free:.0f} GiB free; to clear: delete the folder"),
        Finding(
            what="cache",
            ok=True,
            detail=f"{paths.cache_dir()}, {_held(paths.cache_dir())}; to clear: delete the folder",
        ),
        Finding(what="configuration", ok=True, detail=str(paths.config_dir())),
    ]


def _held(folder: Path) -> str:
    sizes = []
    for path in folder.rglob("*"):
        with suppress(FileNotFoundError):  # a run at work renames its files
            if path.is_file():
                sizes.append(path.stat().st_size)
    return f"{sum(sizes) / 2**30:.2f} GiB in {len(sizes)} files"


def _try_import(module: str) -> list[Finding]:
    try:
        __import__(module)
    except Exception as error:  # any import may fail in any way; the line says how
        return [Finding(what=module, ok=False, detail=explain_import(error) or " ".join(str(error).split()))]
    return []
