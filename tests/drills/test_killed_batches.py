"""Drill: `toolbox restore` that is killed at random moments leaves only complete results; a rerun adds the others."""

from __future__ import annotations

import hashlib
import os
import random
import signal
import time

import numpy as np
import pytest
from forking import start_command, wait

from toolbox.color import integer_luma
from toolbox.data import sample
from toolbox.imaging import io

KILLS = [2, pytest.param(50, marks=pytest.mark.drill)]
PHOTOS = 24


@pytest.mark.parametrize("kills", KILLS)
def test_killed_batches_leave_no_partial_picture(tmp_path, kills):
    folder, out, complete = tmp_path / "in", tmp_path / "out", tmp_path / "complete"
    folder.mkdir()
    photo = integer_luma(io.read_rgb(io.find_images(sample.folder() / "photos")[0]))[:96, :128]
    for index in range(PHOTOS):
        io.write_png(folder / f"{index:02d}.png", np.roll(photo, 3 * index, axis=1))
    before = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}
    words = ["restore", folder, "--mask", "none", "--before-after", "--device", "cpu", "-o"]
    started = time.monotonic()
    assert wait(start_command(*words, complete)) == 0
    duration = time.monotonic() - started
    expected = {path.name: path.read_bytes() for path in complete.glob("*.png")}
    assert len(expected) == 2 * PHOTOS
    rng = random.Random(kills)
    killed = 0
    for _ in range(4 * kills):
        if killed == kills:
            break
        child = start_command(*words, out, *(["--overwrite"] if rng.random() < 0.5 else []))
        time.sleep(rng.uniform(0.2, 1) * duration)
        os.kill(child, signal.SIGKILL)
        if wait(child) == -signal.SIGKILL:
            killed += 1
        else:
            # It had finished before: the first run was slower, or the machine is faster now.
            duration *= 0.9
        for path in out.glob("*.png") if out.is_dir() else ():
            assert path.read_bytes() == expected[path.name], path.name
    assert killed == kills
    assert wait(start_command(*words, out)) == 0
    assert {path.name for path in out.glob("*.png")} == set(expected)
    assert not list(out.glob(".*"))
    assert before == {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}
