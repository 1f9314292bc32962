"""Tiny training runs through the command line."""

from __future__ import annotations

import json

from click.testing import CliRunner

from toolbox.cli import main

TINY = ["--set", "generator.width=4", "--set", "discriminator.width=4", "--device", "cpu"]


def run(*arguments, code=0):
    result = CliRunner().invoke(main, ["run", *TINY, *map(str, arguments)])
    assert result.exit_code == code, result.output
    return result


def records(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text("utf-8").splitlines()]


def steps(folder):
    return [record for record in records(folder) if "validation" not in record]
