"""What ends a run, and what a finished run says."""

from __future__ import annotations

import pytest
from runs import newest_checkpoint, run, steps

from toolbox.utils.json_values import parse_json


def test_a_finished_run_names_each_option_that_continues_it(tmp_path, photos):
    out = tmp_path / "out"
    still = ["--set", "generator.optimizer.lr=1e-30", "--set", "validation.patience=1"]
    ended = run("--data", photos, "--out", out, "--size", 32, "--batch", 2, "--epochs", 9, *still).output
    assert "The run ends here, after 1 validation without improvement" in ended
    saved = parse_json((newest_checkpoint(out) / "state.json").read_text("utf-8"))
    output = run("--resume", out, "--minutes", saved["progress"]["seconds"] / 60).output
    assert "1 validation without improvement. To train longer, raise --minutes and --set validation.patience." in output
    assert "To train longer, raise --minutes." in run("--resume", out, "--set", "validation.patience=0").output
    assert "Continuing after" in run("--resume", out, "--minutes", 9, "--epochs", 3).output


def test_a_larger_batch_does_not_end_an_epoch_in_its_middle(tmp_path, photos):
    out = tmp_path / "out"
    size = ["--size", 32, "--set", "data.repeat=6"]
    run("--data", photos, "--out", out, *size, "--batch", 2, "--epochs", 1, "--steps", 9)
    output = run("--resume", out, "--batch", 4, "--steps", 99).output
    assert "Continuing after step 9 of 15." in output and "Epoch 1 begins again" in output
    assert len(steps(out)) == 15


@pytest.mark.parametrize("change", ["lost weights", "another size"])
def test_a_run_that_goes_on_after_its_patience_is_not_called_finished(change, tmp_path, photos):
    out = tmp_path / "out"
    still = ["--set", "generator.optimizer.lr=1e-30", "--set", "validation.patience=1"]
    run("--data", photos, "--out", out, "--size", 32, "--batch", 2, "--epochs", 9, *still)
    done = len(steps(out))
    if change == "lost weights":
        (out / "best.safetensors").unlink()
    output = run("--resume", out, *([] if change == "lost weights" else ["--size", 48])).output
    assert f"Continuing after step {done} of 18." in output and "The run is finished" not in output
    assert len(steps(out)) > done
