"""What `toolbox serve` leaves when a signal ends it: nothing. About 10 s."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest


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
