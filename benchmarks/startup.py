"""How long the light commands take from the shell, and a run from its start to its first step."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import click

from benchmarks import _measure

COMMANDS = (("list",), ("plugins",), ("show", "loss", "ssim"), ("recipe", "validate", "default"))
CALL = (sys.executable, "-c", "from toolbox.cli import main; main()")


def first_step(folder: Path, recipe: str) -> float:
    """Return the seconds from the start of a process to the record of its first step, on the sample photographs.

    In it are the imports, the networks, decoding what the cache below `folder` has not got, the baselines' scores.
    """
    with tempfile.TemporaryDirectory(dir=folder) as out:
        record = Path(out) / "run" / "metrics.jsonl"
        environment = os.environ | {"TOOLBOX_CACHE": str(folder / "cache")}
        call = [*CALL, "run", "--recipe", recipe, "--steps", "1", "--out", str(record.parent)]
        started = time.perf_counter()
        with subprocess.Popen(call, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
            while not (record.is_file() and record.stat().st_size):
                if process.poll() is not None:
                    raise click.ClickException(process.stderr.read().decode() if process.stderr else "")
                time.sleep(0.005)
            seconds = time.perf_counter() - started
            process.kill()  # what follows is no part of it
    return seconds


@click.command("startup")
@click.option("--runs", default=7, show_default=True, help="Counted runs of each command, after one that is not.")
@click.option("--recipe", default="default", show_default=True, help="The recipe that takes a first step.")
@_measure.quick
@_measure.json_path
def command(runs: int, recipe: str, quick: bool, path: Path | None) -> None:
    """Time the commands that should answer at once, and a run up to its first step; print JSON, seconds."""
    runs = 1 if quick else runs
    found = {}
    for arguments in COMMANDS:

        def once(arguments: tuple[str, ...] = arguments) -> None:
            subprocess.run([*CALL, *arguments], capture_output=True, check=True)

        found["toolbox " + " ".join(arguments)] = _measure.in_turn({"": once}, runs)[""]
    with tempfile.TemporaryDirectory() as folder:
        empty = first_step(Path(folder), recipe)
        again = [first_step(Path(folder), recipe) for _ in range(runs)]
    _measure.report(
        {
            "seconds": {name: _measure.spread(times) for name, times in found.items()},
            "first_step": {"recipe": recipe, "empty_cache": empty, "seconds": _measure.spread(again)},
            "raw": {**found, "first_step": again},
        },
        path,
    )
