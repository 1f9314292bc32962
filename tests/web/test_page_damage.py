"""Proposals of damage in the page, in a real browser, with a stand-in for the detector."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from browser_page import open_photo, photo, wait_for_text

from toolbox.hooks.protocols import Detection
from toolbox.imaging import io
from toolbox.masks.detectors import LoadedDetector
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
    assert np.array_equal(saved_marks(page), proposed["scratch"])
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
    assert np.array_equal(saved_marks(page), tear)


def test_what_is_marked_is_not_proposed_again(page, proposed, tmp_path):
    open_restored(page, tmp_path)
    page.click("#repair")
    wait_for_text(page, "#guide", "Done")
    assert page.locator("#repair").is_hidden()
    page.focus("#sensitivity")
    page.keyboard.press("End")
    wait_for_text(page, "#proposals-state", "No scratches or stains")
    page.click("#undo")
    page.click("#restore")
    wait_for_text(page, "#guide", "Done")
    page.focus("#sensitivity")
    page.keyboard.press("Home")
    wait_for_text(page, "#kinds", "stains: 1")


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
    assert np.array_equal(saved_marks(page), proposed["scratch"])


def test_another_sensitivity_looks_again(page, proposed, tmp_path):
    open_restored(page, tmp_path)
    proposed.clear()
    page.focus("#sensitivity")
    page.keyboard.press("End")
    wait_for_text(page, "#kinds", "scratches: 1")
    assert "scratch" in proposed
