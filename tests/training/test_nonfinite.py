"""The folder of a step with values that are not finite, and the step replayed from it. Some 15 s."""

from __future__ import annotations

import json
import math
import re
import shutil
from dataclasses import replace

import pytest
import torch
from click.testing import CliRunner
from runs import run
from toolbox_plugins.default import losses
from training_steps import LOCATIONS, PLAIN, SMALL, build, make_batch, make_not_finite

from toolbox.cli import main
from toolbox.config.binding import bind
from toolbox.config.recipe import read
from toolbox.diagnostics import replay_step
from toolbox.distributed.accelerator import make_accelerator
from toolbox.errors import UsageError, WeightsError
from toolbox.hooks import catalog
from toolbox.training import checkpoint, nonfinite, state
from toolbox.training.checkpoint import Progress
from toolbox.training.memory_format import set_memory_format
from toolbox.training.step import seed_step, take_step, take_steps
from toolbox.training.step_metrics import NonFiniteError
from toolbox.utils import files, surface

AVERAGED = "training.average=0.9"


@pytest.fixture(scope="module")
def plan():
    loaded = catalog.load(third_party=False)
    return bind(read("default", lambda name: loaded.recipe(name).path, [*SMALL, *PLAIN, AVERAGED]), loaded)


def fail(built, accelerator, batch, before=lambda: None):
    """Train on a good batch, `batch` and a good batch; return the error that ends it."""

    def batches():
        yield make_batch(2)
        before()
        yield batch
        yield make_batch(2)

    with pytest.raises(NonFiniteError) as raised:
        list(take_steps(built, batches(), accelerator, seed=42, first=6))
    return raised.value


def save(folder, plan, built, error):
    """Save the folder of a step; return the sentence for the user, and the step's folder if there is one."""
    position = Progress(step=error.record.step, epoch=3)
    with surface.command_line():
        hint = nonfinite.save_step_folder(folder, plan, built, error, position, [(3, 8), (3, 1)])
    return hint, next(iter(folder.iterdir()), None)


def nan_batch():
    batch = make_batch(2)
    batch.image[0, 0, 0, 0] = torch.nan
    return batch


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("location", LOCATIONS)
def test_a_replayed_step_has_the_same_terms_to_the_bit(tmp_path, monkeypatch, plan, location, value):
    built, accelerator = build(AVERAGED)
    batch = make_batch(2)
    error = fail(built, accelerator, batch, lambda: make_not_finite(location, value, built, batch, monkeypatch))
    hint, folder = save(tmp_path / "not-finite", plan, built, error)
    assert hint == f"To replay it: toolbox doctor --repeat {folder}" and folder.name == "step-00000007"
    info = json.loads((folder / "step.json").read_text("utf-8"))
    assert info["wrong"]
    assert set(info["wrong"]) == {name for name, value in info["terms"].items() if isinstance(value, str)}
    assert (info["step"], info["epoch"], info["seed"]) == (7, 3, 42) and info["names"] == ["a", "b"]
    assert info["keys"] == [[3, 8], [3, 1]] and info["conditions"]["torch"]
    # The weights are changed, so that only the folder can bring them back.
    with torch.no_grad():
        for weight in built.generator.network.parameters():
            weight.zero_()
    without_average = replace(built, average=None)
    replayed = nonfinite.load_step_folder(folder, without_average)
    terms = take_step(without_average, replayed, accelerator, number=7, random=seed_step(42, 7))
    for name, recorded in error.record.terms.items():
        current = terms[name].double().item()
        assert current == recorded or (math.isnan(recorded) and math.isnan(current)), name
    *findings, last = replay_step.inspect_step(folder, built, accelerator)
    assert last.ok and last.detail == f"the same {len(info['terms'])} terms as recorded, to the bit"
    require_findings({finding.what: finding for finding in findings}, location, info["wrong"])


def require_findings(findings, location, not_finite):
    """Check that the findings name the first place where a value is not finite."""
    assert all(not findings[name].ok for name in not_finite)
    if location == "input":
        assert findings["b"].detail == "1 values of the image are not finite"
        first_layer = "the first layer with an output that is not finite: down.0.0 (Conv2d)"
        assert findings["generator"].detail == first_layer
    else:
        assert findings["layers"].ok and "b" not in findings
    if location.startswith("gradient"):
        network = "generator" if location.endswith("g") else "discriminator"
        assert "1 of " in findings[f"{network}'s gradients"].detail


