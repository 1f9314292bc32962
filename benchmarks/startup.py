"""How long the light commands take from the shell: interpreter, plugins, output."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time

import click

COMMANDS = (("list",), ("plugins",), ("show", "loss", "ssim"), ("recipe", "validate", "default"))


@click.command("startup")
@click.option("--runs", default=7, show_default=True, help="Counted runs of each command, after one that is not.")
def command(runs: int) -> None:
    """Time the commands that should answer at once; print JSON, seconds a whole process."""
    found = {}
    for arguments in COMMANDS:
        call = [sys.executable, "-c", "from toolbox.cli import main; main()", *arguments]
        times = []
        for _ in range(runs + 1):
            started = time.perf_counter()
            subprocess.run(call, capture_output=True, check=True)
            times.append(time.perf_counter() - started)
        counted = times[1:]
        found["toolbox " + " ".join(arguments)] = {
            "median": statistics.median(counted),
            "least": min(counted),
            "most": max(counted),
        }
    click.echo(json.dumps(found, indent=2))
