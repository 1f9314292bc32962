"""The run folder is deleted or renamed while a run writes into it: the run writes again and ends well. Some 25 s."""

from __future__ import annotations

import shutil

import pytest

import toolbox
from toolbox.errors import OutputError
from toolbox.evaluation import submission
from toolbox.imaging import io
from toolbox.reports import report_file
from toolbox.training import checkpoint, metric_log
from toolbox.utils import deleted_folders, files
from toolbox.utils.deleted_folders import PAUSES, retry_if_deleted

# The function that is called just after the folder was deleted, a part of its first argument, and which of these calls.
MOMENTS = {
    "a record": (metric_log, "append_record", "", 2),
    "a preview": (io, "write_png", "previews", 1),
    "a checkpoint": (checkpoint, "write_checkpoint_files", "", 2),
    "the last checkpoint": (checkpoint, "write_checkpoint_files", "", 4),
    "the state in a checkpoint": (files, "write_json", "state.json", 1),
    "the best weights": (checkpoint, "write_weights", "", 1),
    "the summary": (files, "write_json", "summary.json", 2),
    "the report": (report_file, "write_run_report", "", 1),
    "loading the best weights": (checkpoint, "read_weights", "", 1),
    "a test photograph": (io, "write_png", "test", 2),
    "the submission": (submission.files, "write_flat_zip", "", 1),
}
SETTINGS = {"generator.width": 4, "discriminator.width": 4, "data.size": 32, "training.batch": 4}


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_run_folder_that_is_deleted_while_it_is_written_to_is_written_again(
    moment, tmp_path, competition, monkeypatch, capsys
):
    module, name, part, number = MOMENTS[moment]
    out, write, calls = tmp_path / "run", getattr(module, name), []

    def delete_first(*arguments):
        if part in str(arguments[0]).rpartition("run/")[2]:
            calls.append(arguments)
            if len(calls) == number:
                shutil.rmtree(out)
        return write(*arguments)

    monkeypatch.setattr(module, name, delete_first)
    monkeypatch.setattr(deleted_folders, "PAUSES", (0.0,) * 3)
    recipe = toolbox.Recipe.load("default")
    for key, value in (SETTINGS | {"training.epochs": 2}).items():
        recipe = recipe.set(key, value)
    trained = toolbox.train(recipe, data=competition, out=out, device="cpu")
    assert len(calls) >= number and trained.result.finished
    assert trained.summary.best is not None and trained.summary.loss_after is not None
    assert "observers" not in "".join(capsys.readouterr())
    names = {path.name for path in out.iterdir()}
    assert names >= {"recipe.toml", "run.json", "split.json", "summary.json", "best.safetensors", "report.html"}
    assert checkpoint.newest_checkpoint(out / "checkpoints")[1] == ()


def test_a_write_is_tried_again_only_if_what_it_writes_to_was_deleted(tmp_path, monkeypatch):
    monkeypatch.setattr(deleted_folders, "PAUSES", (0.0,) * len(PAUSES))
    calls = []

    def write(fails, path):
        calls.append(path)
        if len(calls) > fails:
            path.parent.mkdir()
        files.write_text(path, "x")

    retry_if_deleted(lambda: write(2, tmp_path / "a" / "b"))
    assert len(calls) == 3
    calls.clear()
    with pytest.raises(OutputError, match="does not exist"):
        retry_if_deleted(lambda: write(99, tmp_path / "c" / "d"))
    assert len(calls) == len(PAUSES) + 1
    calls.clear()
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="is a file, not a folder"):
        retry_if_deleted(lambda: write(99, tmp_path / "file" / "d"))
    assert len(calls) == 1
