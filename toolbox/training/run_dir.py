"""The run folder: the names of its files, and how it is started."""

from __future__ import annotations

import contextlib
import datetime
import errno
import os
import platform
import shlex
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

from toolbox.config.plan import Plan
from toolbox.config.recipe import Recipe, differences, dump
from toolbox.data import split_record
from toolbox.errors import OutputError, UsageError
from toolbox.models.stored_weights import CHECKPOINTS as CHECKPOINTS
from toolbox.reports import run_records
from toolbox.reports.run_records import RunInfo, Session, read_run_info, write_run_info
from toolbox.training.fingerprint import plugin_versions
from toolbox.utils import files, locks, surface, temporary_files
from toolbox.utils.run_names import BEST
from toolbox.utils.run_names import RECIPE as RECIPE
from toolbox.utils.shell import shell_word
from toolbox.utils.versions import DISTRIBUTION, list_versions

LOCK = ".lock"  # held by the process that trains
SPLIT = split_record.FILE  # which photographs train and which validate
SKIPPED = "skipped.json"  # the photographs that are left out, and why
METRICS = run_records.METRICS
PREVIEWS = run_records.PREVIEWS
TEST = "test"  # the restored test photographs
SUBMISSION = "submission.zip"
SUBMISSIONS = "submissions"  # of epochs, by validation.submit_every
NOT_FINITE = "not-finite"  # everything that is needed to replay a step with values that are not finite

PACKAGES = (DISTRIBUTION, "torch", "torchvision", "timm", "numpy", "opencv-python", "pillow")


def choose_run_dir(out: Path | None, name: str, *, create: bool = True) -> Path:
    """Return a folder for a new run: `out`, or ``runs/<date>-<name>-<n>``.

    With `create`, the folder is made, so that no other run gets it.

    Raises:
        UsageError: `out` exists and is not an empty folder.
        OutputError: the folder can't be created.
    """
    if out is not None:
        _require_empty(out)
        return out
    today = datetime.date.today().isoformat()
    if create:
        files.ensure_folder("runs")
    for number in count(1):
        path = Path("runs") / f"{today}-{name}-{number}"
        try:
            if not create and not path.exists():
                return path
            path.mkdir()
            return path
        except FileExistsError:
            continue
    raise AssertionError("unreachable")


@contextlib.contextmanager
def lock_run_dir(folder: Path, *, new: bool) -> Iterator[None]:
    """Keep other processes from training in `folder`, which is created if it is missing.

    Args:
        folder: the run folder.
        new: whether a run is to be started in it.

    Raises:
        UsageError: another process trains in it, or it is not empty and the run is new.
        OutputError: it can't be written to.
    """
    files.ensure_folder(folder)
    try:
        with locks.hold_lock(folder / LOCK):
            if new:
                _require_empty(folder)
            yield
    except locks.BusyError:
        sessions = read_run_info(folder).sessions
        holder = f" (process {sessions[-1].process} on {sessions[-1].host})" if sessions else ""
        raise UsageError(
            f"Another process{holder} is training in {files.printable(folder)}. Wait until it ends, or stop it."
        ) from None


@contextlib.contextmanager
def lock_run_of(step_folder: Path) -> Iterator[None]:
    """Keep the run that a step's folder belongs to from being continued meanwhile: it would replace that folder.

    A folder that is in no run, or in one that can't be written to, is used without a lock.

    Raises:
        UsageError: another process trains in the run.
    """
    run = Path(os.path.abspath(step_folder)).parent.parent
    if not (run / RECIPE).is_file() or not os.access(run, os.W_OK):
        yield
        return
    with lock_run_dir(run, new=False):
        yield


def _require_empty(folder: Path) -> None:
    try:
        names = [path.name for path in folder.iterdir()]
    except FileNotFoundError:
        return
    except NotADirectoryError as error:
        if not os.path.lexists(folder):
            raise OutputError(
                f"The run folder {files.printable(folder)} can't be created: a parent is not a folder. "
                f"Choose another one with {surface.words(command='--out', python='out=DIR')}."
            ) from error
        names = [folder.name]
    except OSError as error:
        raise UsageError(
            f"The run folder {files.printable(folder)} can't be read: {error.strerror or error}"
        ) from error
    if set(names) - {LOCK}:
        remedy = surface.words(command="Choose another one with --out", python="Choose another one with out=DIR")
        if RECIPE in names:
            resume = surface.words(command=f"--resume {shell_word(folder)}", python=f"resume={str(folder)!r}")
            remedy += f", or continue the run in it: {resume}"
        raise UsageError(f"{files.printable(folder)} is not an empty folder. {remedy}.")


def prepare_run_dir(folder: Path) -> None:
    """Create the folders of a run, and delete the temporary files of a killed process."""
    for subfolder in (folder, folder / CHECKPOINTS, folder / PREVIEWS):
        files.ensure_folder(subfolder)
        temporary_files.remove_stale(subfolder)


def start_run_dir(
    folder: Path, plan: Plan, data: Path | None, device: str, *, recipe: Recipe, photos: Mapping[str, int]
) -> None:
    """Create the folder and write its recipe and run.json; OutputError if they can't be written.

    Args:
        folder: the run folder.
        plan: the bound recipe.
        data: the data folder; None for the sample photographs.
        device: the device, in words.
        recipe: the recipe before it was bound.
        photos: see `RunInfo`.
    """
    prepare_run_dir(folder)
    write_recipe(folder, plan)
    parent = recipe.parent.name if recipe.parent else ""
    info = _run_info(plan, data, device, photos)
    write_run_info(folder, replace(info, parent=parent, changes=_changed_settings(recipe)))


