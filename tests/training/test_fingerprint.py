"""The environment that a checkpoint records, and what a run resumed in another one prints. Some 5 s."""

from __future__ import annotations

import json
import sys
from importlib.metadata import version
from pathlib import Path
from types import ModuleType

import pytest
import torch
from pictures import smooth
from runs import records, run

from toolbox.imaging import io
from toolbox.training import checkpoint, fingerprint
from toolbox.training.fingerprint import differences

WARNING = "The continued run will not be bit for bit the same"


@pytest.fixture
def short_run(tmp_path):
    """Make a run of one step; return its folder and the state.json of its checkpoint."""
    (tmp_path / "photos").mkdir()
    for name in "abcd":
        io.write_png(tmp_path / "photos" / f"{name}.png", smooth(40, 40))
    out = tmp_path / "out"
    run("--data", tmp_path / "photos", "--out", out, "--size", 32, "--batch", 2, "--steps", 1)
    return out, next((out / "checkpoints").iterdir()) / "state.json"


def rewrite(path, change):
    """Change a checkpoint's state.json, and its manifest to match."""
    state = json.loads(path.read_text("utf-8"))
    change(state)
    path.write_text(json.dumps(state), "utf-8")
    manifest = path.with_name(checkpoint.MANIFEST)
    digests = json.loads(manifest.read_text("utf-8"))
    digests["sha256"][path.name] = checkpoint.files.sha256(path)
    manifest.write_text(json.dumps(digests), "utf-8")


def test_a_checkpoint_records_its_environment(short_run):
    _, path = short_run
    recorded = json.loads(path.read_text("utf-8"))["conditions"]
    assert recorded["torch"] == version("torch") and recorded["numpy"] == version("numpy") and recorded["opencv"]
    assert recorded["threads"] == torch.get_num_threads() and recorded["processes"] == 1
    assert recorded["device"] == f"CPU with {torch.backends.cpu.get_cpu_capability()}"
    assert recorded["memory_format"] in ("channels-last", "contiguous")


def test_resuming_in_the_same_environment_prints_no_warning(short_run):
    assert WARNING not in run("--resume", short_run[0], "--steps", 2).output


def test_one_line_lists_the_differences(short_run):
    out, path = short_run
    rewrite(path, lambda state: state["conditions"].update({"torch": "2.8.0", "threads": 99}))
    lines = run("--resume", out, "--steps", 2).output.splitlines()
    changes = f"torch 2.8.0 then, {version('torch')} now; threads 99 then, {torch.get_num_threads()} now."
    assert [line for line in lines if WARNING in line] == [f"{WARNING}: {changes}"]


def test_a_checkpoint_without_a_recorded_environment_is_resumed_without_a_warning(short_run):
    out, path = short_run
    rewrite(path, lambda state: state.pop("conditions"))
    output = run("--resume", out, "--steps", 2).output
    assert "Continuing after step 1" in output and WARNING not in output


def test_a_checkpoint_of_version_0_1_names_a_package_that_is_no_longer_used(short_run):
    out, path = short_run

    def as_in_version_0_1(state):
        del state["conditions"]["memory_format"]
        state["conditions"]["accelerate"] = "1.15.0"

    rewrite(path, as_in_version_0_1)
    assert WARNING not in run("--resume", out, "--steps", 2).output
    saved = max((out / "checkpoints").iterdir())
    assert fingerprint.read_fingerprint(saved)["memory_format"] == "channels-last"


def test_the_number_of_data_workers_changes_no_bit(short_run):
    # So it is not recorded.
    out, _ = short_run
    results = []
    for workers in (0, 2):
        folder = out.with_name(f"workers-{workers}")
        options = ["--size", 32, "--batch", 2, "--epochs", 2, "--set", f"data.workers={workers}"]
        run("--data", out.with_name("photos"), "--out", folder, *options)
        log = [record for record in records(folder) if "epoch_end" not in record]  # those have times
        results.append((log, (folder / "best.safetensors").read_bytes()[-4096:]))
    assert results[0] == results[1]


def test_a_missing_entry_is_a_difference():
    assert differences({"device": "CPU", "threads": 4}, {"device": "GPU"}) == [
        "device CPU then, GPU now",
        "threads 4 then, none now",
    ]
    assert differences({"plugin my_l1": "1", "memory_format": "a"}, {"plugin my_l1": "2", "memory_format": "b"}) == [
        "plugin my_l1 1 then, 2 now",  # its own name
        "memory format a then, b now",
    ]
    assert differences({}, fingerprint.fingerprint(torch.device("cpu"), "contiguous")) == []


def test_a_plugin_file_that_is_renamed_has_not_changed(tmp_path, monkeypatch):
    """The line said that the continued run would differ, and figures were measured again."""
    digests = []
    for name, text in (("one", "A = 1"), ("two", "A = 1"), ("two", "A = 2")):
        module = ModuleType(name)
        module.__file__ = str(tmp_path / f"{name}.py")
        Path(module.__file__).write_text(text)
        monkeypatch.setitem(sys.modules, name, module)
        digests.append(fingerprint._code_digest(name))
    assert digests[0] == digests[1] != digests[2]
