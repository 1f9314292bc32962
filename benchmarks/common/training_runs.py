"""Train with `toolbox run` for a table: one folder for each run; an interrupted run is continued."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path


def runs_folder(out: Path, quick: bool) -> Path:
    """Return the folder for the runs. Quick runs have their own, so that a full table doesn't use them."""
    return out / "quick" if quick else out


def train_or_continue(folder: Path, options: Sequence[str | Path]) -> Path:
    """Train in `folder` with these options of `toolbox run`, and return `folder`.

    A run that was interrupted is continued. A run that is complete is not repeated.

    Raises:
        CalledProcessError: the run failed; its messages are on stderr.
    """
    summary = folder / "summary.json"
    if summary.is_file() and "after" in json.loads(summary.read_text("utf-8"))["pixel_loss"]:
        return folder
    interrupted = (folder / "checkpoints").is_dir()
    arguments = ["--resume", folder] if interrupted else ["--out", folder, *options]
    subprocess.run([sys.executable, "-m", "toolbox", "run", *map(str, arguments)], check=True, stdout=sys.stderr)
    return folder
