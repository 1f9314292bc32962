"""The benchmark of fills runs; its holes and figures are what they are called."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def holes(monkeypatch):
    """Import what only the checkout has."""
    import importlib

    monkeypatch.syspath_prepend(str(ROOT))
    return importlib.import_module("benchmarks.common.holes")


def test_fill_runs_over_pairs(tmp_path):
    random = np.random.default_rng(0)
    photo = cv2.resize(random.integers(0, 256, (12, 12, 3), dtype=np.uint8), (96, 96), interpolation=cv2.INTER_CUBIC)
    mask = np.zeros((96, 96), np.uint8)
    mask[30:60, 40:60] = 255
    for name, picture in (("truth", photo), ("masks", mask)):
        (tmp_path / name).mkdir()
        assert cv2.imwrite(str(tmp_path / name / "one.png"), picture)
    words = ["fill", "--pairs", str(tmp_path), "--weights", "", "--sheets", str(tmp_path / "out"), "--quick"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    call = [sys.executable, "-m", "benchmarks", *words]
    done = subprocess.run(call, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)["kinds"]["shape"]
    assert set(rows) == {"cases", "telea", "smooth", "frequency", "texture", "average", "auto", "truth"}
    assert rows["smooth"]["times_telea"] > 0 and -1 <= rows["average"]["M"] <= 1
    assert (tmp_path / "out" / "fill-1.png").is_file()


@pytest.mark.parametrize("kind", ["shape", "brush", "scratch"])
def test_holes_repeat_by_their_seed(holes, kind):
    one, other, third = (holes.KINDS[kind]((120, 90), np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert one.shape == (120, 90) and one.dtype == bool and 0 < one.mean() < 0.6
    assert np.array_equal(one, other) and not np.array_equal(one, third)


def test_the_figure_m_is_scikit_images(holes):
    from skimage.metrics import structural_similarity

    random = np.random.default_rng(3)
    one, other = random.integers(0, 256, (2, 40, 40), dtype=np.uint8)
    mask = random.random((40, 40)) < 0.2
    line = (np.repeat(each[mask][:, None], 1, axis=1)[:, 0] for each in (one, other))
    theirs = structural_similarity(*line, win_size=7, data_range=255)
    assert abs(holes.lost_structure(one, other, mask) - theirs) < 1e-9
    assert holes.lost_structure(one, one, mask) == pytest.approx(1)


def test_a_visible_seam_is_above_one_and_none_below(holes):
    smooth = cv2.GaussianBlur(np.random.default_rng(4).integers(0, 256, (60, 60), dtype=np.uint8), (0, 0), 3)
    mask = np.zeros((60, 60), bool)
    mask[20:40, 20:40] = True
    pasted = np.where(mask, 255, smooth).astype(np.uint8)
    assert holes.seam(pasted, mask) > 5 and holes.seam(smooth, mask) < 1.3
