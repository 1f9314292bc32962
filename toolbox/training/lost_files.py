"""Files of the run folder that are deleted while the run trains: they are written again as far as possible."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from toolbox.config.plan import Plan
from toolbox.data import broken_files, split_record
from toolbox.distributed import collectives
from toolbox.reports import run_records
from toolbox.training import run_dir
from toolbox.training.baselines import rewrite_best, score_baselines
from toolbox.training.checkpoint import Progress
from toolbox.training.context import TrainingRun
from toolbox.utils import files
from toolbox.utils.deleted_folders import retry_if_deleted
from toolbox.utils.run_names import BEST, RECIPE

# Without these, a run can't be continued or can't end.
FILES = (RECIPE, run_records.RUN_INFO, run_dir.SPLIT, run_records.SUMMARY)


def start_rewriter(folder: Path, plan: Plan, skipped: Mapping[str, str]) -> Callable[[], None]:
    """Return a function that writes again what the start of a run has written into its folder.

    Args:
        folder: the run folder, with these files.
        plan: the bound recipe.
        skipped: the photographs that are left out, with the reasons.
    """
    info = run_records.read_run_info(folder)

    def write() -> None:
        run_dir.prepare_run_dir(folder)
        run_dir.write_recipe(folder, plan)
        run_records.write_run_info(folder, info)
        if skipped:
            broken_files.write_skipped(folder / run_dir.SKIPPED, skipped)

    return write


def restore_lost_files(run: TrainingRun, progress: Progress) -> Progress:
    """Write again what was deleted from the run folder, or the folder itself. All processes call it.

    Returns:
        The position, without a best figure if the file with the best weights is lost: the next validation writes it.
    """
    folder = run.options.folder
    needed = FILES if progress.best is None else (*FILES, BEST)
    lost = collectives.on_main_process(lambda: [name for name in needed if not (folder / name).exists()])
    if not lost:
        return progress
    if written := [name for name in lost if name in FILES]:
        run.console.print_line(
            f"warning: {', '.join(written)} disappeared from {files.printable(folder)} during the run. What the run "
            "has in memory is written again; records and checkpoints that disappeared are lost."
        )

    def write() -> None:
        run.options.write_start()
        split_record.write_record(folder / run_dir.SPLIT, run.options.split)

    if collectives.is_main_process():
        retry_if_deleted(write)
    return score_baselines(run, progress)


def restore_lost_at_end(run: TrainingRun, progress: Progress) -> None:
    """Write again what was deleted while the test photographs were restored. All processes call it.

    The network has the best weights now, so they are validated and written too.
    """
    if progress.best is not None and restore_lost_files(run, progress).best is None:
        rewrite_best(run, progress)
