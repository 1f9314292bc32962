"""Colours steered in the page, in a real browser, with a small generator instead of the weights."""

from __future__ import annotations

import numpy as np
import pytest
from browser_page import delayed, drag, open_photo, wait_for_text
from page_server import call, wait_until
from scenes import scene, second_photo, tint_restorer
from standins import install

from toolbox.color import integer_luma
from toolbox.imaging import io


@pytest.fixture
def restorer(monkeypatch):
    return install(monkeypatch, tint_restorer("luma", 96))


def open_restored(page, tmp_path):
    io.write_png(tmp_path / "old.png", integer_luma(scene())[:240])
    open_photo(page, tmp_path / "old.png")
    page.click("#restore")
    page.wait_for_selector("#compare-row:not([hidden])")


def red_minus_blue(page):
    """Return the mean of R - B of the result that is shown."""
    return page.evaluate(
        """() => {
            const one = document.querySelector("#restored");
            const { data } = one.getContext("2d").getImageData(0, 0, one.width, one.height);
            let sum = 0;
            for (let i = 0; i < data.length; i += 4) sum += data[i] - data[i + 2];
            return (4 * sum) / data.length;
        }"""
    )


def test_a_stroke_gets_an_offered_colour_and_the_result_follows(page, tmp_path):
    open_restored(page, tmp_path)
    before = red_minus_blue(page)
    page.keyboard.press("c")
    drag(page, [(0.5, 0.3), (0.3, 0.3)])  # from the line between before and after
    page.locator("#palette button").first.wait_for()
    assert page.input_value("#compare") == "50"
    page.fill("#own-colour", "#e02020")
    wait_for_text(page, "#origins", "colour from your lines")
    wait_until(lambda: red_minus_blue(page) > before + 1)
    names = page.eval_on_selector_all("#palette button", "all => all.map((one) => one.getAttribute('aria-label'))")
    assert names[0].startswith("Colour 1: ") and len(names) == len(set(names))
    page.check("#show-origin")
    page.wait_for_selector("#origin:not([hidden])")
    page.reload()
    page.wait_for_selector("#clear-strokes:not([hidden])")
    page.click("#clear-strokes")
    page.locator("#origins", has_not_text="your lines").wait_for()
    page.wait_for_selector("#clear-strokes", state="hidden")
    page.click("#undo")
    wait_for_text(page, "#origins", "colour from your lines")


def test_the_eraser_and_undo_change_strokes_and_marks(page, tmp_path):
    open_restored(page, tmp_path)
    page.click("[data-tool=brush]")
    drag(page, [(0.4, 0.5), (0.6, 0.5)])
    page.click("[data-tool=colour]")
    drag(page, [(0.4, 0.55), (0.6, 0.55)])
    page.wait_for_selector("#clear-strokes:not([hidden])")
    page.fill("#size", "200")
    page.click("[data-tool=eraser]")
    drag(page, [(0.4, 0.52), (0.6, 0.52)])
    wait_for_text(page, "#facts", "nothing marked")
    page.wait_for_selector("#clear-strokes", state="hidden")
    page.keyboard.press("Control+z")
    page.wait_for_selector("#clear-strokes:not([hidden])")
    page.locator("#facts", has_not_text="nothing marked").wait_for()


def test_a_second_photograph_and_the_saturation_change_the_result(page, tmp_path):
    open_restored(page, tmp_path)
    io.write_png(tmp_path / "postcard.png", second_photo(scene(), quality=90))
    page.click("#colours summary")
    page.set_input_files("#reference-file", str(tmp_path / "postcard.png"))
    wait_for_text(page, "#origins", "colour from the second photo")
    wait_for_text(page, "#reference-name", "postcard.png")
    page.click("#remove-reference")
    page.locator("#origins", has_not_text="second photo").wait_for()
    page.focus("#saturation")
    page.keyboard.press("Home")
    wait_for_text(page, "#saturation-value", "0 %")
    wait_until(lambda: red_minus_blue(page) == 0)


