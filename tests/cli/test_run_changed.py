"""`toolbox run --resume` with something changed: what can't be compared is measured again, and each change is named."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from commands import invoke, invoke_error
from runs import newest_checkpoint, records, run, steps
from safetensors import safe_open
from safetensors.torch import save_file

from toolbox.data import sample
from toolbox.imaging import io
from toolbox.models import weight_file
from toolbox.reports import run_records
from toolbox.training.resume import change_lines


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A folder with six photographs and a run of two epochs on them, of two steps each."""
    root = tmp_path_factory.mktemp("finished")
    (root / "photos").mkdir()
    for path in io.find_images(sample.folder() / "photos")[:6]:
        io.write_png(root / "photos" / f"{path.stem}.png", io.read_rgb(path)[:48, :64])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TOOLBOX_HOME", str(root / "home"))
        patch.setenv("TOOLBOX_CACHE", str(root / "cache"))
        run("--data", root / "photos", "--out", root / "run", "--size", 32, "--epochs", 2, "--batch", 2)
    return root


@pytest.fixture
def folder(finished, tmp_path):
    """A copy of the finished run, with its own copy of the photographs in `photos` beside it."""
    shutil.copytree(finished / "run", tmp_path / "run")
    shutil.copytree(finished / "photos", tmp_path / "photos")
    info = tmp_path / "run" / "run.json"
    info.write_text(json.dumps(json.loads(info.read_text("utf-8")) | {"data": str(tmp_path / "photos")}), "utf-8")
    return tmp_path / "run"


def part(folder, name):
    """Return the names of the photographs of one part of a run's split."""
    return list(json.loads((folder / "split.json").read_text("utf-8"))[name])


def test_another_size_is_measured_again(folder):
    before = run_records.read_summary(folder)
    output = run("--resume", folder, "--size", 48).output
    assert "Changed settings: data.size 32, now 48." in output
    assert "The baselines and the best weights are measured again, because data.size changed." in output
    assert "after step 4, " in output and "before the first step" not in output
    after = run_records.read_summary(folder)
    assert after.baselines != before.baselines and after.loss_before_step == 4
    assert after.best.step == before.best.step and after.best.score != before.best.score
    header = weight_file.read_header(folder / "best.safetensors")
    assert header.score["score"] == after.best.score.score
    # The new figures are the ones of the next resume.
    assert "Measured again" not in run("--resume", folder).output


def test_another_precision_is_measured_again(folder):
    output = run("--resume", folder, "--precision", "bf16").output
    assert "The baselines and the best weights are measured again, because training.precision changed." in output
    assert run_records.read_summary(folder).measured_on["training.precision"] == "bf16"


def test_a_condition_that_an_earlier_version_did_not_record_is_not_a_change(folder):
    path = folder / "summary.json"
    summary = json.loads(path.read_text("utf-8"))
    del summary["measured_on"]["training.precision"]
    path.write_text(json.dumps(summary), "utf-8")
    manifest = newest_checkpoint(folder) / "manifest.json"
    assert "Measured again" not in run("--resume", folder).output and manifest.is_file()


def test_a_missing_photograph_is_named_and_the_split_is_kept(folder):
    train, validation = part(folder, "train"), part(folder, "validation")
    before = run_records.read_summary(folder)
    (folder.parent / "photos" / validation[0]).unlink()
    output = run("--resume", folder).output
    assert f"1 missing ({validation[0]}). The split of the run is kept: 4 train, 1 validate." in output
    assert "because the validation photographs and the size of the fixed validation batch changed" in output
    assert (part(folder, "train"), part(folder, "validation")) == (train, validation[1:])
    assert run_records.read_summary(folder).baselines != before.baselines


def test_a_new_photograph_trains_and_nothing_is_measured_again(folder):
    train, validation = part(folder, "train"), part(folder, "validation")
    source = io.read_rgb(folder.parent / "photos" / train[0])
    io.write_png(folder.parent / "photos" / "0-new.png", source[::-1])
    output = run("--resume", folder, "--epochs", 3).output
    assert "1 new (0-new.png)" in output and "Measured again" not in output
    assert (part(folder, "train"), part(folder, "validation")) == ([*train, "0-new.png"], validation)
    assert len(steps(folder)) == 4 + 3  # five photographs are three batches


