"""Train, score and restore from Python, with the calls that the command line makes. `toolbox` has these names too."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from os import PathLike
from pathlib import Path
from typing import Any, overload

import numpy as np
from PIL import Image

from toolbox.config.binding import bind_component
from toolbox.config.python_values import plain_value
from toolbox.config.recipe import Recipe
from toolbox.distributed import collectives
from toolbox.errors import UsageError, did_you_mean
from toolbox.evaluation import metrics
from toolbox.evaluation.extra_figures import build_extra_figures
from toolbox.evaluation.metrics import Score
from toolbox.evaluation.score_files import FileScores, score_files
from toolbox.evaluation.score_weights import ScoreOptions, score_weights
from toolbox.hooks import catalog as catalogs
from toolbox.hooks.kinds import find_kind
from toolbox.hooks.observing import observer_methods
from toolbox.inference.arrays import restore
from toolbox.inference.loading import load_restorer
from toolbox.inference.photo_arrays import as_mask
from toolbox.inference.restorer import Restorer
from toolbox.models.build import build_component
from toolbox.reports import run_records
from toolbox.reports.run_records import RunSummary
from toolbox.training import launch, run_dir
from toolbox.training.options import Console, RunResult
from toolbox.utils import files
from toolbox.utils.console import default_console

__all__ = ["FileScores", "Recipe", "Run", "Score", "build", "restore", "score", "train"]

Picture = np.ndarray | Image.Image


@dataclass(frozen=True, kw_only=True)
class Run:
    """A training run in its folder. It is accepted wherever the path of a run folder is.

    Attributes:
        folder: the run folder; docs/run-folder.md lists its files.
        result: the result, if `train` made this object.
    """

    folder: Path
    result: RunResult | None = None

    def __fspath__(self) -> str:
        """Return the path of the folder."""
        return str(self.folder)

    @classmethod
    def open(cls, folder: str | PathLike[str]) -> Run:
        """Return the run in a folder, finished or not; raise UsageError if it is not a run folder."""
        path = Path(files.require_path(folder, "folder"))
        run_dir.require_run_dir(path)
        return cls(folder=path)

    @property
    def recipe(self) -> Recipe:
        """The recipe of the run, with every value explicit."""
        return run_dir.read_recipe(self.folder)

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

        A row has `step`, `epoch` and the terms of the step; the figures of a validation begin with ``validation.``. A
        warning names the lines of metrics.jsonl that can't be read.
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
    resume: str | PathLike[str] | None = None,
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
        resume: the run to continue: a `Run` or its folder.
        device: "cpu", "cuda", "cuda:1", "mps"; None for the best available.
        observers: objects that are called at each step and validation, besides those that the recipe names; see
            `toolbox.Observer`.
        console: prints lines and draws progress bars; None for the terminal or the notebook.

    Raises:
        ToolboxError: with one message; files written before stay valid, and the run can be resumed.
        TypeError: an observer has no method that a run calls, or what should be a path or a recipe is none.
    """
    if resume is not None and out is not None:
        raise UsageError("resume continues the run in its own folder; leave out `out`.")
    if isinstance(observers, str) or not isinstance(observers, Sequence):
        raise TypeError(f"observers is a list, not a {type(observers).__name__}: observers=[observer]")
    for number, observer in enumerate(observers):
        if isinstance(observer, type):
            raise TypeError(f"observers[{number}] is a class; make an object of it: {observer.__name__}()")
        try:
            observer_methods(observer)
        except TypeError as error:
            raise TypeError(f"observers[{number}] is a {type(observer).__name__}: {error}") from None
    if resume is None and recipe is None:
        recipe = "default"
    if not isinstance(recipe, Recipe | None):
        recipe = Recipe.load(recipe)
    request = launch.RunRequest(
        catalog=catalogs.load(),
        recipe=recipe,
        data=_path(data, "data"),
        out=_path(out, "out"),
        resume=_path(resume, "resume"),
        device=device,
        observers=observers,
    )
    output = console or default_console()

    def program() -> Run:
        prepared = launch.prepare_run(request, output)
        return Run(folder=prepared.folder, result=prepared.start(output))

    return collectives.run_with_peers(program)


def build(kind: str, name: str, /, **params: Any) -> Any:  # noqa: ANN401 - every kind of component
    """Build one component, for example ``build("generator", "timm-unet", backbone="resnet18")``.

    Args:
        kind: "generator", "loss", "metric" and so on; `toolbox list` has all kinds.
        name: the name of the component.
        params: its params, as in a recipe. A component among them is a dict with its name and its own params.

    Raises:
        UsageError: the kind, the name or a param is not known or not valid.
        PluginError: the component can't be built.
    """
    row = find_kind(kind)
    if row.name in _NOT_BUILT:
        raise UsageError(f"toolbox.build builds no {row.plural}: {_NOT_BUILT[row.name]}.")
    bound = bind_component(catalogs.load(), row.name, name, plain_value(params))
    if bound.spec.check is not None:
        bound.spec.check(bound.params)
    return build_component(bound)


@overload
def score(restored: Picture, truth: Picture, *, masks: Picture | None = None) -> Score: ...


