"""The trackers: what a run writes is read back, in the formats of their own libraries, without a network. Some 10 s."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import os
import sqlite3
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pytest

from toolbox import InstallationError, ValidationRecord
from toolbox.hooks import catalog
from toolbox.imaging import io
from toolbox.testing.observers import make_records

CATALOG = catalog.load(third_party=False)
NAMES = ("tensorboard", "wandb", "trackio", "mlflow")
# Libraries that use what newer versions of others deprecate.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")


def build(name, **params):
    spec = CATALOG.find("observer", name).spec
    return spec.build(spec.params(**params))


def tell_run(observer, folder, first=0):
    """Tell an observer of a run of four steps with two validations, previews and a warning."""
    folder.mkdir(exist_ok=True)
    io.write_png(folder / "preview.png", np.full((8, 24, 3), (200, 100, 50), np.uint8))
    for method, record in make_records(folder, first):
        if isinstance(record, ValidationRecord):
            metrics = MappingProxyType({"psnr": 20.0 + record.step})
            record = replace(record, preview=folder / "preview.png", metrics=metrics)
        getattr(observer, method)(record)


def require_library(name):
    if importlib.util.find_spec(name) is None:
        pytest.skip(f'the library is not installed: pip install "toolbox-restore[{name}]"')


def read_tensorboard(folder):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder / "tensorboard"))
    events.Reload()
    return events


def test_tensorboard_files_have_figures_previews_recipe_and_warnings(tmp_path):
    tell_run(build("tensorboard"), tmp_path / "run")
    events = read_tensorboard(tmp_path / "run")
    assert [(event.step, event.value) for event in events.Scalars("train/g")] == [(n, 0.5) for n in (1, 2, 3, 4)]
    assert [(event.step, event.value) for event in events.Scalars("validation/psnr")] == [(2, 21.0), (4, 23.0)]
    assert events.Scalars("validation/score")[0].value == pytest.approx(0.55)
    assert "validation/C" not in events.Tags()["scalars"]
    assert [event.value for event in events.Scalars("train/epoch")] == [1.0, 2.0]
    assert {"train/images_per_second", "train/memory"} <= set(events.Tags()["scalars"])
    image = events.Images("preview")[0]
    assert (image.step, image.width, image.height) == (2, 24, 8)
    (recipe,) = events.Tensors("recipe/text_summary")
    assert b"seed = 42" in recipe.tensor_proto.string_val[0]
    assert events.Tensors("warning/overfitting/text_summary")


def test_terms_are_written_every_few_steps(tmp_path):
    tell_run(build("tensorboard", interval=3), tmp_path / "run")
    events = read_tensorboard(tmp_path / "run")
    assert [event.step for event in events.Scalars("train/g")] == [3]
    assert [event.step for event in events.Scalars("validation/psnr")] == [2, 4]


def test_a_continued_run_goes_on_in_tensorboard(tmp_path):
    tell_run(build("tensorboard"), tmp_path / "run")
    tell_run(build("tensorboard"), tmp_path / "run", first=2)
    assert [event.step for event in read_tensorboard(tmp_path / "run").Scalars("train/g")] == [1, 2, 3, 4]


@pytest.mark.drill  # its library takes seconds to start
def test_wandb_writes_a_run_offline(tmp_path):
    require_library("wandb")
    tell_run(build("wandb"), tmp_path / "run")
    tell_run(build("wandb"), tmp_path / "run", first=2)
    first, second = sorted((tmp_path / "run" / "wandb").glob("offline-run-*"))
    (file,) = first.glob("run-*.wandb")
    assert file.stem.partition("-")[2] == next(second.glob("run-*.wandb")).stem.partition("-")[2]  # one run
    data = file.read_bytes()
    assert all(text in data for text in (b"train/g", b"validation/score", b"preview", b"seed"))
    assert "seed = 42" in (first / "files" / "recipe.toml").read_text()
    assert list((first / "files" / "media" / "images").glob("preview*.png"))


def test_trackio_writes_its_database(tmp_path):
    require_library("trackio")
    tell_run(build("trackio", project="test-project"), tmp_path / "run")
    (database,) = Path(os.environ["TRACKIO_DIR"]).rglob("test-project*.db")
    with sqlite3.connect(database) as connection:
        rows = [row for (row,) in connection.execute("select metrics from metrics")]
    text = "\n".join(map(str, rows))
    assert all(name in text for name in ("train/g", "validation/score", "preview", "seed = 42"))


@pytest.mark.drill  # its library takes seconds to start
def test_mlflow_writes_its_database_and_goes_on_in_the_same_run(tmp_path):
    require_library("mlflow")
    require_library("sqlalchemy")
    require_library("alembic")
    from mlflow import MlflowClient

    tell_run(build("mlflow"), tmp_path / "run")
    client = MlflowClient(tracking_uri=f"sqlite:///{tmp_path / 'run' / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("toolbox")
    tell_run(build("mlflow"), tmp_path / "run", first=2)
    (run,) = client.search_runs([experiment.experiment_id])
    assert {metric.step for metric in client.get_metric_history(run.info.run_id, "train/g")} == {1, 2, 3, 4}
    assert run.data.metrics["validation/psnr"] == 23.0 and run.data.params["seed"] == "42"
    assert run.info.status == "FINISHED" and run.info.run_name == "run"
    names = {item.path for item in client.list_artifacts(run.info.run_id)}
    assert {"recipe.toml", "images", "warnings"} <= names


@pytest.mark.parametrize("name", NAMES)
def test_a_missing_library_is_named_with_the_command_that_installs_it(name, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda module: None)
    spec = CATALOG.find("observer", name).spec
    for function in (spec.check, spec.build):
        with pytest.raises(InstallationError, match=rf'pip install "toolbox-restore\[{name}\]"'):
            function(spec.params())


@pytest.mark.parametrize("module", ["sqlalchemy", "alembic"])
def test_what_the_database_of_mlflow_needs_is_named_too(module, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == module else importlib.machinery)
    spec = CATALOG.find("observer", "mlflow").spec
    with pytest.raises(InstallationError, match=rf"needs the package {module}: pip install"):
        spec.check(spec.params())
    spec.check(spec.params(uri="http://localhost:5000"))
