"""Two processes train as one does: the same losses, weights and scores; one writes; all end together.

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

import distributed_cases
import numpy as np
import pytest
import torch
from click.testing import CliRunner
from launching import TIMEOUT, start, wait
from runs import newest_checkpoint, steps

from toolbox.cli import main
from toolbox.data import sample
from toolbox.diagnostics import replay_step
from toolbox.distributed import accelerator, collectives
from toolbox.distributed.batch_slice import BatchSlice
from toolbox.errors import UsageError
from toolbox.imaging import io
from toolbox.training import nonfinite, step

TINY = [f"--set={setting}" for setting in (*distributed_cases.SMALL, "training.precision=fp64")] + ["--device=cpu"]
OPTIONS = [*TINY, "--size=32", "--batch=3", "--epochs=2"]


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Make a folder of ten small colour photographs."""
    folder = tmp_path_factory.mktemp("photos")
    for path in io.find_images(sample.folder() / "photos")[:10]:
        io.write_png(folder / f"{path.stem}.png", io.read_rgb(path)[:48, :64])
    return folder


@pytest.fixture(scope="module")
def folders(tmp_path_factory, photos):
    """Run `distributed_cases` in one process and in two; return the folders of the results."""
    folder = tmp_path_factory.mktemp("results")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TOOLBOX_HOME", str(folder / "home"))
        patch.setenv("TOOLBOX_CACHE", str(folder / "cache"))
        processes = start([distributed_cases.__file__, photos, folder / "two"])
        threads = torch.get_num_threads()
        distributed_cases.main(photos, folder / "one")
        torch.set_num_threads(threads)
        for code, _, errors in wait(processes):
            assert code == 0, errors
    return folder / "one", folder / "two"


def arrays(folder, name, rank=0):
    with np.load(folder / f"{name} {rank}.npz") as stored:
        return dict(stored)


def results(folder, rank=0):
    return json.loads((folder / f"results {rank}.json").read_text("utf-8"))


