"""The page in a real browser: Debian's chromium, driven by Playwright."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import numpy as np
from browser_page import delayed, drag, open_photo, photo, wait_for_marks, wait_for_text, wait_until_ready
from page_server import running
from PIL import Image
from standins import hold, run_restore
from toolbox_plugins.damage.simulate import lay_damage

from toolbox.color import integer_luma
from toolbox.data import sample
from toolbox.imaging import io

ROOT = Path(__file__).resolve().parents[2]
SEED = 5  # of the damage in the screenshot
PHONE = {"width": 390, "height": 800}


def test_mark_restore_compare_and_save(page, tmp_path):
    path = photo(tmp_path)
    open_photo(page, path)
    wait_for_text(page, "#facts", "nothing marked")
    page.click("[data-tool=brush]")
    drag(page, [(0.4, 0.4), (0.6, 0.5)])
    wait_for_marks(page)
    page.keyboard.press("Control+z")
    wait_for_text(page, "#facts", "nothing marked")
    page.click("#redo")
    wait_for_marks(page)
    with page.expect_download() as marks:
        page.click("#save-mask")
    page.click("#restore")
    page.wait_for_selector("#compare-row:not([hidden])")
    assert page.eval_on_selector("#restored", "one => one.style.clipPath") == "inset(0px 0px 0px 50%)"
    page.focus("#compare")
    page.keyboard.press("ArrowRight")
    assert page.eval_on_selector("#restored", "one => one.style.clipPath") == "inset(0px 0px 0px 51%)"
    with page.expect_download() as saved:
        page.click("#save")
    assert saved.value.suggested_filename == "old-restored.png"
    mask = io.read_mask(marks.value.path())
    assert mask.shape == (96, 128) and 0.005 < mask.mean() < 0.3
    # The same photograph and marks with the command give the same bytes.
    shutil.copy(marks.value.path(), tmp_path / "marks.png")
    run_restore(path, "-o", tmp_path / "out", "--mask", tmp_path / "marks.png")
    assert Path(saved.value.path()).read_bytes() == (tmp_path / "out" / "old.png").read_bytes()


def test_a_drag_of_the_line_compares_and_changed_marks_ask_for_another_restoration(page, tmp_path):
    open_photo(page, photo(tmp_path))
    wait_for_text(page, "#guide", "Then choose Restore.")
    page.click("#restore")
    wait_for_text(page, "#guide", "Then choose Repair, or save")
    assert page.locator("#restore").is_hidden()
    box = page.locator("#divider span").bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] - 100, box["y"])
    page.mouse.up()
    assert 0 < float(page.input_value("#compare")) < 45
    page.click("[data-tool=brush]")
    drag(page, [(0.4, 0.4), (0.6, 0.5)])
    wait_for_text(page, "#guide", "Choose Restore again")
    page.click("#restore.main")
    wait_for_text(page, "#guide", "Then choose Repair, or save")


def test_a_restoration_is_cancelled_with_the_keyboard_and_the_earlier_result_stays(page, restorer, tmp_path):
    open_photo(page, photo(tmp_path))
    page.click("#restore")
    page.wait_for_selector("#compare-row:not([hidden])")
    gate = hold(restorer)
    page.click("[data-tool=brush]")
    drag(page, [(0.4, 0.4), (0.6, 0.5)])
    page.click("#restore")
    page.locator("#cancel").wait_for()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "cancel"
    page.keyboard.press("Enter")
    wait_for_text(page, "#guide", "Cancelling")
    gate.set()
    wait_for_text(page, "#guide", "You see the result from before")
    assert page.locator("#compare-row").is_visible() and page.locator("#save").is_visible()
    assert page.evaluate("document.activeElement.id") == "restore"
    page.keyboard.press("Enter")
    wait_for_text(page, "#guide", "Then choose Repair, or save")


def test_an_album_is_cancelled_at_once(page, service, restorer, tmp_path):
    for name in ("a.png", "b.png", "c.png"):
        open_photo(page, photo(tmp_path, name))
    gate = hold(restorer)
    page.click("#restore-all")
    first = service.album.entries()[0].id
    with page.expect_response(lambda answer: answer.request.method == "DELETE" and first in answer.url):
        page.click("#cancel-all")
    gate.set()
    page.locator("#cancel-all").wait_for(state="hidden")
    assert page.locator("#photos li", has_text="✓").count() == 0 and len(restorer.calls) <= 1
    wait_for_text(page, "#guide", "Cancelled. No missing part was found.")


def test_a_result_that_the_browser_cannot_show_says_so_and_is_saved(page, tmp_path):
    data, _ = io.encode(io.read_rgb(photo(tmp_path)), "TIFF")
    (tmp_path / "old.tif").write_bytes(data)
    open_photo(page, tmp_path / "old.tif")
    page.click("#restore")
    wait_for_text(page, "#guide", "can’t show a TIFF")
    with page.expect_download() as saved:
        page.click("#save")
    assert saved.value.suggested_filename == "old-restored.tif"


def test_the_origins_of_a_result_that_is_not_compared_are_shown_completely(page, tmp_path):
    data, _ = io.encode(io.read_rgb(photo(tmp_path)), "TIFF")
    (tmp_path / "old.tif").write_bytes(data)
    open_photo(page, photo(tmp_path))
    page.click("#restore")
    page.wait_for_selector("#compare-row:not([hidden])")
    assert page.eval_on_selector("#origin", "one => one.style.clipPath") == "inset(0px 0px 0px 50%)"
    open_photo(page, tmp_path / "old.tif")
    page.click("#restore")
    wait_for_text(page, "#guide", "can’t show a TIFF")
    assert page.eval_on_selector("#origin", "one => one.style.clipPath") == ""


def test_a_page_that_another_one_has_followed_changes_and_saves_nothing(page, service, tmp_path):
    open_photo(page, photo(tmp_path))
    page.click("#restore")
    wait_for_text(page, "#guide", "Then choose Repair, or save")
    other = page.context.new_page()
    other.goto(service.link)
    wait_until_ready(other)
    before = service.album.entries()[0]
    page.click("#clear")
    page.click("[data-tool=brush]")
    drag(page, [(0.4, 0.4), (0.6, 0.5)])
    wait_for_text(page, "#status", "The photos are open in another tab or on another device. Reload this page")
    page.click("#save")
    wait_for_text(page, "#status", "The photos are open in another tab")
    assert service.album.entries()[0] == before
    page.reload()
    wait_for_text(page, "#guide", "Then choose Repair, or save")
    assert page.inner_text("#status") == ""
    other.click("#close")
    wait_for_text(other, "#status", "The photos are open in another tab")
    other.close()


def test_what_is_drawn_while_another_photograph_is_opened_belongs_to_the_one_that_is_shown(page, service, tmp_path):
    open_photo(page, photo(tmp_path))
    open_photo(page, photo(tmp_path, "other.png"))
    with delayed(page, "/view") as wait_for_one:
        page.click("#previous")
        wait_for_one()
        page.click("[data-tool=brush]")
        drag(page, [(0.4, 0.4), (0.6, 0.5)])
        wait_for_marks(page)
    page.locator("#photos [aria-current]", has_text="old.png").wait_for()
    old, other = service.album.entries()
    assert (old.name, old.lost) == ("old.png", 0) and other.lost > 0
    wait_for_text(page, "#facts", "nothing marked")


def test_settings_before_the_first_restoration_belong_to_their_photograph(page, tmp_path):
    open_photo(page, photo(tmp_path))
    page.locator("details:not([open]) > summary").evaluate_all("all => all.forEach((one) => one.click())")
    page.locator("#saturation").fill("1.8")
    page.locator("#contrast").fill("0.6")
    page.check("#crop")
    open_photo(page, photo(tmp_path, "other.png"))
    assert (page.input_value("#saturation"), page.input_value("#contrast")) == ("1", "0")
    assert not page.is_checked("#crop")
    page.click("#previous")
    wait_for_text(page, "#facts", "old.png")
    page.locator("#photos [aria-current]", has_text="old.png").wait_for()  # it is shown completely
    assert page.input_value("#saturation") == "1.8"
    assert page.input_value("#contrast") == "0.6" and page.is_checked("#crop")


def test_a_double_click_closes_one_photograph(page, tmp_path):
    for name in ("a.png", "b.png", "c.png"):
        open_photo(page, photo(tmp_path, name))
    page.dblclick("#close")
    wait_for_text(page, "#facts", "b.png")
    assert page.locator("#photos li").count() == 2 and page.inner_text("#status") == ""


def test_the_time_of_a_restoration_is_right_after_a_reload(page, restorer, tmp_path):
    open_photo(page, photo(tmp_path))
    gate = hold(restorer)
    page.click("#restore")
    wait_for_text(page, "#busy-text", "Restoring… 4 s")
    page.reload()
    page.locator("#busy-text", has_text=re.compile("Restoring… [4-9] s")).wait_for(timeout=1500)
    gate.set()


def test_a_reload_keeps_marks_and_results(page, tmp_path):
    open_photo(page, photo(tmp_path))
    page.click("[data-tool=lasso]")
    drag(page, [(0.4, 0.4), (0.6, 0.4), (0.6, 0.6), (0.4, 0.6)])
    wait_for_marks(page)
    facts = page.inner_text("#facts")
    page.reload()
    wait_for_text(page, "#facts", facts)
    page.click("#restore")
    page.wait_for_selector("#compare-row:not([hidden])")
    page.reload()
    page.wait_for_selector("#compare-row:not([hidden])")


def test_changed_marks_are_not_forgotten_when_another_photograph_is_shown(page, tmp_path):
    open_photo(page, photo(tmp_path))
    page.click("#restore")
    wait_for_text(page, "#guide", "Then choose Repair, or save")
    page.click("[data-tool=brush]")
    drag(page, [(0.4, 0.4), (0.6, 0.5)])
    wait_for_text(page, "#guide", "Choose Restore again")
    open_photo(page, photo(tmp_path, "other.png"))
    page.click("#previous")
    wait_for_text(page, "#guide", "Your last changes are not in this result yet. Choose Restore again.")
    page.reload()
    wait_for_text(page, "#guide", "Choose Restore again")
    page.click("#restore.main")
    wait_for_text(page, "#guide", "Drag the line on the photo to compare, then save")
    page.click("#next")
    page.click("#previous")
    wait_for_text(page, "#guide", "Drag the line on the photo to compare, then save")
    assert page.locator("#restore").is_hidden()


def test_a_message_ends_with_the_next_success_and_with_another_photograph(page, tmp_path):
    open_photo(page, photo(tmp_path))
    small, large, right = (tmp_path / name for name in ("small.png", "large.png", "right.png"))
    io.write_png(small, np.zeros((50, 60), np.uint8))
    mask = np.full((96, 128), 255, np.uint8)
    mask[40:50, 40:50] = 0
    io.write_png(large, mask)
    io.write_png(right, 255 - mask)
    page.set_input_files("#mask-file", str(small))
    wait_for_text(page, "#status", "They are of another photo.")
    wait_for_text(page, "#guide", "Then choose Restore.")
    page.set_input_files("#mask-file", str(right))
    wait_for_text(page, "#facts", "0.81 % marked")
    page.wait_for_selector("#status:empty", state="attached")
    page.set_input_files("#mask-file", str(large))
    wait_for_text(page, "#guide", "99.2 % of the photo is marked now.")
    page.click("#restore")  # which clears messages
    page.wait_for_selector("#compare-row:not([hidden])")
    wait_for_text(page, "#guide", "99.2 % of the photo is marked now.")
    page.click("#clear")
    page.locator("#guide", has_not_text="99.2 %").wait_for()
    page.set_input_files("#mask-file", str(small))
    wait_for_text(page, "#status", "They are of another photo.")
    open_photo(page, photo(tmp_path, "other.png"))
    page.wait_for_selector("#status:empty", state="attached")


def test_a_second_photograph_that_cannot_be_used_is_named_until_the_next_action(page, tmp_path):
    open_photo(page, photo(tmp_path))
    page.click("#restore")
    wait_for_text(page, "#guide", "Then choose Repair, or save")
    bad = tmp_path / "notes.txt"
    bad.write_text("no picture")
    page.set_input_files("#reference-file", str(bad))
    wait_for_text(page, "#status", "the file is not a picture that toolbox knows.")
    page.wait_for_timeout(1500)  # longer than the pause before a restoration
    assert "the file is not a picture that toolbox knows." in page.inner_text("#status")
    assert page.locator("#reference-shown").is_hidden()


def test_marks_are_loaded_from_a_file_and_erased(page, tmp_path):
    open_photo(page, photo(tmp_path))
    mask = np.zeros((96, 128), np.uint8)
    mask[:, 60:] = 255
    io.write_png(tmp_path / "mask.png", mask)
    page.set_input_files("#mask-file", str(tmp_path / "mask.png"))
    wait_for_text(page, "#facts", "53.13 %")
    page.click("[data-tool=eraser]")
    drag(page, [(0.7, 0.2), (0.7, 0.8)])
    page.locator("#facts", has_not_text="53.13").wait_for()
    page.click("#clear")
    wait_for_text(page, "#facts", "nothing marked")


def test_marks_from_a_file_with_several_pictures_say_so(page, tmp_path):
    open_photo(page, photo(tmp_path))
    columns = np.arange(128)[None].repeat(96, 0)
    masks = [Image.fromarray(np.where(columns < edge, 255, 0).astype(np.uint8)) for edge in (32, 64)]
    masks[0].save(tmp_path / "mask.tif", save_all=True, append_images=masks[1:])
    page.set_input_files("#mask-file", str(tmp_path / "mask.tif"))
    wait_for_text(page, "#facts", "25 %")
    wait_for_text(page, "#guide", "The file has several pictures. Only the first one was used.")


def test_dropped_photographs_are_an_album_and_a_broken_file_is_named(page, tmp_path):
    good = photo(tmp_path).read_bytes()
    page.evaluate(
        """([good, broken]) => {
            const files = new DataTransfer();
            files.items.add(new File([new Uint8Array(good)], "a.png"));
            files.items.add(new File([new Uint8Array(broken)], "b.png"));
            files.items.add(new File([new Uint8Array(good)], "c.png"));
            document.dispatchEvent(new DragEvent("drop", {dataTransfer: files, bubbles: true, cancelable: true}));
        }""",
        [list(good), list(good[:40])],
    )
    page.locator("#photos li").nth(1).wait_for()
    wait_for_text(page, "#facts", "a.png")
    wait_for_text(page, "#status.error", "b.png can’t be opened")
    page.locator("#photos img[src]").nth(1).wait_for()
    page.click("#restore-all")
    page.locator("#photos li", has_text="✓").nth(1).wait_for()
    page.click("#next")
    wait_for_text(page, "#facts", "c.png")
    page.click("#close")
    wait_for_text(page, "#facts", "a.png")


def test_the_keyboard_alone_marks_and_restores(page, tmp_path):
    open_photo(page, photo(tmp_path))
    page.focus("#stage")
    for key in ("b", "ArrowRight", "Space", "ArrowDown", "Space"):
        page.keyboard.press(key)
    wait_for_marks(page)
    page.focus("#restore")
    page.keyboard.press("Enter")
    page.wait_for_selector("#compare-row:not([hidden])")
    unnamed = page.evaluate(
        """[...document.querySelectorAll("button, select, input:not([hidden]), canvas[role], [role=application]")]
            .filter((one) => !(one.textContent.trim() || one.getAttribute("aria-label") || one.closest("label")))
            .map((one) => one.id)"""
    )
    assert unnamed == []


def test_on_a_phone_in_korean_nothing_is_wider_than_the_screen(page, tmp_path):
    open_photo(page, photo(tmp_path))
    page.set_viewport_size(PHONE)
    page.select_option("#language", "ko")
    wait_for_text(page, "#restore", "복원")
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    assert page.evaluate("document.documentElement.lang") == "ko"
    # The result is on the screen, wherever the button was.
    page.evaluate("scrollTo(0, 9999)")
    assert page.locator("#frame").bounding_box()["y"] < 0
    page.click("#restore")
    page.wait_for_selector("#divider:not([hidden])")
    assert page.locator("#frame").bounding_box()["y"] >= -1


def test_a_server_that_has_ended_is_told_on_the_page(page, service, tmp_path):
    open_photo(page, photo(tmp_path))
    service.stop()
    page.wait_for_timeout(500)
    page.click("#restore")
    page.wait_for_selector("#status.error")


def test_a_page_without_the_token_says_what_to_do(browser, service):
    with browser.new_context() as context:
        page = context.new_page()
        page.goto(service.link.partition("#")[0])
        wait_for_text(page, "#status", "Open the link that toolbox serve printed last.")


def test_the_shipped_weights_restore_a_photograph_in_the_page(browser, tmp_path):
    """UPDATE_DOCS=1 writes the screenshot of README."""
    truth = io.read_rgb(sample.folder() / "photos" / "welder.jpg")
    path = tmp_path / "old.png"
    kinds = ("scratch", "fold", "tear")
    io.write_png(path, lay_damage(integer_luma(truth), np.random.default_rng(SEED), kinds=kinds, low=0.35, high=0.8)[0])
    with (
        running(tmp_path / "album") as service,
        browser.new_context(viewport={"width": 1280, "height": 860}, accept_downloads=True) as context,
    ):
        page = context.new_page()
        page.goto(service.link)
        wait_until_ready(page)
        open_photo(page, path)
        page.click("#restore")
        page.wait_for_selector("#compare-row:not([hidden])", timeout=120_000)
        with page.expect_download() as saved:
            page.click("#save")
        if os.environ.get("UPDATE_DOCS"):
            page.locator("#repair").wait_for(timeout=120_000)
        picture = page.screenshot(type="jpeg", quality=85)
        data = Path(saved.value.path()).read_bytes()
    assert len(picture) > 10_000
    if os.environ.get("UPDATE_DOCS"):
        (ROOT / "docs/pictures/page.jpg").write_bytes(picture)
    run_restore(path, "-o", tmp_path / "out", "--device", "cpu")
    assert data == (tmp_path / "out" / "old.png").read_bytes()
