"""What a checkpoint records of the machine, and what a run that goes on elsewhere says. Some 5 s."""

from __future__ import annotations

import json
from importlib.metadata import version

import pytest
import torch
from pictures import smooth
from runs import run

from toolbox.imaging import io
from toolbox.training import checkpoint, fingerprint
from toolbox.training.fingerprint import differences

WORDS = "Continuing is not bit for bit the same"


@pytest.fixture
def begun(tmp_path):
    """Leave a run of one step, and give its folder and the state.json of its checkpoint."""
    (tmp_path / "photos").mkdir()
    for name in "abcd":
        io.write_png(tmp_path / "photos" / f"{name}.png", smooth(40, 40))
    out = tmp_path / "out"
    run("--data", tmp_path / "photos", "--out", out, "--size", 32, "--batch", 2, "--steps", 1)
    return out, next((out / "checkpoints").iterdir()) / "state.json"


def rewrite(path, change):
    """Change a checkpoint's state as if it had been written so, its manifest too."""
    state = json.loads(path.read_text("utf-8"))
    change(state)
    path.write_text(json.dumps(state), "utf-8")
    manifest = path.with_name(checkpoint.MANIFEST)
    digests = json.loads(manifest.read_text("utf-8"))
    digests["sha256"][path.name] = checkpoint.files.sha256(path)
    manifest.write_text(json.dumps(digests), "utf-8")


def test_a_checkpoint_records_what_its_bits_depend_on(begun):
    _, path = begun
    found = json.loads(path.read_text("utf-8"))["conditions"]
    assert found["torch"] == version("torch") and found["numpy"] == version("numpy") and found["opencv"]
    assert found["threads"] == torch.get_num_threads() and found["processes"] == 1
    assert found["device"] == f"CPU with {torch.backends.cpu.get_cpu_capability()}"


def test_going_on_under_the_same_conditions_says_nothing(begun):
    assert WORDS not in run("--resume", begun[0], "--steps", 2).output


def test_one_line_says_what_is_different(begun):
    out, path = begun
    rewrite(path, lambda state: state["conditions"].update({"torch": "2.8.0", "threads": 99}))
    said = run("--resume", out, "--steps", 2).output.splitlines()
    now = f"torch 2.8.0 then, {version('torch')} now; threads 99 then, {torch.get_num_threads()} now."
    assert [line for line in said if WORDS in line] == [f"{WORDS}: {now}"]


def test_a_checkpoint_from_before_they_were_recorded_goes_on_in_silence(begun):
    out, path = begun
    rewrite(path, lambda state: state.pop("conditions"))
    said = run("--resume", out, "--steps", 2).output
    assert "Continuing after step 1" in said and WORDS not in said


def test_how_many_threads_load_data_changes_no_bit(begun):
    # So it is not recorded.
    out, _ = begun
    logs = []
    for workers in (0, 2):
        folder = out.with_name(f"workers-{workers}")
        options = ["--size", 32, "--batch", 2, "--epochs", 2, "--set", f"data.workers={workers}"]
        run("--data", out.with_name("photos"), "--out", folder, *options)
        logs.append((folder / "metrics.jsonl").read_bytes() + (folder / "best.safetensors").read_bytes()[-4096:])
    assert logs[0] == logs[1]


def test_what_is_not_there_any_more_is_a_difference():
    assert differences({"device": "CPU", "threads": 4}, {"device": "GPU"}) == [
        "device CPU then, GPU now",
        "threads 4 then, none now",
    ]
    assert differences({}, fingerprint.fingerprint(torch.device("cpu"))) == []
