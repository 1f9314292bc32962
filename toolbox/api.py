"""Train, score and restore from Python, with the calls that the command line makes. `toolbox` has these names too."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from toolbox.config.binding import bind_component
from toolbox.config.recipe import Recipe
from toolbox.distributed import collectives
from toolbox.evaluation import metrics
from toolbox.evaluation.metrics import Score
from toolbox.evaluation.score_files import FileScores, score_files
from toolbox.hooks import catalog as catalogs
from toolbox.hooks.kinds import find_kind
from toolbox.inference.arrays import restore
from toolbox.inference.restorer import Restorer, load_restorer
from toolbox.models.build import build_component
from toolbox.reports import run_records
from toolbox.reports.run_records import RunSummary
from toolbox.training import launch, run_dir
from toolbox.training.options import Console, RunResult
from toolbox.utils.console import default_console

if TYPE_CHECKING:
    from os import PathLike

__all__ = ["FileScores", "Recipe", "Run", "Score", "build", "restore", "score", "train"]


@dataclass(frozen=True, kw_only=True)
class Run:
    """A training run in its folder.

    Attributes:
        folder: the run folder; docs/run-folder.md lists its files.
        result: the result, if `train` made this object.
    """

    folder: Path
    result: RunResult | None = None

    @classmethod
    def open(cls, folder: str | PathLike[str]) -> Run:
        """Return the run in a folder, finished or not; raise UsageError if it is not a run folder."""
        run_dir.require_run_dir(Path(folder))
        return cls(folder=Path(folder))

    @property
    def recipe(self) -> Recipe:
        """The recipe of the run, with every value explicit."""
        return launch.run_recipe(self.folder)

    @property
    def summary(self) -> RunSummary | None:
        """The scores so far; None before the first step."""
        return run_records.read_summary(self.folder)

    @property
    def previews(self) -> list[Path]:
        """The preview pictures, one for each validation: input, restored, truth."""
        return sorted((self.folder / run_dir.PREVIEWS).glob("*.png"))

    def metrics(self) -> list[dict[str, Any]]:
        """Return a row for each training step and each validation, as ``pandas.DataFrame(run.metrics())`` takes.

        A row has `step`, `epoch` and the terms of the step; the figures of a validation begin with ``validation.``.
        """
        return list(_metric_rows(self.folder))

    def restorer(
        self,
        *,
        device: str | None = None,
        keep: str | None = None,
        tile: int | None = None,
        fill: str | None = None,
    ) -> Restorer:
        """Return a restorer with the best weights of the run; see `toolbox.load_restorer`."""
        return load_restorer(self.folder, device=device, keep=keep, tile=tile, fill=fill)


def train(
    recipe: Recipe | str | PathLike[str] | None = None,
    *,
    data: str | PathLike[str] | None = None,
    out: str | PathLike[str] | None = None,
    resume: Run | str | PathLike[str] | None = None,
    device: str | None = None,
    observers: Sequence[object] = (),
    console: Console | None = None,
) -> Run:
    """Train what a recipe describes, as `toolbox run` does, and return the run.

    Ctrl-C stops after the current step, with a checkpoint; ``run.result.finished`` is then False.

    Args:
        recipe: a recipe, its name, or the path of a TOML file; None for "default", or, with `resume`, for the recipe of
            that run. With `resume`, it replaces that recipe.
        data: a folder with train_input/, train_gt/, test_input/, or with photographs; None for the sample photographs.
        out: the folder of a new run; None for ``runs/<date>-<recipe>-<n>``.
        resume: the run to continue, or its folder.
        device: "cpu", "cuda", "cuda:1", "mps"; None for the best available.
        observers: objects that are told of each step and validation, besides those that the recipe names; see
            `toolbox.Observer`.
        console: where it prints lines and draws progress bars; None for the terminal or the notebook.

    Raises:
        ToolboxError: with one message; files written before stay valid, and the run can be resumed.
    """
    if resume is None and recipe is None:
        recipe = "default"
    if not isinstance(recipe, Recipe | None):
        recipe = Recipe.load(Path(recipe) if not isinstance(recipe, str) else recipe)
    request = launch.RunRequest(
        catalog=catalogs.load(),
        recipe=recipe,
        data=None if data is None else Path(data),
        out=None if out is None else Path(out),
        resume=resume.folder if isinstance(resume, Run) else None if resume is None else Path(resume),
        device=device,
        observers=observers,
    )
    output = console or default_console()

    def program() -> Run:
        prepared = launch.prepare_run(request, output)
        return Run(folder=prepared.folder, result=prepared.start(output))

    return collectives.run_with_peers(program)


def build(kind: str, name: str, /, **params: Any) -> Any:  # noqa: ANN401 - every kind of component
    """Build one component, as ``build("generator", "timm-unet", backbone="resnet18")``.

    Args:
        kind: "generator", "loss", "metric" and so on; `toolbox list` has all kinds.
        name: the name of the component.
        params: its params, as in a recipe. A component among them is a dict with its name and its own params.

    Raises:
        UsageError: the kind, the name or a param is not known or not valid.
        PluginError: the component can't be built.
    """
    bound = bind_component(catalogs.load(), find_kind(kind).name, name, params)
    if bound.spec.check is not None:
        bound.spec.check(bound.params)
    return build_component(bound)


@overload
def score(restored: np.ndarray, truth: np.ndarray, *, masks: np.ndarray | None = None) -> Score: ...


@overload
def score(
    restored: str | PathLike[str],
    truth: str | PathLike[str],
    *,
    masks: str | PathLike[str] | None = None,
    inputs: str | PathLike[str] | None = None,
) -> FileScores: ...


def score(restored: Any, truth: Any, *, masks: Any = None, inputs: Any = None) -> Score | FileScores:  # noqa: ANN401
    """Return the competition's score, 0.2 S + 0.4 M + 0.4 C, of one picture, or of a folder as `toolbox score` does.

    Args:
        restored: (H, W, 3) uint8 RGB; or a folder or a submission zip.
        truth: the original, of the same shape; or the folder of the originals.
        masks: (H, W) bool, True where the photograph was lost; or the folder of masks. M and the score need it.
        inputs: the folder of damaged inputs, instead of masks.

    Raises:
        UsageError, DataError: as `toolbox.evaluation.score_files.score_files`.
        ValueError: arrays of different shapes.
    """
    if not isinstance(restored, np.ndarray):
        mask_folder, input_folder = (None if folder is None else Path(folder) for folder in (masks, inputs))
        return score_files(Path(restored), Path(truth), masks=mask_folder, inputs=input_folder)
    if restored.shape != np.shape(truth):
        raise ValueError(f"restored is {restored.shape} and truth {np.shape(truth)}; both must have the same shape")
    return metrics.score(restored, truth, None if masks is None else np.asarray(masks, bool))


def _metric_rows(folder: Path) -> Iterator[dict[str, Any]]:
    for record in run_records.read_records(folder):
        if "warning" in record or "epoch_end" in record:
            continue
        validation = record.pop("validation", {})
        yield record | {f"validation.{name}": value for name, value in validation.items()}
