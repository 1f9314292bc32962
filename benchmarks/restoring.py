"""A photograph restored: its time against the published generator's, and what a large one takes."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import click
import cv2
import numpy as np
import torch
from toolbox_plugins.default.unet import InpaintingUNet

from benchmarks import _measure
from benchmarks._published import PublishedUNet
from toolbox.color import integer_luma
from toolbox.data import sample
from toolbox.imaging import io
from toolbox.inference.restorer import load_restorer

CHANNELS = 64
LOST = 255


def damaged(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Return a gray photograph of the sample at a size, and its mask: a square of a quarter of the shorter side."""
    photo = integer_luma(io.read_rgb(io.find_images(sample.folder() / "photos")[0]))
    photo = cv2.resize(photo, (width, height), interpolation=cv2.INTER_CUBIC)
    side = min(height, width) // 4
    mask = np.zeros(photo.shape, bool)
    mask[side : 2 * side, side : 2 * side] = True
    return np.where(mask, LOST, photo).astype(np.uint8), mask


def measure(size: int, rounds: int, width: int) -> dict[str, Any]:
    """Return the processor's seconds of both sides for one photograph of `size` pixels a side, in turn, on the CPU."""
    restorer = load_restorer("luma", device="cpu")
    published = PublishedUNet(InpaintingUNet(width=width)).eval()
    photo, mask = damaged(size, size)
    given = torch.from_numpy(photo.astype(np.float32) / 255).expand(1, 3, -1, -1).contiguous()
    lost = torch.from_numpy(mask.astype(np.float32))[None, None]

    def theirs() -> None:
        with torch.inference_mode():
            published(given, lost)

    times, spent = _measure.by_both_clocks({"ours": lambda: restorer(photo, mask), "published": theirs}, rounds)
    return {
        "size": size,
        "by_the_clock": _measure.summary(times),
        "by_the_processors_time": _measure.summary(spent),
    }


def large(height: int, width: int) -> dict[str, Any]:
    """Return what `toolbox restore` takes for one photograph, in a process of its own, start and files included."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        io.write_png(folder / "photo.png", damaged(height, width)[0])
        words = [
            sys.executable,
            "-m",
            "toolbox",
            "restore",
            folder / "photo.png",
            "-o",
            folder / "out",
            "--device",
            "cpu",
        ]
        started = time.perf_counter()
        child = subprocess.Popen([str(word) for word in words], stdout=subprocess.DEVNULL)
        _, status, used = os.wait4(child.pid, 0)
        seconds = time.perf_counter() - started
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise click.ClickException(f"toolbox restore ended with {child.returncode}")
    # Linux counts in units of 1,024 bytes.
    return {"size": [height, width], "seconds": seconds, "peak": 1024 * used.ru_maxrss}


@click.command("restoring")
@click.option("--size", default=512, show_default=True, help="Side of the small photograph in pixels.")
@click.option("--rounds", default=7, show_default=True, help="Times of each side, in turn.")
@_measure.quick
@_measure.json_path
def command(size: int, rounds: int, quick: bool, path: Path | None) -> None:
    """Time the shipped weights against the published generator, and a photograph of 24 megapixels; print JSON."""
    # First, since the peak of a new process is at least what this one holds when it starts it.
    found = {"large": large(200, 300) if quick else large(4000, 6000)}
    _measure.report(found | (measure(64, 1, 4) if quick else measure(size, rounds, CHANNELS)), path)
