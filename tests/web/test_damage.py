"""Proposals of damage: groups of pixels with their kinds, as `toolbox mask --damage` finds them."""

from __future__ import annotations

import importlib

import numpy as np
import pytest
from page_server import add, call, restore
from standins import gray, run_restore

from toolbox.hooks.protocols import Detection
from toolbox.imaging import io
from toolbox.masks.detectors import LoadedDetector
from toolbox.web import damage

KINDS = ("scratch", "fold", "dust", "stain", "tear")
LABELS = np.zeros((48, 64), np.uint8)
LABELS[5:8, 10:50] = 1
LABELS[8, 10:14] = 3
LABELS[30:40, 30:40] = 4


def detect(image):
    assert image.shape == LABELS.shape
    probabilities = {kind: (LABELS == number).astype(np.float32) for number, kind in enumerate(KINDS, 1)}
    return Detection(mask=LABELS > 0, probabilities=probabilities)


@pytest.fixture(autouse=True)
def asked(monkeypatch):
    """Find the damage `LABELS` everywhere; return the params with which detectors were asked for."""
    asked = []

    def load(params, catalog):
        asked.append(params)
        return LoadedDetector(name="print-damage", detect=detect, translucent=("stain",))

    # A module that is first imported while the name is replaced would keep the replacement for later tests.
    importlib.import_module("toolbox.inference.arrays")
    monkeypatch.setattr(damage, "damage_detector", load)
    monkeypatch.setattr("toolbox.inference.detectors.damage_detector", load)
    return asked


def test_the_damage_of_a_photograph_is_proposed_by_groups(service, tmp_path, asked):
    io.write_png(tmp_path / "old.png", gray())
    photo_id = add(service, tmp_path / "old.png")["id"]
    status, data = call(service, "GET", f"/api/photos/{photo_id}/damage?sensitivity=0.7")
    assert status == 200 and asked == [{"sensitivity": 0.7}]
    (tmp_path / "damage.png").write_bytes(data)
    assert np.array_equal(io.read_rgb(tmp_path / "damage.png"), damage.groups(LABELS))
    kinds = call(service, "GET", "/api/choices")[1]["damage"]
    assert list(kinds) == list(KINDS) and kinds["scratch"] == "#ff3c3c"
    for query in ("", "sensitivity=2", "sensitivity=nan"):
        assert call(service, "GET", f"/api/photos/{photo_id}/damage?{query}")[0] == 400
    assert call(service, "GET", "/api/photos/none/damage?sensitivity=1")[0] == 404


def put(service, photo_id, what, pixels, tmp_path):
    io.write_png(tmp_path / "layer.png", pixels)
    return call(service, "PUT", f"/api/photos/{photo_id}/{what}", (tmp_path / "layer.png").read_bytes())


def marks(labels):
    """Return white marks whose green says what is repaired."""
    mask = (LABELS > 0) * np.uint8(255)
    return np.dstack([mask, mask - labels, mask])


def test_repaired_damage_gives_the_bytes_of_the_command_and_marks_of_a_file_are_filled(service, tmp_path):
    io.write_png(tmp_path / "old.png", gray())
    photo_id = add(service, tmp_path / "old.png")["id"]
    path = f"/api/photos/{photo_id}/result"
    restore(service, photo_id)
    plain = call(service, "GET", path)[1]
    put(service, photo_id, "mask", (LABELS > 0) * np.uint8(255), tmp_path)
    filled = restore(service, photo_id) and call(service, "GET", path)[1]
    repairing = marks(damage.groups(LABELS)[..., 0])
    assert put(service, photo_id, "marks", repairing, tmp_path)[0] == 200
    (tmp_path / "sent.png").write_bytes(call(service, "GET", f"/api/photos/{photo_id}/marks")[1])
    assert np.array_equal(io.read_rgb(tmp_path / "sent.png"), repairing)
    entry = restore(service, photo_id)
    run_restore(tmp_path / "old.png", "-o", tmp_path / "out", "--repair")
    repaired = call(service, "GET", path)[1]
    assert repaired == (tmp_path / "out/old.png").read_bytes() != filled
    assert entry["notes"][0].startswith("damage: scratch")
    assert restore(service, photo_id, auto=True)["state"] == "restored"
    for what, pixels, expected in (
        ("marks", marks(0 * LABELS), filled),
        ("marks", 0 * repairing, plain),
        ("marks", repairing, repaired),
        ("mask", (LABELS > 0) * np.uint8(255), filled),
    ):
        put(service, photo_id, what, pixels, tmp_path)
        restore(service, photo_id)
        assert call(service, "GET", path)[1] == expected
    assert put(service, photo_id, "marks", np.zeros((4, 5, 3), np.uint8), tmp_path)[0] == 400


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
