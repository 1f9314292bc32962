"""Drill on checkpoints: the process is killed while it saves; files are damaged or cut off."""

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
from toolbox.utils.run_names import BEST

TINY = ["generator.width=4", "generator.levels=2", "discriminator.width=4", "training.average=0.9"]

# The short form is part of every test run, the long one is a drill.
KILLS = [8, pytest.param(200, marks=pytest.mark.drill)]
DAMAGES = [40, pytest.param(2000, marks=pytest.mark.drill)]


@pytest.fixture(scope="module")
def built():
    loaded = catalog.load(third_party=False)
    plan = bind(read("default", lambda name: loaded.recipe(name).path, TINY), loaded)
    return state.build_state(plan, make_accelerator("cpu"))


def set_weights(built, number):
    """Set every weight of the generator to `number`."""
    with torch.no_grad():
        for weight in built.generator.network.parameters():
            weight.fill_(number)


def start_saving(built, folder, first):
    """Fork a process that saves checkpoint after checkpoint, each the best so far; return its process ID."""
    child = os.fork()
    if child:
        return child
    try:
        for number in itertools.count(first):
            set_weights(built, number)
            header = WeightsHeader(recipe="", step=number)
            checkpoint.save_network(folder.parent / BEST, built.generator.network, header)
            checkpoint.save_checkpoint(folder, built, Progress(step=number, best=float(number), best_step=number))
    finally:
        os._exit(1)


@pytest.fixture(params=["same disk", "other disk"])
def temporary(request, tmp_path, monkeypatch):
    """Put the system's temporary folder on the disk of the run, or on another one; return it."""
    folder = tmp_path / "temporary"
    if request.param == "other disk":
        memory = Path("/dev/shm")
        if not os.access(memory, os.W_OK) or memory.stat().st_dev == tmp_path.stat().st_dev:
            pytest.skip("needs a second writable filesystem (/dev/shm), which is missing")
        folder = Path(tempfile.mkdtemp(dir=memory))
        request.addfinalizer(lambda: shutil.rmtree(folder))
    folder.mkdir(exist_ok=True)
    for name in ("TMPDIR", "TMP", "TEMP"):
        monkeypatch.setenv(name, str(folder))
    monkeypatch.setattr(tempfile, "tempdir", None)
    assert tempfile.gettempdir() == str(folder)
    return folder


def require_best(folder, built, least):
    """Check that the best weights are undamaged and no older than `least`; return their step, or None."""
    path = folder / BEST
    if not path.is_file():
        assert least is None
        return None
    checkpoint.load_network(path, built.generator.network)
    step = weight_file.read_header(path).step
    assert all(bool((weight == step).all()) for weight in built.generator.network.parameters())
    assert least is None or step >= least
    return step


@pytest.mark.parametrize("count", KILLS)
def test_after_a_kill_while_saving_the_newest_complete_state_is_found(tmp_path, built, count, temporary):
    chance = random.Random(count)
    folder = tmp_path / run_dir.CHECKPOINTS
    run_dir.prepare_run_dir(tmp_path)
    step, interrupted_saves, best, longest, kills = 0, 0, None, 0.12, 0
    # On a busy machine, a few kills may miss every save, or prevent every save: then there are more of them.
    while kills < count or (kills < 20 * count and not (step and interrupted_saves)):
        kills += 1
        child = start_saving(built, folder, step + 1)
        time.sleep(chance.uniform(0.005, longest))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        interrupted_saves += any(path.name.endswith(".tmp") for path in folder.iterdir())
        run_dir.prepare_run_dir(tmp_path)
        assert not [path for parent in (folder, tmp_path) for path in parent.iterdir() if path.name.startswith(".")]
        best = require_best(tmp_path, built, best)
        newest, warnings = checkpoint.newest_checkpoint(folder)
        assert not warnings
        if newest is None:
            assert step == 0
            longest *= 1.5  # the machine is slow: no save was complete
            continue
        progress = checkpoint.load_checkpoint(newest, built)
        assert all(bool((weight == progress.step).all()) for weight in built.generator.network.parameters())
        assert progress.step >= step
        step = progress.step
        assert progress.best_step == step <= best
    # Old checkpoints that were left by a kill are deleted by the next save.
    checkpoint.save_checkpoint(folder, built, Progress(step=step + 1))
    assert len(list(folder.iterdir())) == checkpoint.MAX_CHECKPOINTS
    assert step > 0
    assert interrupted_saves > 0, "no kill interrupted a save"
    # Temporary files are in the folder of the checkpoints, so that they can be renamed.
    assert not list(temporary.iterdir())


