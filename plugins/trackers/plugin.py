"""Hooks of the trackers bundle. A tracker's library is imported when a run starts that names it."""

from __future__ import annotations

import importlib.util
from typing import Literal

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


def check_tensorboard(params: TensorBoardParams) -> None:
    """Raise InstallationError if the library is missing."""
    _require("tensorboard", "tensorboard")


def build_tensorboard(params: TensorBoardParams) -> Observer:
    """Build the observer."""
    check_tensorboard(params)

    def open_writer(record: RunStarted) -> Writer:
        from .tensorboard_files import TensorBoardWriter

        return TensorBoardWriter(record)

    return Tracker(open_writer, params.interval)


def check_wandb(params: WandbParams) -> None:
    """Raise InstallationError if the library is missing."""
    _require("wandb", "wandb")


def build_wandb(params: WandbParams) -> Observer:
    """Build the observer."""
    check_wandb(params)

    def open_writer(record: RunStarted) -> Writer:
        from .wandb_run import WandbWriter

        return WandbWriter(record, params.project, params.entity, params.mode)

    return Tracker(open_writer, params.interval)


def check_trackio(params: TrackioParams) -> None:
    """Raise InstallationError if the library is missing."""
    _require("trackio", "trackio")


def build_trackio(params: TrackioParams) -> Observer:
    """Build the observer."""
    check_trackio(params)

    def open_writer(record: RunStarted) -> Writer:
        from .trackio_run import TrackioWriter

        return TrackioWriter(record, params.project, params.space)

    return Tracker(open_writer, params.interval)


def check_mlflow(params: MlflowParams) -> None:
    """Raise InstallationError if a library is missing; without a URI, a database needs SQLAlchemy."""
    _require("mlflow", "mlflow")
    if not params.uri:
        _require("mlflow", "sqlalchemy")


def build_mlflow(params: MlflowParams) -> Observer:
    """Build the observer."""
    check_mlflow(params)

    def open_writer(record: RunStarted) -> Writer:
        from .mlflow_run import MlflowWriter

        return MlflowWriter(record, params.experiment, params.uri)

    return Tracker(open_writer, params.interval)


def _require(extra: str, module: str) -> None:
    if importlib.util.find_spec(module) is None:
        remedy = f'pip install "toolbox-restore[{extra}]"'
        raise InstallationError(f"The observer {extra} needs the package {module}: {remedy}")


@hookimpl
def toolbox_observers() -> list[ObserverSpec]:
    """Return the observers."""
    return [
        ObserverSpec(
            name="tensorboard",
            summary="Figures, previews and recipe as event files for TensorBoard, in the run folder",
            params=TensorBoardParams,
            build=build_tensorboard,
            check=check_tensorboard,
            reference="https://www.tensorflow.org/tensorboard",
            licence="tensorboard: Apache-2.0",
        ),
        ObserverSpec(
            name="wandb",
            summary="Figures, previews and recipe for Weights & Biases; offline unless mode is online",
            params=WandbParams,
            build=build_wandb,
            check=check_wandb,
            reference="https://docs.wandb.ai",
            licence="wandb: MIT",
        ),
        ObserverSpec(
            name="trackio",
            summary="Figures, previews and recipe for trackio, on this machine unless a Space is named",
            params=TrackioParams,
            build=build_trackio,
            check=check_trackio,
            reference="https://huggingface.co/docs/trackio",
            licence="trackio: MIT",
        ),
        ObserverSpec(
            name="mlflow",
            summary="Figures, previews and recipe for MLflow, in the run folder unless a URI is named",
            params=MlflowParams,
            build=build_mlflow,
            check=check_mlflow,
            reference="https://mlflow.org/docs",
            licence="mlflow: Apache-2.0",
        ),
    ]
