"""Runs of `toolbox run` for a table: each in a folder of its own, gone on with where it stopped."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path


def place(out: Path, quick: bool) -> Path:
    """Return where the runs lie: quick ones apart, which a full table must not take for its own."""
    return out / "quick" if quick else out


def trained(folder: Path, options: Sequence[str | Path]) -> Path:
    """Train in `folder` by the options of `toolbox run`, or go on with what is there; nothing where that is done.

    Raises:
        CalledProcessError: the run failed; what it said stands on the screen.
    """
    summary = folder / "summary.json"
    if summary.is_file() and "after" in json.loads(summary.read_text("utf-8"))["pixel_loss"]:
        return folder
    there = (folder / "checkpoints").is_dir()
    what = ["--resume", folder] if there else ["--out", folder, *options]
    subprocess.run([sys.executable, "-m", "toolbox", "run", *map(str, what)], check=True, stdout=sys.stderr)
    return folder
