"""Drills on checkpoints: the process killed while it saves, files with a bit turned or an end cut off."""

from __future__ import annotations

import itertools
import os
import random
import shutil
import signal
import tempfile
import time
from pathlib import Path

import pytest
import torch

from toolbox.config.binding import bind
from toolbox.config.recipe import read
from toolbox.distributed.accelerator import make_accelerator
from toolbox.hooks import catalog
from toolbox.models import weight_file
from toolbox.models.weight_file import WeightsHeader
from toolbox.training import checkpoint, run_dir, state
from toolbox.training.checkpoint import Progress
from toolbox.utils import files

TINY = ["generator.width=4", "generator.levels=2", "discriminator.width=4", "training.average=0.9"]

# A short form in every run of the tests, the full one as a drill.
KILLS = [8, pytest.param(200, marks=pytest.mark.drill)]
FLIPS = [40, pytest.param(2000, marks=pytest.mark.drill)]


@pytest.fixture(scope="module")
def built():
    loaded = catalog.load(third_party=False)
    plan = bind(read("default", lambda name: loaded.recipe(name).path, TINY), loaded)
    return state.build_state(plan, make_accelerator("cpu"))


def mark(built, number):
    """Make the state tell its number: every weight has it."""
    with torch.no_grad():
        for weight in built.generator.network.parameters():
            weight.fill_(number)


def child_saves(built, folder, first):
    """Fork a process that saves one checkpoint after the other, each the best so far, and return its number."""
    child = os.fork()
    if child:
        return child
    try:
        for number in itertools.count(first):
            mark(built, number)
            header = WeightsHeader(recipe="", step=number)
            checkpoint.save_network(folder.parent / weight_file.BEST, built.generator.network, header)
            checkpoint.save_checkpoint(folder, built, Progress(step=number, best=float(number), best_step=number))
    finally:
        os._exit(1)


@pytest.fixture(params=["here", "elsewhere"])
def temporary(request, tmp_path, monkeypatch):
    """Have the system's temporary folder on the disk of the run, or on another; return it."""
    place = tmp_path / "temporary"
    if request.param == "elsewhere":
        memory = Path("/dev/shm")
        if not os.access(memory, os.W_OK) or memory.stat().st_dev == tmp_path.stat().st_dev:
            pytest.skip("needs a second filesystem to write to (/dev/shm), which is not here")
        place = Path(tempfile.mkdtemp(dir=memory))
        request.addfinalizer(lambda: shutil.rmtree(place))
    place.mkdir(exist_ok=True)
    for name in ("TMPDIR", "TMP", "TEMP"):
        monkeypatch.setenv(name, str(place))
    monkeypatch.setattr(tempfile, "tempdir", None)
    assert tempfile.gettempdir() == str(place)
    return place


def demand_best(folder, built, least):
    """See that the best weights are whole and no older than `least`; return of which step they are, None if none."""
    path = folder / weight_file.BEST
    if not path.is_file():
        assert least is None
        return None
    checkpoint.load_network(path, built.generator.network)
    step = weight_file.read_header(path).step
    assert all(bool((weight == step).all()) for weight in built.generator.network.parameters())
    assert least is None or step >= least
    return step


@pytest.mark.parametrize("count", KILLS)
def test_killed_while_saving_the_newest_whole_state_is_there(tmp_path, built, count, temporary):
    chance = random.Random(count)
    folder = tmp_path / run_dir.CHECKPOINTS
    run_dir.prepare_run_dir(tmp_path)
    step, cut, best, longest = 0, 0, None, 0.12
    for _ in range(count):
        child = child_saves(built, folder, step + 1)
        time.sleep(chance.uniform(0.005, longest))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        cut += any(path.name.endswith(".tmp") for path in folder.iterdir())
        run_dir.prepare_run_dir(tmp_path)
        assert not [path for place in (folder, tmp_path) for path in place.iterdir() if path.name.startswith(".")]
        best = demand_best(tmp_path, built, best)
        newest, passed = checkpoint.newest_checkpoint(folder)
        assert not passed
        if newest is None:
            assert step == 0
            longest *= 1.5  # the machine is slow: not one save was through
            continue
        progress = checkpoint.load_checkpoint(newest, built)
        assert all(bool((weight == progress.step).all()) for weight in built.generator.network.parameters())
        assert progress.step >= step
        step = progress.step
        assert progress.best_step == step <= best
    # A kill while old ones are taken away leaves them to the next save.
    checkpoint.save_checkpoint(folder, built, Progress(step=step + 1))
    assert len(list(folder.iterdir())) == checkpoint.KEPT
    assert step > 0
    assert cut > 0, "no kill fell into a save, so this showed nothing"
    # Written aside in the same folder, so that renaming is enough wherever the temporary folder is.
    assert not list(temporary.iterdir())


