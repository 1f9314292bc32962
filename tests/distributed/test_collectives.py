"""Two processes train as one does: the same losses, weights and scores; one speaks and writes; all end together.

Some 40 seconds on two cores.
"""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import several
import torch
from click.testing import CliRunner
from launching import ended, start

from toolbox.cli import main
from toolbox.data import sample
from toolbox.diagnostics import replay_step
from toolbox.distributed import accelerator, collectives
from toolbox.distributed.batch_slice import BatchSlice
from toolbox.errors import UsageError
from toolbox.imaging import io
from toolbox.training import nonfinite, step

TINY = [f"--set={one}" for one in (*several.SMALL, "training.precision=fp64")] + ["--device=cpu"]
OPTIONS = [*TINY, "--size=32", "--batch=3", "--epochs=2"]


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Lay out ten small colour photographs."""
    folder = tmp_path_factory.mktemp("photos")
    for path in io.find_images(sample.folder() / "photos")[:10]:
        io.write_png(folder / f"{path.stem}.png", io.read_rgb(path)[:48, :64])
    return folder


@pytest.fixture(scope="module")
def both(tmp_path_factory, photos):
    """Run everything of `several` in one process and in two; return their folders."""
    folder = tmp_path_factory.mktemp("both")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TOOLBOX_HOME", str(folder / "home"))
        patch.setenv("TOOLBOX_CACHE", str(folder / "cache"))
        started = start([several.__file__, photos, folder / "two"])
        threads = torch.get_num_threads()
        several.main(photos, folder / "one")
        torch.set_num_threads(threads)
        for code, _, errors in ended(started):
            assert code == 0, errors
    return folder / "one", folder / "two"


def arrays(folder, name, process=0):
    with np.load(folder / f"{name} {process}.npz") as found:
        return dict(found)


def told(folder, process=0):
    return json.loads((folder / f"told {process}.json").read_text("utf-8"))


@pytest.mark.parametrize("case", [case for case in several.CASES if case != "float32"])
def test_ten_steps_in_float64_are_those_of_one_process_to_1e_9(both, case):
    one, two = both
    expected = arrays(one, case)
    assert len(expected["rows"]) == 10 and np.ptp(expected["rows"][:, 0]) > 0
    for process in range(2):
        found = arrays(two, case, process)
        np.testing.assert_allclose(found["rows"], expected["rows"], rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(found["weights"], expected["weights"], rtol=1e-9, atol=1e-9)


def test_the_first_step_in_float32_is_that_of_one_process_to_1e_5(both):
    rows = [arrays(folder, "float32")["rows"] for folder in both]
    np.testing.assert_allclose(rows[1][0], rows[0][0], rtol=1e-5)


def test_a_batch_norm_with_its_activation_is_that_of_one_process_to_the_second_derivative(both):
    expected, found = (arrays(folder, "normed")["rows"] for folder in both)
    assert np.abs(expected).min() < 1 < np.abs(expected).max()
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)


def test_a_whole_run_with_short_batches_has_the_scores_of_one_process(both):
    one, two = (told(folder)["run"] for folder in both)
    assert one["finished"] and one["steps"] == two["steps"] == 6
    assert two["scores"] == one["scores"] and two == told(both[1], 1)["run"]
    assert two["pixel_loss"] == pytest.approx(one["pixel_loss"], rel=1e-12)
    records = [
        [json.loads(line) for line in (folder / "run" / "metrics.jsonl").read_text("utf-8").splitlines()]
        for folder in both
    ]
    assert len(records[0]) == len(records[1]) == 8
    for a, b in zip(*records, strict=True):
        assert b.get("validation", b) == pytest.approx(a.get("validation", a), rel=1e-9)


def test_the_first_process_alone_writes(both):
    _, two = both
    written = told(two)["written"]
    for name in ("metrics.jsonl", "best.safetensors", "summary.json", "step-00000006", "epoch-002.png"):
        assert any(name in path for path in written), name
    assert told(two, 1)["written"] == []


def test_all_end_together_when_one_is_asked_to_stop(both):
    one, two = both
    # Among several it is read with the record, one step later.
    assert (told(one)["stopped"], told(two)["stopped"], told(two, 1)["stopped"]) == (3, 4, 4)


def test_all_end_in_the_same_step_when_a_loss_of_one_is_not_finite(both):
    _, two = both
    steps, kind, message = told(two)["broken"]
    assert (steps, kind) == (2, "TrainingError")
    assert message.startswith("Step 2: ") and "loss.mse" in message
    assert "Batch: photo 0, photo 1, photo 2, photo 3." in message
    assert told(two, 1)["broken"] == [2, "SystemExit", "1"]


def test_what_several_leave_of_a_step_that_was_not_finite_is_repeated_by_one(both):
    _, two = both
    folder = two / "not-finite" / "step-00000002"
    assert told(two)["broken"][2].endswith(f"toolbox doctor --repeat {folder}")
    chosen = several.plan(*several.PLAIN, "discriminator.norm=none")
    built, accelerator, _ = several.build(chosen)
    built = dataclasses.replace(built, average=None)
    given = nonfinite.load_step_folder(folder, built)
    # Those of the last process, whatever the other had.
    assert [bool(picture.isfinite().all()) for picture in given.truth] == [True, True, False, False]
    then = {name: float(value) for name, value in nonfinite.read_step_folder(folder)["terms"].items()}
    terms = step.take_step(built, given, accelerator, number=2, random=step.seed_step(chosen.settings.seed, 2))
    assert {name: value.item() for name, value in terms.items()} == pytest.approx(then, rel=1e-9, nan_ok=True)
    *_, last = replay_step.look(folder, several.build(chosen)[0], accelerator)
    assert last.ok or "processes 2 then, 1 now" in last.detail


def test_weights_that_drift_apart_end_the_run(both):
    one, two = both
    assert told(one)["drifted"] == ["", ""]
    kind, message = told(two)["drifted"]
    assert kind == "TrainingError" and "generator differ" in message
    assert told(two, 1)["drifted"] == ["SystemExit", "1"]


def test_torchrun_trains_and_one_process_goes_on_with_it(tmp_path, photos):
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m", "toolbox"]
    options = ["run", *OPTIONS, f"--data={photos}"]
    done = subprocess.run(
        [*command, *options, f"--out={tmp_path / 'two'}", "--steps=4"],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    assert "fp64 on cpu in 2 processes" in done.stdout
    for line in ("Recipe 'default'", "epoch 1/2", "Run folder: "):
        assert done.stdout.count(f"\n{line}" if line != "Recipe 'default'" else line) == 1, done.stdout
    for arguments in (["run", f"--resume={tmp_path / 'two'}", "--steps=6"], [*options, f"--out={tmp_path / 'one'}"]):
        assert CliRunner().invoke(main, arguments).exit_code == 0
    losses = [
        [json.loads(line).get("g") for line in (tmp_path / name / "metrics.jsonl").read_text("utf-8").splitlines()]
        for name in ("one", "two")
    ]
    one, two = ([value for value in found if value is not None] for found in losses)
    assert len(one) == 6
    assert two == pytest.approx(one, rel=1e-9)


def test_sigterm_to_one_process_ends_all_with_a_checkpoint(tmp_path, photos):
    out = tmp_path / "out"
    started = start(["-m", "toolbox", "run", *TINY, f"--data={photos}", f"--out={out}", "--size=32", "--epochs=9999"])
    _wait_for(out / "metrics.jsonl", started)
    started[1].send_signal(signal.SIGTERM)
    (code, output, _), (other, nothing, _) = ended(started)
    assert (code, other) == (130, 143)
    assert f"toolbox run --resume {out}" in output and nothing == ""
    state = json.loads((max((out / "checkpoints").iterdir()) / "state.json").read_text("utf-8"))
    steps = [line for line in (out / "metrics.jsonl").read_text("utf-8").splitlines() if "validation" not in line]
    assert state["progress"]["step"] == len(steps) > 0


def test_a_process_that_is_killed_ends_the_others_in_one_line(tmp_path, photos):
    out = tmp_path / "out"
    started = start(["-m", "toolbox", "run", *TINY, f"--data={photos}", f"--out={out}", "--size=32", "--epochs=9999"])
    _wait_for(out / "metrics.jsonl", started)
    started[1].kill()
    (code, _, errors), _ = ended(started)
    assert code == 1
    assert [line for line in errors.splitlines() if "Another process of this run has ended" in line]
    assert "Traceback" not in errors


def _wait_for(path: Path, started) -> None:
    while not path.is_file():
        assert all(one.poll() is None for one in started), ended(started)
        time.sleep(0.05)


def test_a_batch_is_shared_out_in_order(monkeypatch):
    monkeypatch.setattr(collectives, "world_size", lambda: 3)
    found = []
    for index in range(3):
        monkeypatch.setattr(collectives, "rank", lambda index=index: index)
        found.append([collectives.rank_slice(whole) for whole in (8, 2)])
    assert [rows for (rows, _), _ in found] == [slice(0, 2), slice(2, 5), slice(5, 8)]
    assert [place.weight for (_, place), _ in found] == [2 / 8, 3 / 8, 3 / 8]
    # Two pictures for three processes: one of them counts for nothing in one.
    assert [rows for _, (rows, _) in found] == [slice(1, 2), slice(0, 1), slice(1, 2)]
    assert [place.weight for _, (_, place) in found] == [0, 1 / 2, 1 / 2]
    assert found[1][0][1] == BatchSlice(start=2, total=8, weight=3 / 8)
    with pytest.raises(UsageError, match="A batch of 2 is too small for 3 processes"):
        collectives.require_rows(2)


def test_what_takes_one_process_refuses_more(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setattr(accelerator, "require_device", lambda device: None)
    with pytest.raises(UsageError, match="started as 2 processes; it takes one"):
        accelerator.make_accelerator("cpu")
    with pytest.raises(UsageError, match="several processes take --device cuda, a GPU each, or cpu"):
        accelerator.make_accelerator("cuda:1", several=True)