@pytest.mark.parametrize("count", DAMAGES)
def test_a_changed_bit_or_a_missing_end_is_noticed_and_named(tmp_path, built, count):
    chance = random.Random(count)
    for step in (1, 2):
        set_weights(built, step)
        checkpoint.save_checkpoint(tmp_path, built, Progress(step=step))
    newest, older = tmp_path / "step-00000002", tmp_path / "step-00000001"
    for number in range(count):
        path = chance.choice(sorted(newest.iterdir()))
        original = path.read_bytes()
        damaged = bytearray(original)
        if number % 4 == 0:
            del damaged[chance.randrange(len(damaged)) :]
        else:
            damaged[chance.randrange(len(damaged))] ^= 1 << chance.randrange(8)
        path.write_bytes(damaged)
        newest_valid, warnings = checkpoint.newest_checkpoint(tmp_path)
        if path.name == checkpoint.MANIFEST and newest_valid == newest:
            # A manifest with the same content in other bytes (a space for a line break) is valid.
            assert checkpoint.find_damage(newest) is None
        else:
            assert newest_valid == older
            assert len(warnings) == 1 and newest.name in warnings[0]
            # With a damaged manifest another file seems to be changed or missing.
            assert path.name in warnings[0] or path.name == checkpoint.MANIFEST
        path.write_bytes(original)
    assert checkpoint.newest_checkpoint(tmp_path) == (newest, ())


def test_a_second_save_of_a_step_keeps_the_first_until_it_is_complete(tmp_path, built, monkeypatch):
    set_weights(built, 1)
    checkpoint.save_checkpoint(tmp_path, built, Progress(step=1))
    monkeypatch.setattr(files, "write_json", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(Exception, match="No space left|full"):
        checkpoint.save_checkpoint(tmp_path, built, Progress(step=1))
    monkeypatch.undo()
    assert checkpoint.newest_checkpoint(tmp_path)[0] == tmp_path / "step-00000001"
    set_weights(built, 5)
    checkpoint.save_checkpoint(tmp_path, built, Progress(step=1))
    newest, _ = checkpoint.newest_checkpoint(tmp_path)
    checkpoint.load_checkpoint(newest, built)
    assert float(next(built.generator.network.parameters()).flatten()[0].detach()) == 5


def test_a_save_never_deletes_the_checkpoint_that_it_has_just_written(tmp_path, built):
    for step in (200, 300):
        checkpoint.save_checkpoint(tmp_path, built, Progress(step=step))
        (tmp_path / f"step-{step:08d}" / checkpoint.MANIFEST).write_text("{", "utf-8")
    saved = checkpoint.save_checkpoint(tmp_path, built, Progress(step=50))
    assert checkpoint.find_damage(saved) is None
    assert checkpoint.newest_checkpoint(tmp_path)[0] == saved
    # A resumed run renames the damaged ones first, so that they no longer count.
    checkpoint.rename_damaged(tmp_path)
    later = [checkpoint.save_checkpoint(tmp_path, built, Progress(step=step)) for step in (60, 70)]
    names = ["damaged-step-00000300", *(path.name for path in later)]
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    assert checkpoint.newest_checkpoint(tmp_path) == (later[1], ())


def test_damaged_checkpoints_older_than_an_undamaged_one_are_kept(tmp_path, built):
    saved = [checkpoint.save_checkpoint(tmp_path, built, Progress(step=step)) for step in (1, 2)]
    (saved[0] / checkpoint.MANIFEST).write_text("{", "utf-8")
    checkpoint.rename_damaged(tmp_path)
    assert sorted(tmp_path.iterdir()) == saved


def test_the_last_of_many_saves_of_one_step_is_the_newest(tmp_path, built):
    for number in range(1, 13):
        saved = checkpoint.save_checkpoint(tmp_path, built, Progress(step=7, seconds=number))
        assert checkpoint.newest_checkpoint(tmp_path) == (saved, ())
        assert checkpoint.load_checkpoint(saved, built).seconds == number
        assert len(list(tmp_path.iterdir())) == min(number, checkpoint.MAX_CHECKPOINTS)


def test_a_full_disk_leaves_the_old_checkpoint_unchanged(tmp_path, built, monkeypatch):
    set_weights(built, 1)
    saved = checkpoint.save_checkpoint(tmp_path, built, Progress(step=1))
    before = {path.name: path.read_bytes() for path in saved.iterdir()}
    original = files.write_bytes
    for failing_call in range(len(before)):
        calls = itertools.count()

        def write(path, data, failing_call=failing_call, calls=calls):
            if next(calls) == failing_call:
                raise OSError(28, "No space left on device")
            original(path, data)

        monkeypatch.setattr(files, "write_bytes", write)
        with pytest.raises(Exception, match="No space left|full"):
            checkpoint.save_checkpoint(tmp_path, built, Progress(step=2))
        monkeypatch.undo()
        assert [path.name for path in tmp_path.iterdir()] == [saved.name]
        assert {path.name: path.read_bytes() for path in saved.iterdir()} == before
    shutil.rmtree(tmp_path)
