"""What a run leaves, to compare two runs bit for bit."""

from __future__ import annotations

import json

import torch
from safetensors.torch import load_file

from toolbox.models import weight_file
from toolbox.training import checkpoint, run_dir


def outcome(folder):
    """Return all that must be the same: weights, optimisers, averages, schedules, every step's figures, best, zips."""
    saved, _ = checkpoint.newest_checkpoint(folder / run_dir.CHECKPOINTS)
    tensors = {path.name: load_file(path) for path in saved.glob("*.safetensors")}
    state = json.loads((saved / "state.json").read_text("utf-8"))
    state["progress"].pop("seconds")
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text("utf-8").splitlines()]
    best = load_file(folder / weight_file.BEST)
    zips = {path.name: path.read_bytes() for path in sorted(folder.rglob("*.zip"))}
    return {"best": best, **tensors}, lines, zips, state["sides"], state["progress"]


def same(one, other):
    assert one[1:] == other[1:] and len(one[2]) == 2
    assert one[0].keys() == other[0].keys() and "average.safetensors" in one[0]
    for a, b in ((one[0][name], other[0][name]) for name in one[0]):
        assert a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)
