"""The drill on scans: twenty damaged prints, simulated, through the commands of the README alone.

With SCANS=FOLDER the scans and what became of them are kept there, to be looked at.
"""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner
from scans import corner, printed, rectangle, scanned, spots, tears

from toolbox.cli import main
from toolbox.color import integer_luma
from toolbox.data import sample
from toolbox.imaging import io

# How a print was damaged, the level that shows there, how it was scanned, and what the README says to do.
KINDS = {
    "flat": (rectangle, 60, "png", ()),
    "white-tears": (tears, 255, "jpeg", ("--color", "#ffffff", "--tolerance", "12", "--grow", "3")),
    "black-tears": (tears, 0, "jpeg", ("--color", "#000000", "--tolerance", "12", "--grow", "3")),
    "stains": (spots, 120, "jpeg", ("--mask", "mask.png", "--grow", "3")),
    "torn-off": (corner, 0, "cut", ()),
}
LOOKS = ("plain", "grain", "sepia", "faded")
CASES = [(kind, look) for kind in KINDS for look in LOOKS]
SHORT = [("white-tears", "grain"), ("flat", "sepia")]


@pytest.mark.parametrize(
    ("kind", "look"),
    [pytest.param(*case, marks=() if case in SHORT else pytest.mark.drill, id="-".join(case)) for case in CASES],
)
def test_a_damaged_print_is_restored(tmp_path, kind, look):
    index = CASES.index((kind, look))
    random = np.random.default_rng(index)
    shape, level, how, options = KINDS[kind]
    photo = io.read_rgb(io.find_images(sample.folder() / "photos")[index])
    sound = printed(photo, look, random)
    scan = scanned(sound, shape(sound.shape[:2], random), level, how)
    folder = Path(os.environ["SCANS"], f"{kind}-{look}") if "SCANS" in os.environ else tmp_path
    folder.mkdir(parents=True, exist_ok=True)
    old = folder / f"old{scan.suffix}"
    old.write_bytes(scan.file)
    io.write_png(folder / "mask.png", scan.lost.astype(np.uint8) * 255)
    words = [str(folder / word) if word == "mask.png" else word for word in options]
    done = CliRunner().invoke(main, ["restore", str(old), "-o", str(folder / "restored"), "--overwrite", *words])
    assert done.exit_code == 0, done.output
    restored = io.read_rgb(folder / "restored" / "old.png")
    assert restored.shape == (*scan.lost.shape, 3)
    # Right at its border what is filled in is nearer to the print than the damage was, by half at least; what was in
    # the middle of a large hole nobody can know.
    whole = integer_luma(np.repeat(sound[..., None], 3, 2) if sound.ndim == 2 else sound)
    found, lost = integer_luma(restored), scan.lost
    border = lost & cv2.dilate((~lost).astype(np.uint8), np.ones((3, 3))).astype(bool)
    before, after = (np.abs(one - whole[border].astype(float)).mean() for one in (level, found[border]))
    assert after < 0.5 * before, f"{after:.1f} of {before:.1f}"
    # Elsewhere the luma is the scan's, but where it has the color of the damage itself.
    away = ~cv2.dilate(lost.astype(np.uint8), np.ones((25, 25))).astype(bool)
    stored = integer_luma(io.read_rgb(old)) if how != "cut" else whole
    assert (found == stored)[away].mean() > 0.9
    assert np.ptp(restored.astype(int), axis=2).mean() > 2, "no colour"
