"""Other colourings and a palette in the page: the same pixels as with the command."""

from __future__ import annotations

import pytest
from browser_page import open_photo
from page_server import add, call, restore, wait_until
from standins import run_restore

from toolbox.data import sample
from toolbox.imaging import io


@pytest.fixture
def restorer():
    """Use the shipped weights."""


def variant_picture(service, photo_id, number, tmp_path):
    status, data = call(service, "GET", f"/api/photos/{photo_id}/variants/{number}")
    assert status == 200
    (tmp_path / "small.png").write_bytes(data)
    return io.read_rgb(tmp_path / "small.png")


def chosen(service):
    """Return the number of the colouring of the only photograph."""
    return call(service, "GET", "/api/photos")[1][0]["settings"]["variant"]


def test_variants_and_a_palette_give_the_pixels_of_the_command(service, tmp_path):
    first, second = io.find_images(sample.folder() / "photos")[:2]
    gray = io.read_gray(first)[:96, :128]
    io.write_png(tmp_path / "old.png", gray)
    photo_id = add(service, tmp_path / "old.png")["id"]
    assert call(service, "GET", "/api/choices")[1]["settings"]["variant"] == [1, 2, 3, 4]
    run_restore(tmp_path / "old.png", "-o", tmp_path / "out", "--variants", "4", "--device", "cpu")
    pictures = []
    for number in (1, 3):
        restore(service, photo_id, variant=number)
        (tmp_path / "page.png").write_bytes(call(service, "GET", f"/api/photos/{photo_id}/result")[1])
        pictures.append(io.read_rgb(tmp_path / "page.png"))
        (wanted,) = (tmp_path / "out").glob(f"*v{number}.png")
        assert (pictures[-1] == io.read_rgb(wanted)).all()
    assert (pictures[0] != pictures[1]).any()
    # The result is of variant 3: its small picture is the result, and the others have other colours.
    small = {number: variant_picture(service, photo_id, number, tmp_path) for number in (1, 2, 3, 4)}
    assert (small[3] == pictures[1]).all() and (small[1] == pictures[0]).all()
    assert len({picture.tobytes() for picture in small.values()}) == 4
    assert call(service, "GET", f"/api/photos/{photo_id}/variants/5")[0] == 404
    call(service, "PUT", f"/api/photos/{photo_id}/reference?name=palette.jpg", second.read_bytes())
    assert restore(service, photo_id, second="colours")["state"] == "restored"
    run_restore(tmp_path / "old.png", "-o", tmp_path / "palette", "--palette", second, "--device", "cpu")
    assert call(service, "GET", f"/api/photos/{photo_id}/result")[1] == (tmp_path / "palette/old.png").read_bytes()
    assert restore(service, photo_id, second="colours", variant=2)["state"] == "restored"
    run_restore(
        *(tmp_path / "old.png", "-o", tmp_path / "both", "--palette", second, "--variants", "2", "--device", "cpu")
    )
    (wanted,) = (tmp_path / "both").glob("*v2.png")
    (tmp_path / "page.png").write_bytes(call(service, "GET", f"/api/photos/{photo_id}/result")[1])
    assert (io.read_rgb(tmp_path / "page.png") == io.read_rgb(wanted)).all()


def test_small_pictures_of_the_colourings_are_chosen_by_a_click_or_the_keyboard(page, service, tmp_path):
    io.write_png(tmp_path / "old.png", io.read_gray(io.find_images(sample.folder() / "photos")[0])[:96, :128])
    open_photo(page, tmp_path / "old.png")
    page.click("#colours summary")
    assert page.locator("#variants-row").is_hidden()
    page.click("#restore")
    page.locator("#variants img[src]").nth(3).wait_for()
    names = page.eval_on_selector_all("#variants button", "all => all.map((one) => one.ariaLabel)")
    assert names == ["Colours 1", "Colours 2", "Colours 3", "Colours 4"]
    page.click("#variants button >> nth=2")
    wait_until(lambda: chosen(service) == 3)
    assert page.locator("#variants [aria-pressed=true]").get_attribute("aria-label") == "Colours 3"
    page.focus("#variants button >> nth=1")
    page.keyboard.press("Enter")
    wait_until(lambda: chosen(service) == 2)
