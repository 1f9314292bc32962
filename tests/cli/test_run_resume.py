"""`toolbox run --resume`: the same result, changed settings, damaged checkpoints, the best weights, signals."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace

import pytest
from click.testing import CliRunner
from runs import TINY, newest_checkpoint, run, steps
from safetensors.torch import load_file
from tiny_weights import tiny_plan, write_tiny_run

import toolbox
from toolbox.cli import main
from toolbox.models import weight_file
from toolbox.reports import run_records
from toolbox.training import run as training_run
from toolbox.training import run_dir, submit
from toolbox.training import validate as validate_module


@pytest.mark.parametrize("workers", [0, 2])
def test_a_resumed_run_is_the_uninterrupted_one_bit_for_bit(tmp_path, photos, workers):
    options = ["--data", photos, "--size", 32, "--epochs", 3, "--batch", 2, "--set", f"data.workers={workers}"]
    run("--out", tmp_path / "uninterrupted", *options)
    # An epoch has two steps, so the third one is inside the second epoch.
    run("--out", tmp_path / "resumed", *options, "--set", "training.steps=3")
    recipe = tmp_path / "resumed" / "recipe.toml"
    recipe.write_text(recipe.read_text("utf-8").replace("steps = 3\n", ""), "utf-8")
    result = run("--resume", tmp_path / "resumed")
    assert "Continuing after step 3 of 6" in result.output
    assert steps(tmp_path / "resumed") == steps(tmp_path / "uninterrupted")
    expected, actual = (load_generator(tmp_path / name) for name in ("uninterrupted", "resumed"))
    assert all(bool((actual[key] == expected[key]).all()) for key in expected)


def test_a_setting_changed_when_resuming_is_kept(tmp_path, photos):
    out = tmp_path / "out"
    run("--data", photos, "--out", out, "--size", 32, "--epochs", 1)
    run("--resume", out, "--epochs", 2)
    assert len(steps(out)) == 2
    assert "The run is finished after step 2 of 2" in run("--resume", out).output


def test_a_learning_rate_set_when_resuming_takes_effect(tmp_path, photos):
    for name in ("unchanged", "set"):
        run("--data", photos, "--out", tmp_path / name, "--size", 32, "--epochs", 1)
    first, second = (load_generator(tmp_path / name) for name in ("unchanged", "set"))
    assert all(bool((first[key] == second[key]).all()) for key in first)
    run("--resume", tmp_path / "unchanged", "--epochs", 2)
    # Too small to change any float32 weight.
    tiny_rate = ["--set", "generator.optimizer.lr=1e-30", "--set", "generator.optimizer.weight_decay=0"]
    run("--resume", tmp_path / "set", "--epochs", 2, *tiny_rate)
    trained, untrained = (load_generator(tmp_path / name) for name in ("unchanged", "set"))
    weights = [key for key in first if "running" not in key and "num_batches" not in key]
    assert all(bool((untrained[key] == first[key]).all()) for key in weights if first[key].any())
    assert not all(bool((trained[key] == first[key]).all()) for key in weights)


def load_generator(folder):
    """Return the tensors of the generator in the newest checkpoint of a run."""
    return load_file(newest_checkpoint(folder) / "generator.safetensors")


def test_settings_that_do_not_fit_the_checkpoint_are_not_kept(tmp_path, photos):
    out = tmp_path / "out"
    run("--data", photos, "--out", out, "--size", 32, "--epochs", 1)
    before = (out / "recipe.toml").read_bytes()
    result = CliRunner().invoke(main, ["run", "--resume", str(out), "--set", "generator.width=6"])
    assert result.exit_code == 1 and "does not fit" in result.stderr
    assert (out / "recipe.toml").read_bytes() == before
    assert "The run is finished after step 1 of 1" in run("--resume", out).output


def test_a_run_without_a_checkpoint_is_resumed_from_its_start(tmp_path, photos):
    out = tmp_path / "out"
    run("--data", photos, "--out", out, "--size", 32, "--epochs", 1)
    before = steps(out)
    shutil.rmtree(out / "checkpoints")
    run("--resume", out)
    assert steps(out) == before


def test_a_damaged_checkpoint_is_ignored_and_named(tmp_path, photos):
    out = tmp_path / "out"
    run("--data", photos, "--out", out, "--size", 32, "--epochs", 2, "--batch", 2)
    newest = newest_checkpoint(out)
    path = newest / "generator.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    result = run("--resume", out)
    assert f"{newest.name} is damaged (generator.safetensors has changed)" in result.output
    assert "Continuing after step 2 of 4" in result.output


def test_a_run_with_damaged_checkpoints_only_says_so_and_starts_again(tmp_path, photos):
    out = tmp_path / "out"
    run("--data", photos, "--out", out, "--size", 32, "--epochs", 1)
    before = steps(out)
    for saved in (out / "checkpoints").iterdir():
        (saved / "manifest.json").write_text("{", "utf-8")
    result = run("--resume", out)
    assert "is damaged (manifest.json can't be read) and is not used" in result.output
    assert steps(out) == before
    # The damaged ones are renamed, and the next run continues from the new one.
    assert [path.name for path in (out / "checkpoints").glob("damaged-*")] == ["damaged-step-00000001"]
    assert "The run is finished after step 1 of 1" in run("--resume", out).output


def set_scores(monkeypatch, scores):
    """Make the validations return these scores one after the other, whatever the weights are."""
    original, remaining = validate_module.validate, iter(scores)

    def validate(*args):
        result = original(*args)
        return replace(result, score=replace(result.score, score=next(remaining)))

    monkeypatch.setattr(validate_module, "validate", validate)


def best(folder):
    """Return the step of the best weights by their header, and their step and score by the summary."""
    recorded = run_records.read_summary(folder).best
    return weight_file.read_header(folder / "best.safetensors").step, recorded.step, recorded.score.score


def test_a_run_that_starts_again_keeps_better_weights_until_its_own_are_better(tmp_path, photos, monkeypatch):
    out = tmp_path / "out"
    set_scores(monkeypatch, [0.3, 0.9, 0.5, 0.2, 0.6, 0.5, 0.95, 0.95])
    run("--data", photos, "--out", out, "--size", 32, "--epochs", 3)
    assert best(out) == (2, 2, 0.9)
    for saved in (out / "checkpoints").iterdir():
        (saved / "manifest.json").write_text("{", "utf-8")
    run("--resume", out)
    assert best(out) == (2, 2, 0.9)
    assert "this run, after step 2" in run("--resume", out).output
    run("--resume", out, "--epochs", 4)
    assert best(out) == (4, 4, 0.95)
    # If the run ended before that was saved, the same score again counts as the best, not as a stale validation.
    shutil.rmtree(out / "checkpoints" / "step-00000004")
    run("--resume", out)
    progress = json.loads((max((out / "checkpoints").glob("step-*")) / "state.json").read_text("utf-8"))["progress"]
    assert (progress["best"], progress["best_step"], progress["stale"]) == (0.95, 4, 0)
    assert best(out) == (4, 4, 0.95)


@pytest.mark.parametrize("change", ["generator.width=6", "data.size=48", "seed=9"])
def test_better_weights_of_other_settings_are_replaced(tmp_path, photos, monkeypatch, change):
    out = tmp_path / "out"
    set_scores(monkeypatch, [0.9, 0.2])
    run("--data", photos, "--out", out, "--size", 32, "--epochs", 1)
    shutil.rmtree(out / "checkpoints")
    run("--resume", out, "--set", change)
    assert best(out) == (1, 1, 0.2)


def test_sigterm_leaves_a_checkpoint_and_the_run_can_be_resumed(tmp_path, photos):
    out = tmp_path / "out"
    arguments = [*TINY, "--data", str(photos), "--out", str(out), "--size", "32", "--batch", "1", "--epochs", "2000"]
    command = [sys.executable, "-c", "from toolbox.cli import main; main()", "run", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        for line in process.stdout:
            if line.startswith(b"epoch 1/"):
                os.kill(process.pid, signal.SIGTERM)
                break
        output = process.stdout.read().decode()
        assert process.wait(60) == 143
    assert f"toolbox run --resume {out}" in output
    progress = json.loads((newest_checkpoint(out) / "state.json").read_text("utf-8"))["progress"]
    assert progress["step"] == len(steps(out)) > 0
    run("--resume", out, "--steps", progress["step"] + 1)
    assert len(steps(out)) == progress["step"] + 1


# ---- a finished run


def test_a_finished_run_keeps_complete_results_and_says_so(tmp_path, competition):
    out = tmp_path / "out"
    run("--data", competition, "--out", out, "--size", 32, "--epochs", 1, "--batch", 8)
    before = (out / "submission.zip").stat().st_mtime_ns
    output = run("--resume", out).output
    assert "The 2 test photographs were restored with these weights and settings before" in output
    assert f"2 test photographs restored: {out / 'submission.zip'}" in output
    assert (out / "submission.zip").stat().st_mtime_ns == before
    # A picture that somebody else wrote does not pass.
    first, second = sorted((out / "test").iterdir())
    expected = first.read_bytes()
    first.write_bytes(second.read_bytes())
    again = "The test photographs are restored again: their results are incomplete, or were changed."
    assert again in run("--resume", out).output
    assert first.read_bytes() == expected


def test_results_of_test_photographs_that_were_replaced_are_replaced_too(tmp_path, competition):
    out = tmp_path / "out"
    run("--data", competition, "--out", out, "--size", 32, "--epochs", 1, "--batch", 8)
    (out / "test" / "mine.txt").write_text("a note")
    (competition / "test.csv").unlink()
    first, second = sorted((competition / "test_input").iterdir())
    before = (out / "test" / second.name).read_bytes()
    second.write_bytes(first.read_bytes())
    first.rename(first.with_name("OTHER.png"))
    output = run("--resume", out).output
    assert "The test photographs are restored again: changed since then: the test photographs." in output
    assert sorted(path.name for path in (out / "test").iterdir()) == ["OTHER.png", second.name, "mine.txt"]
    assert (out / "test" / second.name).read_bytes() != before
    # Without test photographs, a line says what the pictures in the run folder are.
    shutil.rmtree(competition / "test_input")
    assert "test/ are of earlier test photographs; there are none now" in run("--resume", out).output


def test_a_finished_run_that_is_stopped_again_is_not_said_to_be_finished(tmp_path, competition, monkeypatch):
    out = tmp_path / "out"
    options = ["--size", 32, "--epochs", 1, "--batch", 8]
    run("--data", competition, "--out", out, *options)

    def stop(*args):
        os.kill(os.getpid(), signal.SIGTERM)

    shutil.rmtree(out / "test")
    with monkeypatch.context() as patch:
        patch.setattr(submit, "restore_and_zip", stop)
        output = run("--resume", out, code=143).output
    assert "Stopped after step 1. To continue: toolbox run --resume" in output and "no test photographs" not in output
    # A finished run that goes on has no figure of its end until it ends again.
    with monkeypatch.context() as patch:
        patch.setattr(training_run, "end_epoch", lambda run, progress, **_: stop() or progress)
        output = run("--resume", out, "--epochs", 2, code=143).output
    assert "Stopped after step 2." in output and run_records.read_summary(out).loss_after is None
    assert "No --data" not in output


def test_the_outline_names_every_limit(tmp_path, photos):
    def outline(*options):
        arguments = ["--data", photos, "--out", tmp_path / "out", "--dry-run", *options]
        return next(line for line in run(*arguments).output.splitlines() if " pixels, batch " in line)

    assert ", up to 7 epochs, fp32 " in outline("--epochs", 7)
    limits = ["--epochs", 1, "--steps", 1, "--minutes", 1.5, "--set", "validation.patience=3"]
    expected = "up to 1 epoch or 1 step or 1.5 minutes or 3 validations without improvement, fp32 "
    assert expected in outline(*limits)


def test_the_hint_on_the_sample_is_not_repeated(tmp_path):
    assert "No --data" in run("--out", tmp_path / "out", "--dry-run").output
    folder = write_tiny_run(tmp_path / "run")
    run_dir.write_recipe(folder, tiny_plan())
    run_records.write_run_info(folder, run_records.RunInfo(recipe="default"))
    assert "No --data" not in run("--resume", folder, "--dry-run").output


def test_the_recipe_of_a_run_on_the_sample_gives_the_same_run_again(tmp_path):
    first = tmp_path / "first"
    run("--out", first, "--batch", 4, "--size", 64, "--steps", 1, "--no-report")
    outline = run("--recipe", first / "recipe.toml", "--out", tmp_path / "second", "--dry-run").output
    assert "64 pixels, batch 4, up to 4 epochs or 1 step" in outline
    resumed = run("--resume", first, "--set", "sample.batch=2", "--steps", 2, "--dry-run").output
    assert "64 pixels, batch 2, " in resumed
    # Earlier versions kept the table.
    (first / "recipe.toml").write_text((first / "recipe.toml").read_text() + "\n[sample]\nbatch = 8\n")
    assert "64 pixels, batch 4" in run("--resume", first, "--dry-run").output


def test_damaged_records_are_named_by_every_command_that_reads_them(tmp_path, photos):
    folder = tmp_path / "runs" / "one"
    run("--data", photos, "--size", 32, "--steps", 2, "--out", folder, "--no-report")
    path = folder / "metrics.jsonl"
    path.write_bytes(path.read_bytes() + b"\0\xff")
    last = len(path.read_bytes().splitlines())
    line = f"metrics.jsonl: line {last} is no record (cut off or damaged), and left out"
    shutil.copytree(folder, tmp_path / "runs" / "two")
    for words in (["runs", folder.parent], ["report", folder], ["compare", folder, folder.with_name("two")]):
        result = CliRunner().invoke(main, [*map(str, words)])
        assert result.exit_code == 0 and line in result.stderr, result.output
    assert line in (folder / "report.html").read_text("utf-8")
    with pytest.warns(UserWarning, match=r"metrics.jsonl: line \d+ is no record"):
        assert len(toolbox.Run.open(folder).metrics()) >= 2
    assert f"warning: {folder}/{line}" in run("--resume", folder, "--steps", 3, "--no-report").output
    assert f"{folder}/metrics" not in CliRunner().invoke(main, ["runs", str(folder.parent)]).stderr  # they are deleted


class Deleting(toolbox.Observer):
    """Delete something from the run folder after the first epoch's checkpoint."""

    def __init__(self, folder, name, step):
        self.path, self.step = folder / name, step

    def on_step(self, record):
        self.delete(record.step)

    def on_epoch(self, record):
        self.delete(record.step + 0.5)

    def delete(self, step):
        if step == self.step:
            self.step = None
            if self.path.is_dir():
                shutil.rmtree(self.path)
            else:
                self.path.unlink()