def _run_info(plan: Plan, data: Path | None, device: str, photos: Mapping[str, int]) -> RunInfo:
    return RunInfo(
        recipe=plan.name,
        seed=plan.settings.seed,
        data=str(data.resolve()) if data else None,
        device=device,
        python=platform.python_version(),
        system=platform.platform(),
        versions=list_versions(PACKAGES),
        plugins=plugin_versions(plan),
        photos=photos,
        sessions=[_session(device)],
    )


def has_trained(folder: Path) -> bool:
    """Return whether the run in `folder` has left anything of a step: a record, a checkpoint or weights."""
    checkpoints = folder / CHECKPOINTS
    has_checkpoint = checkpoints.is_dir() and any(checkpoints.iterdir())
    return has_checkpoint or (folder / BEST).exists() or any(run_records.read_records(folder))


def discard_run_dir(folder: Path) -> None:
    """Delete what a new run has written if it failed before the record of its first step; other files stay.

    The same command can then be given again, corrected, with the same folder.
    """
    if has_trained(folder):
        return
    written = (RECIPE, run_records.RUN_INFO, SPLIT, SKIPPED, METRICS, run_records.SUMMARY, run_records.REPORT, LOCK)
    with contextlib.suppress(OSError):
        for name in written:
            (folder / name).unlink(missing_ok=True)
    for subfolder in (folder / CHECKPOINTS, folder / PREVIEWS, folder):
        with contextlib.suppress(OSError):  # it has other files
            subfolder.rmdir()


def continue_run_dir(
    folder: Path,
    plan: Plan,
    data: Path | None,
    device: str,
    *,
    photos: Mapping[str, int],
) -> None:
    """Record in run.json that this command continues the run; OutputError if it can't be written.

    Args:
        folder: the run folder.
        plan: the bound recipe.
        data: the data folder; None for the sample photographs.
        device: the device, in words.
        photos: see `RunInfo`.
    """
    before, now = read_run_info(folder), _run_info(plan, data, device, photos)
    if before.recipe:  # otherwise run.json was lost
        sessions = [*before.sessions, *now.sessions]
        now = replace(before, data=now.data, sessions=sessions, plugins=now.plugins, photos=photos)
    write_run_info(folder, now)


def record_changes(folder: Path, plan: Plan, changes: Mapping[str, tuple[Any, Any]]) -> None:
    """Write the recipe of a continued run, and its changed settings into run.json; OutputError if it can't be written.

    Args:
        folder: the run folder.
        plan: the bound recipe.
        changes: the old and the new value of each setting that this command changes, by dotted key.
    """
    write_recipe(folder, plan)
    info = read_run_info(folder)
    known = {key: values[0] for key, values in info.changes.items()}
    merged = {**info.changes, **{key: [known.get(key, old), new] for key, (old, new) in changes.items()}}
    write_run_info(folder, replace(info, changes=merged))


def _changed_settings(recipe: Recipe) -> dict[str, list[Any]]:
    """Return the value in the parent and in the recipe of each setting that differs, by dotted key."""

    def by_key(key: str, old: object, new: object) -> Iterator[tuple[str, list[Any]]]:
        if old is None and isinstance(new, Mapping) and new:
            for name, value in new.items():
                yield from by_key(f"{key}.{name}", None, value)
        else:
            yield key, [old, new]

    if recipe.parent is None:
        return {}
    changes = differences(recipe.parent.tree, recipe.tree).items()
    return {name: values for key, (old, new) in changes for name, values in by_key(key, old, new)}


def _session(device: str) -> Session:
    return Session(
        started=datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
        command=shlex.join(sys.argv),
        host=platform.node(),
        process=os.getpid(),
        device=device,
    )


def write_recipe(folder: Path, plan: Plan) -> None:
    """Write the bound recipe; OutputError if it can't be written."""
    files.write_text(folder / RECIPE, dump(plan.tree()))


def require_run_dir(folder: Path) -> None:
    """Raise UsageError if `folder` is not a run folder."""
    try:
        has_recipe = (folder / RECIPE).is_file()
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:
            raise
        has_recipe = False
    if not has_recipe:
        raise UsageError(f"{files.printable(folder)} is not a run folder: it has no {RECIPE}.")


def init_option(folder: Path) -> str:
    """Return how a new run starts from the weights of the one in `folder`."""
    return surface.words(
        command=f"--set generator.init={shell_word(folder)}",
        python=f"recipe.set('generator.init', {str(folder)!r})",
    )


def read_recipe(folder: Path) -> Recipe:
    """Return the recipe of a run, with every setting.

    Raises:
        UsageError: `folder` is not a run folder, or its recipe is incomplete.
        RecipeError: its recipe is not valid TOML.
    """
    require_run_dir(folder)
    recipe = Recipe.load(folder / RECIPE)
    if "generator" not in recipe.tree:
        raise UsageError(
            f"{files.printable(folder / RECIPE)} is empty or incomplete: the recipe of a run has every setting. "
            f"Restore it from a backup, or start a new run from its weights: {init_option(folder)}"
        )
    info = read_run_info(folder)
    tree = dict(recipe.tree)
    if info.recipe and info.data is None:
        tree.pop("sample", None)  # earlier versions kept it, although its values are in the other tables
    return replace(recipe, name=info.recipe or folder.name, tree=tree)