def test_other_data_are_remembered(folder, tmp_path):
    shutil.move(tmp_path / "photos", tmp_path / "elsewhere")
    output = run("--resume", folder, "--data", tmp_path / "elsewhere").output
    assert "The photographs have changed" not in output  # the same photographs in another folder
    assert run_records.read_run_info(folder).data == str(tmp_path / "elsewhere")
    run("--resume", folder)


@pytest.mark.parametrize(("batch", "expected"), [(4, 6), (1, 12)])
def test_another_batch_size_trains_the_remaining_epochs(folder, batch, expected):
    output = run("--resume", folder, "--batch", batch, "--epochs", 4).output
    assert f"Continuing after step 4 of {expected}." in output and "epoch 5" not in output
    assert "training.batch 2, now" in output
    assert len(steps(folder)) == expected


def test_an_epoch_with_other_batches_begins_again(folder):
    run("--resume", folder, "--epochs", 4, "--steps", 5)  # one of two steps of the third epoch
    output = run("--resume", folder, "--batch", 4, "--steps", 99).output
    assert "Epoch 3 begins again" in output and "Continuing after step 5 of 7" in output
    assert [record["epoch"] for record in steps(folder)] == [0, 0, 1, 1, 2, 2, 3]


@pytest.mark.parametrize(
    ("option", "value", "text"),
    [
        ("--epochs", 1, "--epochs 1: the run is in epoch 2 already."),
        ("--steps", 3, "--steps 3: the run has taken 4 steps already."),
        ("--minutes", 1e-6, "--minutes 1e-06: the run has taken 0."),
    ],
)
def test_a_limit_below_what_is_done_is_refused(folder, option, value, text):
    before = (folder / "recipe.toml").read_bytes()
    output = run("--resume", folder, option, value, code=2).stderr
    assert text in output
    assert (folder / "recipe.toml").read_bytes() == before


def test_a_finished_run_names_the_limits_that_end_it(folder):
    epochs = "after step 4 of 4: it has reached its limit of 2 epochs. To train longer, raise --epochs."
    assert f"The run is finished {epochs}" in run("--resume", folder).output
    assert "Continuing" in run("--resume", folder, "--epochs", 4, "--steps", 5).output
    steps = "after step 5 of 5: it has reached its limit of 5 steps. To train longer, raise --steps."
    assert steps in run("--resume", folder).output
    both = "of 3 epochs and of 6 steps. To train longer, raise --epochs and --steps."
    run("--resume", folder, "--epochs", 3, "--steps", 6)
    assert both in run("--resume", folder).output


@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_bytes(path.read_bytes()[:-9])])
def test_lost_best_weights_are_noticed_at_the_start_and_written_again(folder, damage):
    damage(folder / "best.safetensors")
    output = run("--resume", folder).output
    assert "warning: the best weights, of step" in output
    assert output.index("warning: the best weights") < output.index("epoch 2/2")
    assert weight_file.read_header(folder / "best.safetensors").step == 4
    assert len([record for record in records(folder) if "validation" in record]) == 2


def test_a_lost_summary_is_measured_again_and_not_called_before_the_first_step(folder):
    best = run_records.read_summary(folder).best
    (folder / "summary.json").unlink()
    output = run("--resume", folder).output
    assert "summary.json is missing or damaged" in output and "after step 4, " in output
    assert run_records.read_summary(folder).best == best


def weights_of(folder):
    return (newest_checkpoint(folder) / "generator.safetensors").read_bytes()


@pytest.mark.parametrize("damage", ["delete", "damage"])
def test_a_run_without_a_checkpoint_begins_again_from_its_initial_weights(folder, tmp_path, damage):
    first = tmp_path / "first"
    arguments = ("--data", tmp_path / "photos", "--size", 32, "--steps", 1, "--batch", 2)
    run(*arguments, "--out", first, "--set", f"generator.init={folder}")
    again = tmp_path / "again"
    shutil.copytree(first, again)
    if damage == "delete":
        shutil.rmtree(again / "checkpoints")
    else:
        for path in (again / "checkpoints").glob("*/generator.safetensors"):
            path.write_bytes(b"damaged")
    output = run("--resume", again).output
    assert "begins again at step 0" in output and f"The generator starts from {folder}: all" in output
    assert weights_of(again) == weights_of(first)
    shutil.rmtree(again / "checkpoints")
    folder.rename(tmp_path / "moved")
    line = invoke_error("run", "--resume", again)
    assert "no usable checkpoint, so the run begins again from its initial weights, generator.init: " in line


