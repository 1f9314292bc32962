"""A command that SIGTERM, SIGHUP or Ctrl-C ends deletes its temporary files and folders. About 5 s."""

from __future__ import annotations

import importlib
import os
import signal
import time

import numpy as np
import pytest
from forking import start_command, wait

from toolbox.imaging import io
from toolbox.utils import signals

# The command, and the function that is running when the signal comes.
COMMANDS = {
    "data damage": (["data", "damage", "photos", "-o", "out"], "toolbox_plugins.sources.damage._read"),
    "data pack": (["data", "pack", "photos", "out"], "toolbox_plugins.sources.pack._read"),
    "data pack, a database": (["data", "pack", "photos", "out.lmdb"], "toolbox_plugins.sources.pack._read"),
    "mask": (["mask", "photos", "-o", "out"], "os.replace"),
    "score": (["score", "photos", "photos", "--csv", "out.csv"], "os.replace"),
    "weights export": (["weights", "export", "luma", "out.onnx"], "torch.onnx.export"),
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / "photos").mkdir()
    random = np.random.default_rng(0)
    for name in "abc":
        io.write_png(tmp_path / "photos" / f"{name}.png", random.integers(0, 255, (40, 50, 3)).astype(np.uint8))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    return tmp_path


def signal_in(target, number):
    def prepare():
        # A job in the background of a shell, as a test run may be, ignores SIGINT; one under nohup ignores SIGHUP.
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
        module_name, _, name = target.rpartition(".")
        module = importlib.import_module(module_name)

        def send(*_, **__):
            os.kill(os.getpid(), number)
            time.sleep(5)
            raise AssertionError("the signal was ignored")

        setattr(module, name, send)

    return prepare


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT], ids=lambda one: one.name)
@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_that_a_signal_ends_leaves_nothing(folder, name, number):
    if "database" in name:
        pytest.importorskip("lmdb")
    words, target = COMMANDS[name]
    before = {path for path in folder.rglob("*")}
    assert wait(start_command(*words, prepare=signal_in(target, number))) == 128 + number
    left = {path for path in folder.rglob("*")} - before
    assert left <= {folder / "out"} and not any(folder.rglob("*.tmp"))  # the folder of the masks, which is empty


def test_a_forked_worker_ends_as_it_would_without():
    with signals.interrupt_on_signals():
        reading, writing = os.pipe()
        child = os.fork()
        if not child:
            os.write(writing, b"ready")  # Python forgets a signal that comes while it forks
            time.sleep(5)
            os._exit(0)
        os.read(reading, 5)
        os.kill(child, signal.SIGTERM)
        assert wait(child) == -signal.SIGTERM
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
