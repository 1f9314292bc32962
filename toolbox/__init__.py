"""toolbox restores photographs and trains the restorers that do it.

This is the public interface: everything that a plugin author needs comes from here,

    from toolbox import Field, LossSpec, Params, hookimpl

and everything to train and restore from Python: `train`, `restore`, `score`, `build`, `Recipe`, `Run`.

Nothing heavy is imported; torch is loaded by the parts that need it.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from importlib import import_module
from os import PathLike
from typing import TYPE_CHECKING

from pydantic import Field

from toolbox.errors import InstallationError
from toolbox.hooks.command_spec import CommandSpec
from toolbox.hooks.file_specs import RecipeSpec, WeightsSpec
from toolbox.hooks.hookspecs import HOOK_API, hookimpl
from toolbox.hooks.observing import (
    EpochRecord,
    Observer,
    RunEnded,
    RunStarted,
    StepRecord,
    ValidationRecord,
    WarningRecord,
)
from toolbox.hooks.params import (
    DetectorRef,
    DiscriminatorRef,
    FillerRef,
    GeneratorRef,
    LossRef,
    Params,
    PenaltyRef,
    PostprocessorRef,
)
from toolbox.hooks.protocols import (
    AdversarialLoss,
    Degradation,
    Detection,
    Detector,
    Discriminator,
    Filler,
    Generator,
    Horizon,
    Metric,
    Penalty,
    PenaltyContext,
    Postprocessor,
    ReconstructionLoss,
    Sample,
    TrainingStep,
    ValidatingStep,
)
from toolbox.hooks.source_spec import ImageRef, Item, Source, SourceSpec
from toolbox.hooks.specs import (
    DegradationSpec,
    DetectorSpec,
    DiscriminatorSpec,
    FillerSpec,
    GeneratorSpec,
    LossSpec,
    MetricSpec,
    ObserverSpec,
    OptimizerSpec,
    PenaltySpec,
    PostprocessorSpec,
    ScheduleSpec,
    StepSpec,
)

if TYPE_CHECKING:
    from toolbox.api import Recipe, Run, build, restore, score, train
    from toolbox.data.folders import open_folder
    from toolbox.inference.restorer import Restorer
    from toolbox.masks.detectors import find_painted_shape
    from toolbox.models.published import weights_path
    from toolbox.models.weights import TrainedNetwork, load_network
    from toolbox.utils.cancelling import check_cancelled
    from toolbox.utils.reuse import reuse
    from toolbox.utils.shell import shell_word

__version__ = "0.2.0"

__all__ = [
    "HOOK_API",
    "AdversarialLoss",
    "CommandSpec",
    "Degradation",
    "DegradationSpec",
    "Detection",
    "Detector",
    "DetectorRef",
    "DetectorSpec",
    "Discriminator",
    "DiscriminatorRef",
    "DiscriminatorSpec",
    "EpochRecord",
    "Field",
    "Filler",
    "FillerRef",
    "FillerSpec",
    "Generator",
    "GeneratorRef",
    "GeneratorSpec",
    "Horizon",
    "ImageRef",
    "InstallationError",
    "Item",
    "LossRef",
    "LossSpec",
    "Metric",
    "MetricSpec",
    "Observer",
    "ObserverSpec",
    "OptimizerSpec",
    "Params",
    "Penalty",
    "PenaltyContext",
    "PenaltyRef",
    "PenaltySpec",
    "Postprocessor",
    "PostprocessorRef",
    "PostprocessorSpec",
    "Recipe",
    "RecipeSpec",
    "ReconstructionLoss",
    "Run",
    "RunEnded",
    "RunStarted",
    "Sample",
    "Source",
    "SourceSpec",
    "ScheduleSpec",
    "StepRecord",
    "StepSpec",
    "TrainedNetwork",
    "TrainingStep",
    "ValidatingStep",
    "ValidationRecord",
    "WarningRecord",
    "WeightsSpec",
    "build",
    "check_cancelled",
    "find_painted_shape",
    "hookimpl",
    "load_network",
    "load_restorer",
    "open_folder",
    "restore",
    "reuse",
    "score",
    "shell_word",
    "train",
    "weights_path",
]

# Imported from these modules when they are used, because they need torch or OpenCV.
_LAZY = dict.fromkeys(("Recipe", "Run", "build", "restore", "score", "train"), "toolbox.api")
_LAZY["find_painted_shape"] = "toolbox.masks.detectors"
_LAZY["weights_path"] = "toolbox.models.published"
_LAZY["check_cancelled"] = "toolbox.utils.cancelling"
_LAZY["shell_word"] = "toolbox.utils.shell"
_LAZY["reuse"] = "toolbox.utils.reuse"
_LAZY["open_folder"] = "toolbox.data.folders"
_LAZY |= dict.fromkeys(("TrainedNetwork", "load_network"), "toolbox.models.weights")


def load_restorer(
    name_or_path: str | PathLike[str],
    *,
    device: str | None = None,
    keep: str | None = None,
    tile: int | None = None,
    saturation: float = 1.0,
    fill: str | None = None,
    post: str | Sequence[str] | None = None,
    repair: bool | Mapping[str, object] = False,
) -> Restorer:
    """Return a restorer: call it with a photograph and, if you have one, a mask.

    See `toolbox.inference.loading.load_restorer` for the arguments and errors. Without `fill`, the weights "luma" get
    the fill "auto", as in `toolbox.restore`.
    """
    from toolbox.inference import fillers, loading

    return loading.load_restorer(
        name_or_path,
        device=device,
        keep=keep,
        tile=tile,
        saturation=saturation,
        fill=fillers.default_fill(name_or_path) if fill is None else fill,
        post=post,
        repair=repair,
    )


# Names of version 0.1 that have changed. They keep working, with a warning.
_RENAMED = {"Judgement": "PenaltyContext"}


def __getattr__(name: str) -> object:
    """Return an attribute that is imported at its first use; for an old name, the new object, with a warning."""
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    if name in _RENAMED:
        warnings.warn(
            f"toolbox.{name} is now toolbox.{_RENAMED[name]}; the old name goes with version 0.4",
            DeprecationWarning,
            stacklevel=2,
        )
        return globals()[_RENAMED[name]]
    raise AttributeError(f"module 'toolbox' has no attribute '{name}'")
