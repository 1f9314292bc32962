"""The folder that a step leaves which was not finite, and the step taken again from it. Some 15 s."""

from __future__ import annotations

import json
import math
import shutil
from dataclasses import replace

import pytest
import torch
from click.testing import CliRunner
from runs import run
from toolbox_plugins.default import losses
from training_steps import PLAIN, SMALL, SPOILED, batch, build, spoil

from toolbox.cli import main
from toolbox.config.binding import bind
from toolbox.config.recipe import read
from toolbox.diagnostics import replay_step
from toolbox.distributed.accelerator import make_accelerator
from toolbox.errors import UsageError, WeightsError
from toolbox.hooks import catalog
from toolbox.training import checkpoint, nonfinite, state
from toolbox.training.checkpoint import Progress
from toolbox.training.step import seed_step, take_step, take_steps
from toolbox.training.step_metrics import NonFiniteError
from toolbox.utils import files

AVERAGED = "training.average=0.9"


@pytest.fixture(scope="module")
def plan():
    loaded = catalog.load(third_party=False)
    return bind(read("default", lambda name: loaded.recipe(name).path, [*SMALL, *PLAIN, AVERAGED]), loaded)


def failed(built, accelerator, given, before=lambda: None):
    """Train on a good batch, `given` and a good batch; return the error that ends it."""

    def batches():
        yield batch(2)
        before()
        yield given
        yield batch(2)

    with pytest.raises(NonFiniteError) as raised:
        list(take_steps(built, batches(), accelerator, seed=42, first=6))
    return raised.value


def left(folder, plan, built, error):
    said = nonfinite.save_step_folder(
        folder, plan, built, error, Progress(step=error.taken.step, epoch=3), [(3, 8), (3, 1)]
    )
    return said, next(iter(folder.iterdir()), None)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("where", SPOILED)
def test_the_step_taken_again_gives_the_same_to_the_bit(tmp_path, monkeypatch, plan, where, value):
    built, accelerator = build(AVERAGED)
    given = batch(2)
    error = failed(built, accelerator, given, lambda: spoil(where, value, built, given, monkeypatch))
    said, folder = left(tmp_path / "not-finite", plan, built, error)
    assert said == f"To take it again: toolbox doctor --repeat {folder}" and folder.name == "step-00000007"
    facts = json.loads((folder / "step.json").read_text("utf-8"))
    assert facts["wrong"] and set(facts["wrong"]) == {n for n, v in facts["terms"].items() if isinstance(v, str)}
    assert (facts["step"], facts["epoch"], facts["seed"]) == (7, 3, 42) and facts["names"] == ["a", "b"]
    assert facts["keys"] == [[3, 8], [3, 1]] and facts["conditions"]["torch"]
    # The very weights, moved away meanwhile, come back with the folder.
    with torch.no_grad():
        for weight in built.generator.network.parameters():
            weight.zero_()
    bare = replace(built, average=None)
    again = nonfinite.load_step_folder(folder, bare)
    terms = take_step(bare, again, accelerator, number=7, random=seed_step(42, 7))
    for name, then in error.taken.terms.items():
        now = terms[name].double().item()
        assert now == then or (math.isnan(then) and math.isnan(now)), name
    # And what is said of it.
    *said, last = replay_step.look(folder, built, accelerator)
    assert last.ok and last.detail == f"the same {len(facts['terms'])} terms as then, to the bit"
    found = {finding.what: finding for finding in said}
    assert all(not found[name].ok for name in facts["wrong"])
    if where == "input":
        assert found["b"].detail == "1 values of the image are not finite"
        assert found["generator"].detail == "the first layer that gives a value that is not finite: down.0.0 (Conv2d)"
    else:
        assert found["layers"].ok and "b" not in found
    if where.startswith("gradient"):
        side = "generator" if where.endswith("g") else "discriminator"
        assert "1 of " in found[f"{side}'s gradients"].detail


