"""The colours of a change at once, at a small size: near those of the result, with strokes and second photograph."""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pytest
from browser_page import drag, open_photo, wait_for_text
from page_server import add, call, restore, wait_until
from scenes import scene, second_photo, tint_restorer
from standins import install

from toolbox.color import integer_luma
from toolbox.guidance import hints
from toolbox.imaging import io
from toolbox.imaging.encode import encode_png
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


def strokes(*, is_small):
    """Return a stroke that is thinner than a pixel of the small size, as PNG."""
    layer = np.zeros((SIDE, SIDE, 4) if is_small else (2 * SIDE, 2 * SIDE, 4), np.uint8)
    if is_small:
        layer[15, 15:40] = (220, 30, 30, 128)
    else:
        layer[30, 30:80] = (220, 30, 30, 255)
    return encode_png(layer[..., :3], alpha=layer[..., 3])


def decoded(data):
    return io.to_rgb8(io.decode(data, "picture")).astype(int)


def ask(service, photo_id, layer=b"", settings="{}"):
    return call(service, "POST", f"/api/photos/{photo_id}/quick?settings={quote(settings)}", layer)


def quick(service, photo_id, layer=b"", **settings):
    status, data = ask(service, photo_id, layer, json.dumps(settings))
    assert status == 200, data
    return decoded(data)


def shrunk_result(service, photo_id):
    pixels = decoded(call(service, "GET", f"/api/photos/{photo_id}/result")[1])
    return pixels.reshape(SIDE, 2, SIDE, 2, 3).mean((1, 3))


def test_the_colours_are_near_those_of_the_full_result(service, photo, tmp_path):
    photo_id = add(service, photo)["id"]
    assert ask(service, photo_id)[0] == 404
    restore(service, photo_id)
    plain = quick(service, photo_id)
    assert plain.shape == (SIDE, SIDE, 3)
    assert np.abs(plain - shrunk_result(service, photo_id)).mean() < 2
    with_strokes = quick(service, photo_id, strokes(is_small=True), saturation=0.5)
    call(service, "PUT", f"/api/photos/{photo_id}/hints", strokes(is_small=False))
    restore(service, photo_id, saturation=0.5)
    result = shrunk_result(service, photo_id)
    assert np.abs(with_strokes - result).mean() < 2 and np.abs(plain - result).mean() > 6
    # The second photograph is used, too.
    io.write_png(tmp_path / "postcard.png", second_photo(scene(side=2 * SIDE), quality=90))
    call(service, "PUT", f"/api/photos/{photo_id}/reference?name=a.png", (tmp_path / "postcard.png").read_bytes())
    assert np.abs(quick(service, photo_id, strokes(is_small=True)) - with_strokes).max() > 20


def test_what_did_not_change_is_not_calculated_again(service, photo, restorer, monkeypatch):
    calls, reads = [], []
    photo_id = add(service, photo)["id"]
    restore(service, photo_id)
    restorer.network.register_forward_hook(lambda *call: calls.append(1))
    plain = quick(service, photo_id)
    # The input of the network was that of the full result.
    assert calls == []
    read_photo = io.read
    monkeypatch.setattr(
        quick_colors.io, "read", lambda *path, **options: reads.append(path) or read_photo(*path, **options)
    )
    call(service, "PUT", f"/api/photos/{photo_id}/hints", strokes(is_small=False))
    restore(service, photo_id, saturation=0.5)
    reads.clear()
    # Another result in other colours has the same luma.
    assert np.abs(quick(service, photo_id, strokes(is_small=True), saturation=0.5) - plain).max() > 20
    assert calls == [] and reads == []
    mask = np.zeros((2 * SIDE, 2 * SIDE), np.uint8)
    mask[50:60, 50:60] = 255
    call(service, "PUT", f"/api/photos/{photo_id}/mask", encode_png(mask))
    restore(service, photo_id)
    reads.clear()
    quick(service, photo_id)
    assert len(reads) == 1