@pytest.mark.parametrize("case", [case for case in distributed_cases.CASES if case != "float32"])
def test_ten_steps_in_float64_equal_those_of_one_process_to_1e_9(folders, case):
    one, two = folders
    expected = arrays(one, case)
    assert len(expected["rows"]) == 10 and np.ptp(expected["rows"][:, 0]) > 0
    for rank in range(2):
        actual = arrays(two, case, rank)
        np.testing.assert_allclose(actual["rows"], expected["rows"], rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(actual["weights"], expected["weights"], rtol=1e-9, atol=1e-9)


def test_the_first_step_in_float32_equals_that_of_one_process_to_1e_5(folders):
    rows = [arrays(folder, "float32")["rows"] for folder in folders]
    np.testing.assert_allclose(rows[1][0], rows[0][0], rtol=1e-5)


def test_a_batch_norm_with_an_activation_equals_that_of_one_process_up_to_second_derivatives(folders):
    expected, actual = (arrays(folder, "batch norm values")["rows"] for folder in folders)
    assert np.abs(expected).min() < 1 < np.abs(expected).max()
    np.testing.assert_allclose(actual, expected, rtol=1e-9, atol=1e-12)


def test_a_full_run_with_short_batches_has_the_scores_of_one_process(folders):
    one, two = (results(folder)["run"] for folder in folders)
    assert one["finished"] and one["steps"] == two["steps"] == 6
    assert two["scores"] == one["scores"] and two == results(folders[1], 1)["run"]
    assert two["pixel_loss"] == pytest.approx(one["pixel_loss"], rel=1e-12)
    logs = [
        [json.loads(line) for line in (folder / "run" / "metrics.jsonl").read_text("utf-8").splitlines()]
        for folder in folders
    ]
    logs = [[record for record in log if "epoch_end" not in record] for log in logs]  # those have times
    assert len(logs[0]) == len(logs[1]) == 8
    for expected, actual in zip(*logs, strict=True):
        assert actual.get("validation", actual) == pytest.approx(expected.get("validation", expected), rel=1e-9)


def test_a_segmentation_run_has_the_figures_of_one_process(folders):
    one, two = (results(folder)["segmentation"] for folder in folders)
    assert one["steps"] == two["steps"] == 6 and two == results(folders[1], 1)["segmentation"]
    assert one["best"]["figures"]["f1"] > 0
    assert two["best"]["step"] == one["best"]["step"]
    assert two["best"]["figures"] == pytest.approx(one["best"]["figures"], rel=1e-9)
    assert two["pixel_loss"] == pytest.approx(one["pixel_loss"], rel=1e-12)


def test_only_the_main_process_writes_files(folders):
    _, two = folders
    written = results(two)["written"]
    for name in ("metrics.jsonl", "best.safetensors", "summary.json", "step-00000006", "epoch-002.png"):
        assert any(name in path for path in written), name
    assert results(two, 1)["written"] == []


def test_all_processes_stop_together_when_one_is_asked_to(folders):
    one, two = folders
    # Among several processes the request is read with the record, one step later.
    assert (results(one)["stopped"], results(two)["stopped"], results(two, 1)["stopped"]) == (3, 4, 4)


def test_all_processes_end_in_the_same_step_when_a_loss_of_one_is_not_finite(folders):
    _, two = folders
    step_count, error, message = results(two)["not finite"]
    assert (step_count, error) == (2, "TrainingError")
    assert message.startswith("Step 2: ") and "loss.mse" in message
    assert "Batch: photo 0, photo 1, photo 2, photo 3." in message
    assert results(two, 1)["not finite"] == [2, "SystemExit", "1"]


def test_one_process_replays_a_nonfinite_step_of_two(folders):
    _, two = folders
    folder = two / "not-finite" / "step-00000002"
    assert results(two)["not finite"][2].endswith(f"can replay it from {folder}")
    plan = distributed_cases.bind_plan(*distributed_cases.PLAIN, "discriminator.norm=none")
    built, chosen, _ = distributed_cases.build(plan)
    built = dataclasses.replace(built, average=None)
    batch = nonfinite.load_step_folder(folder, built)
    # The pictures of the last process, whose truths are NaN, are the last two.
    assert [bool(picture.isfinite().all()) for picture in batch.truth] == [True, True, False, False]
    recorded = {name: float(value) for name, value in nonfinite.read_step_folder(folder)["terms"].items()}
    terms = step.take_step(built, batch, chosen, number=2, random=step.seed_step(plan.settings.seed, 2))
    current = {name: value.item() for name, value in terms.items()}
    assert current == pytest.approx(recorded, rel=1e-9, nan_ok=True)
    *_, last = replay_step.inspect_step(folder, distributed_cases.build(plan)[0], chosen)
    assert last.ok or "processes 2 then, 1 now" in last.detail


def test_different_weights_in_two_processes_end_the_run(folders):
    one, two = folders
    assert results(one)["different weights"] == ["", ""]
    error, message = results(two)["different weights"]
    assert error == "TrainingError" and "no longer have the same state: generator" in message
    assert results(two, 1)["different weights"] == ["SystemExit", "1"]


def test_torchrun_trains_and_one_process_resumes_the_run(tmp_path, photos):
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m", "toolbox"]
    options = ["run", *OPTIONS, f"--data={photos}"]
    done = subprocess.run(
        [*torchrun, *options, f"--out={tmp_path / 'two'}", "--steps=4"],
        capture_output=True,
        text=True,
        check=False,
        timeout=TIMEOUT,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    assert "fp64 on cpu in 2 processes" in done.stdout
    for line in ("Recipe 'default'", "epoch 1/2", "Run folder: "):
        assert done.stdout.count(f"\n{line}" if line != "Recipe 'default'" else line) == 1, done.stdout
    for arguments in (["run", f"--resume={tmp_path / 'two'}", "--steps=6"], [*options, f"--out={tmp_path / 'one'}"]):
        assert CliRunner().invoke(main, arguments).exit_code == 0
    one, two = ([record["g"] for record in steps(tmp_path / name)] for name in ("one", "two"))
    assert len(one) == 6
    assert two == pytest.approx(one, rel=1e-9)


def test_sigterm_to_one_process_ends_all_with_a_checkpoint(tmp_path, photos):
    out = tmp_path / "out"
    processes = start(["-m", "toolbox", "run", *TINY, f"--data={photos}", f"--out={out}", "--size=32", "--epochs=9999"])
    wait_for_first_record(out, processes)
    processes[1].send_signal(signal.SIGTERM)
    (main_code, main_output, _), (other_code, other_output, _) = wait(processes)
    assert (main_code, other_code) == (130, 143)
    assert f"toolbox run --resume {out}" in main_output and other_output == ""
    progress = json.loads((newest_checkpoint(out) / "state.json").read_text("utf-8"))["progress"]
    assert progress["step"] == len(steps(out)) > 0


@pytest.mark.parametrize("sharded", ["false", "true"])
def test_after_a_process_is_killed_the_others_end_with_one_line(tmp_path, photos, sharded):
    out = tmp_path / "out"
    options = [*TINY, f"--data={photos}", f"--out={out}", "--size=32", "--epochs=9999"]
    processes = start(["-m", "toolbox", "run", *options, f"--set=training.shard={sharded}"])
    wait_for_first_record(out, processes)
    processes[1].kill()
    (code, _, errors), _ = wait(processes)
    assert code == 1
    assert [line for line in errors.splitlines() if "Another process of this run has ended (" in line], errors
    assert "Traceback" not in errors


def wait_for_first_record(out: Path, processes) -> None:
    while not (out / "metrics.jsonl").is_file():
        assert all(process.poll() is None for process in processes), wait(processes)
        time.sleep(0.05)


def test_an_error_of_the_run_itself_is_not_taken_for_a_lost_process(monkeypatch):
    def fail_here():
        raise RuntimeError("gloo NCCL peer")

    def fail_in_torch():
        torch.distributed.all_reduce(torch.zeros(1))

    monkeypatch.setattr(collectives, "world_size", lambda: 2)
    verdicts = []
    for call in (fail_here, fail_in_torch):
        try:
            call()
        except (RuntimeError, ValueError) as error:
            # Without a process group torch raises ValueError, which has the same traceback.
            verdicts.append(collectives.is_lost_peer(RuntimeError("x").with_traceback(error.__traceback__)))
    assert verdicts == [False, True]


def test_a_batch_is_divided_in_order(monkeypatch):
    monkeypatch.setattr(collectives, "world_size", lambda: 3)
    slices = []
    for rank in range(3):
        monkeypatch.setattr(collectives, "rank", lambda rank=rank: rank)
        slices.append([collectives.rank_slice(batch_size) for batch_size in (8, 2)])
    assert [rows for (rows, _), _ in slices] == [slice(0, 2), slice(2, 5), slice(5, 8)]
    assert [position.weight for (_, position), _ in slices] == [2 / 8, 3 / 8, 3 / 8]
    # With two pictures for three processes the rows of one process have no weight.
    assert [rows for _, (rows, _) in slices] == [slice(1, 2), slice(0, 1), slice(1, 2)]
    assert [position.weight for _, (_, position) in slices] == [0, 1 / 2, 1 / 2]
    assert slices[1][0][1] == BatchSlice(start=2, total=8, weight=3 / 8)
    with pytest.raises(UsageError, match="A batch of 2 is too small for 3 processes"):
        collectives.require_row_each(2)


def test_commands_for_one_process_refuse_several(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UsageError, match="2 processes were started, but this command runs in one"):
        accelerator.make_accelerator("cpu")
    with pytest.raises(UsageError, match="several processes need device cuda"):
        accelerator.make_accelerator("cuda:1", distributed=True)


def test_processes_without_a_launcher_are_told_to_use_one(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.delenv("MASTER_ADDR", raising=False)
    with pytest.raises(UsageError, match="can't find each other: .*MASTER_ADDR.*torchrun"):
        accelerator.make_accelerator("cpu", distributed=True)


def test_fp16_is_refused_on_a_cpu():
    with pytest.raises(UsageError, match="training.precision fp16 needs a GPU"):
        accelerator.make_accelerator("cpu", "fp16")


@pytest.mark.parametrize(("precision", "dtype"), [("bf16", torch.bfloat16), ("fp32", torch.float32)])
def test_networks_compute_in_the_precision_of_the_recipe(precision, dtype):
    with accelerator.make_accelerator("cpu", precision).autocast():
        assert torch.nn.Linear(2, 2)(torch.ones(1, 2)).dtype == dtype
