"""`toolbox runs clean`: what it lists and deletes, and what it never touches."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner
from training_steps import build

from toolbox.cli import main
from toolbox.errors import OutputError
from toolbox.reports.run_report import MAX_PREVIEWS
from toolbox.training import checkpoint, cleanup
from toolbox.utils import files, locks, temporary_files


def write_checkpoint(run, name):
    folder = run / "checkpoints" / name
    folder.mkdir(parents=True)
    for member in ("generator.safetensors", "generator-optimizer.safetensors", "state.json"):
        (folder / member).write_text(name + member)
    digests = {path.name: files.sha256(path) for path in folder.iterdir()}
    (folder / "manifest.json").write_text(json.dumps({"sha256": digests}))
    return folder


def write_run(folder, *, steps=(10, 20, 30, 40), best=20, previews=3):
    """Write the files of a run that `toolbox runs clean` looks at."""
    (folder / "previews").mkdir(parents=True)
    for name in ("recipe.toml", "run.json", "best.safetensors", "metrics.jsonl", "report.html"):
        (folder / name).write_text("{}" if name == "run.json" else "")
    figures = {"pixel_loss": {"before": 1.0}, "baselines": {}}
    (folder / "summary.json").write_text(
        json.dumps(figures | {"best": {"step": best, "S": 0.1, "M": 0.1, "C": 0.1, "score": 0.1}})
    )
    for step in steps:
        write_checkpoint(folder, f"step-{step:08d}")
    for epoch in range(previews):
        (folder / "previews" / f"epoch-{epoch + 1:03d}.png").write_bytes(b"picture")
    return folder


def names(found):
    return {item.path.name: item.kind for item in found}


def everything(folder):
    return {path.relative_to(folder) for path in folder.rglob("*") if path.name != ".lock"}


def call(*arguments, code=0, **options):
    result = CliRunner().invoke(main, ["runs", *map(str, arguments)], **options)
    assert result.exit_code == code, (result.output, result.exception)
    return result.output


def dead_process():
    process = subprocess.Popen(["true"])
    process.wait()
    return process.pid


def test_old_checkpoints_go_and_the_newest_and_the_best_stay(tmp_path):
    run = write_run(tmp_path / "run")
    found = cleanup.find_leftovers(run)
    assert names(found) == {"step-00000010": "old checkpoint", "step-00000030": "old checkpoint"}
    size = sum(item.size for item in found)
    assert size == sum(path.stat().st_size for item in found for path in item.path.iterdir())
    assert cleanup.delete_leftovers(run, found) == size
    assert {path.name for path in (run / "checkpoints").iterdir()} == {"step-00000020", "step-00000040"}
    assert checkpoint.newest_checkpoint(run / "checkpoints") == (run / "checkpoints" / "step-00000040", ())
    assert not cleanup.find_leftovers(run)


def test_the_newest_undamaged_checkpoint_stays(tmp_path):
    run = write_run(tmp_path / "run", best=40)
    (run / "checkpoints" / "step-00000040" / "state.json").write_text("cut off")
    (run / "checkpoints" / "step-00000040").rename(run / "checkpoints" / "damaged-step-00000040")
    found = names(cleanup.find_leftovers(run))
    assert found.pop("damaged-step-00000040") == "damaged checkpoint"
    assert found.keys() == {"step-00000010", "step-00000020"}
    for name in ("step-00000010", "step-00000020", "step-00000030"):
        (run / "checkpoints" / name / "state.json").write_text("cut off")
    assert not cleanup.find_leftovers(run)


def test_files_that_are_not_the_runs_own_stay(tmp_path):
    run = write_run(tmp_path / "run", best=40)
    (run / "checkpoints" / "step-00000010" / "notes.txt").write_text("mine")
    (run / "checkpoints" / "step-00000020" / "weights.safetensors").write_text("mine too: not in the manifest")
    (run / "checkpoints" / "my-step-1").mkdir()
    other = write_checkpoint(tmp_path / "elsewhere", "step-00000005")
    (run / "checkpoints" / "step-00000005").symlink_to(other)
    (run / ".notes.tmp").write_text("mine")
    assert names(cleanup.find_leftovers(run)) == {"step-00000030": "old checkpoint"}
    before = everything(tmp_path)
    call("clean", tmp_path, "--yes")
    gone = before - everything(tmp_path)
    assert gone and all("step-00000030" in path.parts for path in gone)


def test_previews_that_the_report_does_not_show_are_deleted(tmp_path):
    run = write_run(tmp_path / "run", steps=(10,), previews=MAX_PREVIEWS + 7)
    (run / "previews" / "mine.txt").write_text("mine")
    assert len(cleanup.find_leftovers(run)) == 7
    call("clean", run, "--yes")
    assert len(list((run / "previews").glob("*.png"))) == MAX_PREVIEWS and (run / "previews" / "mine.txt").exists()
    assert all((run / "previews" / f"epoch-{epoch:03d}.png").exists() for epoch in (1, MAX_PREVIEWS + 7))
    assert not cleanup.find_leftovers(run)


def test_temporary_files_of_ended_processes_are_deleted(tmp_path):
    run = write_run(tmp_path / "run", steps=(10,))
    dead = temporary_files.temporary_path(run / "checkpoints" / "step-00000020", pid=dead_process())
    (dead / "sub").mkdir(parents=True)
    (dead / "sub" / "generator.safetensors").write_text("half")
    alive = temporary_files.temporary_path(run / "summary.json", pid=1)
    alive.write_text("being written")
    assert names(cleanup.find_leftovers(run)) == {dead.name: "temporary file"}
    call("clean", run, "--yes")
    assert alive.exists() and not dead.exists()


def test_a_run_that_trains_is_left_out(tmp_path):
    busy, idle = write_run(tmp_path / "busy"), write_run(tmp_path / "idle")
    found = cleanup.find_leftovers(busy)
    with locks.hold_lock(busy / ".lock"):
        before = everything(busy)
        assert "busy is training and is left out" in call("clean", tmp_path, "--yes")
        with pytest.raises(OutputError, match="has begun to train"):
            cleanup.delete_leftovers(busy, found)
        assert everything(busy) == before
    assert not cleanup.find_leftovers(idle)


def test_a_folder_that_can_not_be_read_is_left_out_and_counted(tmp_path, monkeypatch):
    for name in ("one", "locked", "two"):
        write_run(tmp_path / name)
    original = Path.is_file

    def is_file(self):
        if self.parent.name == "locked":
            raise PermissionError(13, "Permission denied", str(self))
        return original(self)

    monkeypatch.setattr(Path, "is_file", is_file)
    line = "1 left out, because they can't be read: locked"
    listed = call(tmp_path, code=3)
    assert line in listed and str(tmp_path / "one") in listed and str(tmp_path / "two") in listed
    cleaned = call("clean", tmp_path, "--yes", code=3)
    assert line in cleaned and "Freed" in cleaned
    assert (tmp_path / "locked" / "checkpoints" / "step-00000010").is_dir()


def test_nothing_is_deleted_without_a_yes(tmp_path, monkeypatch):
    run = write_run(tmp_path / "run")
    before = everything(run)
    text = call("clean", run)
    assert "step-00000010" in text and "2 leftovers" in text and "Nothing was deleted" in text
    assert [row["kind"] for row in json.loads(call("clean", run, "--json"))["leftovers"]] == ["old checkpoint"] * 2
    monkeypatch.setattr("toolbox.cli.runs._is_terminal", lambda: True)
    call("clean", run, input="n\n")
    assert everything(run) == before
    assert "Freed" in call("clean", run, input="y\n")
    assert everything(run) < before
    assert "0 leftovers" in call("clean", run)


def test_a_folder_before_the_command_is_refused(tmp_path):
    run = write_run(tmp_path / "runs")
    assert f"toolbox runs clean {run}" in call(run, "clean", code=2)
    assert "nowhere: there is no such folder" in call("clean", "nowhere", code=2)


def test_the_remedy_for_a_full_disk_fits_new_and_continued_runs(tmp_path, monkeypatch):
    built, _ = build()
    monkeypatch.setattr(checkpoint.shutil, "disk_usage", lambda _: SimpleNamespace(free=0))
    with pytest.raises(OutputError, match="or choose another disk with out=DIR"):
        checkpoint.require_disk_space(tmp_path / "checkpoints", built)
    write_checkpoint(tmp_path, "step-00000010")
    with pytest.raises(OutputError, match="or move the run folder to another disk"):
        checkpoint.require_disk_space(tmp_path / "checkpoints", built)
