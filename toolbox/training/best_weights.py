"""The file with the best weights of a run: whether it belongs to the run and is undamaged, and its figures."""

from __future__ import annotations

import math
from pathlib import Path

from toolbox.config import recipe
from toolbox.config.plan import Plan
from toolbox.errors import ToolboxError, WeightsError
from toolbox.evaluation.metrics import Score
from toolbox.models import weight_file
from toolbox.models.average import TRAINING_KEYS
from toolbox.reports import run_records
from toolbox.reports.run_records import BestWeights
from toolbox.training.checkpoint import Progress
from toolbox.utils.run_names import BEST


def find_fault(folder: Path, progress: Progress) -> str | None:
    """Return why the best weights of the run in `folder` can't be used, None if they can.

    Args:
        folder: the run folder.
        progress: the position of the run.
    """
    path = folder / BEST
    if not path.exists():
        return f"{path} is missing"
    try:
        header = weight_file.read_header(path)
        weight_file.read_file(path)
    except WeightsError as error:
        return str(error)
    summary = run_records.read_summary(folder)
    recorded = None if summary is None else summary.best
    if recorded is None:
        # A file of a later step was written by this run after its checkpoint.
        is_own = header.step == progress.best_step or (header.step or 0) >= progress.step
    else:
        is_own = header.step == recorded.step
    if not is_own:
        return f"{path} has weights of step {header.step}, which are not those of this run"
    if recorded and recorded.loss not in (None, header.loss):
        return f"{path} has weights of another run, with a validation loss of {header.loss} and not {recorded.loss}"
    return None


def read_figures(folder: Path, progress: Progress) -> BestWeights | None:
    """Return the best weights by their own header; None if there are none that the run knows of."""
    if progress.best is None or find_fault(folder, progress) is not None:
        return None
    header = weight_file.read_header(folder / BEST)
    score = Score(**{name: header.score.get(name) for name in ("S", "M", "C", "score")})
    return BestWeights(step=header.step or 0, score=score, loss=header.loss)


def has_better(folder: Path, plan: Plan, progress: Progress, figure: float) -> bool:
    """Return whether the run in `folder` has usable best weights with a ranking figure above `figure`."""
    return _ranking_figure(folder, plan) > figure and find_fault(folder, progress) is None


def _ranking_figure(folder: Path, plan: Plan) -> float:
    """Return the ranking figure of the best weights; minus infinity if there are none or they can't be compared."""
    path, summary = folder / BEST, run_records.read_summary(folder)
    # `toolbox.training.baselines` removes the best weights from a summary whose figures it has measured again.
    if not path.is_file() or summary is None or summary.best is None:
        return -math.inf
    try:
        header = weight_file.read_header(path)
        file_settings = _comparable_settings(recipe.parse(header.recipe, ""))
        if file_settings != _comparable_settings(recipe.parse(recipe.dump(plan.tree()), "")):
            return -math.inf
        if plan.settings.validation.choose_by != "score":
            return -math.inf if header.ranking is None else header.ranking
        score, loss = header.score["score"], math.inf if header.loss is None else header.loss
        return -loss if score is None else score
    except (ToolboxError, KeyError, TypeError):
        return -math.inf


def _comparable_settings(tree: recipe.Tree) -> list[object]:
    """Return what must be equal in two recipes so that their validations can be compared: the network and its input."""
    network = {key: value for key, value in tree["generator"].items() if key not in TRAINING_KEYS}
    choose_by = tree.get("validation", {}).get("choose_by", "score")
    split = {"folds": 0, "fold": 1, "validation_data": ""} | tree.get("split", {})  # older files do not have these
    return [
        network,
        tree["data"]["size"],
        choose_by,
        split,
        *(tree.get(key) for key in ("keep", "seed", "degradations")),
    ]
