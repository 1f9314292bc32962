"""Hooks of the trackers bundle. A tracker's library is imported when a run starts that names it."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from typing import Literal, TypeVar

from toolbox import Field, InstallationError, Observer, ObserverSpec, Params, RunStarted, hookimpl

from .tracker import Tracker, Writer

TOOLBOX_API = 1


class TensorBoardParams(Params):
    """Params of `tensorboard`."""

    interval: int = Field(1, ge=1, description="Steps between two records of the terms of the steps.")


class WandbParams(TensorBoardParams):
    """Params of `wandb`."""

    project: str = Field("toolbox", min_length=1, description="Name of the project.")
    entity: str = Field("", description="User or team that owns the project; empty: that of the account.")
    mode: Literal["offline", "online"] = Field(
        "offline", description="offline: write files only, which `wandb sync` uploads; online: upload while training."
    )


class TrackioParams(TensorBoardParams):
    """Params of `trackio`."""

    project: str = Field("toolbox", min_length=1, description="Name of the project.")
    space: str = Field("", description="Hugging Face Space that gets the figures, as user/name; empty: this machine.")


class MlflowParams(TensorBoardParams):
    """Params of `mlflow`."""

    experiment: str = Field("toolbox", min_length=1, description="Name of the experiment.")
    uri: str = Field("", description="Tracking URI, as http://localhost:5000; empty: a database in the run folder.")


P = TypeVar("P", bound=TensorBoardParams)


def open_tensorboard(record: RunStarted, params: TensorBoardParams) -> Writer:
    """Open the run as event files."""
    from .tensorboard_files import TensorBoardWriter

    return TensorBoardWriter(record)


def open_wandb(record: RunStarted, params: WandbParams) -> Writer:
    """Open the run in Weights & Biases."""
    from .wandb_run import WandbWriter

    return WandbWriter(record, params.project, params.entity, params.mode)


def open_trackio(record: RunStarted, params: TrackioParams) -> Writer:
    """Open the run in trackio."""
    from .trackio_run import TrackioWriter

    return TrackioWriter(record, params.project, params.space)


def open_mlflow(record: RunStarted, params: MlflowParams) -> Writer:
    """Open the run in MLflow."""
    from .mlflow_run import MlflowWriter

    return MlflowWriter(record, params.experiment, params.uri)


def tracker_spec(
    name: str, summary: str, params: type[P], open_run: Callable[[RunStarted, P], Writer], reference: str, licence: str
) -> ObserverSpec:
    """Return the spec of a tracker.

    Args:
        name: of the tracker; its package and its extra have the same name.
        summary: in one line.
        params: the class of its params.
        open_run: opens the run in the tracker and writes its recipe.
        reference: the address of its documentation.
        licence: of its package.
    """

    def check(chosen: P) -> None:
        _require(name, name)
        if isinstance(chosen, MlflowParams) and not chosen.uri:  # its database
            for module in ("sqlalchemy", "alembic"):
                _require(name, module)

    def build(chosen: P) -> Observer:
        check(chosen)
        return Tracker(lambda record: open_run(record, chosen), chosen.interval)

    return ObserverSpec(
        name=name,
        summary=summary,
        params=params,
        build=build,
        check=check,
        reference=reference,
        licence=f"{name}: {licence}",
    )


def _require(extra: str, module: str) -> None:
    if importlib.util.find_spec(module) is None:
        remedy = f'pip install "toolbox-restore[{extra}]"'
        raise InstallationError(f"The observer {extra} needs the package {module}: {remedy}")


@hookimpl
def toolbox_observers() -> list[ObserverSpec]:
    """Return the observers."""
    return [
        tracker_spec(
            "tensorboard",
            "Figures, previews and recipe as event files for TensorBoard, in the run folder",
            TensorBoardParams,
            open_tensorboard,
            "https://www.tensorflow.org/tensorboard",
            "Apache-2.0",
        ),
        tracker_spec(
            "wandb",
            "Figures, previews and recipe for Weights & Biases; offline unless mode is online",
            WandbParams,
            open_wandb,
            "https://docs.wandb.ai",
            "MIT",
        ),
        tracker_spec(
            "trackio",
            "Figures, previews and recipe for trackio, on this machine unless a Space is named",
            TrackioParams,
            open_trackio,
            "https://huggingface.co/docs/trackio",
            "MIT",
        ),
        tracker_spec(
            "mlflow",
            "Figures, previews and recipe for MLflow, in the run folder unless a URI is named",
            MlflowParams,
            open_mlflow,
            "https://mlflow.org/docs",
            "Apache-2.0",
        ),
    ]