@pytest.mark.parametrize("settings", ['{"variant": 99}', '{"saturation": 9}', "[]", "{"])
def test_settings_that_are_not_offered_are_refused(service, photo, settings):
    photo_id = add(service, photo)["id"]
    restore(service, photo_id)
    assert ask(service, photo_id, settings=settings)[0] == 400


def test_a_layer_that_is_no_small_picture_is_refused(service, photo):
    photo_id = add(service, photo)["id"]
    restore(service, photo_id)
    large = encode_png(np.zeros((1000, 1000, 3), np.uint8))
    assert [ask(service, photo_id, layer)[0] for layer in (b"no picture", large, bytes(2 << 20))] == [400, 400, 413]


@pytest.mark.parametrize("alpha", [None, 0, 130, 255], ids=["none", "transparent", "half opaque", "opaque"])
def test_a_layer_of_a_whole_picture_is_refused_as_for_the_full_result(service, photo, alpha):
    photo_id = add(service, photo)["id"]
    restore(service, photo_id)

    def error(method, path, side):
        layer = np.full((side, side, 4), (220, 30, 30, alpha or 0), np.uint8)
        data = encode_png(layer[..., :3], alpha=None if alpha is None else layer[..., 3])
        status, answer = call(service, method, f"/api/photos/{photo_id}/{path}", data)
        assert status == 400, answer
        return answer["error"]

    full, small = error("PUT", "hints", 2 * SIDE), error("POST", "quick", SIDE)
    assert full.removeprefix("The layer of hints") == small.removeprefix("The layer of strokes")


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
    page.on("request", lambda request: asked.append(request.url.rsplit("/", 1)[-1].partition("?")[0]))
    # The worker never gets to the photograph, so what is seen is of the small picture.
    page.route("**/restore", lambda route: None)
    page.click("[data-tool=colour]")
    page.evaluate("document.querySelector('#own-colour').value = '#e02020'")
    page.locator("#own-colour").dispatch_event("input")
    drag(page, [(0.3, 0.2), (0.45, 0.2), (0.55, 0.2)])
    wait_until(lambda: red_at_the_stroke(page) > before + 20)
    assert "quick" in asked and "result" not in asked


def draw_a_stroke(page):
    page.click("#restore")
    page.wait_for_selector("#compare-row:not([hidden])")
    page.click("[data-tool=colour]")
    drag(page, [(0.3, 0.2), (0.45, 0.2), (0.55, 0.2)])


def test_a_photograph_that_is_saved_at_once_has_the_strokes(page, service, restorer, photo):
    open_photo(page, photo)
    draw_a_stroke(page)
    with page.expect_download() as download:
        page.click("#save")
    (entry,) = call(service, "GET", "/api/photos")[1]
    assert entry["origins"]["colour from hint"] > 0
    assert Path(download.value.path()).read_bytes() == call(service, "GET", f"/api/photos/{entry['id']}/result")[1]


def test_the_result_follows_strokes_in_a_photograph_that_is_left_at_once(page, service, restorer, photo, tmp_path):
    open_photo(page, photo)
    draw_a_stroke(page)
    io.write_png(tmp_path / "second.png", integer_luma(scene(side=2 * SIDE))[::-1])
    open_photo(page, tmp_path / "second.png")
    wait_until(lambda: "colour from hint" in call(service, "GET", "/api/photos")[1][0]["origins"])
    page.locator("#photos button").first.click()
    wait_for_text(page, "#origins", "colour from your lines")
    assert page.is_visible("#save")


def test_another_way_to_fill_shows_that_the_photograph_is_restored_again(page, service, restorer, photo):
    open_photo(page, photo)
    page.click("#restore")
    page.wait_for_selector("#compare-row:not([hidden])")
    asked = []
    page.on("request", lambda request: asked.append(request.url.rsplit("/", 1)[-1].partition("?")[0]))
    page.route("**/restore", lambda route: None)  # so that it is asked for, and never begins
    page.select_option("#fill", index=1)
    page.wait_for_selector("#busy:not([hidden])")
    assert "quick" not in asked and not page.is_visible("#save")