def test_the_folder_holds_a_checkpoint_and_a_batch_and_takes_the_place_of_the_last(tmp_path, plan):
    built, accelerator = build(AVERAGED)
    given = batch(3)
    given.truth[2, 0, 0, 0] = torch.nan
    error = failed(built, accelerator, given)
    for _ in range(2):
        _, folder = left(tmp_path / "not-finite", plan, built, error)
    error.taken = replace(error.taken, step=9)
    left(tmp_path / "not-finite", plan, built, error)
    (kept,) = (tmp_path / "not-finite").iterdir()
    assert kept.name == "step-00000009"
    assert sorted(path.name for path in kept.iterdir()) == ["batch.safetensors", "recipe.toml", "state", "step.json"]
    saved, _ = checkpoint.newest_checkpoint(kept / "state")
    tensors = sum(getattr(given, name).nbytes for name in nonfinite.PICTURES)
    assert tensors <= (kept / "batch.safetensors").stat().st_size < tensors + 1024
    assert not (saved / "average.safetensors").exists()
    assert (kept / "step.json").stat().st_size < 10_000
    loaded = nonfinite.load_step_folder(kept, replace(built, average=None))
    for name in nonfinite.PICTURES:
        one, other = getattr(given, name), getattr(loaded, name)
        assert torch.equal(one.nan_to_num(7), other.nan_to_num(7)) and one.stride() == other.stride()


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_the_batch_lies_in_memory_as_it_did(tmp_path, plan, layout):
    built, accelerator = build(AVERAGED)
    given = batch(2)
    given = replace(given, image=given.image.contiguous(memory_format=layout))
    given.image[0, 0, 0, 0] = torch.inf
    _, folder = left(tmp_path / "not-finite", plan, built, failed(built, accelerator, given))
    assert nonfinite.load_step_folder(folder, replace(built, average=None)).image.stride() == given.image.stride()


def test_a_full_disk_does_not_hide_what_went_wrong_first(tmp_path, monkeypatch, plan):
    built, accelerator = build(AVERAGED)
    given = batch(2)
    given.image[0, 0, 0, 0] = torch.nan
    error = failed(built, accelerator, given)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files, "write_json", full)
    said, folder = left(tmp_path / "not-finite", plan, built, error)
    assert said.startswith("What is needed to repeat it could not be written: No space left on the disk")
    assert folder is None


def test_what_is_no_such_folder_or_not_whole_is_one_line(tmp_path, plan):
    with pytest.raises(UsageError, match="is not the folder of a step that was not finite"):
        nonfinite.read_step_folder(tmp_path)
    built, accelerator = build(AVERAGED)
    given = batch(2)
    given.image[0, 0, 0, 0] = torch.nan
    _, folder = left(tmp_path / "not-finite", plan, built, failed(built, accelerator, given))
    other, _ = build("generator.width=6")
    with pytest.raises(WeightsError, match="does not fit"):
        nonfinite.load_step_folder(folder, replace(other, average=None))
    shutil.rmtree(next((folder / "state").iterdir()))
    with pytest.raises(UsageError, match="has no checkpoint that is whole"):
        nonfinite.load_step_folder(folder, replace(built, average=None))


def test_a_run_leaves_the_folder_and_the_doctor_takes_the_step_again(tmp_path, photos, monkeypatch):  # noqa: F811
    out = tmp_path / "out"
    real, calls = losses.mse, []

    def poor(restored, truth, mask):
        # The first four pictures are good ones, two steps of them.
        calls.append(len(restored))
        value = real(restored, truth, mask)
        return value * torch.where(restored.requires_grad & (torch.tensor(len(calls)) > 3), math.inf, 1.0)

    monkeypatch.setattr(losses, "mse", poor)
    result = run("--data", photos, "--out", out, "--size", 32, "--batch", 2, "--epochs", 5, code=1)
    last = result.stderr.splitlines()[-1]
    (folder,) = (out / "not-finite").iterdir()
    assert "is not finite, and no weight was moved. Batch: " in last and last.endswith(f"doctor --repeat {folder}")
    step = int(folder.name.removeprefix("step-"))
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text("utf-8").splitlines()]
    assert (
        max(line["step"] for line in lines) == step - 1
        and checkpoint.newest_checkpoint(out / "checkpoints")[0] is not None
    )
    said = CliRunner().invoke(main, ["doctor", "--repeat", str(folder), "--device", "cpu"])
    assert said.exit_code == 1
    assert "  !!  loss.mse: inf" in said.output
    assert f"  ok  step {step}: the same " in said.output and "ok  layers: " in said.output
    # Mended, the step is another, and that is said.
    monkeypatch.setattr(losses, "mse", real)
    mended = CliRunner().invoke(main, ["doctor", "--repeat", str(folder), "--device", "cpu"]).output
    assert "not the same to the bit: loss.mse was inf and is 0." in mended


def test_without_a_discriminator(tmp_path):
    loaded = catalog.load(third_party=False)
    wanted = [*SMALL, "discriminator.enabled=false", "losses.lsgan.enabled=false", "penalties.gradient.enabled=false"]
    plan = bind(read("default", lambda name: loaded.recipe(name).path, wanted), loaded)
    accelerator = make_accelerator("cpu", "fp64")
    built = state.build_state(plan, accelerator, torch.float64)
    given = batch(2)
    given.truth[0, 0, 0, 0] = torch.nan
    _, folder = left(tmp_path / "not-finite", plan, built, failed(built, accelerator, given))
    found = replay_step.look(folder, built, accelerator)
    assert [one.what for one in found if "truth" in one.detail] == ["a"]
