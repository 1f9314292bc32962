"""Colours steered in the page: strokes, a second photograph, saturation and fill, as with the command."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from page_server import add, call, restore, wait_until
from scenes import scene, second_photo, tint_restorer
from standins import run_restore

from toolbox.color import integer_luma
from toolbox.hooks import catalog
from toolbox.imaging import io
from toolbox.inference.fillers import find_filler

HEIGHT, WIDTH = 240, 320


@pytest.fixture
def restorer(monkeypatch):
    """Load a small generator instead of the weights, for the page and for the command."""
    tint = tint_restorer("luma", 96)

    def load(weights, *, saturation=1.0, fill=None, **options):
        return replace(tint, saturation=saturation, filler=find_filler(fill, catalog.load(third_party=False)))

    monkeypatch.setattr("toolbox.inference.loading.load_restorer", load)
    return tint


@pytest.fixture
def photo(tmp_path):
    pixels = integer_luma(scene())[:HEIGHT, :WIDTH]
    pixels[100:120, 200:220] = 255
    io.write_png(tmp_path / "old.png", pixels)
    return tmp_path / "old.png"


def strokes(tmp_path, height=HEIGHT):
    layer = np.zeros((height, WIDTH, 4), np.uint8)
    layer[60:66, 60:100] = (220, 30, 30, 255)
    io.write_png(tmp_path / "strokes.png", layer[..., :3], alpha=layer[..., 3])
    return tmp_path / "strokes.png"


def reference(tmp_path, picture):
    io.write_png(tmp_path / "postcard.png", picture)
    return tmp_path / "postcard.png"


def put(service, photo_id, what, path):
    return call(service, "PUT", f"/api/photos/{photo_id}/{what}?name={path.name}", path.read_bytes())


def test_the_result_has_the_bytes_of_the_command_with_the_same_guides(service, photo, tmp_path):
    photo_id = add(service, photo)["id"]
    hints, postcard = strokes(tmp_path), reference(tmp_path, second_photo(scene(), quality=90))
    assert put(service, photo_id, "hints", hints)[1]["has_hints"]
    assert put(service, photo_id, "reference", postcard)[1]["reference"] == "postcard.png"
    entry = restore(service, photo_id, saturation=0.65, fill="smooth")
    assert entry["state"] == "restored", entry
    assert {"colour from hint", "colour from reference"} < set(entry["origins"])
    options = ("--hints", hints, "--reference", postcard, "--saturation", "0.65", "--fill", "smooth")
    run_restore(photo, "-o", tmp_path / "out", *options)
    assert call(service, "GET", f"/api/photos/{photo_id}/result")[1] == (tmp_path / "out/old.png").read_bytes()
    run_restore(photo, "-o", tmp_path / "with", *options, "--provenance")
    picture = call(service, "GET", f"/api/photos/{photo_id}/provenance")[1]
    assert picture == (tmp_path / "with/old.png.provenance.png").read_bytes()


def test_without_its_guides_a_photograph_is_restored_as_before(service, photo, tmp_path):
    photo_id = add(service, photo)["id"]
    restore(service, photo_id)
    before = call(service, "GET", f"/api/photos/{photo_id}/result")
    put(service, photo_id, "hints", strokes(tmp_path))
    put(service, photo_id, "reference", reference(tmp_path, scene()))
    restore(service, photo_id)
    assert call(service, "GET", f"/api/photos/{photo_id}/result") != before
    for what in ("hints", "reference"):
        call(service, "DELETE", f"/api/photos/{photo_id}/{what}")
        assert call(service, "GET", f"/api/photos/{photo_id}/{what}")[0] == 404
    entry = restore(service, photo_id)
    assert not entry["has_hints"] and not entry["reference"]
    assert call(service, "GET", f"/api/photos/{photo_id}/result") == before


def test_other_strokes_and_another_saturation_do_not_run_the_network_again(service, photo, restorer, tmp_path):
    calls = []
    restorer.network.register_forward_hook(lambda *call: calls.append(1))
    photo_id = add(service, photo)["id"]
    restore(service, photo_id)
    assert calls
    first = len(calls)
    put(service, photo_id, "hints", strokes(tmp_path))
    assert restore(service, photo_id, saturation=0.5)["origins"]["colour from hint"] > 0
    assert len(calls) == first


def test_guides_that_do_not_fit_are_refused_without_a_path_of_this_machine(service, photo, tmp_path):
    photo_id = add(service, photo)["id"]
    status, answer = put(service, photo_id, "hints", strokes(tmp_path, height=100))
    assert status == 400 and "320x100" in answer["error"] and str(tmp_path) not in answer["error"]
    assert put(service, photo_id, "hints", photo)[0] == 400  # opaque
    broken = tmp_path / "broken.png"
    broken.write_bytes(photo.read_bytes()[:50])
    for what in ("hints", "reference", "mask"):
        status, answer = put(service, photo_id, what, broken)
        assert status == 400 and str(tmp_path) not in json.dumps(answer)
    assert not call(service, "GET", f"/api/photos/{photo_id}")[1]["has_hints"]
    assert not list((tmp_path / "album" / photo_id).glob("upload*"))


def test_a_reference_of_another_scene_is_named_as_the_person_knows_it(service, photo, tmp_path):
    photo_id = add(service, photo)["id"]
    put(service, photo_id, "reference", reference(tmp_path, scene(3)))
    entry = restore(service, photo_id)
    assert entry["notes"] == ["postcard.png does not show the same scene: not used"]


def test_a_failure_names_no_path_of_this_machine(service, tmp_path):
    io.write_png(tmp_path / "colour.png", scene())
    photo_id = add(service, tmp_path / "colour.png")["id"]
    layer = np.zeros((320, 320, 4), np.uint8)
    layer[9:19] = 255
    io.write_png(tmp_path / "layer.png", layer[..., :3], alpha=layer[..., 3])
    put(service, photo_id, "hints", tmp_path / "layer.png")
    mask = np.zeros((320, 320), np.uint8)
    mask[5:9] = 255
    io.write_png(tmp_path / "mask.png", mask)
    put(service, photo_id, "mask", tmp_path / "mask.png")
    entry = restore(service, photo_id)
    assert entry["state"] == "failed" and "keeps its colours" in entry["reason"]
    assert str(tmp_path) not in json.dumps(entry)


def test_colours_are_offered_at_a_point(service, photo):
    photo_id = add(service, photo)["id"]
    status, colors = call(service, "GET", f"/api/photos/{photo_id}/colors?x=0.2&y=1")
    assert status == 200 and colors and all(len(bytes.fromhex(color[1:])) == 3 for color in colors)
    for point in ("", "x=0.5", "x=nan&y=0", "x=2&y=0", "x=a&y=b"):
        assert call(service, "GET", f"/api/photos/{photo_id}/colors?{point}")[0] == 400
    assert call(service, "GET", "/api/photos/nothing/colors?x=0&y=0")[0] == 404


@pytest.mark.parametrize("saturation", ["2.5", "-1", "true", "NaN", '"1"', "1e999", "null"])
def test_a_saturation_outside_the_range_is_refused(service, photo, saturation):
    photo_id = add(service, photo)["id"]
    body = f'{{"saturation": {saturation}}}'.encode()
    assert call(service, "POST", f"/api/photos/{photo_id}/restore", body)[0] == 400


def test_a_change_while_a_photograph_is_restored_is_not_lost(service, photo, restorer):
    import threading

    gate = threading.Event()
    restorer.network.register_forward_hook(lambda *call: gate.wait(60) and None)
    photo_id = add(service, photo)["id"]
    for saturation in (1, 0.5):
        call(service, "POST", f"/api/photos/{photo_id}/restore", json.dumps({"saturation": saturation}).encode())
        wait_until(lambda: call(service, "GET", f"/api/photos/{photo_id}")[1]["state"] in ("running", "waiting"))
    gate.set()
    wait_until(lambda: call(service, "GET", f"/api/photos/{photo_id}")[1]["state"] == "restored")
    assert call(service, "GET", f"/api/photos/{photo_id}")[1]["settings"] == {"saturation": 0.5}
