"""The run folder: the names of its files, and how it is started."""

from __future__ import annotations

import datetime
import platform
from itertools import count
from pathlib import Path

from toolbox.config import recipe
from toolbox.config.plan import Plan
from toolbox.errors import UsageError
from toolbox.models.stored_weights import CHECKPOINTS as CHECKPOINTS
from toolbox.models.stored_weights import RUN_RECIPE
from toolbox.training import run_records
from toolbox.training.run_records import RunInfo, write_run_info
from toolbox.utils import files
from toolbox.utils.versions import DISTRIBUTION, list_versions

RECIPE = RUN_RECIPE  # the bound recipe, every value explicit
METRICS = run_records.METRICS
PREVIEWS = "previews"
TEST = "test"  # the restored test photographs
SUBMISSION = "submission.zip"
SUBMISSIONS = "submissions"  # of epochs, by validation.submit_every
NOT_FINITE = "not-finite"  # everything that is needed to replay a step with values that are not finite

PACKAGES = (DISTRIBUTION, "torch", "torchvision", "timm", "numpy", "opencv-python", "pillow")


def choose_run_dir(out: Path | None, name: str) -> Path:
    """Return a folder for a new run: `out`, or ``runs/<date>-<name>-<n>``.

    Raises:
        UsageError: `out` exists and is not an empty folder.
    """
    if out is not None:
        if out.exists() and not (out.is_dir() and not any(out.iterdir())):
            raise UsageError(f"--out {out} is not an empty folder. Choose another one, or continue it: --resume {out}")
        return out
    today = datetime.date.today().isoformat()
    return next(path for n in count(1) if not (path := Path("runs") / f"{today}-{name}-{n}").exists())


def prepare_run_dir(folder: Path) -> None:
    """Create the folders of a run, and delete the temporary files of a killed process."""
    for subfolder in (folder, folder / CHECKPOINTS, folder / PREVIEWS):
        files.ensure_folder(subfolder)
        files.remove_stale(subfolder)


def start_run_dir(folder: Path, plan: Plan, data: Path | None, device: str) -> None:
    """Create the folder and write its recipe and run.json; OutputError if they can't be written."""
    prepare_run_dir(folder)
    write_recipe(folder, plan)
    info = RunInfo(
        recipe=plan.name,
        seed=plan.settings.seed,
        data=str(data.resolve()) if data else None,
        device=device,
        python=platform.python_version(),
        system=platform.platform(),
        versions=list_versions(PACKAGES),
    )
    write_run_info(folder, info)


def write_recipe(folder: Path, plan: Plan) -> None:
    """Write the bound recipe; OutputError if it can't be written."""
    files.write_text(folder / RECIPE, recipe.dump(plan.tree()))


def require_run_dir(folder: Path) -> None:
    """Raise UsageError if `folder` is not a run folder."""
    if not (folder / RECIPE).is_file():
        raise UsageError(f"--resume {folder}: this is not a run folder, it has no {RECIPE}.")
