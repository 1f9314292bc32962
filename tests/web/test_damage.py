"""Proposals of damage: groups of pixels with their kinds, as `toolbox mask --damage` finds them."""

from __future__ import annotations

import numpy as np
import pytest
from page_server import add, call
from standins import gray

from toolbox.hooks.protocols import Detection
from toolbox.imaging import io
from toolbox.masks.detectors import LoadedDetector
from toolbox.web import damage

LABELS = np.zeros((48, 64), np.uint8)
LABELS[5:8, 10:50] = 1
LABELS[8, 10:14] = 3
LABELS[30:40, 30:40] = 4


def detect(image):
    assert image.shape == LABELS.shape
    probabilities = {str(kind): (LABELS == kind).astype(np.float32) for kind in range(1, 6)}
    return Detection(mask=LABELS > 0, probabilities=probabilities)


@pytest.fixture(autouse=True)
def asked(monkeypatch):
    """Find the damage `LABELS` everywhere; return the params with which detectors were asked for."""
    asked = []

    def load(params, catalog):
        asked.append(params)
        return LoadedDetector(name="print-damage", detect=detect)

    monkeypatch.setattr(damage, "damage_detector", load)
    return asked


def test_the_damage_of_a_photograph_is_proposed_by_groups(service, tmp_path, asked):
    io.write_png(tmp_path / "old.png", gray())
    photo_id = add(service, tmp_path / "old.png")["id"]
    status, data = call(service, "GET", f"/api/photos/{photo_id}/damage?sensitivity=0.7")
    assert status == 200 and asked == [{"sensitivity": 0.7}]
    (tmp_path / "damage.png").write_bytes(data)
    assert np.array_equal(io.read_rgb(tmp_path / "damage.png"), damage.groups(LABELS))
    kinds = call(service, "GET", "/api/choices")[1]["damage"]
    assert list(kinds) == ["scratch", "fold", "dust", "stain", "tear"] and kinds["scratch"] == "#ff3c3c"
    for query in ("", "sensitivity=2", "sensitivity=nan"):
        assert call(service, "GET", f"/api/photos/{photo_id}/damage?{query}")[0] == 400
    assert call(service, "GET", "/api/photos/none/damage?sensitivity=1")[0] == 404


def test_a_group_has_the_kind_of_most_of_its_pixels():
    picture = damage.groups(LABELS)
    assert (picture[LABELS == 0] == 0).all()
    assert (picture[5:9, 10:14] == (1, 0, 1)).all()
    assert (picture[LABELS == 4] == (4, 0, 2)).all()


def test_of_too_many_groups_the_smallest_are_left_out(monkeypatch):
    monkeypatch.setattr(damage, "MAX_GROUPS", 2)
    labels = LABELS.copy()
    labels[20, 20] = 2
    assert np.array_equal(damage.groups(labels), damage.groups(LABELS))


def test_a_photograph_without_damage_has_no_group():
    assert not damage.groups(np.zeros((4, 5), np.uint8)).any()
