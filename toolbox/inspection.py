"""Looks at what a run would use: a data folder's files, and one step of a recipe."""

from __future__ import annotations

import contextlib
import gc
import sys
import time
from pathlib import Path

import torch

from toolbox import engine, images, parts, sources, training
from toolbox.data import Batch
from toolbox.environment import Finding
from toolbox.errors import DataError
from toolbox.plan import Plan


def inspect_folder(folder: Path) -> list[Finding]:
    """Return what there is in a data folder and every file of it that can't be read.

    Raises:
        UsageError: there is no such folder.
    """
    try:
        source = sources.open_folder(folder)
    except DataError as error:
        return [Finding(what="pairing", ok=False, detail=str(error))]
    detail = f"{source.kind}: {len(source.items)} to train and validate, {len(source.tests)} to restore"
    findings = [Finding(what="pairing", ok=True, detail=detail)]
    for item in (*source.items, *source.tests):
        sizes = {}
        for path in (item.input, item.truth):
            if path is None:
                continue
            try:
                sizes[path] = images.read(path).pixels.shape[:2]
            except DataError as error:
                findings.append(Finding(what=item.name, ok=False, detail=str(error)))
        if len(set(sizes.values())) > 1:
            shown = " and ".join(f"{path.parent.name} {w}x{h}" for path, (h, w) in sizes.items())
            findings.append(Finding(what=item.name, ok=False, detail=f"the pair is of unequal size: {shown}"))
    return findings


def try_step(plan: Plan, device: str | None) -> tuple[float, int, str]:
    """Take two steps on random pictures and measure the second.

    Returns:
        Its time in seconds, the peak memory in bytes, and what that memory is of ("device" or "process").
    """
    settings = plan.settings
    power = engine.make(device, settings.training.precision)
    dtype = engine.dtype(settings.training.precision)
    built = parts.build(plan, power, dtype)
    shape = (settings.training.batch, 3, settings.data.size, settings.data.size)
    pictures = torch.rand(shape, generator=torch.Generator().manual_seed(0)).to(power.device, dtype)
    batch = Batch(image=pictures, mask=torch.zeros_like(pictures[:, :1]), truth=pictures.flip(0), names=())
    seconds = 0.0
    for number in range(2):
        started = time.perf_counter()
        terms = training.step(built, batch, power, number=number, random=training.randomness(settings.seed, number))
        float(terms["g"])  # waits for the device
        seconds = time.perf_counter() - started
    if power.device.type == "cuda":
        return seconds, torch.cuda.max_memory_allocated(power.device), "device"
    return seconds, peak_memory(), "process"


def forget_peak() -> None:
    """Have `peak_memory` count from here, where the system can (Linux)."""
    gc.collect()
    with contextlib.suppress(OSError):
        # Man proc_pid_clear_refs: 5 sets the peak to what is resident now.
        Path("/proc/self/clear_refs").write_text("5", "ascii")


def peak_memory() -> int:
    """Return the peak resident memory of this process in bytes, 0 where the system does not tell."""
    status = Path("/proc/self/status")
    if status.is_file():
        # Not getrusage: on Linux a child starts with its parent's peak there.
        line = next(line for line in status.read_text("ascii").splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024
    try:
        import resource
    except ImportError:  # Windows
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
