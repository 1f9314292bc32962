"""`toolbox sweep`: every combination is trained once, also after a stop."""

from __future__ import annotations

import json
import signal
from types import SimpleNamespace

import pytest
from click.testing import CliRunner
from commands import invoke

from toolbox.cli import main

TINY = [
    *("--set", "generator.width=4", "--set", "discriminator.width=4", "--set", "data.size=32", "--device", "cpu"),
    *("--set", "training.steps=1"),
]


def sweep(*arguments, code=0):
    result = CliRunner().invoke(main, ["sweep", "default", *map(str, arguments)])
    assert result.exit_code == code, (result.output, result.exception)
    return result.output


def test_all_combinations_are_trained_compared_and_not_trained_again(photos, tmp_path):
    options = [*TINY, "--data", photos, "--out", tmp_path / "s", "--over", "generator.optimizer.lr=1e-4,2e-4"]
    text = sweep(*options)
    runs = sorted(path for path in (tmp_path / "s").iterdir() if path.is_dir())
    assert [run.name for run in runs] == ["001-lr=1e-4-seed=0", "002-lr=2e-4-seed=0"]
    assert "generator.optimizer.lr" in text and (tmp_path / "s" / "comparison.html").is_file()
    rates = [json.loads(json.dumps(line)) for line in text.splitlines() if line.startswith("generator.optimizer.lr")]
    assert rates[0].split() == ["generator.optimizer.lr", "0.0001", "0.0002"]
    before = [(run / "best.safetensors").stat().st_mtime_ns for run in runs]
    assert sweep(*options).count("It is finished.") == 2
    assert before == [(run / "best.safetensors").stat().st_mtime_ns for run in runs]
    # A run that was stopped before its end is resumed.
    summary = json.loads((runs[1] / "summary.json").read_text())
    del summary["pixel_loss"]["after"]
    (runs[1] / "summary.json").write_text(json.dumps(summary))
    assert sweep(*options).count("It is finished.") == 1
    assert "after" in json.loads((runs[1] / "summary.json").read_text())["pixel_loss"]
    text = sweep(*options, "--set", "training.batch=2", code=2)
    assert "001-lr=1e-4-seed=0 was trained with another recipe" in text and "--out" in text


def test_a_run_that_fails_is_listed_and_the_others_are_trained(photos, tmp_path):
    out = tmp_path / "s"
    options = [*TINY, "--data", photos, "--out", out, "--over", "losses.mse.weight=1e38,1", "--seeds", 2]
    text = sweep(*options, code=1)
    assert text.count("This run failed, and the sweep goes on: Step 0: g") == 2 and "toolbox doctor --repeat" in text
    names = ["001-weight=1e38-seed=0", "002-weight=1e38-seed=1"]
    assert f"2 of 4 runs failed: {', '.join(names)}. Their scores are those of the best weights until then." in text
    assert all((out / f"00{seed + 3}-weight=1-seed={seed}" / "best.safetensors").is_file() for seed in range(2))
    assert (out / "comparison.html").is_file()
    rows = [line for line in text.splitlines() if line.startswith("00")]
    assert [row.split()[0] for row in rows][:4] == [*names, "003-weight=1-seed=0", "004-weight=1-seed=1"]
    again = sweep(*options, code=1)
    assert again.count("It is finished.") == 2 and again.count("This run failed") == 2


def test_runs_that_all_fail_have_an_empty_comparison(photos, tmp_path):
    text = sweep(*TINY, "--data", photos, "--out", tmp_path / "s", "--over", "losses.mse.weight=1e38,2e38", code=1)
    assert "2 of 2 runs failed" in text and "Traceback" not in text


