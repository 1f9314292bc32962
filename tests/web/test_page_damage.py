"""Proposals of damage in the page, in a real browser, with a stand-in for the detector."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from browser_page import drag, open_photo, photo, wait_for_text, wait_until_ready
from page_server import call, wait_until

from toolbox.hooks.protocols import Detection
from toolbox.imaging import io
from toolbox.masks.detectors import LoadedDetector
from toolbox.masks.sources import grow_mask
from toolbox.web import damage


def saved_marks(page):
    with page.expect_download() as marks:
        page.click("#save-mask")
    return io.read_mask(Path(marks.value.path()))


def tap(page, x, y):
    """Click the photograph at a place, as fractions of its width and height."""
    box = page.locator("#photo").bounding_box()
    page.mouse.click(box["x"] + x * box["width"], box["y"] + y * box["height"])


def open_restored(page, tmp_path):
    open_photo(page, photo(tmp_path))
    assert page.inner_text("#proposals-state") == ""
    page.click("#restore")
    wait_for_text(page, "#kinds", "scratches: 1")
    wait_for_text(page, "#kinds", "stains: 1")


def test_a_click_leaves_damage_out_and_the_rest_is_repaired(page, proposed, tmp_path):
    open_restored(page, tmp_path)
    assert page.locator("#compare-row").is_visible()
    tap(page, 0.55, 0.55)
    wait_for_text(page, "#kinds", "stains: 0")
    tap(page, 0.55, 0.55)
    wait_for_text(page, "#kinds", "stains: 1")
    page.uncheck("#kinds input >> nth=1")
    wait_for_text(page, "#kinds", "stains: 0")
    page.click("#repair")
    page.locator("#facts", has_not_text="nothing marked").wait_for()
    wait_for_text(page, "#guide", "Done")
    assert np.array_equal(saved_marks(page), grow_mask(proposed["scratch"], 1))
    assert page.locator("#proposals-found").is_hidden()
    page.click("#undo")
    wait_for_text(page, "#facts", "nothing marked")


def test_a_large_place_starts_left_out_unless_it_is_torn(page, proposed, tmp_path, monkeypatch):
    size = (96, 128)
    stain, tear = np.zeros(size, bool), np.zeros(size, bool)
    stain[10:40, 10:40] = tear[50:90, 80:120] = True
    probabilities = {kind: np.zeros(size, np.float32) for kind in ("scratch", "fold", "dust")}
    probabilities |= {"stain": stain.astype(np.float32), "tear": tear.astype(np.float32)}
    detection = Detection(mask=stain | tear, probabilities=probabilities)
    loaded = LoadedDetector(name="print-damage", detect=lambda image: detection)
    monkeypatch.setattr(damage, "damage_detector", lambda params, catalog: loaded)
    open_photo(page, photo(tmp_path))
    page.click("#restore")
    wait_for_text(page, "#kinds", "torn parts: 1")
    wait_for_text(page, "#kinds", "stains: 0")
    wait_for_text(page, "#proposals-state", "Large places are left out at first")
    page.click("#repair")
    wait_for_text(page, "#guide", "Done")
    assert np.array_equal(saved_marks(page), grow_mask(tear, 1))


def test_saved_marks_give_the_same_result_as_the_repair(page, service, proposed, tmp_path):
    open_restored(page, tmp_path)
    page.uncheck("#kinds input >> nth=1")  # stains are lifted, which marks of a file are not
    page.click("[data-tool=brush]")
    drag(page, [(0.7, 0.6), (0.8, 0.6)])
    page.click("#repair")
    wait_for_text(page, "#guide", "Done")
    path = f"/api/photos/{entry(service)['id']}/result"
    repaired = call(service, "GET", path)[1]
    with page.expect_download() as marks:
        page.click("#save-mask")
    page.click("#clear")
    page.set_input_files("#mask-file", str(marks.value.path()))
    wait_until(lambda: entry(service)["edits"] == 4)
    page.click("#restore.main")
    wait_for_text(page, "#guide", "Done")
    wait_until(lambda: entry(service)["restored_edits"] == 4 and entry(service)["state"] == "restored")
    assert call(service, "GET", path)[1] == repaired


def test_what_is_marked_is_not_proposed_again(page, proposed, tmp_path):
    open_restored(page, tmp_path)
    page.click("#repair")
    wait_for_text(page, "#guide", "Done")
    assert page.locator("#repair").is_hidden()
    page.focus("#sensitivity")
    page.keyboard.press("End")
    wait_for_text(page, "#proposals-state", "No scratches or stains")
    page.click("#undo")
    wait_for_text(page, "#kinds", "stains: 1")
    page.click("#restore")
    wait_for_text(page, "#guide", "The places in colour")


def test_what_is_painted_over_is_not_proposed_again(page, service, proposed, tmp_path):
    open_restored(page, tmp_path)
    page.click("[data-tool=brush]")
    page.fill("#size", "20")
    change(page, service, lambda: drag(page, [(0.5, 0.5), (0.6, 0.6)]))
    wait_for_text(page, "#kinds", "scratches: 1")
    page.locator("#kinds", has_not_text="stains").wait_for()
    page.click("#clear")
    wait_for_text(page, "#kinds", "stains: 1")
    drag(page, [(0.5, 0.5), (0.6, 0.6)])
    drag(page, [(0.2, 0.28), (0.5, 0.28)])
    page.click("#restore")
    wait_for_text(page, "#guide", "Done")
    assert page.locator("#repair").is_hidden()


def test_the_keyboard_alone_leaves_damage_out(page, proposed, tmp_path):
    open_restored(page, tmp_path)
    page.focus("#stage")
    # The first arrow starts in the middle of the photograph, where the stain is.
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Space")
    wait_for_text(page, "#kinds", "stains: 0")
    page.focus("#repair")
    page.keyboard.press("Enter")
    page.locator("#facts", has_not_text="nothing marked").wait_for()
    assert np.array_equal(saved_marks(page), grow_mask(proposed["scratch"], 1))


def test_another_sensitivity_looks_again(page, proposed, tmp_path):
    open_restored(page, tmp_path)
    proposed.clear()
    page.focus("#sensitivity")
    page.keyboard.press("End")
    wait_for_text(page, "#kinds", "scratches: 1")
    assert "scratch" in proposed


def entry(service):
    return call(service, "GET", "/api/photos")[1][0]


def kinds(service, tmp_path):
    """Return the marks that the server has, and the number of the kind of damage of each pixel."""
    (tmp_path / "sent.png").write_bytes(call(service, "GET", f"/api/photos/{entry(service)['id']}/marks")[1])
    pixels = io.read_rgb(tmp_path / "sent.png")
    return pixels[..., 0] == 255, (pixels[..., 0] - pixels[..., 1])


def erase_all(page):
    page.click("[data-tool=eraser]")
    page.fill("#size", "200")
    drag(page, [(0.1, 0.4), (0.9, 0.4)])


def load_marks(page, tmp_path):
    io.write_png(tmp_path / "marks.png", np.full((96, 128), 255, np.uint8))
    page.set_input_files("#mask-file", str(tmp_path / "marks.png"))


CHANGES = {
    "erase": lambda page, tmp_path: erase_all(page),
    "clear": lambda page, tmp_path: page.click("#clear"),
    "load": load_marks,
}


def repair(page, service):
    page.click("#repair")
    wait_for_text(page, "#guide", "Done")
    wait_until(lambda: entry(service)["edits"] == 1)


def change(page, service, work):
    """Do what changes marks once, and wait until the server has it."""
    edits = entry(service)["edits"]
    work()
    wait_until(lambda: entry(service)["edits"] == edits + 1)


def test_undo_and_redo_of_a_repair_keep_the_kinds_of_damage(page, service, proposed, tmp_path):
    open_restored(page, tmp_path)
    repair(page, service)
    expected = proposed["scratch"] + 4 * proposed["stain"]
    assert np.array_equal(kinds(service, tmp_path)[1], expected)
    change(page, service, lambda: page.keyboard.press("Control+z"))
    assert not kinds(service, tmp_path)[0].any()
    change(page, service, lambda: page.keyboard.press("Control+y"))
    assert np.array_equal(kinds(service, tmp_path)[1], expected)


@pytest.mark.parametrize("name", CHANGES)
def test_undo_of_a_change_of_marks_brings_the_kinds_of_damage_back(page, service, proposed, tmp_path, name):
    open_restored(page, tmp_path)
    repair(page, service)
    page.reload()
    wait_until_ready(page)
    change(page, service, lambda: CHANGES[name](page, tmp_path))
    marked, numbers = kinds(service, tmp_path)
    assert not numbers.any() and marked.all() == (name == "load")
    page.wait_for_selector("#undo:enabled")
    change(page, service, lambda: page.keyboard.press("Control+z"))
    assert np.array_equal(kinds(service, tmp_path)[1], proposed["scratch"] + 4 * proposed["stain"])


def test_what_is_painted_again_after_it_was_erased_is_filled(page, service, proposed, tmp_path):
    open_restored(page, tmp_path)
    repair(page, service)
    change(page, service, lambda: erase_all(page))
    page.click("[data-tool=brush]")
    change(page, service, lambda: drag(page, [(0.1, 0.4), (0.9, 0.4)]))
    marked, numbers = kinds(service, tmp_path)
    assert marked[proposed["scratch"]].all() and not numbers.any()