@overload
def score(
    restored: str | PathLike[str],
    truth: str | PathLike[str],
    *,
    masks: str | PathLike[str] | None = None,
    inputs: str | PathLike[str] | None = None,
    lpips: str | PathLike[str] | None = None,
) -> FileScores: ...


@overload
def score(
    restored: str | PathLike[str],
    *,
    data: str | PathLike[str],
    lpips: str | PathLike[str] | None = None,
    **options: Any,  # noqa: ANN401 - the fields of ScoreOptions
) -> FileScores: ...


def score(
    restored: Any,  # noqa: ANN401
    truth: Any = None,  # noqa: ANN401
    *,
    masks: Any = None,  # noqa: ANN401
    inputs: Any = None,  # noqa: ANN401
    data: Any = None,  # noqa: ANN401
    lpips: Any = None,  # noqa: ANN401
    **options: Any,
) -> Score | FileScores:
    """Return the competition's score, 0.2 S + 0.4 M + 0.4 C, of one picture; or all figures, as `toolbox score` does.

    Args:
        restored: (H, W, 3) uint8 RGB, or a PIL image; a folder or a submission zip; with `data`, a run or its folder, a
            weight file or a published name.
        truth: the original, of the same shape; or the folder of the originals.
        masks: (H, W) bool, True where the photograph was lost, or a PIL image, white there; or the folder of masks. M
            and the score need it.
        inputs: the folder of damaged inputs, instead of masks.
        data: score weights on the photographs of this folder, which has the layout of the data folder of `train`.
        lpips: the file with the weights of LPIPS, for files and weights.
        options: with `data`, `fill`, `seed`, `size`, `device`, `held_out`; see
            `toolbox.evaluation.score_weights.ScoreOptions`.

    Raises:
        UsageError, DataError: as `toolbox.evaluation.score_files.score_files`, and `score_weights` in that folder.
        TypeError: an option that does not exist, or one that is not used in this form of the call; a list of pictures.
        ValueError: pictures of different shapes.
    """
    lpips_file = _path(lpips, "lpips")
    if data is not None:
        if truth is not None or masks is not None or inputs is not None:
            raise TypeError("score() takes data without truth, masks and inputs: the photographs in it have them")
        unknown = next((name for name in options if name not in _SCORE_OPTIONS), None)
        if unknown is not None:
            raise TypeError(
                f"score() has no option {unknown}.{did_you_mean(unknown, _SCORE_OPTIONS)} "
                f"With data: {', '.join(_SCORE_OPTIONS)}"
            )
        folder = Path(files.require_path(data, "data"))
        weights = restored if isinstance(restored, str) else Path(files.require_path(restored, "restored"))
        return score_weights(weights, folder, ScoreOptions(lpips=lpips_file, **options))
    if options or truth is None:
        raise TypeError(f"score() needs truth or data, and takes {', '.join(options) or 'its options'} only with data")
    pictures = [isinstance(value, np.ndarray | Image.Image) for value in (restored, truth)]
    if pictures == [True, False]:
        raise TypeError(f"restored is a picture, and truth a {type(truth).__name__}; give two pictures or two folders")
    if not pictures[0]:
        if not isinstance(restored, str | PathLike):
            kind = type(restored).__name__
            raise TypeError(f"score() takes one picture, or the folders of several, not a {kind}; score each one alone")
        folders = [Path(files.require_path(path, name)) for path, name in ((restored, "restored"), (truth, "truth"))]
        extra = build_extra_figures(catalogs.load(), lpips_file)
        return score_files(*folders, masks=_path(masks, "masks"), inputs=_path(inputs, "inputs"), extra=extra)
    if inputs is not None or lpips is not None:
        raise TypeError("score() takes inputs and lpips only with folders and with data, not with two pictures")
    restored, truth = (np.asarray(_as_rgb(picture)) for picture in (restored, truth))
    if restored.shape != truth.shape:
        raise ValueError(f"restored is {restored.shape} and truth {truth.shape}; both must have the same shape")
    return metrics.score(restored, truth, None if masks is None else as_mask(masks, restored.shape[:2]))


def _path(path: object, name: str) -> Path | None:
    return None if path is None else Path(files.require_path(path, name))


def _as_rgb(picture: Picture) -> Picture:
    return picture.convert("RGB") if isinstance(picture, Image.Image) else picture


# The options that `score` has with data.
_SCORE_OPTIONS = ("fill", "seed", "size", "device", "held_out")
# The kinds that are not built from params alone, and what to do instead.
_NOT_BUILT = {
    "optimizer": "a run builds one for the weights of a network; name it in a recipe",
    "schedule": "a run builds one for an optimizer; name it in a recipe",
    "source": "a run builds one for the location of its data; name it in a recipe",
    "recipe": "toolbox.Recipe.load reads one",
    "weights": "toolbox.load_restorer and toolbox.load_network load them",
    "command": "it runs in a terminal, as `toolbox PLUGIN COMMAND`",
}


def _metric_rows(folder: Path) -> Iterator[dict[str, Any]]:
    for record in run_records.read_records(folder, partial(warnings.warn, stacklevel=3)):
        if "warning" in record or "epoch_end" in record:
            continue
        validation = record.pop("validation", {})
        yield record | {f"validation.{name}": value for name, value in validation.items()}
