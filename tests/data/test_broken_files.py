"""A file of a run that can't be used: each refusal names it and says what to do, and no file is named that is not."""

from __future__ import annotations

import os

import pytest
from commands import invoke_error
from runs import run

from toolbox.api import train
from toolbox.config.recipe import Recipe
from toolbox.errors import DataError
from toolbox.imaging import io
from toolbox.training import submit
from toolbox.utils import surface

OPTIONS = ["--size", 32, "--epochs", 1, "--batch", 2]
REMEDY = "Replace or remove it, or leave it out with --skip-broken."


def cut(path):
    path.write_bytes(path.read_bytes()[:-40])


def unlink_target(path):
    path.unlink()
    path.symlink_to("nowhere.png")


def write_text(path):
    path.write_text("nothing", "utf-8")


def close(path):
    path.unlink()
    os.mkfifo(path)


DAMAGES = (cut, unlink_target, write_text, close)


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize(
    ("part", "settings"),
    [
        ("train_input", []),
        ("train_gt", []),
        ("train_input", ["--set", "data.cache=false", "--set", "split.method=random"]),
        ("train_gt", ["--set", "split.method=scene"]),
    ],
)
def test_a_file_that_cannot_be_used_is_named_with_the_remedy(damage, part, settings, competition, tmp_path):
    path = sorted((competition / part).iterdir())[2]
    (competition / "train.csv").unlink()
    damage(path)
    message = run("--data", competition, "--out", tmp_path / "out", *OPTIONS, *settings, code=1).stderr
    (line,) = [line for line in message.splitlines() if line.startswith("toolbox: ")]
    assert str(path) in line and line.endswith(REMEDY)
    assert line.count("Replace") == 1 and ".." not in line
    assert not (tmp_path / "out" / "metrics.jsonl").exists()


def test_a_file_that_breaks_after_the_start_is_named_with_the_remedy(photos, tmp_path):
    run("--data", photos, "--out", tmp_path / "out", *OPTIONS)
    path = sorted(photos.iterdir())[0]
    cut(path)
    assert REMEDY in run("--resume", tmp_path / "out", "--epochs", 2, code=1).stderr
    run("--resume", tmp_path / "out", "--epochs", 2, "--skip-broken")


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_file_of_the_validation_data_gets_no_option_that_does_not_help(damage, photos, competition):
    path = sorted((competition / "train_input").iterdir())[0]
    (competition / "train.csv").unlink()
    damage(path)
    setting = ["--set", f"split.validation_data={competition}"]
    for option in ([], ["--skip-broken"]):
        message = invoke_error("run", "--data", photos, "--dry-run", *setting, *option, code=1)
        assert str(path) in message and message.endswith("Replace or remove it.")


def test_a_pair_of_unequal_size_in_the_validation_data_is_refused(photos, competition):
    path = sorted((competition / "train_gt").iterdir())[0]
    io.write_png(path, io.read_rgb(path)[:-3])
    setting = f"split.validation_data={competition}"
    message = invoke_error("run", "--data", photos, "--dry-run", "--set", setting, code=1)
    assert f"{path.name} can't be used: the pair is of unequal size" in message


def test_in_python_no_option_of_the_command_line_is_named(photos):
    path = sorted(photos.iterdir())[0]
    cut(path)
    recipe = Recipe.load("default").set("data.size", 32).set("generator.width", 4).set("discriminator.width", 4)
    with surface.shown_in("python"), pytest.raises(DataError) as failure:
        train(recipe, data=photos, device="cpu")
    assert str(failure.value).endswith("Replace or remove it.")


def test_all_photographs_that_are_left_out_are_listed_and_no_file_that_is_never_written(competition, tmp_path):
    inputs = sorted((competition / "train_input").iterdir())
    for number in range(12):
        copy = competition / "train_input" / f"copy_{number:02d}.png"
        copy.write_bytes(inputs[number % 6].read_bytes())
        (competition / "train_gt" / copy.name).write_bytes(b"nothing")
    for path in inputs:
        cut(path)
    (competition / "train.csv").unlink()
    result = run("--data", competition, "--out", tmp_path / "out", "--skip-broken", *OPTIONS, code=1)
    assert "18 of 18 photographs can't be used" in result.stderr and not (tmp_path / "out" / "skipped.json").exists()
    assert "skipped.json" not in result.output and all(
        f"  {path.name}: " in result.output for path in (competition / "train_input").iterdir()
    )


def test_a_test_photograph_that_breaks_during_the_run_is_named_with_the_remedy(competition, tmp_path, monkeypatch):
    path = sorted((competition / "test_input").iterdir())[0]
    restore = submit.restore_and_zip

    def break_first(*arguments):
        cut(path)
        return restore(*arguments)

    monkeypatch.setattr(submit, "restore_and_zip", break_first)
    message = run("--data", competition, "--out", tmp_path / "out", *OPTIONS, code=1).stderr
    assert str(path) in message and REMEDY in message