def test_the_folder_holds_a_checkpoint_and_a_batch_and_replaces_the_previous_one(tmp_path, plan):
    built, accelerator = build(AVERAGED)
    batch = make_batch(3)
    batch.truth[2, 0, 0, 0] = torch.nan
    error = fail(built, accelerator, batch)
    for _ in range(2):
        save(tmp_path / "not-finite", plan, built, error)
    error.record = replace(error.record, step=9)
    save(tmp_path / "not-finite", plan, built, error)
    (folder,) = (tmp_path / "not-finite").iterdir()
    assert folder.name == "step-00000009"
    assert sorted(path.name for path in folder.iterdir()) == ["batch.safetensors", "recipe.toml", "state", "step.json"]
    saved, _ = checkpoint.newest_checkpoint(folder / "state")
    assert batch.labels is None
    pictures = list(batch.tensors)
    batch_bytes = sum(getattr(batch, name).nbytes for name in pictures)
    assert batch_bytes <= (folder / "batch.safetensors").stat().st_size < batch_bytes + 1024
    assert not (saved / "average.safetensors").exists()
    assert (folder / "step.json").stat().st_size < 10_000
    loaded = nonfinite.load_step_folder(folder, replace(built, average=None))
    for name in pictures:
        expected, actual = getattr(batch, name), getattr(loaded, name)
        assert torch.equal(expected.nan_to_num(7), actual.nan_to_num(7)) and expected.stride() == actual.stride()


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_the_loaded_batch_has_its_original_memory_layout(tmp_path, plan, layout):
    built, accelerator = build(AVERAGED)
    batch = nan_batch()
    batch = replace(batch, image=batch.image.contiguous(memory_format=layout))
    _, folder = save(tmp_path / "not-finite", plan, built, fail(built, accelerator, batch))
    loaded = nonfinite.load_step_folder(folder, replace(built, average=None))
    assert loaded.image.stride() == batch.image.stride()


def test_a_replay_uses_the_memory_layout_of_the_run(tmp_path, plan):
    built, accelerator = build(AVERAGED)
    built = set_memory_format(built, "contiguous")
    _, folder = save(tmp_path / "not-finite", plan, built, fail(built, accelerator, nan_batch()))
    again, _ = build(AVERAGED)
    assert again.memory_format == "channels-last"
    *_, last = replay_step.inspect_step(folder, again, accelerator)
    assert last.ok
    weights = [weight for weight in again.generator.network.parameters() if weight.dim() == 4 and weight.shape[1] > 1]
    assert weights and all(weight.is_contiguous() for weight in weights)


def test_a_full_disk_does_not_hide_the_first_error(tmp_path, monkeypatch, plan):
    built, accelerator = build(AVERAGED)
    error = fail(built, accelerator, nan_batch())

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files, "write_json", full)
    hint, folder = save(tmp_path / "not-finite", plan, built, error)
    assert hint.startswith("The files to replay it could not be written: No space left on the disk")
    assert folder is None


def test_a_wrong_or_incomplete_folder_is_reported_in_one_line(tmp_path, plan):
    with pytest.raises(UsageError, match="is not the folder of a step with values that are not finite"):
        nonfinite.read_step_folder(tmp_path)
    built, accelerator = build(AVERAGED)
    _, folder = save(tmp_path / "not-finite", plan, built, fail(built, accelerator, nan_batch()))
    info = (folder / nonfinite.STEP_INFO).read_text("utf-8")
    for damaged in ("[]", "{}", "null", info.replace('"conditions": {', '"conditions": [], "was": {')):
        (folder / nonfinite.STEP_INFO).write_text(damaged, "utf-8")
        with pytest.raises(UsageError, match="it has no readable"):
            nonfinite.read_step_folder(folder)
    (folder / nonfinite.STEP_INFO).write_text(info, "utf-8")
    wider, _ = build("generator.width=6")
    with pytest.raises(WeightsError, match="does not fit"):
        nonfinite.load_step_folder(folder, replace(wider, average=None))
    shutil.rmtree(next((folder / "state").iterdir()))
    with pytest.raises(UsageError, match="has no undamaged checkpoint"):
        nonfinite.load_step_folder(folder, replace(built, average=None))


