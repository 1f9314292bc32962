"""Soak: training, validation, checkpoints and restoring in turn for half an hour, without growth.

`pytest -m soak` runs it; TOOLBOX_SOAK_MINUTES changes its length. The short form takes some 10 s. It checks file
descriptors and threads only, since memory needs longer to settle.
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
from toolbox.models.samples import sample_recipe
from toolbox.training import checkpoint, state, step, validate
from toolbox.training.checkpoint import Progress

MINUTES = [0.15, pytest.param(float(os.environ.get("TOOLBOX_SOAK_MINUTES", "30")), marks=pytest.mark.soak)]
TINY = ["generator.width=8", "discriminator.width=8", "training.average=0.9", "data.size=64", "data.workers=2"]
MAX_GROWTH = 0.01
STEPS = 4
PHOTOS = 4


def resident_bytes():
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def open_files():
    # The listing includes its own descriptor, which no longer exists.
    names = [name for name in os.listdir("/proc/self/fd") if os.path.lexists(f"/proc/self/fd/{name}")]
    return sorted(os.readlink(f"/proc/self/fd/{name}") for name in names)


class Round:
    """The work that is repeated in one process: some steps, a validation, a checkpoint, some photographs."""

    def __init__(self, folder):
        loaded = catalog.load(third_party=False)
        plan = bind(read("default", lambda name: loaded.recipe(name).path, TINY), loaded)
        self.accelerator = make_accelerator("cpu")
        self.state = state.build_state(plan, self.accelerator)
        recipe = sample_recipe(plan)
        items = tuple(folders.open_folder(None).items)
        self.training = loader.Samples(items=items, recipe=recipe, stream=loader.Stream.TRAIN)
        self.validation = loader.Samples(items=items[:4], recipe=recipe, stream=loader.Stream.VALIDATION)
        self.measures = {bound.label: build.build_component(bound) for bound in plan.metrics}
        self.restorer = toolbox.load_restorer("luma", device="cpu")
        self.folder, self.step = folder, 0
        self.random = np.random.default_rng(0)
        self.photo = integer_luma(io.read_rgb(io.find_images(sample.folder() / "photos")[0]))
        (folder / "in").mkdir()

    def train_and_save(self):
        keys = [[(self.step, 2 * index), (self.step, 2 * index + 1)] for index in range(STEPS)]
        batches = loader.iterate_batches(self.training, keys, 2, self.accelerator.device)
        for record in step.take_steps(self.state, batches, self.accelerator, seed=1, first=self.step):
            self.step = record.step + 1
        keys = loader.ordered_batches(4, 2)
        batches = loader.iterate_batches(self.validation, keys, 0, self.accelerator.device)
        validate.validate(self.state, batches, self.accelerator, self.measures, preview_count=2)
        saved = checkpoint.save_checkpoint(self.folder / "checkpoints", self.state, Progress(step=self.step))
        assert checkpoint.load_checkpoint(saved, self.state).step == self.step

    def restore(self):
        for index in range(PHOTOS):
            height, width = self.random.integers(16, self.photo.shape)
            io.write_png(self.folder / "in" / f"{index}.png", self.photo[:height, :width])
        (self.folder / "in" / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\n and no more")
        options = RestoreOptions(mask_options=MaskOptions(color=(0, 0, 0)), overwrite=True, before_after=True)
        jobs = output_paths.plan_jobs([self.folder / "in"], self.folder / "out")
        outcomes = restore_all(jobs, self.restorer, options)
        assert [outcome.status for outcome in outcomes] == ["restored"] * PHOTOS + ["failed"]

    def __call__(self):
        self.train_and_save()
        self.restore()


@pytest.mark.parametrize("minutes", MINUTES)
def test_nothing_grows(tmp_path, minutes, capsys):
    work = Round(tmp_path)
    (tmp_path / "checkpoints").mkdir()
    work()
    work()
    gc.collect()
    before = open_files(), threading.active_count()
    start, memory = time.monotonic(), []
    for count in itertools.count(1):
        work()
        gc.collect()
        memory.append((time.monotonic() - start, resident_bytes()))
        if memory[-1][0] > 60 * minutes and count >= 2:
            break
    after = open_files(), threading.active_count()
    assert after == before
    # The first fifth is the warm-up. Of the rest, the medians of the first and the last quarter are compared.
    settled = np.array([size for seconds, size in memory if seconds > 12 * minutes])
    quarter = len(settled) // 4 + 1
    first, last = np.median(settled[:quarter]), np.median(settled[-quarter:])
    with capsys.disabled():
        print(
            f"{count} rounds, {work.step} steps, {count * (PHOTOS + 1)} photographs in {minutes:g} minutes: "
            f"{first / 1e6:.1f} MB, then {last / 1e6:.1f} MB ({100 * (last / first - 1):+.2f} %), "
            f"{len(after[0])} descriptors, {after[1]} threads"
        )
    if minutes >= 1:
        assert last < (1 + MAX_GROWTH) * first