@pytest.mark.parametrize("by_hand", [False, True])
@pytest.mark.parametrize("network", ["generator", "discriminator"])
def test_initial_weights_of_a_continued_run_can_not_be_changed(folder, network, by_hand):
    before = (folder / "recipe.toml").read_text("utf-8")
    change = ("--set", f"{network}.init=weights:luma")
    if by_hand:
        head, _, tail = before.partition(f"[{network}]")
        (folder / "recipe.toml").write_text(head + f"[{network}]" + tail.replace('init = ""', 'init = "x"', 1), "utf-8")
        change = ()
    line = invoke_error("run", "--resume", folder, *change)
    assert f"{network}.init has no effect in a run that is continued: its checkpoint has the weights." in line
    assert "Start a new run: toolbox run --recipe " in line and f"--set {network}.init=" in line
    assert by_hand or (folder / "recipe.toml").read_text("utf-8") == before


@pytest.mark.parametrize("setting", ["data.size", "seed", "keep", "losses.mse.weight"])
def test_a_setting_that_is_changed_and_changed_back_is_measured_again_each_time(folder, setting):
    """The second time, the best weights had no figures, and their file those of the other setting."""
    first = run_records.read_summary(folder)
    values = {"data.size": (48, 32), "seed": (1, 42), "keep": ("luma", "none"), "losses.mse.weight": (5, 50)}[setting]
    summaries = []
    for value in values:
        output = run("--resume", folder, "--set", f"{setting}={value}").output
        assert "are measured again" in output and "this run, after step" in output
        summaries.append(run_records.read_summary(folder))
        header = weight_file.read_header(folder / "best.safetensors")
        assert header.loss == summaries[-1].best.loss and header.step == first.best.step
    assert summaries[1].best == first.best and summaries[0].best != first.best


def test_results_of_weights_that_are_only_measured_again_are_kept(competition, tmp_path):
    """A line said that the weights had changed, and the same results were made again."""
    folder = tmp_path / "run"
    run("--data", competition, "--out", folder, "--size", 32, "--steps", 1, "--batch", 2)
    before = (folder / "best.safetensors").read_bytes()
    output = run("--resume", folder, "--set", "validation.choose_by=loss").output
    assert (folder / "best.safetensors").read_bytes() != before  # the figures in its header
    assert "restored again" not in output


@pytest.mark.parametrize("setting", ["keep=luma", "data.size=48"])
def test_results_that_are_restored_again_after_a_changed_setting_say_so(competition, tmp_path, setting):
    folder = tmp_path / "run"
    run("--data", competition, "--out", folder, "--size", 32, "--steps", 1, "--batch", 2)
    output = run("--resume", folder, "--set", setting).output
    assert "The test photographs are restored again: changed since then: " in output


def test_an_empty_value_is_shown_in_quotes():
    assert change_lines({"a": ("", "x"), "b": (None, "")}) == ['Changed settings: a "", now x; b none, now "".']


@pytest.mark.parametrize("key", ["split.seed=1", "split.method=scene", "split.validation=0.5"])
def test_the_split_can_not_be_changed(folder, key):
    assert "can't be changed in a run" in invoke_error("run", "--resume", folder, "--set", key)


def test_run_json_names_the_commands_and_the_machine(folder):
    run("--resume", folder)
    info = run_records.read_run_info(folder)
    assert len(info.sessions) == 2 and all(session.host and session.process for session in info.sessions)
    assert all("T" in session.started for session in info.sessions)
    assert set(info.plugins) == {"default"}


def test_a_changed_plugin_is_named(folder, tmp_path):
    code = (
        "from toolbox import MetricSpec, Params, hookimpl\n"
        "class Options(Params):\n    pass\n"
        "@hookimpl\ndef toolbox_metrics():\n"
        "    return [MetricSpec(name='zero', summary='zero', params=Options, build=lambda params: lambda *_: 0.0)]\n"
    )
    plugin = tmp_path / "mine.py"
    plugin.write_text(code, "utf-8")
    invoke("plugin", "add", plugin)
    run("--resume", folder, "--set", "metrics.zero.name=zero", "--epochs", 3)
    assert "plugin mine" in (newest_checkpoint(folder) / "state.json").read_text("utf-8")
    assert "bit for bit" not in run("--resume", folder).output
    plugin.write_text(code + "# another version\n", "utf-8")
    assert "not be bit for bit the same: plugin mine sha256 " in run("--resume", folder).output


