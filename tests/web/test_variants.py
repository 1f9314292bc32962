"""Other colourings and a palette in the page: the same pixels as with the command."""

from __future__ import annotations

import pytest
from page_server import add, call, restore
from standins import run_restore

from toolbox.data import sample
from toolbox.imaging import io


@pytest.fixture
def restorer():
    """Use the shipped weights."""


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
    call(service, "PUT", f"/api/photos/{photo_id}/reference?name=palette.jpg", second.read_bytes())
    assert restore(service, photo_id, second="colours")["state"] == "restored"
    run_restore(tmp_path / "old.png", "-o", tmp_path / "palette", "--palette", second, "--device", "cpu")
    assert call(service, "GET", f"/api/photos/{photo_id}/result")[1] == (tmp_path / "palette/old.png").read_bytes()