def test_a_sweep_on_the_sample_and_one_with_a_relative_path_are_continued(photos, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own").symlink_to(photos)
    for name, more in (("sample", []), ("own", ["--data", photos, "--set", "split.validation_data=own"])):
        options = [*TINY, *more, "--out", name, "--over", "losses.ssim.weight=50"]
        assert "It is finished." not in sweep(*options)
        assert "It is finished." in sweep(*options)


PLUGIN = """
from toolbox import LossSpec, hookimpl

@hookimpl
def toolbox_losses():
    build = lambda params: lambda restored, truth, mask: (restored - truth).abs().mean()
    return [LossSpec(name="mine", summary="A loss", build=build)]
"""


def test_a_finished_sweep_is_read_after_its_plugin_was_renamed(photos, tmp_path):
    options = [*TINY, "--data", photos, "--out", tmp_path / "s", "--set", "losses.mine.enabled=true"]
    for name in ("first", "second"):
        file = tmp_path / f"{name}.py"
        file.write_text(PLUGIN)
        invoke("plugin", "add", file)
        assert ("It is finished." in sweep(*options)) == (name == "second")
        invoke("plugin", "remove", name)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_sweep_that_is_stopped_has_the_exit_code_of_the_signal(number, code, tmp_path, monkeypatch):
    result = SimpleNamespace(finished=False, signal=number)
    monkeypatch.setattr("toolbox.api.train", lambda *arguments, **options: SimpleNamespace(result=result))
    assert "The same command continues" in sweep("--out", tmp_path / "s", code=code)


def test_a_dry_run_lists_the_runs(tmp_path):
    options = ["--over", "training.batch=2,4", "--over", "generator.optimizer.lr=1e-4,2e-4", "--seeds", 2]
    text = sweep(*options, "--out", tmp_path / "s", "--dry-run")
    assert text.count("seed=0") == text.count("seed=1") == 4 and not (tmp_path / "s").exists()


@pytest.mark.parametrize("text", ["lr", "lr=", "=1,2", "lr=1,,2", "seed=1,2"])
def test_a_range_that_is_not_valid_is_named(tmp_path, text):
    assert f"--over {text}" in sweep("--over", text, "--out", tmp_path / "s", code=2)


def test_values_may_be_lists_tables_and_texts_with_commas(tmp_path):
    for values, count in (("[0.9,0.99],[0.5,0.9]", 2), ("[0.9, 0.99]", 1)):
        text = sweep("--over", f"generator.optimizer.betas={values}", "--out", tmp_path / "s", "--dry-run")
        assert text.count("seed=0") == count
    assert sweep("--over", "summary='a, b',c,it's", "--out", tmp_path / "s", "--dry-run").count("seed=0") == 4
    assert sweep("--over", "summary='a, b',c", "--out", tmp_path / "s", "--dry-run").count("seed=0") == 2


def test_a_fault_in_any_run_is_found_before_the_first(tmp_path):
    text = sweep("--over", "training.epochs=2,none", "--out", tmp_path / "s", "--dry-run", code=2)
    assert "training.epochs" in text and not (tmp_path / "s").exists()


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (["--over", "training.batch=2,3", "--over", "training.batch=4"], "--over training.batch is given twice"),
        (["--over", "training.batch=2,3,2"], "2 is given twice"),
        (["--over", "training.batch=2,3", "--set", "seed=7"], "use --seeds"),
    ],
)
def test_settings_that_would_be_lost_are_refused(tmp_path, options, text):
    assert text in sweep(*options, "--out", tmp_path / "s", "--dry-run", code=2)


def test_a_file_as_the_folder_and_other_photographs_are_refused(photos, tmp_path):
    (tmp_path / "file").write_text("", "utf-8")
    assert "is not a folder" in sweep("--out", tmp_path / "file", "--dry-run", code=2)
    sweep(*TINY, "--data", photos, "--out", tmp_path / "s")
    (tmp_path / "other").mkdir()
    output = sweep(*TINY, "--data", tmp_path / "other", "--out", tmp_path / "s", code=2)
    assert f"was trained with --data {photos.resolve()}" in output
    photos.rename(tmp_path / "moved")
    assert "It is finished." in sweep(*TINY, "--data", tmp_path / "moved", "--out", tmp_path / "s")