@pytest.mark.parametrize("content", [None, "", '{"recipe": "def', "[]"])
def test_a_run_that_has_lost_its_record_needs_the_data_folder(folder, content):
    path = folder / "run.json"
    path.unlink() if content is None else path.write_text(content, "utf-8")
    before = (folder / "split.json").read_bytes()
    output = invoke_error("run", "--resume", folder)
    assert "run.json is missing or damaged" in output and "--data" in output
    assert (folder / "split.json").read_bytes() == before
    before = (folder / "recipe.toml").read_bytes()
    output = run("--resume", folder, "--epochs", "3", "--data", folder.parent / "photos").output
    assert "run.json is missing or damaged. It is written again" in output
    assert "sample" not in output and b"[sample]" in before and b"[sample]" in (folder / "recipe.toml").read_bytes()
    info = json.loads(path.read_text("utf-8"))
    assert info["seed"] is not None and "torch" in info["versions"] and len(info["sessions"]) == 1
    assert "The run is finished after step 6" in run("--resume", folder).output


def test_a_run_that_has_lost_all_checkpoints_says_that_it_begins_again(folder):
    shutil.rmtree(folder / "checkpoints")
    step = run_records.read_summary(folder).best.step
    output = run("--resume", folder, "--epochs", 1, "--steps", 1).output
    assert "has no usable checkpoint, so the training begins again at step 0" in output
    assert f"The earlier best weights, of step {step}, are kept" in output


def test_a_size_that_is_refused_changes_nothing(folder):
    files = [folder / "recipe.toml", folder / "summary.json"]
    before = [path.read_bytes() for path in files]
    changes = run_records.read_run_info(folder).changes
    assert "don't work at 20 pixels" in run("--resume", folder, "--size", 20, "--epochs", 3, code=2).output
    assert [path.read_bytes() for path in files] == before
    assert run_records.read_run_info(folder).changes == changes


def test_a_dry_run_refuses_a_size_that_does_not_fit_the_networks(folder):
    output = run("--resume", folder, "--size", 20, "--dry-run", code=2).output
    assert "don't work at 20 pixels" in output and "They work at 32, 64, 128, 224 and 256: change --size." in output


def test_an_empty_recipe_of_a_run_says_what_to_do(folder, tmp_path):
    (folder / "recipe.toml").write_bytes(b"")
    output = run("--resume", folder, code=2).stderr
    assert f"{folder / 'recipe.toml'} is empty or incomplete" in output and f"generator.init={folder}" in output
    options = ["--data", tmp_path / "photos", "--out", tmp_path / "new", "--size", 32, "--steps", 1]
    run(*options, "--set", f"generator.init={folder}", "--dry-run")  # the remedy is accepted


def test_a_network_that_changes_in_a_run_says_what_to_do(folder):
    output = run("--resume", folder, "--set", "generator.width=6", "--epochs", 3, code=1).stderr
    assert "does not fit" in output and "Changed settings: " in output and "generator.width 4, now 6" in output
    assert f"start a new run from these weights with --set generator.init={folder}" in output


CODE = """
import torch
from toolbox import DegradationSpec, LossSpec, MetricSpec, Sample, ScheduleSpec, hookimpl

FACTOR = 1.0

def metric(params):
    return lambda restored, truth, mask: FACTOR * float(restored.mean())

def loss(params):
    return lambda restored, truth, mask: FACTOR * (restored - truth).abs().mean()

def damage(params):
    def paint(sample, random):
        image, mask = sample.image.copy(), sample.mask.copy()
        mask[: int(8 * FACTOR)] = True
        image[mask] = 7
        return Sample(image=image, mask=mask, truth=sample.truth)
    return paint

@hookimpl
def toolbox_metrics():
    return [MetricSpec(name="level", summary="Level", build=metric, needs_truth=False)]

@hookimpl
def toolbox_losses():
    return [LossSpec(name="mine", summary="Mine", build=loss)]

@hookimpl
def toolbox_degradations():
    return [DegradationSpec(name="top", summary="Top", build=damage)]

@hookimpl
def toolbox_schedules():
    build = lambda params, optimizer, horizon: torch.optim.lr_scheduler.ConstantLR(optimizer, factor=FACTOR)
    return [ScheduleSpec(name="mine", summary="Mine", build=build)]
"""


