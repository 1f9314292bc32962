"""Compare an exported ONNX file with `toolbox restore --fill network`: size, time on one core, largest difference.

    python -m benchmarks onnx-export --pairs DIR

DIR has input/ and masks/. Each photograph is restored by torch and by onnxruntime in turn, with one thread each.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import click
import numpy as np
import torch

from benchmarks.common import timing
from toolbox.hooks import catalog
from toolbox.imaging import io
from toolbox.inference.loading import load_restorer
from toolbox.inference.onnx_export import export_onnx
from toolbox.models.stored_weights import find_weights


@click.command("onnx-export")
@click.option("--pairs", type=click.Path(path_type=Path), required=True, help="Folder with input/ and masks/.")
@click.option("--weights", default="luma", show_default=True, help="A published name, a file or a run folder.")
@click.option("--limit", type=click.IntRange(1), default=6, show_default=True, help="Use at most this many pairs.")
@click.option("--rounds", type=click.IntRange(1), default=5, show_default=True, help="Rounds for each photograph.")
@timing.quick_option
@timing.json_option
def command(pairs: Path, weights: str, limit: int, rounds: int, quick: bool, path: Path | None) -> None:
    """Restore photographs with and without a hole by torch and by onnxruntime in turn."""
    import onnxruntime

    torch.set_num_threads(1)
    loaded = catalog.load()
    restorer = load_restorer(weights, device="cpu", fill="network", catalog=loaded)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "exported.onnx"
        export_onnx(weights, file, loaded)
        size = file.stat().st_size
        session = onnxruntime.InferenceSession(file, options)
    clocks: dict[str, dict[str, list[float]]] = {}
    largest = 0
    for photo in io.find_images(pairs / "input")[: 1 if quick else limit]:
        gray, mask = io.read_gray(photo), io.read_mask(pairs / "masks" / photo.name)
        image = np.repeat(gray[..., None], 3, axis=2)
        for kind, lost in (("with a hole", mask), ("without a hole", np.zeros_like(mask))):
            inputs = {"image": image, "mask": lost.astype(np.uint8)}
            variants = {
                "onnxruntime": lambda inputs=inputs: session.run(["restored"], inputs)[0],
                "torch": lambda gray=gray, lost=lost: restorer(gray, lost),
            }
            difference = np.abs(variants["onnxruntime"]().astype(int) - variants["torch"]())
            largest = max(largest, int(difference.max()))
            times = timing.time_with_both_clocks(variants, 1 if quick else rounds)
            for clock, seconds in zip(("wall", "CPU"), times, strict=True):
                row = clocks.setdefault(f"{kind}, {clock} time", {name: [] for name in variants})
                for name, values in seconds.items():
                    row[name] += values
    result = {
        "bytes": {"onnx": size, "safetensors": find_weights(weights, loaded).path.stat().st_size},
        "largest_difference_in_levels": largest,
        **{name: timing.compare(times, "onnxruntime") for name, times in clocks.items()},
    }
    timing.report(result, path)
    for name in clocks:
        ratio = 1 / result[name]["times_as_fast"]["torch"]["median"]
        click.echo(f"{name}: onnxruntime takes {ratio:.2f} of the time of torch", err=True)
