"""A call of `toolbox restore` that records the masks."""

from __future__ import annotations

import pytest
from standins import gray, install_stand_in, run_restore

from toolbox.imaging import io


@pytest.fixture
def restore(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    stand_in = install_stand_in(monkeypatch)
    io.write_png("a.png", gray())

    def call(*arguments, code=0):
        stand_in.calls.clear()
        result = run_restore("a.png", "-o", "out", "--overwrite", *arguments, code=code)
        return result.output, [mask for _, _, mask in stand_in.calls]

    return call