LOST = {
    "checkpoints": "",
    "previews": "",
    "metrics.jsonl": "",
    "recipe.toml": "warning: recipe.toml disappeared from",
    "summary.json": "warning: summary.json disappeared from",
    "best.safetensors": "best.safetensors is missing. best.safetensors is written again",
    ".": "warning: recipe.toml, run.json, split.json, summary.json disappeared from",
}


@pytest.mark.parametrize(("name", "step"), [*((name, 3) for name in LOST), ("best.safetensors", 6.5), (".", 6.5)])
def test_what_is_deleted_during_a_run_is_written_again_and_the_run_ends_well(name, step, tmp_path, photos, capsys):
    out, recipe = tmp_path / "run", toolbox.Recipe.load("default")
    sizes = {"generator.width": 4, "discriminator.width": 4, "data.size": 32, "training.batch": 2}
    for key, value in (sizes | {"training.epochs": 3, "validation.previews": 1}).items():
        recipe = recipe.set(key, value)
    trained = toolbox.train(recipe, data=photos, out=out, device="cpu", observers=[Deleting(out, name, step)])
    output = "".join(capsys.readouterr())
    assert trained.result.finished and LOST[name] in output and ("disappeared" in output) == ("disap" in LOST[name])
    files = {path.name for path in out.iterdir()}
    assert files >= {"recipe.toml", "run.json", "split.json", "summary.json", "best.safetensors", "metrics.jsonl"}
    assert trained.summary.best is not None and any((out / "checkpoints").iterdir())
    assert run_records.read_run_info(out).seed == recipe.tree.get("seed", 42)
    assert toolbox.train(resume=out, device="cpu").result.finished