def test_a_photograph_is_not_used_as_its_own_second_photograph(page, tmp_path):
    io.write_png(tmp_path / "colour.png", scene()[:240])
    open_photo(page, tmp_path / "colour.png")
    page.click("[data-tool=colour]")  # which opens the settings of colours
    page.check("#recolor")
    page.set_input_files("#reference-file", str(tmp_path / "colour.png"))
    wait_for_text(page, "#reference-name", "colour.png")
    page.click("#restore")
    wait_for_text(page, "#guide", "The second photo is this photo itself, so it gave no colours.")
    assert "second photo" not in page.inner_text("#origins")


def test_a_photograph_that_is_dropped_on_the_reference_is_one(page, tmp_path):
    open_restored(page, tmp_path)
    page.click("#colours summary")
    page.evaluate(
        """(data) => {
            const files = new DataTransfer();
            files.items.add(new File([new Uint8Array(data)], "second.png"));
            const event = new DragEvent("drop", {dataTransfer: files, bubbles: true, cancelable: true});
            document.querySelector("#reference-help").dispatchEvent(event);
        }""",
        list((tmp_path / "old.png").read_bytes()),
    )
    wait_for_text(page, "#reference-name", "second.png")
    assert page.locator("#photos li").count() == 1


def entry(service):
    return call(service, "GET", "/api/photos")[1][0]


def draw_line(page, y=0.4):
    page.click("[data-tool=colour]")
    drag(page, [(0.4, y), (0.6, y)])


def test_a_line_that_is_undone_before_the_server_has_it_is_not_in_the_result(page, service, tmp_path):
    open_restored(page, tmp_path)
    with delayed(page, "/hints") as wait:
        draw_line(page)
        wait()
        page.keyboard.press("Control+z")
    wait_until(lambda: entry(service)["edits"] == 2)
    wait_until(lambda: entry(service)["restored_edits"] == 2)
    assert not entry(service)["has_hints"]


def test_a_line_that_is_drawn_while_the_server_is_asked_is_in_the_result(page, service, tmp_path):
    io.write_png(tmp_path / "old.png", integer_luma(scene())[:240])
    open_photo(page, tmp_path / "old.png")
    with delayed(page, "/hints") as wait_for_hints:
        with delayed(page, "/restore") as wait:
            page.click("#restore")
            wait()
            draw_line(page)
            wait_for_hints()
        wait_until(lambda: entry(service)["state"] == "restored")
    wait_for_text(page, "#origins", "colour from your lines")


def test_the_eraser_on_marks_alone_does_not_restore_again(page, service, tmp_path):
    open_restored(page, tmp_path)
    page.click("[data-tool=brush]")
    drag(page, [(0.4, 0.5), (0.6, 0.5)])
    page.click("[data-tool=eraser]")
    drag(page, [(0.5, 0.5), (0.6, 0.5)])
    wait_until(lambda: entry(service)["edits"] == 2)
    page.wait_for_timeout(500)  # longer than the pause before another restoration
    assert entry(service)["restored_edits"] == 0
    wait_for_text(page, "#guide", "Choose Restore again")


@pytest.mark.parametrize(("setting", "own"), [("tone", True), ("recolor", False)])
def test_undo_of_the_only_line_switches_back_what_it_switched(page, tmp_path, setting, own):
    toned = (integer_luma(scene())[..., None] * np.array([1, 0.85, 0.62])).astype(np.uint8)
    io.write_png(tmp_path / "old.png", (toned if setting == "tone" else scene())[:240])
    open_photo(page, tmp_path / "old.png")
    page.click("[data-tool=colour]")  # which opens the settings of colours
    page.set_checked(f"#{setting}", own)
    is_checked = page.locator(f"#{setting}").is_checked
    draw_line(page)
    assert is_checked() != own
    draw_line(page, 0.5)
    page.keyboard.press("Control+z")
    assert is_checked() != own
    page.keyboard.press("Control+z")
    assert is_checked() == own
    page.keyboard.press("Control+y")
    assert is_checked() != own
