"""An epoch's end: the schedules stepped, the validation, the best weights kept, a submission."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

from toolbox.config import recipe
from toolbox.config.plan import Plan
from toolbox.distributed import collectives
from toolbox.errors import ToolboxError
from toolbox.evaluation.submission import restore_and_zip
from toolbox.inference.restorer import make_restorer
from toolbox.models import weight_file
from toolbox.models.weight_file import WeightsHeader
from toolbox.training import checkpoint, metric_log, run_dir, state, validate
from toolbox.training.checkpoint import Progress
from toolbox.training.context import TrainingRun


def end_epoch(run: TrainingRun, progress: Progress, *, late: bool = False) -> Progress:
    """Close an epoch, whole or not: step the schedules after a whole one, validate, keep the best, submit.

    Args:
        run: the run.
        progress: where it stands, after the epoch's last step.
        late: the run has ended here, and the validation that belongs to its end is to be made up for.

    Returns:
        Where it stands then.
    """
    plan, folder = run.plan, run.options.folder
    limits, shown = plan.settings.training, plan.settings.validation
    whole = progress.batch == 0
    number = progress.epoch if whole else progress.epoch + 1
    last = late or progress.step >= run.steps() or run.time_up()
    if whole and not late:
        for side in run.state.sides().values():
            if side.optimizer.state:
                side.schedule.step()
    outcome = None
    if last or number % shown.every == 0:
        outcome = validate.validate(run.state, run.validation(), run.accelerator, run.metrics, shown.previews)
        if collectives.is_main_process():
            metric_log.write_preview(folder / run_dir.PREVIEWS / f"epoch-{number:03d}.png", outcome.previews)
        run.log(metric_log.validation_record(progress.step, number, outcome))
        figure = _ranking(outcome.score.score, outcome.loss)
        progress = replace(progress, stale=progress.stale + 1, validated=progress.step)
        if progress.best is None or figure > progress.best:
            progress = replace(progress, best=figure, best_step=progress.step, stale=0)
            _keep_best(run, progress, outcome, figure)
    if number == 1:
        run.say_luma_mismatches()
    run.console.print_line(metric_log.epoch_line(number, limits.epochs, progress.step, progress.sums, outcome))
    if run.gave_up(progress.stale):
        run.console.print_line(
            f"No better figure in {progress.stale} validations (validation.patience): the run ends here."
        )
    if shown.submit_every and number % shown.submit_every == 0 and not last:
        name = f"epoch-{number:03d}"
        restore_test_photos(run, folder / "submissions" / f"{name}.zip", folder / "submissions" / name)
    return replace(progress, sums={}) if whole else progress


def _ranking(score: float | None, loss: float) -> float:
    return -loss if score is None else score


def _keep_best(run: TrainingRun, progress: Progress, outcome: validate.ValidationResult, figure: float) -> None:
    """Write the best weights and say so in the summary, unless the file there is better still.

    It can be where the run went on from an earlier state than the one that it is of.
    """
    folder = run.options.folder
    if collectives.on_main_process(lambda: _ranking_of_file(folder / weight_file.BEST, run.plan) > figure):
        return
    header = WeightsHeader(
        recipe=recipe.dump(run.plan.tree()),
        recipe_name=run.plan.name,
        step=progress.step,
        score=asdict(outcome.score),
        loss=outcome.loss,
    )
    checkpoint.save_network(folder / weight_file.BEST, run.state.restorer, header)
    if collectives.is_main_process():
        figures = run_dir.read_summary(folder) | {"best": {"step": progress.step, **asdict(outcome.score)}}
        run_dir.write_summary(folder, figures)


def _ranking_of_file(path: Path, plan: Plan) -> float:
    """Return the figure of a weight file, minus infinity if there is none or it can't be compared with `plan`'s."""
    if not path.is_file():
        return -math.inf
    try:
        header = weight_file.read_header(path)
        if _comparable_settings(recipe.parse(header.recipe, "")) != _comparable_settings(
            recipe.parse(recipe.dump(plan.tree()), "")
        ):
            return -math.inf
        return _ranking(header.score["score"], math.inf if header.loss is None else header.loss)
    except (ToolboxError, KeyError, TypeError):
        return -math.inf


def _comparable_settings(tree: recipe.Tree) -> list[object]:
    """Return what of a recipe two figures must have in common to be compared: the network, and what it is shown."""
    network = {key: value for key, value in tree["generator"].items() if key not in ("init", "optimizer", "schedule")}
    return [network, tree["data"]["size"], *(tree.get(key) for key in ("keep", "seed", "split", "degradations"))]


def restore_test_photos(
    run: TrainingRun, archive: Path, folder: Path, stop: Callable[[], bool] = lambda: False
) -> Path | None:
    """Restore the test photographs by the weights as they are into `folder` and zip them as `archive`.

    Returns:
        The archive, None if there are no test photographs or it was told to stop.
    """
    tests = run.options.source.tests
    if not tests:
        return None
    network, device = state.unsharded(run.state.restorer, run.plan, run.accelerator.device)

    def restored() -> bool:
        restorer = make_restorer(network, run.state.keep, device, run.plan.settings.restoring)
        with run.console.progress_bar("restoring the test photos", len(tests)) as advance:
            return restore_and_zip(restorer, tests, run.sample_recipe, folder, archive, advance, stop) is not None

    return archive if collectives.on_main_process(restored) else None
