"""Time the commands that should respond at once, restoring one photograph, and a run up to its first step.

    python -m benchmarks startup

``seconds`` has the time of each command in a new process: median, minimum and maximum. ``first_step`` has the time
from the start of `toolbox run` to the record of its first step: with an empty cache (once), and with the cache filled.
``one_photo`` compares commands on one gray photograph of 512 x 512 pixels, and `toolbox.load_restorer` with a call of
it, with ``import torch`` alone, each in a new process, by turns. ``ratio`` has the ratio of the CPU times in the same
round. All modules are compiled before, as they are in an installed package.
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
LIBRARY = "import sys, toolbox; toolbox.load_restorer('luma')(sys.argv[1])"


def first_step(folder: Path, recipe: str, *options: str) -> float:
    """Return the seconds from the start of a process to the record of its first step, on the sample photographs.

    `options` are more options of `toolbox run`. The seconds include the imports, the construction of the networks, the
    decoding of photographs that are not in the cache `folder`/cache, and the scores of the baselines.
    """
    with tempfile.TemporaryDirectory(dir=folder) as out:
        record = Path(out) / "run" / "metrics.jsonl"
        environment = environment_of_users() | {"TOOLBOX_CACHE": str(folder / "cache")}
        call = [*CALL, "run", "--recipe", recipe, "--steps", "1", *options, "--out", str(record.parent)]
        start = time.perf_counter()
        with subprocess.Popen(call, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
            while not (record.is_file() and record.stat().st_size):
                if process.poll() is not None:
                    raise click.ClickException(process.stderr.read().decode() if process.stderr else "")
                time.sleep(0.005)
            seconds = time.perf_counter() - start
            process.kill()  # the rest of the run is not measured
    return seconds


def environment_of_users() -> dict[str, str]:
    """Return the environment, in which Python keeps the modules that it compiles: else it compiles ours each time."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


def child_seconds(arguments: Sequence[str]) -> float:
    """Return the CPU seconds of a command in a new process."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(arguments, capture_output=True, check=True, env=environment_of_users())
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def compare_on_one_photo(folder: Path, runs: int) -> dict[str, Any]:
    """Return the CPU seconds on one photograph and those of ``import torch``, and their ratios in the same round."""
    luma = integer_luma(io.read_rgb(io.find_images(sample.folder() / "photos")[0]))
    rows, columns = (np.arange(512) * side // 512 for side in luma.shape)
    photo = str(folder / "gray.png")
    io.write_png(Path(photo), luma[rows][:, columns])
    variants = {
        "import torch": [sys.executable, "-c", "import torch"],
        "toolbox restore": [*CALL, "restore", photo, "--overwrite", "-o", str(folder / "restored")],
        "toolbox mask": [*CALL, "mask", photo, "--overwrite", "-o", str(folder / "masks")],
        "toolbox.load_restorer": [sys.executable, "-c", LIBRARY, photo],
    }
    for arguments in variants.values() if runs > 1 else ():
        child_seconds(arguments)
    times: dict[str, list[float]] = {name: [] for name in variants}
    for _ in range(runs):
        for name, arguments in variants.items():
            times[name].append(child_seconds(arguments))
    torch = times["import torch"]
    ratios = {name: [ours / alone for ours, alone in zip(times[name], torch, strict=True)] for name in variants}
    return {"ratio": {name: timing.spread(values) for name, values in ratios.items()}, "cpu_seconds": times}


@click.command("startup")
@click.option(
    "--runs",
    type=click.IntRange(1),
    default=7,
    show_default=True,
    help="Runs of each command, after one that is not counted.",
)
@click.option("--recipe", default="default", show_default=True, help="Recipe of the run.")
@timing.quick_option
@timing.json_option
def command(runs: int, recipe: str, quick: bool, path: Path | None) -> None:
    """Time fast commands, and a run up to its first step; print JSON, in seconds."""
    runs = 1 if quick else runs
    options = ("--size", "32") if quick else ()
    times = {}
    for arguments in COMMANDS:

        def call_command(arguments: tuple[str, ...] = arguments) -> None:
            subprocess.run([*CALL, *arguments], capture_output=True, check=True, env=environment_of_users())

        times["toolbox " + " ".join(arguments)] = timing.time_alternately({"": call_command}, runs)[""]
    with tempfile.TemporaryDirectory() as folder:
        empty_cache = first_step(Path(folder), recipe, *options)
        filled_cache = [first_step(Path(folder), recipe, *options) for _ in range(runs)]
        one_photo = compare_on_one_photo(Path(folder), runs)
    timing.report(
        {
            "seconds": {name: timing.spread(values) for name, values in times.items()},
            "first_step": {"recipe": recipe, "empty_cache": empty_cache, "seconds": timing.spread(filled_cache)},
            "one_photo": one_photo,
            "raw": {**times, "first_step": filled_cache},
        },
        path,
    )
