"""Measure the time to restore a photograph against the published generator, and the cost of a large photograph.

    OMP_NUM_THREADS=1 python -m benchmarks restoring

``by_the_clock`` and ``by_the_processors_time`` have the seconds for one photograph of ``size`` pixels in this process,
and our speed-up (see `benchmarks.common.timing`). ``large`` has the seconds and the peak memory in bytes of `toolbox
restore` for a photograph of 24 megapixels, in a new process, with its start and all files.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import click
import cv2
import numpy as np
import torch
from toolbox_plugins.default.unet import InpaintingUNet

from benchmarks.common import timing
from benchmarks.common.published import PublishedUNet
from benchmarks.common.restore_command import run_restore
from toolbox.color import integer_luma
from toolbox.data import sample
from toolbox.imaging import io
from toolbox.inference.loading import load_restorer

# Width of the published generator.
CHANNELS = 64
# Gray level of the lost region.
LOST = 255


def make_photo(height: int, width: int) -> np.ndarray:
    """Return a gray sample photograph of this size."""
    photo = integer_luma(io.read_rgb(io.find_images(sample.folder() / "photos")[0]))
    return cv2.resize(photo, (width, height), interpolation=cv2.INTER_CUBIC)


def make_damaged_photo(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Return a gray sample photograph of this size, and its mask: a square of a quarter of the shorter side."""
    photo = make_photo(height, width)
    side = min(height, width) // 4
    mask = np.zeros(photo.shape, bool)
    mask[side : 2 * side, side : 2 * side] = True
    return np.where(mask, LOST, photo).astype(np.uint8), mask


def measure(size: int, rounds: int, width: int) -> dict[str, Any]:
    """Time our restorer and the published generator alternately on the CPU, for a photograph of `size` pixels."""
    restorer = load_restorer("luma", device="cpu")
    published = PublishedUNet(InpaintingUNet(width=width)).eval()
    photo, mask = make_damaged_photo(size, size)
    image = torch.from_numpy(photo.astype(np.float32) / 255).expand(1, 3, -1, -1).contiguous()
    mask_tensor = torch.from_numpy(mask.astype(np.float32))[None, None]

    def restore_with_published() -> None:
        with torch.inference_mode():
            published(image, mask_tensor)

    variants = {"ours": lambda: restorer(photo, mask), "published": restore_with_published}
    times, cpu_times = timing.time_with_both_clocks(variants, rounds)
    return {
        "size": size,
        "by_the_clock": timing.compare(times),
        "by_the_processors_time": timing.compare(cpu_times),
    }


def measure_command(height: int, width: int) -> dict[str, Any]:
    """Return the seconds and the peak memory of `toolbox restore` for one photograph, in a new process."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        io.write_png(folder / "photo.png", make_damaged_photo(height, width)[0])
        seconds, peak = run_restore(folder / "photo.png", folder / "out")
    return {"size": [height, width], "seconds": seconds, "peak": peak}


@click.command("restoring")
@click.option(
    "--size", type=click.IntRange(1), default=512, show_default=True, help="Side of the small photograph in pixels."
)
@click.option("--rounds", type=click.IntRange(1), default=7, show_default=True, help="Calls of each, alternately.")
@timing.quick_option
@timing.json_option
def command(size: int, rounds: int, quick: bool, path: Path | None) -> None:
    """Time the shipped weights against the published generator, and a photograph of 24 megapixels; print JSON."""
    # Before anything else: the peak memory of a new process is at least that of this process when it starts it.
    large = measure_command(200, 300) if quick else measure_command(4000, 6000)
    timing.report({"large": large} | (measure(64, 1, 4) if quick else measure(size, rounds, CHANNELS)), path)
