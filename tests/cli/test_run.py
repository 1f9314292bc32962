"""`toolbox run` from start to end with tiny networks: the sample, photographs, competition folders, resuming."""

from __future__ import annotations

import json
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from runs import TINY, newest_checkpoint, records, run, steps

from toolbox import Recipe, train
from toolbox.cli import main
from toolbox.data import sample
from toolbox.errors import UsageError
from toolbox.evaluation import metrics
from toolbox.imaging import io
from toolbox.models import weight_file
from toolbox.reports import run_records
from toolbox.training import checkpoint, context


@pytest.mark.parametrize("recipe", ["default", "published"])
def test_a_run_on_the_sample_writes_and_prints_everything(tmp_path, recipe):
    out = tmp_path / "out"
    result = run("--recipe", recipe, "--out", out, "--epochs", 2, "--size", 32, "--set", "data.repeat=1")
    assert "No --data" in result.output and "add --data DIR" in result.output
    assert "input as it is" in result.output and "OpenCV Telea in gray" in result.output
    header, *rows = [line for line in result.output.splitlines() if line.split()[:1] in (["step"], ["epoch"])]
    assert header.split() == "step g d valid S M C score img/s time psnr".split()
    assert len(rows) == 2 and all(len(row.split()) == 13 and len(row) <= 100 for row in rows)
    (first, _) = [record["epoch_end"] for record in records(out) if "epoch_end" in record]
    assert {"lsgan", "mse", "ssim"} <= {name.removeprefix("loss.") for name in first["means"]}
    assert first["learning_rate"] == {"generator": 1e-4, "discriminator": 1e-4}
    assert first["seconds"] > 0 and first["images_per_second"] > 0
    info = run_records.read_run_info(out)
    assert info.seed == 42 and info.versions["torch"]
    assert len(list((out / "previews").glob("*.png"))) == 2
    assert checkpoint.find_damage(next((out / "checkpoints").iterdir())) is None
    with zipfile.ZipFile(out / "submission.zip") as archive:
        assert archive.namelist() == sorted(f"{path.stem}.png" for path in io.find_images(sample.folder() / "test"))
    assert len(list((out / "submissions").glob("*.zip"))) == (1 if recipe == "published" else 0)
    preview = io.read_rgb(out / "previews" / "epoch-001.png")
    assert preview.shape == (4 * 32, 3 * 32, 3)


def test_it_really_trains(tmp_path):
    out = tmp_path / "out"
    faster = ["--set", "generator.width=16", "--set", "generator.optimizer.lr=1e-3"]
    run("--out", out, "--size", 32, "--epochs", 4, *faster)
    summary = run_records.read_summary(out)
    assert summary.loss_after <= summary.loss_before / 2


def test_two_runs_with_one_seed_are_the_same_and_with_another_seed_different(tmp_path, photos):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        run("--data", photos, "--out", tmp_path / name, "--size", 32, "--epochs", 2, "--batch", 2, "--seed", seed)
    a, b, c = (steps(tmp_path / name) for name in "abc")
    assert a == b and a != c
    weights = [(tmp_path / name / "best.safetensors").read_bytes() for name in "ab"]
    assert weights[0] == weights[1]


@pytest.mark.parametrize("batch", [1, 2], ids=["inside an epoch", "at its end"])
def test_a_time_limit_reached_while_a_checkpoint_is_saved_still_ends_in_a_validation(
    tmp_path, photos, monkeypatch, batch
):
    out, time_is_up = tmp_path / "out", []
    monkeypatch.setattr(context.TrainingRun, "is_past_time_limit", lambda run: bool(time_is_up))
    original = checkpoint.save_checkpoint

    def save(folder, state, progress):
        if progress.step == 2:
            time_is_up.append(True)
        return original(folder, state, progress)

    monkeypatch.setattr(checkpoint, "save_checkpoint", save)
    options = ["--size", 32, "--epochs", 9, "--batch", batch, "--set", "validation.every=5"]
    run("--data", photos, "--out", out, *options, "--minutes", 100, "--set", "training.checkpoint_minutes=0")
    assert [line["step"] for line in records(out) if "validation" in line] == [1]
    assert weight_file.read_header(out / "best.safetensors").step == len(steps(out)) == 2
    before = records(out)
    run("--resume", out)
    assert records(out) == before
    # If the run ended after that validation and before it was saved, the validation is recorded only once.
    shutil.rmtree(newest_checkpoint(out))
    run("--resume", out)
    assert records(out) == before


def test_the_shortest_time_limit_allows_one_step(tmp_path, photos):
    run("--data", photos, "--out", tmp_path / "out", "--size", 32, "--minutes", 1e-9)
    assert len(steps(tmp_path / "out")) == 1 and (tmp_path / "out" / "best.safetensors").is_file()


def test_a_run_on_a_competition_folder(tmp_path, competition):
    out = tmp_path / "out"
    result = run("--data", competition, "--out", out, "--size", 64, "--epochs", 1)
    assert "pairs: 4 train, 2 validate, 2 test" in result.output
    with zipfile.ZipFile(out / "submission.zip") as archive:
        assert archive.namelist() == ["TEST_006.png", "TEST_007.png"]
    assert run_records.read_run_info(out).data == str(competition)


def test_pairs_with_another_gray_use_the_detected_region_and_are_reported(tmp_path, competition):
    for path in io.find_images(competition / "train_input"):
        gray = io.read_gray(path)
        hole = gray == np.bincount(gray.ravel()).argmax()
        io.write_png(path, np.where(hole, gray, np.minimum(gray.astype(int) + 3, 255)).astype(np.uint8))
    result = run("--data", competition, "--out", tmp_path / "out", "--size", 64, "--epochs", 1)
    assert "In 6 pairs the input is not the luma of the truth outside the lost region" in result.output