@pytest.mark.parametrize("count", FLIPS)
def test_a_bit_turned_or_an_end_cut_off_is_noticed_and_named(tmp_path, built, count):
    chance = random.Random(count)
    for step in (1, 2):
        mark(built, step)
        checkpoint.save_checkpoint(tmp_path, built, Progress(step=step))
    newest, older = tmp_path / "step-00000002", tmp_path / "step-00000001"
    for number in range(count):
        path = chance.choice(sorted(newest.iterdir()))
        whole = path.read_bytes()
        damaged = bytearray(whole)
        if number % 4 == 0:
            del damaged[chance.randrange(len(damaged)) :]
        else:
            damaged[chance.randrange(len(damaged))] ^= 1 << chance.randrange(8)
        path.write_bytes(damaged)
        found, passed = checkpoint.newest_checkpoint(tmp_path)
        if path.name == checkpoint.MANIFEST and found == newest:
            # A manifest that says the same in other bytes (a space for a line break) is as good.
            assert checkpoint.find_damage(newest) is None
        else:
            assert found == older
            assert len(passed) == 1 and newest.name in passed[0]
            # A damaged manifest has another file look changed or missing.
            assert path.name in passed[0] or path.name == checkpoint.MANIFEST
        path.write_bytes(whole)
    assert checkpoint.newest_checkpoint(tmp_path) == (newest, ())


def test_a_second_save_of_a_step_leaves_the_first_until_it_is_whole(tmp_path, built, monkeypatch):
    mark(built, 1)
    checkpoint.save_checkpoint(tmp_path, built, Progress(step=1))
    monkeypatch.setattr(files, "write_json", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(Exception, match="No space left|full"):
        checkpoint.save_checkpoint(tmp_path, built, Progress(step=1))
    monkeypatch.undo()
    assert checkpoint.newest_checkpoint(tmp_path)[0] == tmp_path / "step-00000001"
    mark(built, 5)
    checkpoint.save_checkpoint(tmp_path, built, Progress(step=1))
    newest, _ = checkpoint.newest_checkpoint(tmp_path)
    checkpoint.load_checkpoint(newest, built)
    assert float(next(built.generator.network.parameters()).flatten()[0].detach()) == 5


def test_a_save_never_removes_what_it_has_just_written(tmp_path, built):
    for step in (200, 300):
        checkpoint.save_checkpoint(tmp_path, built, Progress(step=step))
        (tmp_path / f"step-{step:08d}" / checkpoint.MANIFEST).write_text("{", "utf-8")
    saved = checkpoint.save_checkpoint(tmp_path, built, Progress(step=50))
    assert checkpoint.find_damage(saved) is None
    assert checkpoint.newest_checkpoint(tmp_path)[0] == saved
    # What a run does that goes on: the damaged ones are out of the way, and hold no place any more.
    checkpoint.rename_damaged(tmp_path)
    later = [checkpoint.save_checkpoint(tmp_path, built, Progress(step=step)) for step in (60, 70)]
    names = ["damaged-step-00000300", *(path.name for path in later)]
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    assert checkpoint.newest_checkpoint(tmp_path) == (later[1], ())


def test_damaged_checkpoints_older_than_a_whole_one_stay(tmp_path, built):
    saved = [checkpoint.save_checkpoint(tmp_path, built, Progress(step=step)) for step in (1, 2)]
    (saved[0] / checkpoint.MANIFEST).write_text("{", "utf-8")
    checkpoint.rename_damaged(tmp_path)
    assert sorted(tmp_path.iterdir()) == saved


def test_of_many_saves_of_one_step_the_last_is_the_newest(tmp_path, built):
    for number in range(1, 13):
        saved = checkpoint.save_checkpoint(tmp_path, built, Progress(step=7, seconds=number))
        assert checkpoint.newest_checkpoint(tmp_path) == (saved, ())
        assert checkpoint.load_checkpoint(saved, built).seconds == number
        assert len(list(tmp_path.iterdir())) == min(number, checkpoint.KEPT)


def test_a_full_disk_leaves_the_old_checkpoint_byte_for_byte(tmp_path, built, monkeypatch):
    mark(built, 1)
    saved = checkpoint.save_checkpoint(tmp_path, built, Progress(step=1))
    before = {path.name: path.read_bytes() for path in saved.iterdir()}
    real, calls = files.write_bytes, itertools.count()
    total = len(before)
    for fails in range(total):
        calls = itertools.count()

        def write(path, data, fails=fails, calls=calls):
            if next(calls) == fails:
                raise OSError(28, "No space left on device")
            real(path, data)

        monkeypatch.setattr(files, "write_bytes", write)
        with pytest.raises(Exception, match="No space left|full"):
            checkpoint.save_checkpoint(tmp_path, built, Progress(step=2))
        monkeypatch.undo()
        assert [path.name for path in tmp_path.iterdir()] == [saved.name]
        assert {path.name: path.read_bytes() for path in saved.iterdir()} == before
    shutil.rmtree(tmp_path)
