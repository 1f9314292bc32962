"""An epoch's end: the schedules stepped, the validation, the best weights kept, a submission."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

from toolbox import checkpoint, parts, processes, recipe, report, restore, runfolder, validation
from toolbox.checkpoint import Progress
from toolbox.errors import ToolboxError
from toolbox.plan import Plan
from toolbox.session import Bench
from toolbox.submission import submit


def close(bench: Bench, progress: Progress, *, late: bool = False) -> Progress:
    """Close an epoch, whole or not: step the schedules after a whole one, validate, keep the best, submit.

    Args:
        bench: the run.
        progress: where it stands, after the epoch's last step.
        late: the run has ended here, and the validation that belongs to its end is to be made up for.

    Returns:
        Where it stands then.
    """
    plan, folder = bench.plan, bench.options.folder
    limits, shown = plan.settings.training, plan.settings.validation
    whole = progress.batch == 0
    number = progress.epoch if whole else progress.epoch + 1
    last = late or progress.step >= bench.steps() or bench.time_up()
    if whole and not late:
        for side in bench.parts.sides().values():
            if side.optimizer.state:
                side.schedule.step()
    outcome = None
    if last or number % shown.every == 0:
        outcome = validation.validate(bench.parts, bench.validation(), bench.engine, bench.measures, shown.previews)
        if processes.first():
            report.preview(folder / runfolder.PREVIEWS / f"epoch-{number:03d}.png", outcome.previews)
        bench.log(report.validation_record(progress.step, number, outcome))
        figure = _figure(outcome.score.score, outcome.loss)
        progress = replace(progress, stale=progress.stale + 1, validated=progress.step)
        if progress.best is None or figure > progress.best:
            progress = replace(progress, best=figure, best_step=progress.step, stale=0)
            _keep_best(bench, progress, outcome, figure)
    if number == 1:
        bench.say_unlike()
    bench.screen.say(report.epoch_line(number, limits.epochs, progress.step, progress.sums, outcome))
    if bench.gave_up(progress.stale):
        bench.screen.say(f"No better figure in {progress.stale} validations (validation.patience): the run ends here.")
    if shown.submit_every and number % shown.submit_every == 0 and not last:
        name = f"epoch-{number:03d}"
        submission(bench, folder / "submissions" / f"{name}.zip", folder / "submissions" / name)
    return replace(progress, sums={}) if whole else progress


def _figure(score: float | None, loss: float) -> float:
    return -loss if score is None else score


def _keep_best(bench: Bench, progress: Progress, outcome: validation.Outcome, figure: float) -> None:
    """Write the best weights and say so in the summary, unless the file there is better still.

    It can be where the run went on from an earlier state than the one that it is of.
    """
    folder = bench.options.folder
    if processes.from_first(lambda: _held(folder / runfolder.BEST, bench.plan) > figure):
        return
    facts = {
        "recipe": recipe.dump(bench.plan.tree()),
        "recipe_name": bench.plan.name,
        "step": progress.step,
        "score": asdict(outcome.score),
        "loss": outcome.loss,
    }
    checkpoint.save_weights(folder / runfolder.BEST, bench.parts.restorer, facts)
    if processes.first():
        figures = runfolder.summary(folder) | {"best": {"step": progress.step, **asdict(outcome.score)}}
        runfolder.write_summary(folder, figures)


def _held(path: Path, plan: Plan) -> float:
    """Return the figure of a weight file, minus infinity if there is none or it can't be compared with `plan`'s."""
    if not path.is_file():
        return -math.inf
    try:
        facts = checkpoint.read_facts(path)
        if _measured(recipe.parse(facts["recipe"], "")) != _measured(recipe.parse(recipe.dump(plan.tree()), "")):
            return -math.inf
        return _figure(facts["score"]["score"], facts.get("loss", math.inf))
    except (ToolboxError, KeyError, TypeError):
        return -math.inf


def _measured(tree: recipe.Tree) -> list[object]:
    """Return what of a recipe two figures must have in common to be compared: the network, and what it is shown."""
    network = {key: value for key, value in tree["generator"].items() if key not in ("init", "optimizer", "schedule")}
    return [network, tree["data"]["size"], *(tree.get(key) for key in ("keep", "seed", "split", "degradations"))]


def submission(bench: Bench, archive: Path, folder: Path, stop: Callable[[], bool] = lambda: False) -> Path | None:
    """Restore the test photographs by the weights as they are into `folder` and zip them as `archive`.

    Returns:
        The archive, None if there are no test photographs or it was told to stop.
    """
    tests = bench.options.source.tests
    if not tests:
        return None
    network, device = parts.ordinary(bench.parts.restorer, bench.plan, bench.engine.device)

    def restored() -> bool:
        restorer = restore.restorer(network, bench.parts.keep, device, bench.plan.settings.restoring)
        with bench.screen.bar("restoring the test photos", len(tests)) as advance:
            return submit(restorer, tests, bench.how, folder, archive, advance, stop) is not None

    return archive if processes.from_first(restored) else None
