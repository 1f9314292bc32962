"""What `toolbox serve` leaves when a signal ends it: nothing. About 10 s."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress

import numpy as np
import pytest
from browser_page import photo
from page_server import add, call, running

from toolbox.hooks.protocols import Detection
from toolbox.masks.detectors import LoadedDetector
from toolbox.utils.cancelling import check_cancelled
from toolbox.web import damage


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_deletes_the_photographs(tmp_path, number):
    command = [sys.executable, "-P", "-m", "toolbox", "serve", "--no-browser", "--port", "0", "--device", "cpu"]
    environment = {**os.environ, "TMPDIR": str(tmp_path), "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as server:
        assert any("http://" in line for line in server.stdout)
        assert list(tmp_path.glob("toolbox-serve-*"))
        server.send_signal(number)
        assert server.wait(60) == 128 + number
    assert not list(tmp_path.glob("toolbox-serve-*"))


@pytest.mark.parametrize(("checks", "seconds"), [(True, 60), (False, 4)])
def test_a_search_for_damage_ends_with_the_server_without_a_traceback(
    tmp_path, monkeypatch, restorer, capfd, checks, seconds
):
    begun = threading.Event()

    def detect(image):
        begun.set()
        last = time.monotonic() + seconds
        while time.monotonic() < last:
            if checks:
                check_cancelled()
            time.sleep(0.05)
        empty = np.zeros(image.shape, np.float32)
        return Detection(mask=empty > 0, probabilities={"scratch": empty})

    def ask():
        with suppress(OSError):  # the connection ends without an answer
            call(service, "GET", f"/api/photos/{photo_id}/damage?sensitivity=0.5")

    loaded = LoadedDetector(name="print-damage", detect=detect)
    monkeypatch.setattr(damage, "damage_detector", lambda params, catalog: loaded)
    with running(tmp_path / "album") as service:
        photo_id = add(service, photo(tmp_path))["id"]
        thread = threading.Thread(target=ask)
        thread.start()
        assert begun.wait(10)
        asked = time.monotonic()
    thread.join()
    assert time.monotonic() - asked < 20
    assert "Traceback" not in capfd.readouterr().err
