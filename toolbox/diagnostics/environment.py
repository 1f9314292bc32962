"""Check the installation: packages, devices and folders. Each fault has its remedy."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from toolbox.errors import InstallationError, OutputError, one_line
from toolbox.utils import files, paths
from toolbox.utils.versions import DISTRIBUTION, NOT_INSTALLED, find_version

PACKAGES = (
    "torch",
    "torchvision",
    "timm",
    "segmentation-models-pytorch",
    "opencv-python",
    "numpy",
    "pillow",
    "pluggy",
    "pydantic",
    "safetensors",
)
MIN_FREE_GIB = 2  # for runs

TORCHVISION_MISMATCH = (
    "torch and torchvision don't fit together (operator torchvision::nms does not exist): one of them is a CPU build "
    "and the other is not, or their versions differ. Reinstall both from one source: pip install --force-reinstall "
    "torch torchvision, or, for a CPU build, the command on https://pytorch.org/get-started/locally/."
)
MISSING_LIBRARY = (
    "OpenCV needs a system library that is missing ({library}). On Debian or Ubuntu: apt-get install libgl1 "
    "libglib2.0-0; or, without root: pip uninstall opencv-python && pip install opencv-python-headless."
)


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One line of `toolbox doctor`.

    Attributes:
        what: what was checked.
        ok: whether it is in order.
        detail: the value found, or the fault and its remedy.
    """

    what: str
    ok: bool
    detail: str


def explain_import(error: BaseException) -> str | None:
    """Return one line with the remedy for a known import error, None for any other."""
    text = str(error)
    if "torchvision::nms" in text or ("torchvision" in text and "undefined symbol" in text):
        return TORCHVISION_MISMATCH
    for library in ("libGL.so", "libglib-2.0", "libgthread-2.0", "libSM.so", "libXext.so", "libxcb"):
        if library in text:
            return MISSING_LIBRARY.format(library=text.split(":")[0])
    if isinstance(error, ModuleNotFoundError) and error.name and not error.name.startswith("toolbox"):
        package = error.name.split(".")[0]
        return f"The package '{package}' is not installed. Reinstall: pip install {DISTRIBUTION}"
    return None


def check_packages() -> list[Finding]:
    """Return a finding for Python, for each package that toolbox needs, and for packages that conflict with it."""
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
        findings.extend(_check_import(module))
    conflicting = find_version("toolbox")
    if conflicting is not None:
        findings.append(
            Finding(
                what="toolbox",
                ok=False,
                detail=f"the package 'toolbox' {conflicting} of another project is installed and writes into the same "
                f"folder. Run pip uninstall toolbox, then pip install --force-reinstall --no-deps {DISTRIBUTION}",
            )
        )
    return findings


def check_devices() -> list[Finding]:
    """Return a finding for each device that torch can compute on."""
    import torch

    cores, threads = os.cpu_count(), torch.get_num_threads()
    findings = [Finding(what="cpu", ok=True, detail=f"{cores} cores, {threads} threads, {platform.machine()}")]
    for index in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(index)
        memory = f"{properties.total_memory / 2**30:.0f} GiB"
        findings.append(Finding(what=f"cuda:{index}", ok=True, detail=f"{properties.name}, {memory}"))
    if torch.backends.mps.is_available():
        findings.append(Finding(what="mps", ok=True, detail="Apple GPU (not tested by the toolbox project)"))
    return findings


def check_folders() -> list[Finding]:
    """Return a finding for each folder that toolbox writes to: runs, cache, configuration."""
    free = shutil.disk_usage(".").free / 2**30
    fault = _why_not_written(Path("runs"))
    runs = f"./runs, {free:.0f} GiB free; to clear: delete the folder"
    # Without a cache and a configuration everything else works, so these are no faults.
    cache = paths.cache_dir()
    why = _why_not_written(cache)
    cached = f"{why}. Each run decodes its photographs" if why else "to clear: delete the folder"
    try:
        configuration = str(paths.config_dir())
        why = _why_not_written(paths.config_dir())
        configuration += f"; {why}. Plugins can't be added or disabled" if why else ""
    except InstallationError as error:
        configuration = f"none. {error}"
    return [
        Finding(what="runs", ok=free > MIN_FREE_GIB and not fault, detail=fault or runs),
        Finding(what="cache", ok=True, detail=f"{cache}, {_folder_size(cache)}; {cached}"),
        Finding(what="configuration", ok=True, detail=configuration),
    ]


def _why_not_written(folder: Path) -> str:
    """Return why a folder, or the first folder above it that exists, can't be written; empty if it can be."""
    existing = next(path for path in (folder, *folder.absolute().parents) if os.path.exists(path))
    try:
        files.ensure_folder(existing)
    except OutputError as error:
        return str(error)
    return ""


def _folder_size(folder: Path) -> str:
    sizes = []
    for path in folder.rglob("*"):
        with suppress(FileNotFoundError):  # a running process renames its files
            if path.is_file():
                sizes.append(path.stat().st_size)
    return f"{sum(sizes) / 2**30:.2f} GiB in {len(sizes)} files"


def _check_import(module: str) -> list[Finding]:
    try:
        __import__(module)
    except Exception as error:  # any error of the import is a finding
        return [Finding(what=module, ok=False, detail=explain_import(error) or one_line(error))]
    return []
