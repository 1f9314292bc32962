"""Tiny training runs through the command line."""

from __future__ import annotations

import json

from click.testing import CliRunner

from toolbox.cli import main

TINY = ["--set", "generator.width=4", "--set", "discriminator.width=4", "--device", "cpu"]


def run(*options, code=0):
    """Run `toolbox run` with tiny networks and these options, and require the exit code."""
    result = CliRunner().invoke(main, ["run", *TINY, *map(str, options)])
    assert result.exit_code == code, result.output
    return result


def records(folder):
    """Return the records of a run's metrics.jsonl."""
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text("utf-8").splitlines()]


def steps(folder):
    """Return the records of a run's steps."""
    return [record for record in records(folder) if not {"validation", "epoch_end", "warning"} & record.keys()]


def newest_checkpoint(folder):
    """Return the newest checkpoint of a run, by its name."""
    return max((folder / "checkpoints").iterdir())
