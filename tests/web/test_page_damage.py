"""Proposals of damage in the page, in a real browser, with a stand-in for the detector."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from browser_page import open_photo, photo, wait_for_text

from toolbox.imaging import io


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
