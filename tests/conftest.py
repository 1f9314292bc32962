"""Fixtures that every test may use."""

from __future__ import annotations

import csv
import os
import shutil
import tempfile
from pathlib import Path

import numpy as np
import pytest
from toolbox_plugins.default.lost_region import damage

from toolbox.data import sample
from toolbox.imaging import io

# With several test processes, one thread each is fastest. torch is imported later and reads this.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")

# trackio reads this when it is imported, and would else write into the user's own projects.
_TRACKIO = tempfile.TemporaryDirectory(prefix="toolbox-trackio-")
os.environ["TRACKIO_DIR"] = _TRACKIO.name

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of shared photographs, corpora and reference figures; a user's machine has none."""
    if not SHARED.is_dir():
        pytest.skip("needs the shared test data beside the checkout (../shared), which is not here")
    return SHARED


@pytest.fixture(autouse=True)
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the user's own configuration, cache and working folder out of every test."""
    monkeypatch.setenv("TOOLBOX_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TOOLBOX_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("TOOLBOX_DISABLE", raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.fixture(autouse=True)
def disk_with_free_space(monkeypatch: pytest.MonkeyPatch) -> None:
    """Report 64 GiB of free space or more, so that no result depends on the disk of the machine."""
    measure = shutil.disk_usage

    def report(path):
        usage = measure(path)
        return usage._replace(free=max(usage.free, 64 << 30))

    monkeypatch.setattr(shutil, "disk_usage", report)


@pytest.fixture
def photos(tmp_path):
    """Lay out a folder of six small colour photographs."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for path in io.find_images(sample.folder() / "photos")[:6]:
        io.write_png(folder / f"{path.stem}.png", io.read_rgb(path)[:48, :64])
    return folder


@pytest.fixture
def competition(tmp_path):
    """Lay out a competition folder of six pairs and two test inputs, csv files included."""
    folder = tmp_path / "competition"
    for name in ("train_input", "train_gt", "test_input"):
        (folder / name).mkdir(parents=True)
    random = np.random.default_rng(0)
    rows = []
    for index, path in enumerate(io.find_images(sample.folder() / "photos")[:8]):
        truth = io.read_rgb(path)[:64, :64]
        gray, _ = damage(truth, random)
        name = f"{'TRAIN' if index < 6 else 'TEST'}_{index:03d}.png"
        io.write_png(folder / ("train_input" if index < 6 else "test_input") / name, gray)
        if index < 6:
            io.write_png(folder / "train_gt" / name, truth)
            rows.append([f"./train_input/{name}", f"./train_gt/{name}"])
    with (folder / "train.csv").open("w", newline="", encoding="utf-8") as lines:
        csv.writer(lines).writerows([["input_image_path", "gt_image_path"], *rows])
    with (folder / "test.csv").open("w", newline="", encoding="utf-8") as lines:
        names = sorted(path.name for path in (folder / "test_input").iterdir())
        csv.writer(lines).writerows([["input_image_path"], *([f"./test_input/{name}"] for name in names)])
    return folder