def test_a_run_leaves_the_folder_and_the_doctor_replays_the_step(tmp_path, photos, monkeypatch):
    out = tmp_path / "out"
    original, calls = losses.mse, []

    def infinite_later(restored, truth, mask):
        # The first three calls stay finite, and so does every validation.
        calls.append(len(restored))
        value = original(restored, truth, mask)
        return value * torch.where(restored.requires_grad & (torch.tensor(len(calls)) > 3), math.inf, 1.0)

    monkeypatch.setattr(losses, "mse", infinite_later)
    result = run("--data", photos, "--out", out, "--size", 32, "--batch", 2, "--epochs", 5, code=1)
    message = result.stderr.splitlines()[-1]
    (folder,) = (out / "not-finite").iterdir()
    assert "not finite, and the step changed no weight. Batch: " in message
    assert message.endswith(f"doctor --repeat {folder}")
    saved = checkpoint.newest_checkpoint(out / "checkpoints")[0]
    advice = (
        "Try a smaller learning rate or a smaller weight of the loss, or check what computes loss.mse: Loss 'mse' of "
    )
    assert f"{advice}the plugin 'default'. The last checkpoint is in" in message
    assert f"checkpoints/{saved.name}. " in message
    number = int(folder.name.removeprefix("step-"))
    records = [json.loads(line) for line in (out / "metrics.jsonl").read_text("utf-8").splitlines()]
    assert max(record["step"] for record in records) == number - 1
    replayed = CliRunner().invoke(main, ["doctor", "--repeat", str(folder), "--device", "cpu"])
    assert replayed.exit_code == 1
    assert "  !!  loss.mse: inf" in replayed.output
    assert f"  ok  step {number}: the same " in replayed.output and "ok  layers: " in replayed.output
    # With the loss repaired the step is different, and the doctor says so.
    monkeypatch.setattr(losses, "mse", original)
    repaired = CliRunner().invoke(main, ["doctor", "--repeat", str(folder), "--device", "cpu"]).output
    assert "not the same to the bit: loss.mse was inf and is 0." in repaired


def test_a_step_without_a_discriminator(tmp_path):
    loaded = catalog.load(third_party=False)
    settings = [*SMALL, "discriminator.enabled=false", "losses.lsgan.enabled=false", "penalties.gradient.enabled=false"]
    plan = bind(read("default", lambda name: loaded.recipe(name).path, settings), loaded)
    accelerator = make_accelerator("cpu", "fp64")
    built = state.build_state(plan, accelerator, torch.float64)
    batch = make_batch(2)
    batch.truth[0, 0, 0, 0] = torch.nan
    _, folder = save(tmp_path / "not-finite", plan, built, fail(built, accelerator, batch))
    findings = replay_step.inspect_step(folder, built, accelerator)
    assert [finding.what for finding in findings if "truth" in finding.detail] == ["a"]


def test_a_first_step_that_is_not_finite_is_not_put_down_to_the_learning_rate(tmp_path, photos, monkeypatch):
    monkeypatch.setattr(losses, "mse", lambda restored, truth, mask: (restored - truth).square().mean() * math.nan)
    out = tmp_path / "run"
    result = run("--data", photos, "--out", out, "--size", 32, "--batch", 2, "--epochs", 1, code=1)
    message = result.stderr.splitlines()[-1]
    assert "Step 0: loss.mse, g, gradient.g: not finite" in message
    assert (
        "so the learning rate is not the cause: check what computes loss.mse: Loss 'mse' of the plugin 'default'. The "
        "run has no checkpoint yet." in message
    )
    assert "smaller" not in message and "last" not in message
    assert checkpoint.newest_checkpoint(out / "checkpoints")[0] is None


SOURCES = {
    "the generator": (lambda built: nan_layer(built.generator.network), "Generator .*, whose pictures are not finite"),
    "the discriminator": (
        lambda built: nan_layer(built.discriminator.network),
        "Discriminator .*, whose maps are not fin",
    ),
    "another output": (
        lambda built: nan_output(built, "gray"),
        "Generator .*, whose output 'gray' is not finite",
    ),
    "an output that no loss uses": (lambda built: nan_output(built, "unused"), "Loss 'mse' of the plugin 'default'"),
    "the part of the discriminator": (lambda built: nan_game(built), "Loss 'lsgan' of the plugin 'default'"),
    "a penalty": (lambda built: nan_call(built.penalties[0]), "Penalty 'gradient' of the plugin 'default'"),
    "a loss": (lambda built: nan_call(mse_of(built)), "Loss '.*' of the plugin 'default'"),
    "a gradient": (
        lambda built: nan_gradient(mse_of(built)),
        "the backward pass of one of these: Step .*Loss 'mse' of the plugin 'default'",
    ),
}


