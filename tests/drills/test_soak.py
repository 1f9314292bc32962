"""A soak: training, validation, checkpoints and restoring by turns, for half an hour; nothing may grow.

`pytest -m soak` runs it; TOOLBOX_SOAK_MINUTES makes it shorter or longer. Memory is measured there alone, where there
is time for it to settle; descriptors and threads in the short form too, which takes some 10 s.
"""

from __future__ import annotations

import gc
import itertools
import os
import threading
import time
from pathlib import Path

import numpy as np
import pytest

import toolbox
from toolbox.color import integer_luma
from toolbox.config.binding import bind
from toolbox.config.recipe import read
from toolbox.data import folders, loader, sample
from toolbox.distributed.accelerator import make_accelerator
from toolbox.hooks import catalog
from toolbox.imaging import io
from toolbox.inference import output_paths
from toolbox.inference.batch import restore_all
from toolbox.inference.options import RestoreOptions
from toolbox.masks.sources import MaskOptions
from toolbox.models import build
from toolbox.training import checkpoint, run, state, validate
from toolbox.training import step as loop
from toolbox.training.checkpoint import Progress

MINUTES = [0.15, pytest.param(float(os.environ.get("TOOLBOX_SOAK_MINUTES", "30")), marks=pytest.mark.soak)]
TINY = ["generator.width=8", "discriminator.width=8", "training.average=0.9", "data.size=64", "data.workers=2"]
GROWTH = 0.01
STEPS = 4
PHOTOS = 4


def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def open_files():
    return sorted(os.readlink(f"/proc/self/fd/{name}") for name in os.listdir("/proc/self/fd") if there(name))


def there(name):
    # The listing has the descriptor that it was itself read by.
    return os.path.lexists(f"/proc/self/fd/{name}")


class Round:
    """What is done over and over, in one process: some steps, a validation, a checkpoint, some photographs."""

    def __init__(self, folder):
        loaded = catalog.load(third_party=False)
        plan = bind(read("default", lambda name: loaded.recipe(name).path, TINY), loaded)
        self.accelerator = make_accelerator("cpu")
        self.parts = state.build_state(plan, self.accelerator)
        how = run.sample_recipe(plan)
        items = tuple(folders.open_folder(None).items)
        self.training = loader.Samples(items=items, recipe=how, stream=loader.Stream.TRAIN)
        self.held_out = loader.Samples(items=items[:4], recipe=how, stream=loader.Stream.VALIDATION)
        self.measures = {bound.label: build.build_component(bound) for bound in plan.metrics}
        self.restorer = toolbox.load_restorer("luma", device="cpu")
        self.folder, self.step = folder, 0
        self.random = np.random.default_rng(0)
        self.photo = integer_luma(io.read_rgb(io.find_images(sample.folder() / "photos")[0]))
        (folder / "in").mkdir()

    def __call__(self):
        keys = [[(self.step, 2 * index), (self.step, 2 * index + 1)] for index in range(STEPS)]
        batches = loader.iterate_batches(self.training, keys, 2, self.accelerator.device)
        for record in loop.take_steps(self.parts, batches, self.accelerator, seed=1, first=self.step):
            self.step = record.step + 1
        held_out = loader.iterate_batches(self.held_out, loader.ordered_batches(4, 2), 0, self.accelerator.device)
        validate.validate(self.parts, held_out, self.accelerator, self.measures, previews=2)
        saved = checkpoint.save_checkpoint(self.folder / "checkpoints", self.parts, Progress(step=self.step))
        assert checkpoint.load_checkpoint(saved, self.parts).step == self.step
        for index in range(PHOTOS):
            height, width = self.random.integers(16, self.photo.shape)
            io.write_png(self.folder / "in" / f"{index}.png", self.photo[:height, :width])
        (self.folder / "in" / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\n and no more")
        options = RestoreOptions(mask_options=MaskOptions(color=(0, 0, 0)), overwrite=True, before_after=True)
        outcomes = restore_all(
            output_paths.plan_jobs([self.folder / "in"], self.folder / "out"), self.restorer, options
        )
        assert [one.status for one in outcomes] == ["restored"] * PHOTOS + ["failed"]


@pytest.mark.parametrize("minutes", MINUTES)
def test_hour_after_hour_nothing_grows(tmp_path, minutes, capsys):
    once = Round(tmp_path)
    (tmp_path / "checkpoints").mkdir()
    once()
    once()
    gc.collect()
    before = open_files(), threading.active_count()
    began, memory = time.monotonic(), []
    for count in itertools.count(1):
        once()
        gc.collect()
        memory.append((time.monotonic() - began, resident()))
        if memory[-1][0] > 60 * minutes and count >= 2:
            break
    after = open_files(), threading.active_count()
    assert after == before
    settled = np.array([size for seconds, size in memory if seconds > 12 * minutes])
    # Between the medians of the first and the last quarter of what followed the warm-up of a fifth.
    first, last = (np.median(part) for part in (settled[: len(settled) // 4 + 1], settled[-(len(settled) // 4 + 1) :]))
    with capsys.disabled():
        print(
            f"{count} rounds, {once.step} steps, {count * (PHOTOS + 1)} photographs in {minutes:g} minutes: "
            f"{first / 1e6:.1f} MB, then {last / 1e6:.1f} MB ({100 * (last / first - 1):+.2f} %), "
            f"{len(after[0])} descriptors, {after[1]} threads"
        )
    if minutes >= 1:
        assert last < (1 + GROWTH) * first
