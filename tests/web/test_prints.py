"""Corrected prints in the page: the same bytes as with the command, and the cut print to compare with."""

from __future__ import annotations

import pytest
from browser_page import open_photo, wait_for_text
from page_server import add, call, restore
from prints import fade, on_table, picture, yellowed
from standins import run_restore

from toolbox.imaging import io


def table_photo(tmp_path):
    io.write_png(tmp_path / "old.png", on_table(fade(picture()))[0])
    return tmp_path / "old.png"


def blue_table_photo(tmp_path):
    """Write a photograph in colour, which shows a yellowed gray print."""
    io.write_png(tmp_path / "old.png", on_table(yellowed(picture(240, 320))[..., ::-1])[0][..., ::-1])
    return tmp_path / "old.png"


def result(service, photo_id):
    status, data = call(service, "GET", f"/api/photos/{photo_id}/result")
    assert status == 200
    return data


@pytest.mark.parametrize(
    ("settings", "options"),
    [
        (
            {"contrast": 0.8, "cast": 0.5, "evenness": 1, "crop": "print"},
            ("--contrast", "0.8", "--cast", "0.5", "--evenness", "1", "--crop", "print"),
        ),
        ({"auto": True, "evenness": 0.5}, ("--auto", "--evenness", "0.5")),
    ],
    ids=["by hand", "auto"],
)
def test_a_print_is_corrected_to_the_bytes_of_the_command(service, tmp_path, settings, options):
    path = table_photo(tmp_path)
    photo_id = add(service, path)["id"]
    entry = restore(service, photo_id, **settings)
    assert entry["state"] == "restored" and entry["settings"] == settings, entry
    run_restore(path, "-o", tmp_path / "out", *options)
    data = result(service, photo_id)
    assert data == (tmp_path / "out/old.png").read_bytes()
    (tmp_path / "page.png").write_bytes(data)
    status, sheet = call(service, "GET", f"/api/photos/{photo_id}/sheet")
    (tmp_path / "sheet.png").write_bytes(sheet if status == 200 else path.read_bytes())
    assert io.read_rgb(tmp_path / "sheet.png").shape == io.read_rgb(tmp_path / "page.png").shape
    assert (status == 200) == (io.read_rgb(path).shape != io.read_rgb(tmp_path / "page.png").shape)


def test_the_kind_is_that_of_the_print_that_was_restored(service, tmp_path):
    photo_id = add(service, blue_table_photo(tmp_path))["id"]
    assert call(service, "GET", f"/api/photos/{photo_id}")[1]["kind"] == "colour"
    entry = restore(service, photo_id, auto=True)
    assert entry["kind"] == "toned" and "tone replaced by colours" in entry["notes"]
    assert restore(service, photo_id)["kind"] == "colour"


def test_a_colour_photograph_that_needs_nothing_is_a_result_that_says_so(service, tmp_path):
    io.write_png(tmp_path / "sound.png", picture())
    photo_id = add(service, tmp_path / "sound.png")["id"]
    entry = restore(service, photo_id, auto=True)
    assert entry["state"] == "restored" and entry["notes"][0] == "it needs nothing"
    assert call(service, "GET", f"/api/photos/{photo_id}/sheet")[0] == 404


def test_the_cut_print_is_compared_and_a_brush_shows_the_whole_photograph(page, tmp_path):
    open_photo(page, table_photo(tmp_path))
    page.click("#print summary")
    page.check("#crop")
    page.click("#restore")
    wait_for_text(page, "#guide", "The print was cut out")
    assert "sheet" not in page.inner_text("#guide")
    sizes = "['before', 'restored', 'photo'].map((id) => document.getElementById(id).width)"
    before, restored, whole = page.evaluate(sizes)
    assert before == restored < whole
    assert page.locator("#before").is_visible() and not page.locator("#photo").is_visible()
    page.click("[data-tool=brush]")
    assert page.locator("#photo").is_visible() and not page.locator("#restored").is_visible()
    assert page.locator("#divider").is_hidden()
    page.click("[data-tool=move]")
    assert page.locator("#before").is_visible() and page.locator("#divider").is_visible()
    page.check("#auto")
    assert page.locator("#crop").is_hidden()


def test_the_page_offers_what_the_cut_print_allows(page, tmp_path):
    open_photo(page, blue_table_photo(tmp_path))
    page.click("#colours summary")
    assert page.locator("#recolor-row").is_visible() and page.locator("#tone-row").is_hidden()
    page.click("#print summary")
    page.check("#auto")
    page.click("#restore")
    wait_for_text(page, "#facts", "one tone")
    assert page.locator("#recolor-row").is_hidden() and page.locator("#tone-row").is_visible()
