"""A mask in the folder never passes for that of another photograph."""

from __future__ import annotations

import numpy as np
import pytest
from commands import invoke, invoke_error

from toolbox.imaging import io


@pytest.fixture
def folders(tmp_path):
    """Two folders with different photographs of the same name and size, and one of another size."""
    for number, shape in enumerate(((20, 24, 3), (20, 24, 3), (24, 20, 3))):
        pixels = np.random.default_rng(number).integers(0, 256, shape, np.uint8)
        (tmp_path / f"in{number}").mkdir()
        io.write_png(tmp_path / f"in{number}" / "photo.png", pixels)
    return [tmp_path / f"in{number}" / "photo.png" for number in range(3)]


def test_a_second_command_knows_its_own_masks(folders):
    invoke("mask", folders[0], "-o", "masks")
    assert "there already" in invoke("mask", folders[0], "-o", "masks").stdout


def test_a_mask_of_another_photograph_is_refused(folders):
    invoke("mask", folders[0], "-o", "masks")
    error = invoke_error("mask", folders[1], "-o", "masks", code=1)
    assert f"is the mask of {folders[0]}; replace it with --overwrite" in error
    invoke("mask", folders[1], "-o", "masks", "--overwrite")
    assert "there already" in invoke("mask", folders[1], "-o", "masks").stdout


def test_a_mask_of_an_earlier_version_of_the_photograph_is_refused(folders):
    invoke("mask", folders[0], "-o", "masks")
    folders[0].write_bytes(folders[1].read_bytes())
    assert "an earlier version of this photograph" in invoke_error("mask", folders[0], "-o", "masks", code=1)


@pytest.mark.parametrize("record", [None, b"{", b"[1]", b'{"photo.png": 3}'])
def test_a_mask_without_a_record_is_judged_by_its_size(folders, tmp_path, record):
    (tmp_path / "masks").mkdir()
    io.write_png(tmp_path / "masks" / "photo.png", np.full((20, 24), 255, np.uint8))
    if record is not None:
        (tmp_path / "masks" / ".masks.json").write_bytes(record)
    assert "there already" in invoke("mask", folders[0], "-o", "masks").stdout
    assert "24x20 pixels, and this photograph 20x24" in invoke_error("mask", folders[2], "-o", "masks", code=1)


def test_what_is_no_picture_is_no_mask(folders, tmp_path):
    (tmp_path / "masks" / "photo.png").mkdir(parents=True)
    assert "is a folder" in invoke_error("mask", folders[0], "-o", "masks", code=1)
