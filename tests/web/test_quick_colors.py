"""The colours of a change at once, at a small size: near those of the result, with strokes and second photograph."""

from __future__ import annotations

import json

import numpy as np
import pytest
from browser_page import drag, open_photo
from page_server import add, call, restore, wait_until
from scenes import scene, second_photo, tint_restorer
from standins import install

from toolbox.color import integer_luma
from toolbox.guidance import hints
from toolbox.imaging import io
from toolbox.web import quick_colors

SIDE = 80  # of the small size; the photograph is twice as large


@pytest.fixture
def restorer(monkeypatch):
    # As with the shipped weights, strokes are spread at the same size for both.
    monkeypatch.setattr(hints, "WORKING_PIXELS", SIDE * SIDE)
    return install(monkeypatch, tint_restorer("luma", SIDE))


@pytest.fixture
def photo(tmp_path):
    io.write_png(tmp_path / "old.png", integer_luma(scene(side=2 * SIDE)))
    return tmp_path / "old.png"


def strokes(tmp_path):
    layer = np.zeros((160, 160, 4), np.uint8)
    layer[30:32, 30:80] = (220, 30, 30, 255)  # thinner than a pixel of the small size
    io.write_png(tmp_path / "strokes.png", layer[..., :3], alpha=layer[..., 3])
    return (tmp_path / "strokes.png").read_bytes()


def read(data, tmp_path):
    (tmp_path / "read.png").write_bytes(data)
    return io.read_rgb(tmp_path / "read.png").astype(int)


def quick(service, photo_id, tmp_path, **settings):
    status, data = call(service, "POST", f"/api/photos/{photo_id}/quick", json.dumps(settings).encode())
    assert status == 200, data
    return read(data, tmp_path)


def shrunk_result(service, photo_id, tmp_path):
    pixels = read(call(service, "GET", f"/api/photos/{photo_id}/result")[1], tmp_path)
    return pixels.reshape(SIDE, 2, SIDE, 2, 3).mean((1, 3))


def test_the_colours_are_near_those_of_the_full_result(service, photo, tmp_path):
    photo_id = add(service, photo)["id"]
    assert call(service, "POST", f"/api/photos/{photo_id}/quick", b"{}")[0] == 404
    restore(service, photo_id)
    plain = quick(service, photo_id, tmp_path)
    assert plain.shape == (SIDE, SIDE, 3)
    assert np.abs(plain - shrunk_result(service, photo_id, tmp_path)).mean() < 2
    call(service, "PUT", f"/api/photos/{photo_id}/hints", strokes(tmp_path))
    with_strokes = quick(service, photo_id, tmp_path, saturation=0.5)
    restore(service, photo_id, saturation=0.5)
    result = shrunk_result(service, photo_id, tmp_path)
    assert np.abs(with_strokes - result).mean() < 2 and np.abs(plain - result).mean() > 6
    # The second photograph is used, too.
    io.write_png(tmp_path / "postcard.png", second_photo(scene(side=2 * SIDE), quality=90))
    call(service, "PUT", f"/api/photos/{photo_id}/reference?name=a.png", (tmp_path / "postcard.png").read_bytes())
    assert np.abs(quick(service, photo_id, tmp_path, saturation=0.5) - with_strokes).max() > 20


def test_what_did_not_change_is_not_calculated_again(service, photo, restorer, tmp_path, monkeypatch):
    photo_id = add(service, photo)["id"]
    restore(service, photo_id)
    quick(service, photo_id, tmp_path)
    calls, reads = [], []
    restorer.network.register_forward_hook(lambda *call: calls.append(1))
    call(service, "PUT", f"/api/photos/{photo_id}/hints", strokes(tmp_path))
    monkeypatch.setattr(quick_colors, "read_hints", lambda path, *size, **options: reads.append(path))
    for saturation in (0.5, 1):
        body = json.dumps({"saturation": saturation}).encode()
        assert call(service, "POST", f"/api/photos/{photo_id}/quick", body)[0] == 200
    assert calls == [] and reads == []


@pytest.mark.parametrize("body", [b'{"variant": 99}', b'{"saturation": 9}', b"[]", b"\xff"])
def test_settings_that_are_not_offered_are_refused(service, photo, body):
    photo_id = add(service, photo)["id"]
    restore(service, photo_id)
    assert call(service, "POST", f"/api/photos/{photo_id}/quick", body)[0] == 400


def red_at_the_stroke(page):
    """Return R - G in the middle of the stroke in the result that is shown."""
    script = """() => {
        const one = document.querySelector("#restored");
        const [r, g] = one.getContext("2d").getImageData(80, 32, 1, 1).data;
        return r - g;
    }"""
    return page.evaluate(script)


def test_the_page_shows_the_colours_before_the_full_result(page, service, restorer, photo, monkeypatch):
    open_photo(page, photo)
    page.click("#restore")
    page.wait_for_selector("#compare-row:not([hidden])")
    before = red_at_the_stroke(page)
    asked = []
    page.on("request", lambda request: asked.append(request.url.rsplit("/", 1)[-1]))
    # The worker never gets to the photograph, so what is seen is of the small picture.
    page.route("**/restore", lambda route: None)
    page.click("[data-tool=colour]")
    page.evaluate("document.querySelector('#own-colour').value = '#e02020'")
    page.locator("#own-colour").dispatch_event("input")
    drag(page, [(0.3, 0.2), (0.45, 0.2), (0.55, 0.2)])
    wait_until(lambda: red_at_the_stroke(page) > before + 20, seconds=10)
    assert "quick" in asked and "result" not in asked
