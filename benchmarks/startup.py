"""Time the commands that should respond at once, restoring one photograph, and a run up to its first step.

    python -m benchmarks startup

``seconds`` has the time of each command in a new process: median, minimum and maximum. ``first_step`` has the time
from the start of `toolbox run` to the record of its first step: with an empty cache (once), and with the cache filled.
``restore`` compares `toolbox restore` of one gray photograph of 512 x 512 pixels with ``import torch`` alone, each in a
new process, by turns; ``ratio`` is that of the two in the same round, by CPU time.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np

from benchmarks.common import timing
from toolbox.color import integer_luma
from toolbox.data import sample
from toolbox.imaging import io

COMMANDS = (("list",), ("plugins",), ("show", "loss", "ssim"), ("recipe", "validate", "default"))
CALL = (sys.executable, "-c", "from toolbox.cli import main; main()")


def first_step(folder: Path, recipe: str) -> float:
    """Return the seconds from the start of a process to the record of its first step, on the sample photographs.

    They include the imports, the construction of the networks, the decoding of photographs that are not in the cache
    `folder`/cache, and the scores of the baselines.
    """
    with tempfile.TemporaryDirectory(dir=folder) as out:
        record = Path(out) / "run" / "metrics.jsonl"
        environment = os.environ | {"TOOLBOX_CACHE": str(folder / "cache")}
        call = [*CALL, "run", "--recipe", recipe, "--steps", "1", "--out", str(record.parent)]
        start = time.perf_counter()
        with subprocess.Popen(call, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
            while not (record.is_file() and record.stat().st_size):
                if process.poll() is not None:
                    raise click.ClickException(process.stderr.read().decode() if process.stderr else "")
                time.sleep(0.005)
            seconds = time.perf_counter() - start
            process.kill()  # the rest of the run is not measured
    return seconds


def child_seconds(arguments: Sequence[str]) -> float:
    """Return the CPU seconds of a command in a new process."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(arguments, capture_output=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def compare_restore(folder: Path, runs: int) -> dict[str, Any]:
    """Return the CPU seconds of `toolbox restore` and of ``import torch``, and their ratio in each round."""
    luma = integer_luma(io.read_rgb(io.find_images(sample.folder() / "photos")[0]))
    rows, columns = (np.arange(512) * side // 512 for side in luma.shape)
    io.write_png(folder / "gray.png", luma[rows][:, columns])
    restore = [*CALL, "restore", str(folder / "gray.png"), "--overwrite", "-o", str(folder / "restored")]
    times: dict[str, list[float]] = {"import torch": [], "toolbox restore": []}
    for _ in range(runs):
        times["import torch"].append(child_seconds([sys.executable, "-c", "import torch"]))
        times["toolbox restore"].append(child_seconds(restore))
    ratios = [ours / torch for torch, ours in zip(*times.values(), strict=True)]
    return {"ratio": timing.spread(ratios), "cpu_seconds": times}


@click.command("startup")
@click.option("--runs", default=7, show_default=True, help="Runs of each command, after one that is not counted.")
@click.option("--recipe", default="default", show_default=True, help="Recipe of the run.")
@timing.quick_option
@timing.json_option
def command(runs: int, recipe: str, quick: bool, path: Path | None) -> None:
    """Time fast commands, and a run up to its first step; print JSON, in seconds."""
    runs = 1 if quick else runs
    times = {}
    for arguments in COMMANDS:

        def call_command(arguments: tuple[str, ...] = arguments) -> None:
            subprocess.run([*CALL, *arguments], capture_output=True, check=True)

        times["toolbox " + " ".join(arguments)] = timing.time_alternately({"": call_command}, runs)[""]
    with tempfile.TemporaryDirectory() as folder:
        empty_cache = first_step(Path(folder), recipe)
        filled_cache = [first_step(Path(folder), recipe) for _ in range(runs)]
        restore = compare_restore(Path(folder), runs)
    timing.report(
        {
            "seconds": {name: timing.spread(values) for name, values in times.items()},
            "first_step": {"recipe": recipe, "empty_cache": empty_cache, "seconds": timing.spread(filled_cache)},
            "restore": restore,
            "raw": {**times, "first_step": filled_cache},
        },
        path,
    )
