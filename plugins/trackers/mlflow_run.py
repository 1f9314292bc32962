"""A run in MLflow. Without a URI, its database is in the run folder, as are its pictures."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from PIL import Image

from toolbox import RunStarted

from .tracker import flat_settings, known_id, remember_id

DATABASE = "mlflow.db"
ARTIFACTS = "mlflow-artifacts"
MAX_BATCH = 500  # figures in one call; MLflow takes at most 1000
MAX_PARAMS = 100
MAX_PARAM_LENGTH = 500


class MlflowWriter:
    """Writes with the library mlflow; see https://mlflow.org/docs.

    A call takes some 30 ms, so figures are collected and written together, at the latest with the next validation.
    """

    def __init__(self, record: RunStarted, experiment: str, uri: str) -> None:
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # mlflow would report that it is used
        from mlflow import MlflowClient, entities

        self.entities = entities
        self.client: Any = MlflowClient(tracking_uri=uri or f"sqlite:///{(record.folder / DATABASE).resolve()}")
        self.pending: list[Any] = []
        self.id = known_id(record, "mlflow") or self._create_run(record, experiment, uri)
        self.client.update_run(self.id, status="RUNNING")

    def scalars(self, step: int, figures: Mapping[str, float]) -> None:
        """Write figures by name."""
        now = int(time.time() * 1000)
        self.pending += [self.entities.Metric(name, float(value), now, step) for name, value in figures.items()]
        if len(self.pending) >= MAX_BATCH or any(name.startswith("validation/") for name in figures):
            self._flush()

    def picture(self, step: int, name: str, path: Path) -> None:
        """Write a picture file."""
        with Image.open(path) as image:
            self.client.log_image(self.id, image.convert("RGB"), key=name, step=step)

    def warn(self, step: int, cause: str, line: str) -> None:
        """Write a warning of the run."""
        self.client.log_text(self.id, line, f"warnings/{cause}.txt")

    def close(self, status: str) -> None:
        """Write the collected figures, and close the run."""
        self._flush()
        states = {"finished": "FINISHED", "stopped": "KILLED", "failed": "FAILED"}
        self.client.set_terminated(self.id, states[status])

    def _create_run(self, record: RunStarted, experiment: str, uri: str) -> str:
        existing = self.client.get_experiment_by_name(experiment)
        # A server stores artifacts itself.
        location = None if uri else (record.folder / ARTIFACTS).resolve().as_uri()
        number = (
            existing.experiment_id
            if existing
            else self.client.create_experiment(experiment, artifact_location=location)
        )
        name: str = self.client.create_run(number, run_name=record.folder.name).info.run_id
        remember_id(record, "mlflow", name)
        params = [
            self.entities.Param(key, str(value)[:MAX_PARAM_LENGTH]) for key, value in flat_settings(record).items()
        ]
        for start in range(0, len(params), MAX_PARAMS):
            self.client.log_batch(name, params=params[start : start + MAX_PARAMS])
        self.client.log_text(name, record.recipe, "recipe.toml")
        return name

    def _flush(self) -> None:
        pending, self.pending = self.pending, []
        for start in range(0, len(pending), MAX_BATCH):
            self.client.log_batch(self.id, metrics=pending[start : start + MAX_BATCH])
