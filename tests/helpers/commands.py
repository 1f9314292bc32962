"""Run `toolbox` commands inside this process, and in a new interpreter."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from toolbox.cli import main


def invoke(*arguments: object, code: int = 0) -> Result:
    """Run a command and check its exit code."""
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert result.exit_code == code, result.output
    return result


def invoke_error(*arguments: object, code: int = 2) -> str:
    """Run a command that fails, and return its one-line error message."""
    lines = invoke(*arguments, code=code).stderr.splitlines()
    assert len(lines) == 1 and lines[0].startswith("toolbox: "), lines
    return lines[0]


def plugin_status(name: str) -> dict[str, Any] | None:
    """Return the row of `toolbox plugins --json` for a plugin, or None."""
    return next((row for row in json.loads(invoke("plugins", "--json").stdout) if row["name"] == name), None)


def run_python(*arguments: object, path: object = "", folder: Path | None = None) -> str:
    """Run a new interpreter with `path` as PYTHONPATH, and return its output."""
    environment = {**os.environ, "PYTHONPATH": str(path), "OMP_NUM_THREADS": "1", "PIP_CONFIG_FILE": os.devnull}
    command = [sys.executable, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=folder, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def run_toolbox(*arguments: object, path: object) -> str:
    """Run `toolbox` in a new interpreter."""
    return run_python("-c", "from toolbox.cli import main; main()", *arguments, path=path)
