"""The run folder: what lies where in it, how one is begun, and what it must say to be continued."""

from __future__ import annotations

import datetime
import json
import platform
from collections.abc import Mapping
from itertools import count
from pathlib import Path
from typing import Any

from toolbox.config import recipe
from toolbox.config.plan import Plan
from toolbox.errors import UsageError
from toolbox.utils import files
from toolbox.utils.versions import DISTRIBUTION, list_versions

RUN_INFO = "run.json"  # versions, seed, data, device
RECIPE = "recipe.toml"  # the recipe as bound, every value explicit
SUMMARY = "summary.json"  # the figures that the closing table shows
METRICS = "metrics.jsonl"  # a record a step and an epoch
CHECKPOINTS = "checkpoints"
PREVIEWS = "previews"
TEST = "test"  # the restored test photographs
SUBMISSION = "submission.zip"
NOT_FINITE = "not-finite"  # what is needed to take a step again that was not finite

PACKAGES = (DISTRIBUTION, "torch", "torchvision", "timm", "accelerate", "numpy", "opencv-python", "pillow")


def choose_run_dir(out: Path | None, name: str) -> Path:
    """Return a folder for a new run: `out` itself, or ``runs/<date>-<recipe>-<n>``.

    Raises:
        UsageError: `out` is there already and is not an empty folder.
    """
    if out is not None:
        if out.exists() and not (out.is_dir() and not any(out.iterdir())):
            raise UsageError(f"--out {out} is not an empty folder. Choose another, or continue it: --resume {out}")
        return out
    today = datetime.date.today().isoformat()
    return next(p for n in count(1) if not (p := Path("runs") / f"{today}-{name}-{n}").exists())


def prepare_run_dir(folder: Path) -> None:
    """Make the folders of a run, and take out what a sudden end left half-written."""
    for made in (folder, folder / CHECKPOINTS, folder / PREVIEWS):
        files.ensure_folder(made)
        files.remove_stale(made)


def begin_run_dir(folder: Path, plan: Plan, data: Path | None, device: str) -> None:
    """Make the folder and write into it what the run is; OutputError if that can't be done."""
    prepare_run_dir(folder)
    write_recipe(folder, plan)
    read_run_info = {
        "recipe": plan.name,
        "seed": plan.settings.seed,
        "data": str(data.resolve()) if data else None,
        "device": device,
        "python": platform.python_version(),
        "system": platform.platform(),
        "versions": list_versions(PACKAGES),
    }
    files.write_json(folder / RUN_INFO, read_run_info)


def write_recipe(folder: Path, plan: Plan) -> None:
    """Write the recipe as bound."""
    files.write_text(folder / RECIPE, recipe.dump(plan.tree()))


def read_run_info(folder: Path) -> dict[str, Any]:
    """Return what the run said of itself at its beginning; UsageError if the folder is not a run."""
    if not (folder / RECIPE).is_file():
        raise UsageError(f"--resume {folder}: it is not a run folder, it has no {RECIPE}.")
    return _json(folder / RUN_INFO)


def read_summary(folder: Path) -> dict[str, Any]:
    """Return the figures so far, none at the beginning."""
    return _json(folder / SUMMARY)


def write_summary(folder: Path, figures: Mapping[str, Any]) -> None:
    """Write the figures."""
    files.write_json(folder / SUMMARY, dict(figures))


def _json(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