@pytest.mark.parametrize(
    ("settings", "cause"),
    [
        (("losses.mine.name=mine",), "the plugins of the losses"),
        (("degradations.top.name=top",), "the plugins of the degradations"),
        (("metrics.level.name=level", "validation.choose_by=level"), "the plugins of validation.choose_by"),
    ],
)
def test_an_edited_plugin_is_measured_again(folder, tmp_path, settings, cause):
    plugin = tmp_path / "mine.py"
    plugin.write_text(CODE, "utf-8")
    invoke("plugin", "add", plugin)
    new = ["--data", tmp_path / "photos", "--out", tmp_path / "new", "--size", 32, "--epochs", 1, "--batch", 2]
    run(*new, *[part for setting in settings for part in ("--set", setting)])
    plugin.write_text(CODE.replace("FACTOR = 1.0", "FACTOR = 0.5"), "utf-8")
    output = run("--resume", tmp_path / "new", "--epochs", 2).output
    assert f"The baselines and the best weights are measured again, because {cause} changed." in output
    assert "measured again" not in run("--resume", tmp_path / "new", "--epochs", 3).output


def test_a_schedule_of_another_plugin_does_not_change_what_is_measured(folder, tmp_path):
    plugin = tmp_path / "mine.py"
    plugin.write_text(CODE, "utf-8")
    invoke("plugin", "add", plugin)
    output = run("--resume", folder, "--epochs", 3, "--set", "generator.schedule.name=mine").output
    assert "generator.schedule" in output and "measured again" not in output


def test_a_setting_that_was_edited_in_the_recipe_of_the_run_is_named(folder):
    recipe = folder / "recipe.toml"
    recipe.write_text(recipe.read_text("utf-8").replace("weight = 50.0", "weight = 5.0", 1), "utf-8")
    output = run("--resume", folder, "--epochs", 3).output
    assert "weight 50.0, now 5.0" in output and "training.epochs 2, now 3" in output
    assert "Changed settings" not in run("--resume", folder).output


def test_a_changed_setting_is_named_without_checkpoints(folder):
    shutil.rmtree(folder / "checkpoints")
    assert "Changed settings: training.batch 2, now 3" in run("--resume", folder, "--batch", 3, "--steps", 1).output


def test_best_weights_of_another_run_are_noticed(folder):
    path = folder / "best.safetensors"
    header, tensors = weight_file.read_header(path), weight_file.read_tensors(path)
    weight_file.write_weights(path, tensors, replace(header, step=1))
    assert "has weights of step 1, which are not those of this run" in run("--resume", folder).output


def test_best_weights_of_another_run_with_the_same_step_are_noticed(folder):
    path = folder / "best.safetensors"
    other = ["--size", 32, "--epochs", 2, "--batch", 2, "--seed", 5]
    run("--data", folder.with_name("photos"), *other, "--out", folder.with_name("other"))
    path.write_bytes((folder.with_name("other") / path.name).read_bytes())
    output = run("--resume", folder, "--epochs", 3).output
    assert "has weights of another run, with a validation loss of" in output
    assert "of another run" not in run("--resume", folder, "--epochs", 4).output


def test_best_weights_of_another_network_and_a_later_step_are_noticed(folder):
    path = folder / "best.safetensors"
    other = ["--size", 32, "--epochs", 3, "--batch", 2, "--set", "generator.width=8"]
    run("--data", folder.with_name("photos"), *other, "--out", folder.with_name("other"))
    header = weight_file.read_header(folder.with_name("other") / path.name)
    tensors = weight_file.read_tensors(folder.with_name("other") / path.name)
    weight_file.write_weights(path, tensors, replace(header, step=6))
    output = run("--resume", folder, "--epochs", 4).output
    assert "has weights of step 6, which are not those of this run" in output and "Score on" in output


LOST_SPLIT = "split.json is missing, so the split is drawn again"


def test_a_lost_split_is_named_if_photographs_have_trained(folder):
    (folder / "split.json").unlink()
    assert LOST_SPLIT in run("--resume", folder).output