def test_running_out_of_memory_is_one_line_with_a_remedy(tmp_path, photos, monkeypatch):
    def fail(*_, **__):
        raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes")

    monkeypatch.setattr("toolbox.training.step.take_step", fail)
    result = run("--data", photos, "--out", tmp_path / "out", "--size", 32, "--batch", 2, code=1)
    message = result.stderr.splitlines()[-1]
    assert "Memory ran out at 32 pixels and batch 2" in message and "--batch 1" in message
    assert "Traceback" not in result.output


def test_a_size_that_does_not_fit_the_networks_is_one_line(tmp_path, photos):
    result = run("--data", photos, "--out", tmp_path / "out", "--size", 20, code=2)
    assert (
        "don't work at 20 pixels" in result.stderr
        and "They work at 32, 64, 128, 224 and 256: change --size" in result.stderr
    )
    assert not (tmp_path / "out").exists()


def test_a_new_run_that_is_refused_leaves_other_files(tmp_path, photos):
    out = tmp_path / "out"

    class Notes:
        def on_start(self, _):
            (out / "notes.txt").write_text("mine", "utf-8")

    with pytest.raises(UsageError, match="don't work at 20 pixels"):
        recipe = Recipe.load("default").set("data.size", 20).set("generator.width", 4).set("discriminator.width", 4)
        train(recipe, data=photos, out=out, device="cpu", observers=[Notes()])
    assert [path.name for path in out.iterdir()] == ["notes.txt"]


def test_a_rank_outside_of_the_processes_is_refused_at_once(photos, monkeypatch):
    """The processes would wait for each other until the time limit of the process group."""
    for name, value in {"RANK": "5", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "1"}.items():
        monkeypatch.setenv(name, value)
    assert (
        "RANK is 5 and WORLD_SIZE is 2; RANK must be from 0 to WORLD_SIZE - 1."
        in run("--data", photos, "--dry-run", code=2).stderr
    )


def test_a_run_without_improvement_ends_and_keeps_the_best_weights(tmp_path, photos):
    out = tmp_path / "out"
    # A learning rate that destroys what the first epoch has reached.
    too_high = ["--set", "generator.optimizer.lr=0.5", "--set", "validation.patience=2"]
    result = run("--data", photos, "--out", out, "--size", 32, "--epochs", 30, "--batch", 2, *too_high)
    assert "The run ends here, after 2 validations without improvement (validation.patience)." in result.output
    scores = [record["validation"]["score"] for record in records(out) if "validation" in record]
    best = max(range(len(scores)), key=scores.__getitem__)
    assert len(scores) == best + 3 < 30
    assert run_records.read_summary(out).best.score.score == scores[best]
    assert not (out / "submission.zip").exists()
    # It has ended, and continues only with more patience.
    resumed = run("--resume", out, "--epochs", 31).output
    assert len(steps(out)) == 2 * len(scores) and "it has reached its limit of 2 validations without" in resumed
    assert "To train longer, raise --set validation.patience." in resumed
    run("--resume", out, "--set", "validation.patience=4")
    assert len(steps(out)) == 2 * (best + 5)


def test_a_disk_without_room_for_checkpoints_is_reported_before_the_first_step(tmp_path, photos, monkeypatch):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=100_000))
    result = run("--data", photos, "--out", tmp_path / "out", "--size", 32, code=1)
    assert "has room for 0.1 MB and the checkpoints of this run need up to" in result.stderr
    assert "or choose another disk with --out" in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "out" / "metrics.jsonl").exists()


def test_a_dry_run_prints_json(photos):
    printed = json.loads(run("--data", photos, "--dry-run", "--json", "--out", "out").stdout)
    assert printed["folder"] == "out" and printed["recipe"] == "default" and printed["device"] == "cpu"
    assert printed["photos"] == {"train": 4, "validation": 2, "test": 0, "leaks": 0}


def test_a_dry_run_writes_nothing(tmp_path, photos):
    result = run("--data", photos, "--out", tmp_path / "out", "--dry-run")
    assert "Dry run: nothing was written." in result.output
    assert not (tmp_path / "out").exists()


def test_a_dry_run_refuses_initial_weights_that_do_not_fit(tmp_path, photos):
    options = ["--data", photos, "--out", tmp_path / "out", "--set", "generator.init=luma", "--dry-run"]
    result = run("--size", 32, *options, code=2)
    assert "generator.init: Nothing of luma fits the generator" in result.stderr and not (tmp_path / "out").exists()


def test_stdout_is_json_only(tmp_path, photos):
    options = ["--data", str(photos), "--size", "32", "--steps", "1", "--out", str(tmp_path / "out")]
    result = CliRunner().invoke(main, ["run", *TINY, *options, "--json"])
    printed = json.loads(result.stdout)
    assert printed["steps"] == 1 and printed["submission"] is None
    assert set(printed["scores"]) == {"input as it is", "OpenCV Telea in gray", "this run, after step 1"}
    assert metrics.Score(**printed["scores"]["input as it is"]).S > 0


def test_run_folders_are_numbered_by_date_and_recipe(photos):
    for _ in range(2):
        run("--data", photos, "--size", 32, "--steps", 1)
    names = sorted(path.name for path in Path("runs").iterdir())
    assert len(names) == 2
    assert names[0].endswith("-default-1") and names[1].endswith("-default-2")