def nan_layer(network):
    network.register_forward_hook(
        lambda module, inputs, result: [r * math.nan for r in result] if isinstance(result, list) else result * math.nan
    )


def nan_output(built, name):
    """Let the generator have another output, NaN, and `mse` use it, or fail itself if no loss uses the output."""
    built.generator.network.register_forward_hook(lambda module, inputs, result: (result, {name: result * math.nan}))
    if name == "unused":
        nan_call(mse_of(built))
    else:
        object.__setattr__(mse_of(built), "on", name)


class NanGame:
    """An adversarial loss whose part for the discriminator is NaN."""

    def generator(self, fake, real):
        return fake[0].square().mean()

    def discriminator(self, fake, real):
        return fake[0].mean() * math.nan, real[0].mean()


def nan_game(built):
    (adversarial,) = [loss for loss in built.losses if loss.adversarial]
    object.__setattr__(adversarial, "call", NanGame())


def mse_of(built):
    return next(loss for loss in built.losses if loss.label == "mse")


def nan_call(term):
    original = term.call
    object.__setattr__(term, "call", lambda *inputs: original(*inputs) * math.nan)


def nan_gradient(term):
    object.__setattr__(term, "call", lambda restored, truth, mask: (restored - restored).square().sum().sqrt())


@pytest.mark.parametrize("name", SOURCES)
def test_the_component_that_a_value_which_is_not_finite_comes_from_is_named(name):
    """NaN from a discriminator was put down to what computes loss.lsgan."""
    change, words = SOURCES[name]
    built, accelerator = build()
    change(built)
    error = fail(built, accelerator, make_batch(2))
    output = nonfinite._wrong_output(built, accelerator, error.batch)
    assert re.match(words, nonfinite._source(built, error, output))


NAN_OPTIMIZER = """
from toolbox import Field, OptimizerSpec, Params, hookimpl


class NanParams(Params):
    lr: float = Field(1e-3, gt=0, description="Learning rate.")
    sound: int = Field(0, ge=0, description="Steps before the first that writes NaN.")


def build(params, weights):
    import torch

    class NanSgd(torch.optim.SGD):
        steps = 0

        def step(self, closure=None):
            super().step(closure)
            self.steps += 1
            if self.steps > params.sound:
                with torch.no_grad():
                    weights[-1].mul_(float("nan"))

    return NanSgd(weights, lr=params.lr)


@hookimpl
def toolbox_optimizers():
    return [OptimizerSpec(name="nan-sgd", summary="Writes NaN", params=NanParams, build=build)]
"""


@pytest.mark.parametrize("sound", [0, 1], ids=["before the next step", "before the checkpoint"])
def test_an_optimizer_that_writes_nan_into_weights_is_named(tmp_path, photos, sound):
    """The next step was put down to the learning rate, and the command that replays it failed."""
    (tmp_path / "nan_sgd.py").write_text(NAN_OPTIMIZER)
    assert CliRunner().invoke(main, ["plugin", "add", str(tmp_path / "nan_sgd.py")]).exit_code == 0
    options = ("--size", 32, "--batch", 1, "--epochs", 1, "--steps", 2)
    optimizer = ["generator.optimizer.name=nan-sgd", f"generator.optimizer.sound={sound}"]
    settings = [part for setting in optimizer for part in ("--set", setting)]
    out = tmp_path / "out"
    result = run("--data", photos, "--out", out, *options, *settings, code=1)
    message = result.stderr.splitlines()[-1]
    assert "Optimizer 'nan-sgd' of the plugin 'nan_sgd' has updated it" in message
    if not sound:
        assert re.search(r"The weight \S+ of Generator '\S+' of the plugin 'default' was not finite before", message)
        assert "--repeat" not in message and not (out / "not-finite").exists()


def test_an_initial_weight_that_is_not_finite_is_named():
    built, accelerator = build()
    with torch.no_grad():
        next(built.generator.network.parameters()).mul_(math.nan)
    error = fail(built, accelerator, make_batch(2))
    error.record = replace(error.record, step=0)
    advice = nonfinite._weight_advice(nonfinite._wrong_weight(built), error)
    assert re.fullmatch(r"The weight \S+ of Generator '.*' of the plugin 'default' was .*: check how .*\.", advice)
