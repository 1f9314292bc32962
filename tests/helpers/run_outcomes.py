"""Everything that a run leaves, to compare two runs bit for bit."""

from __future__ import annotations

import json

import torch
from safetensors.torch import load_file

from toolbox.training import checkpoint, run_dir
from toolbox.utils.run_names import BEST


def outcome(folder):
    """Return what must be equal in two runs: tensors by file, log, zip files, schedules, position."""
    saved, _ = checkpoint.newest_checkpoint(folder / run_dir.CHECKPOINTS)
    tensors = {path.name: load_file(path) for path in saved.glob("*.safetensors")}
    state = json.loads((saved / checkpoint.STATE).read_text("utf-8"))
    state["progress"].pop("seconds")
    lines = [json.loads(line) for line in (folder / run_dir.METRICS).read_text("utf-8").splitlines()]
    lines = [line for line in lines if "epoch_end" not in line]  # they have times
    best = load_file(folder / BEST)
    zips = {path.name: path.read_bytes() for path in sorted(folder.rglob("*.zip"))}
    return {"best": best, **tensors}, lines, zips, state["sides"], state["progress"]


def require_same(actual, expected):
    """Check that two outcomes are equal, bit for bit, and that neither is empty."""
    assert actual[1:] == expected[1:] and len(actual[2]) == 2
    assert actual[0].keys() == expected[0].keys() and "average.safetensors" in actual[0]
    for a, b in ((actual[0][name], expected[0][name]) for name in actual[0]):
        assert a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)
