"""`toolbox run` from end to end on tiny networks: the sample, photographs, competition folders, resuming."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import zipfile
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner
from runs import TINY, records, run, steps
from safetensors.torch import load_file

from toolbox.cli import main
from toolbox.color import integer_luma
from toolbox.data import folders, loader, preprocessing, sample
from toolbox.evaluation import metrics
from toolbox.imaging import io
from toolbox.models import weight_file
from toolbox.training import checkpoint, context, run_dir
from toolbox.training import validate as validate_module


@pytest.mark.parametrize("recipe", ["default", "published"])
def test_a_run_on_the_sample_leaves_everything_a_newcomer_needs(tmp_path, recipe):
    out = tmp_path / "out"
    result = run("--recipe", recipe, "--out", out, "--epochs", 2, "--size", 32, "--set", "data.repeat=1")
    assert "No --data" in result.output and "toolbox run --recipe " + recipe + " --data DIR" in result.output
    assert "input as it is" in result.output and "OpenCV Telea in gray" in result.output
    for term in "lsgan mse ssim d.real d.fake on_real on_fake gradient validation S M C score psnr".split():
        assert f" {term} " in result.output
    assert result.output.count("\nepoch ") == 2
    facts = json.loads((out / "run.json").read_text("utf-8"))
    assert facts["seed"] == 42 and facts["versions"]["torch"]
    assert len(list((out / "previews").glob("*.png"))) == 2
    assert checkpoint.find_damage(next((out / "checkpoints").iterdir())) is None
    with zipfile.ZipFile(out / "submission.zip") as archive:
        assert archive.namelist() == sorted(f"{path.stem}.png" for path in io.find_images(sample.folder() / "test"))
    assert len(list((out / "submissions").glob("*.zip"))) == (1 if recipe == "published" else 0)
    shown = io.read_rgb(out / "previews" / "epoch-001.png")
    assert shown.shape == (4 * 32, 3 * 32, 3)


def test_it_really_trains(tmp_path):
    out = tmp_path / "out"
    faster = ["--set", "generator.width=16", "--set", "generator.optimizer.lr=1e-3"]
    run("--out", out, "--size", 32, "--epochs", 4, *faster)
    loss = json.loads((out / "summary.json").read_text("utf-8"))["pixel_loss"]
    assert loss["after"] <= loss["before"] / 2


def test_two_runs_of_one_seed_are_the_same_and_another_seed_is_not(tmp_path, photos):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        run("--data", photos, "--out", tmp_path / name, "--size", 32, "--epochs", 2, "--batch", 2, "--seed", seed)
    a, b, c = (steps(tmp_path / name) for name in "abc")
    assert a == b
    assert a != c
    weights = [(tmp_path / name / "best.safetensors").read_bytes() for name in "ab"]
    assert weights[0] == weights[1]


@pytest.mark.parametrize("workers", [0, 2])
def test_a_resumed_run_is_the_uninterrupted_one_bit_for_bit(tmp_path, photos, workers):
    options = ["--data", photos, "--size", 32, "--epochs", 3, "--batch", 2, "--set", f"data.workers={workers}"]
    run("--out", tmp_path / "whole", *options)
    # Two steps an epoch: the third is in the middle of the second.
    run("--out", tmp_path / "parts", *options, "--set", "training.steps=3")
    recipe = tmp_path / "parts" / "recipe.toml"
    recipe.write_text(recipe.read_text("utf-8").replace("steps = 3\n", ""), "utf-8")
    result = run("--resume", tmp_path / "parts")
    assert "Continuing after step 3 of 6" in result.output
    assert steps(tmp_path / "parts") == steps(tmp_path / "whole")
    one, other = (
        load_file(tmp_path / name / "checkpoints" / "step-00000006" / "generator.safetensors")
        for name in ("whole", "parts")
    )
    assert all(bool((one[key] == other[key]).all()) for key in one)


@pytest.mark.parametrize("batch", [1, 2], ids=["inside an epoch", "at its end"])
def test_minutes_that_run_out_while_a_checkpoint_is_saved_still_end_in_a_validation(
    tmp_path, photos, monkeypatch, batch
):
    out, over = tmp_path / "out", []
    monkeypatch.setattr(context.TrainingRun, "late", lambda bench: bool(over))
    save = checkpoint.save_checkpoint

    def slow(folder, parts, progress):
        if progress.step == 2:
            over.append(True)
        return save(folder, parts, progress)

    monkeypatch.setattr(checkpoint, "save_checkpoint", slow)
    options = ["--size", 32, "--epochs", 9, "--batch", batch, "--set", "validation.every=5"]
    run("--data", photos, "--out", out, *options, "--minutes", 100, "--set", "training.checkpoint_minutes=0")
    assert [line["step"] for line in records(out) if "validation" in line] == [1]
    assert weight_file.read_header(out / "best.safetensors").step == len(steps(out)) == 2
    before = records(out)
    run("--resume", out)
    assert records(out) == before
    # Ended after that validation and before it was saved: it is there once all the same.
    shutil.rmtree(max((out / "checkpoints").iterdir()))
    run("--resume", out)
    assert records(out) == before


def test_however_few_the_minutes_they_are_a_step(tmp_path, photos):
    run("--data", photos, "--out", tmp_path / "out", "--size", 32, "--minutes", 1e-9)
    assert len(steps(tmp_path / "out")) == 1 and (tmp_path / "out" / "best.safetensors").is_file()


def test_what_is_changed_on_resuming_stays(tmp_path, photos):
    out = tmp_path / "out"
    run("--data", photos, "--out", out, "--size", 32, "--epochs", 1)
    run("--resume", out, "--epochs", 2)
    assert len(steps(out)) == 2
    assert "Continuing after step 2 of 2" in run("--resume", out).output


def test_a_learning_rate_that_is_set_on_resuming_counts(tmp_path, photos):
    for name in ("as it was", "set"):
        run("--data", photos, "--out", tmp_path / name, "--size", 32, "--epochs", 1)
    one, other = (load_file(newest(tmp_path / name)) for name in ("as it was", "set"))
    assert all(bool((one[key] == other[key]).all()) for key in one)
    run("--resume", tmp_path / "as it was", "--epochs", 2)
    # So little that no weight of float32 moves.
    still = ["--set", "generator.optimizer.lr=1e-30", "--set", "generator.optimizer.weight_decay=0"]
    run("--resume", tmp_path / "set", "--epochs", 2, *still)
    moved, stayed = (load_file(newest(tmp_path / name)) for name in ("as it was", "set"))
    weights = [key for key in one if "running" not in key and "num_batches" not in key]
    assert all(bool((stayed[key] == one[key]).all()) for key in weights if one[key].any())
    assert not all(bool((moved[key] == one[key]).all()) for key in weights)


def newest(folder):
    return max((folder / "checkpoints").iterdir()) / "generator.safetensors"


def test_what_does_not_fit_the_checkpoint_is_not_kept(tmp_path, photos):
    out = tmp_path / "out"
    run("--data", photos, "--out", out, "--size", 32, "--epochs", 1)
    before = (out / "recipe.toml").read_bytes()
    result = CliRunner().invoke(main, ["run", "--resume", str(out), "--set", "generator.width=6"])
    assert result.exit_code == 1 and "does not fit" in result.stderr
    assert (out / "recipe.toml").read_bytes() == before
    assert "Continuing after step 1 of 1" in run("--resume", out).output


def test_a_run_without_a_checkpoint_is_continued_from_its_beginning(tmp_path, photos):
    out = tmp_path / "out"
    run("--data", photos, "--out", out, "--size", 32, "--epochs", 1)
    before = steps(out)
    shutil.rmtree(out / "checkpoints")
    run("--resume", out)
    assert steps(out) == before


def test_a_damaged_checkpoint_is_passed_over_and_named(tmp_path, photos):
    out = tmp_path / "out"
    run("--data", photos, "--out", out, "--size", 32, "--epochs", 2, "--batch", 2)
    newest = max((out / "checkpoints").iterdir())
    path = newest / "generator.safetensors"
    data_ = bytearray(path.read_bytes())
    data_[-1] ^= 1
    path.write_bytes(bytes(data_))
    result = run("--resume", out)
    assert f"{newest.name} is damaged (generator.safetensors has changed)" in result.output
    assert "Continuing after step 2 of 4" in result.output


def test_a_run_whose_every_checkpoint_is_damaged_says_so_and_begins_again(tmp_path, photos):
    out = tmp_path / "out"
    run("--data", photos, "--out", out, "--size", 32, "--epochs", 1)
    before = steps(out)
    for saved in (out / "checkpoints").iterdir():
        (saved / "manifest.json").write_text("{", "utf-8")
    result = run("--resume", out)
    assert "is damaged (manifest.json can't be read) and was passed over" in result.output
    assert steps(out) == before
    # The ones that were passed over lie aside, and what was saved since is what the next one goes on from.
    assert [path.name for path in (out / "checkpoints").glob("damaged-*")] == ["damaged-step-00000001"]
    assert "Continuing after step 1 of 1" in run("--resume", out).output


def scored(monkeypatch, figures):
    """Have the validation after each step give these scores, by the step, whatever the weights are."""
    real = validate_module.validate
    seen = []

    def validate(*given):
        outcome = real(*given)
        seen.append(len(seen))
        return replace(outcome, score=replace(outcome.score, score=figures[seen[-1]]))

    monkeypatch.setattr(validate_module, "validate", validate)


def best(folder):
    figures = json.loads((folder / "summary.json").read_text("utf-8"))["best"]
    return weight_file.read_header(folder / "best.safetensors").step, figures["step"], figures["score"]


def test_a_run_that_begins_again_leaves_better_weights_until_its_own_are_better(tmp_path, photos, monkeypatch):
    out = tmp_path / "out"
    scored(monkeypatch, [0.3, 0.9, 0.5, 0.2, 0.6, 0.5, 0.95, 0.95])
    run("--data", photos, "--out", out, "--size", 32, "--epochs", 3)
    assert best(out) == (2, 2, 0.9)
    for saved in (out / "checkpoints").iterdir():
        (saved / "manifest.json").write_text("{", "utf-8")
    run("--resume", out)
    assert best(out) == (2, 2, 0.9)
    assert "this run, after step 2" in run("--resume", out).output
    run("--resume", out, "--epochs", 4)
    assert best(out) == (4, 4, 0.95)
    # Ended before that was saved: the same figure again is the same best, and no validation without a better one.
    shutil.rmtree(out / "checkpoints" / "step-00000004")
    run("--resume", out)
    progress = json.loads((max((out / "checkpoints").glob("step-*")) / "state.json").read_text("utf-8"))["progress"]
    assert (progress["best"], progress["best_step"], progress["stale"]) == (0.95, 4, 0)
    assert best(out) == (4, 4, 0.95)


@pytest.mark.parametrize("change", ["generator.width=6", "data.size=48", "seed=9"])
def test_better_weights_that_can_not_be_compared_make_room(tmp_path, photos, monkeypatch, change):
    out = tmp_path / "out"
    scored(monkeypatch, [0.9, 0.2])
    run("--data", photos, "--out", out, "--size", 32, "--epochs", 1)
    shutil.rmtree(out / "checkpoints")
    run("--resume", out, "--set", change)
    assert best(out) == (1, 1, 0.2)


def test_the_competitions_folder(tmp_path, competition):
    out = tmp_path / "out"
    result = run("--data", competition, "--out", out, "--size", 64, "--epochs", 1)
    assert "pairs: 4 train, 2 validate, 2 test" in result.output
    with zipfile.ZipFile(out / "submission.zip") as archive:
        assert archive.namelist() == ["TEST_006.png", "TEST_007.png"]
    assert json.loads((out / "run.json").read_text("utf-8"))["data"] == str(competition)


def test_pairs_are_scored_by_their_own_mask(competition):
    source = folders.open_folder(competition)
    for item in source.items:
        pair, luma_mismatch = preprocessing.prepare_pair(item)
        assert not luma_mismatch
        truth = io.read_rgb(item.truth)
        assert (pair.image[:, :, 0] != integer_luma(truth))[~pair.mask].sum() == 0
        assert pair.mask.any()


def test_pairs_that_are_not_the_luma_of_their_truth_use_the_found_region_and_say_so(tmp_path, competition):
    for path in io.find_images(competition / "train_input"):
        gray = io.read_gray(path)
        hole = gray == np.bincount(gray.ravel()).argmax()
        io.write_png(path, np.where(hole, gray, np.minimum(gray.astype(int) + 3, 255)).astype(np.uint8))
    result = run("--data", competition, "--out", tmp_path / "out", "--size", 64, "--epochs", 1)
    assert "6 pairs are not the luma of their truth outside the lost region" in result.output


def test_memory_that_runs_out_is_one_line_with_what_helps(tmp_path, photos, monkeypatch):
    def hungry(*_, **__):
        raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes")

    monkeypatch.setattr("toolbox.training.step.take_step", hungry)
    result = run("--data", photos, "--out", tmp_path / "out", "--size", 32, "--batch", 2, code=1)
    text = result.stderr.splitlines()[-1]
    assert (
        "Memory ran out at 32 pixels and batch 2" in text and "--batch 1" in text and "Traceback" not in result.output
    )


def test_a_size_that_the_networks_do_not_take_is_one_line(tmp_path, photos):
    result = run("--data", photos, "--out", tmp_path / "out", "--size", 20, code=2)
    assert "don't work at 20 pixels" in result.stderr and "Try another --size" in result.stderr


def test_the_sample_that_a_run_trains_on_can_be_made_again(photos):
    items = folders.open_folder(photos).items
    how = loader.SampleRecipe(size=32, seed=7, damage=(_lost_region(),), augment=())
    one, same, next_epoch, next_index = (
        loader.load_sample(items[0], how, loader.Stream.TRAIN, epoch, index)
        for epoch, index in ((1, 0), (1, 0), (2, 0), (1, 6))
    )
    assert np.array_equal(one.image, same.image)
    assert not np.array_equal(one.image, next_epoch.image)
    assert not np.array_equal(one.image, next_index.image)


def _lost_region():
    from catalogs import default_catalog

    spec = default_catalog().spec("degradation", "lost-region")
    return spec.build(spec.params())


def test_zoom_cuts_training_pictures_at_scales_up_to_it(tmp_path):
    # A ramp of one gray level a pixel: the levels that a cut spans tell its scale.
    ramp = np.repeat(np.arange(128, dtype=np.uint8)[None, :, None], 128, axis=0).repeat(3, axis=2)
    io.write_png(tmp_path / "ramp.png", ramp)
    item = folders.Item(name="ramp.png", input=None, truth=tmp_path / "ramp.png")

    def spans(zoom, stream):
        how = loader.SampleRecipe(size=64, seed=3, zoom=zoom, damage=(), augment=())
        cuts = [loader.load_sample(item, how, stream, 0, index).truth[0, :, 0] for index in range(40)]
        return np.array([int(cut[-1]) - int(cut[0]) for cut in cuts])

    assert set(spans(1.0, loader.Stream.TRAIN)) == set(spans(3.0, loader.Stream.VALIDATION)) == {126}
    training = spans(3.0, loader.Stream.TRAIN)
    assert 40 <= training.min() < 60 and training.max() > 110


def test_an_epoch_shows_every_photograph_once_a_repeat():
    batches = loader.shuffled_batches(5, 3, 4, seed=1, epoch=2)
    keys = [key for batch in batches for key in batch]
    assert sorted(keys) == [(2, index) for index in range(15)]
    assert [len(batch) for batch in batches] == [4, 4, 4, 3]
    assert batches != loader.shuffled_batches(5, 3, 4, seed=1, epoch=3)


def test_a_pair_made_smaller_keeps_its_hole_whole_and_flat(tmp_path):
    truth = np.random.default_rng(0).integers(110, 255, (64, 64, 3), dtype=np.uint8)
    gray = integer_luma(truth)
    gray[10:31, 13:40] = 40
    io.write_png(tmp_path / "i.png", gray)
    io.write_png(tmp_path / "t.png", truth)
    item = folders.Item(name="i.png", input=tmp_path / "i.png", truth=tmp_path / "t.png")
    small = loader.load_sample(item, loader.SampleRecipe(size=32, seed=0, damage=(), augment=()), loader.Stream.TRAIN)
    assert small.image.shape == (32, 32, 3)
    assert set(np.unique(small.image[small.mask])) == {40}
    assert small.mask[5:16, 6:20].all() and small.mask.sum() == 11 * 14
    assert small.image[~small.mask].min() > 100


def test_a_run_that_gets_no_better_ends_and_hands_out_the_best(tmp_path, photos):
    out = tmp_path / "out"
    # A learning rate that spoils what the first epoch reached.
    hurt = ["--set", "generator.optimizer.lr=0.5", "--set", "validation.patience=2"]
    result = run("--data", photos, "--out", out, "--size", 32, "--epochs", 30, "--batch", 2, *hurt)
    assert "No better figure in 2 validations (validation.patience): the run ends here." in result.output
    figures = [record["validation"]["score"] for record in records(out) if "validation" in record]
    best = max(range(len(figures)), key=figures.__getitem__)
    assert len(figures) == best + 3 < 30
    summary = json.loads((out / "summary.json").read_text("utf-8"))
    assert summary["best"]["score"] == figures[best] and (out / "submission.zip").exists() is False
    # It has ended; going on takes another word.
    again = run("--resume", out)
    assert len(steps(out)) == 2 * len(figures) and "Continuing" in again.output
    run("--resume", out, "--set", "validation.patience=4")
    assert len(steps(out)) == 2 * (best + 5)


def test_a_disk_without_room_for_the_checkpoints_is_said_before_the_first_step(tmp_path, photos, monkeypatch):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=100_000))
    result = run("--data", photos, "--out", tmp_path / "out", "--size", 32, code=1)
    assert "has room for 0 MB and the checkpoints of this run take up to" in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "out" / "metrics.jsonl").exists()


def test_sigterm_leaves_a_checkpoint_and_the_run_goes_on(tmp_path, photos):
    out = tmp_path / "out"
    arguments = [*TINY, "--data", str(photos), "--out", str(out), "--size", "32", "--batch", "1", "--epochs", "2000"]
    command = [sys.executable, "-c", "from toolbox.cli import main; main()", "run", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        for line in process.stdout:
            if line.startswith(b"epoch 1/"):
                os.kill(process.pid, signal.SIGTERM)
                break
        rest = process.stdout.read().decode()
        assert process.wait(60) == 143
    assert f"toolbox run --resume {out}" in rest
    progress = json.loads((max((out / "checkpoints").iterdir()) / "state.json").read_text("utf-8"))["progress"]
    assert progress["step"] == len(steps(out)) > 0
    run("--resume", out, "--steps", progress["step"] + 1)
    assert len(steps(out)) == progress["step"] + 1


def test_a_dry_run_writes_nothing(tmp_path, photos):
    result = run("--data", photos, "--out", tmp_path / "out", "--dry-run")
    assert "Dry run: nothing was written." in result.output
    assert not (tmp_path / "out").exists()


def test_json_is_all_that_stdout_holds(tmp_path, photos):
    options = ["--data", str(photos), "--size", "32", "--steps", "1", "--out", str(tmp_path / "out")]
    result = CliRunner().invoke(main, ["run", *TINY, *options, "--json"])
    found = json.loads(result.stdout)
    assert found["steps"] == 1 and found["submission"] is None
    assert set(found["scores"]) == {"input as it is", "OpenCV Telea in gray", "this run, after step 1"}
    assert metrics.Score(**found["scores"]["input as it is"]).S > 0


def test_run_folders_are_numbered_by_date_and_recipe(photos):
    for _ in range(2):
        run("--data", photos, "--size", 32, "--steps", 1)
    names = sorted(path.name for path in run_dir.Path("runs").iterdir())
    assert len(names) == 2
    assert names[0].endswith("-default-1") and names[1].endswith("-default-2")