def test_a_split_that_was_never_written_is_not_called_lost(folder):
    # As after a run that was killed, or while another process starts it.
    for path in list(folder.iterdir()):
        if path.name not in ("recipe.toml", "run.json"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert "split.json" not in run("--resume", folder).output
    assert (folder / "split.json").exists()


def zero_the_middle(path):
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 1024] = bytes(1024)
    path.write_bytes(data)


@pytest.mark.parametrize("lost", [None, "summary.json", "checkpoints"])
def test_best_weights_with_damaged_data_are_noticed_and_written_again(folder, lost):
    path = folder / "best.safetensors"
    zero_the_middle(path)
    if lost == "checkpoints":  # then the earlier best weights would be kept if they were better
        shutil.rmtree(folder / lost)
    elif lost is not None:
        (folder / lost).unlink()
    output = run("--resume", folder).output
    if lost != "checkpoints":
        assert "the best weights, of step" in output and "its weights are not those that were written" in output
    assert weight_file.read_file(path)
    assert "are lost" not in run("--resume", folder, "--epochs", 3).output


def test_the_weights_of_a_run_in_a_folder_that_is_not_utf8_are_read(folder):
    """They counted as lost: a resumed run replaced them by worse ones, and no other command read them."""
    moved = folder.rename(folder.with_name(os.fsdecode(b"r\xffn")))
    best = (moved / "best.safetensors").read_bytes()
    assert "are lost" not in run("--resume", moved, "--epochs", 2).output
    assert (moved / "best.safetensors").read_bytes() == best
    invoke("weights", "export", moved, "-o", moved.parent / "out.safetensors")
    assert weight_file.read_header(moved / "best.safetensors").step is not None


def test_best_weights_without_a_digest_are_accepted(folder):
    path = folder / "best.safetensors"
    with safe_open(path, framework="pt") as opened:
        values = json.loads(opened.metadata()["toolbox"])
    assert values.pop("digest") == weight_file.tensors_digest(weight_file.read_tensors(path))
    save_file(weight_file.read_tensors(path), path, metadata={"toolbox": json.dumps(values)})
    assert "are lost" not in run("--resume", folder, "--epochs", 3).output


def test_best_weights_of_another_run_with_a_better_score_are_replaced(folder):
    path = folder / "best.safetensors"
    header, tensors = weight_file.read_header(path), weight_file.read_tensors(path)
    weight_file.write_weights(path, tensors, replace(header, step=1, score={**header.score, "score": 0.99}))
    assert "has weights of step 1, which are not those of this run" in run("--resume", folder).output
    assert weight_file.read_header(path).score["score"] < 0.99


def test_a_fixed_batch_of_another_size_is_measured_again(folder):
    output = run("--resume", folder, "--epochs", 3, "--batch", 1).output
    assert "measured again, because the size of the fixed validation batch changed" in output
    assert "on a fixed validation batch" in output and " after step " in output


def test_a_moved_data_folder_is_named_with_the_remedy(folder):
    folder.with_name("photos").rename(folder.with_name("moved"))
    assert "does not exist. If it was moved, give its new place with --data." in invoke_error("run", "--resume", folder)
    run("--resume", folder, "--data", folder.with_name("moved"))


def test_a_folder_for_validation_is_found_from_elsewhere_and_may_be_moved(folder, tmp_path, monkeypatch):
    shutil.copytree(tmp_path / "photos", tmp_path / "own")
    monkeypatch.chdir(tmp_path)
    options = ["--data", "photos", "--size", 32, "--batch", 2, "--set", "split.validation_data=own"]
    run(*options, "--out", "new", "--epochs", 1)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    run("--resume", "../new", "--epochs", 2)
    (tmp_path / "own").rename(tmp_path / "moved")
    output = run("--resume", "../new", "--epochs", 3, "--set", "split.validation_data=../moved").output
    assert "measured again" not in output and "Changed settings: split.validation_data" in output
    refused = invoke_error("run", "--resume", folder, "--set", "split.validation_data=../moved")
    assert "split.validation_data can't be changed in a run" in refused


def test_lost_records_are_named(folder):
    (folder / "metrics.jsonl").unlink()
    assert "metrics.jsonl is missing, so the records of the first 4 steps are lost" in run("--resume", folder).output
