"""Restore the test photographs of a run into a submission, or keep the results that are there."""

from __future__ import annotations

import hashlib
import json
import zipfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from toolbox.config.plan import Plan
from toolbox.data.folders import Item
from toolbox.distributed import collectives
from toolbox.errors import DataError
from toolbox.evaluation.submission import restore_and_zip
from toolbox.inference.fillers import recipe_filler
from toolbox.inference.loading import make_restorer
from toolbox.inference.postprocessors import recipe_postprocessors
from toolbox.models.weight_file import read_header
from toolbox.reports import run_records
from toolbox.training import run_dir, size_check, state
from toolbox.training.context import TrainingRun
from toolbox.training.fingerprint import plugin_versions
from toolbox.utils import files
from toolbox.utils.deleted_folders import retry_if_deleted
from toolbox.utils.run_names import BEST
from toolbox.utils.versions import toolbox_version

# Tables of a recipe that do not change what given weights make of a photograph.
_WITHOUT_EFFECT = ("observers", "validation", "requires")
# What results depend on: the keys of their record, and words for it.
_ORIGINS = {
    "weights": "the weights",
    "settings": "the settings",
    "code": "toolbox or a plugin",
    "photos": "the test photographs",
}


def submit_best(run: TrainingRun, *, has_trained: bool) -> Path | None:
    """Write the submission of the best weights, which the network has now, into the run folder.

    The results of an earlier command are kept if they are complete, and the same weights and settings made them from
    the same photographs. Otherwise they are replaced.

    Args:
        run: the run.
        has_trained: whether this command took steps. If it did not, a line says why results are made again.

    Returns:
        As `restore_test_photos`.
    """
    folder, tests = run.options.folder, run.options.source.tests
    archive = folder / run_dir.SUBMISSION
    if not run.state.restores:
        return None
    has_archive = collectives.on_main_process(archive.is_file)
    if not tests:
        if has_archive:
            old = f"{run_dir.SUBMISSION} and {run_dir.TEST}/"
            run.console.print_line(f"warning: {old} are of earlier test photographs; there are none now.")
        return None
    origin = collectives.on_main_process(lambda: results_origin(run.plan, folder / BEST, tests))
    fault = collectives.on_main_process(lambda: results_fault(folder, origin))
    if not fault:
        run.console.print_line(
            f"The {len(tests)} test photographs were restored with these weights and settings before; their results "
            "are kept."
        )
        return archive
    if not has_trained and has_archive:
        run.console.print_line(f"The test photographs are restored again: {fault}.")
    before = collectives.on_main_process(lambda: _archived_names(archive))
    if restore_test_photos(run, archive, folder / run_dir.TEST, run.options.should_stop) is None:
        return None
    if collectives.is_main_process():
        _delete_outdated(folder / run_dir.TEST, before, _archived_names(archive))
        summary = run_records.read_summary(folder)
        if summary is not None:
            made = {**origin, "sha256": files.sha256(archive)}
            run_records.write_summary(folder, replace(summary, submission=made))
    return archive


def check_restoring(run: TrainingRun) -> None:
    """Check that the generator can restore photographs, as the end of the run does. All processes call it.

    Raises:
        WrongResultError: see `size_check.check_restoring`.
    """
    if run.state.restores:
        network, device = state.unsharded(run.state.eval_generator, run.plan, run.accelerator.device)
        has_tests, print_line = bool(run.options.source.tests), run.console.print_line
        collectives.on_main_process(lambda: size_check.check_restoring(network, device, has_tests, print_line))


def restore_test_photos(
    run: TrainingRun, archive: Path, folder: Path, should_stop: Callable[[], bool] = lambda: False
) -> Path | None:
    """Restore the test photographs into `folder` with the current weights, and zip them as `archive`.

    Returns:
        The archive; None if there are no test photographs, the network restores no pictures, or `should_stop` returned
        True.
    """
    tests = run.options.source.tests
    if not tests or not run.state.restores:
        return None
    network, device = state.unsharded(run.state.eval_generator, run.plan, run.accelerator.device)

    def restore() -> bool:
        restorer = replace(
            make_restorer(network, run.state.keep, device, run.plan.settings.restoring),
            filler=recipe_filler(run.plan),
            postprocessors=recipe_postprocessors(run.plan),
        )
        with run.console.progress_bar("restoring the test photos", len(tests)) as advance:
            restored = restore_and_zip(restorer, tests, run.sample_recipe, folder, archive, advance, should_stop)
            return restored is not None

    return archive if collectives.on_main_process(lambda: retry_if_deleted(restore)) else None


def results_origin(plan: Plan, weights: Path, tests: Sequence[Item]) -> dict[str, str]:
    """Return digests of all that results depend on: the weight file, settings, code, test photographs."""
    photos = [
        [item.name, *(files.sha256(image) if isinstance(image, Path) else image.identity() for image in item.images)]
        for item in tests
    ]
    settings = {key: value for key, value in plan.tree().items() if key not in _WITHOUT_EFFECT}
    # Not of the file: a resumed run may measure the figures in its header again.
    tensors = read_header(weights).digest or files.sha256(weights)
    values = (tensors, settings, [plugin_versions(plan), toolbox_version()], photos)
    texts = [json.dumps(value, sort_keys=True) for value in values]
    return {key: hashlib.sha256(text.encode()).hexdigest() for key, text in zip(_ORIGINS, texts, strict=True)}


def results_fault(folder: Path, origin: Mapping[str, str]) -> str:
    """Return why a run folder lacks the complete, unchanged results of this origin; "" if it has them."""
    summary = run_records.read_summary(folder)
    made: Mapping[str, str] = {} if summary is None else summary.submission
    archive = folder / run_dir.SUBMISSION
    if not made.keys() >= origin.keys():
        return "it is not recorded what their results were made from"
    changed = [words for key, words in _ORIGINS.items() if made[key] != origin[key]]
    if changed:
        return f"changed since then: {', '.join(changed)}"
    try:
        if files.sha256(archive) == made.get("sha256"):
            with zipfile.ZipFile(archive) as opened:
                members = {folder / run_dir.TEST / entry.filename: entry.CRC for entry in opened.infolist()}
            if all(zlib.crc32(path.read_bytes()) == code for path, code in members.items()):
                return ""
    except (OSError, DataError, zipfile.BadZipFile):
        pass
    return "their results are incomplete, or were changed"


def _delete_outdated(folder: Path, before: Sequence[str], now: Sequence[str]) -> None:
    """Delete the pictures of an earlier submission that are not in the present one."""
    kept = {name.casefold() for name in now}
    for name in before:
        if name.casefold() not in kept:
            with suppress(OSError):
                (folder / name).unlink()


def _archived_names(archive: Path) -> list[str]:
    """Return the names of the pictures in a submission; none if it can't be read."""
    try:
        with zipfile.ZipFile(archive) as opened:
            return [name for name in opened.namelist() if files.is_flat_name(name)]
    except (OSError, zipfile.BadZipFile):
        return []
