"""Drill: twenty simulated scans of damaged prints are restored with the options that docs/restore.md names.

With SCANS=FOLDER the scans and the results are written there, so that you can look at them.
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

# The shape and the gray level of the damage, the format of the scan, and the options that docs/restore.md names for it.
KINDS = {
    "flat": (rectangle, 60, "png", ()),
    "white-tears": (tears, 255, "jpeg", ("--color", "#ffffff", "--tolerance", "12", "--grow", "3")),
    "black-tears": (tears, 0, "jpeg", ("--color", "#000000", "--tolerance", "12", "--grow", "3")),
    "stains": (spots, 120, "jpeg", ("--mask", "mask.png", "--grow", "3")),
    "torn-off": (corner, 0, "cut", ()),
}
LOOKS = ("plain", "grain", "sepia", "faded")
CASES = [(kind, look) for kind in KINDS for look in LOOKS]
# These holes cover faces. For faces README names this option: no fill can know a head, and the default copies other
# parts of the photograph there. (With "plain", the border of the default is 21.8 levels off, that of the smooth fill
# 15.9. With "grain", both are 15 levels off.)
FACES = {("flat", "plain"): ("--fill", "smooth"), ("flat", "grain"): ("--fill", "smooth")}
SHORT = [("white-tears", "grain"), ("flat", "sepia")]


@pytest.mark.parametrize(
    ("kind", "look"),
    [pytest.param(*case, marks=() if case in SHORT else pytest.mark.drill, id="-".join(case)) for case in CASES],
)
def test_a_damaged_print_is_restored(tmp_path, kind, look):
    index = CASES.index((kind, look))
    random = np.random.default_rng(index)
    shape, level, file_format, options = KINDS[kind]
    photo = io.read_rgb(io.find_images(sample.folder() / "photos")[index])
    undamaged = printed(photo, look, random)
    scan = scanned(undamaged, shape(undamaged.shape[:2], random), level, file_format)
    folder = Path(os.environ["SCANS"], f"{kind}-{look}") if "SCANS" in os.environ else tmp_path
    folder.mkdir(parents=True, exist_ok=True)
    old = folder / f"old{scan.suffix}"
    old.write_bytes(scan.file)
    io.write_png(folder / "mask.png", scan.lost.astype(np.uint8) * 255)
    words = [str(folder / word) if word == "mask.png" else word for word in (*options, *FACES.get((kind, look), ()))]
    result = CliRunner().invoke(main, ["restore", str(old), "-o", str(folder / "restored"), "--overwrite", *words])
    assert result.exit_code == 0, result.output
    restored = io.read_rgb(folder / "restored" / "old.png")
    assert restored.shape == (*scan.lost.shape, 3)
    # At the border of the damage the filling is at most half as far from the print as the damage was. What was in the
    # middle of a large hole is unknown.
    truth = integer_luma(np.repeat(undamaged[..., None], 3, 2) if undamaged.ndim == 2 else undamaged)
    luma, lost = integer_luma(restored), scan.lost
    border = lost & cv2.dilate((~lost).astype(np.uint8), np.ones((3, 3))).astype(bool)
    before, after = (np.abs(values - truth[border].astype(float)).mean() for values in (level, luma[border]))
    assert after < 0.5 * before, f"{after:.1f} of {before:.1f}"
    # Elsewhere the luma is that of the scan, except where the scan has the colour of the damage.
    outside = ~cv2.dilate(lost.astype(np.uint8), np.ones((25, 25))).astype(bool)
    stored = integer_luma(io.read_rgb(old)) if file_format != "cut" else truth
    assert (luma == stored)[outside].mean() > 0.9
    assert np.ptp(restored.astype(int), axis=2).mean() > 2, "no colour"
