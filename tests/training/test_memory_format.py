"""The memory layout: what decides it, what is cached, that a measurement changes nothing. Some 10 s."""

from __future__ import annotations

import json

import pytest
import torch
from runs import newest_checkpoint, run, steps
from training_steps import build, make_batch

from toolbox.config.settings import Settings, Training
from toolbox.training import memory_format
from toolbox.training.memory_format import choose_memory_format, set_memory_format
from toolbox.training.step import take_step
from toolbox.utils.paths import cache_dir

AUTO = Settings()


def fixed(name):
    return Settings(training=Training(memory_format=name))


def times(monkeypatch, **seconds):
    """Replace the measurement by these times; return the list of its calls."""
    calls = []

    def measure(state, accelerator, batch_size, side):
        calls.append((batch_size, side))
        return {name.replace("_", "-"): value for name, value in seconds.items()}

    monkeypatch.setattr(memory_format, "measure_memory_formats", measure)
    return calls


def layouts(built):
    """Return the memory layouts of the convolutions whose two layouts differ."""
    weights = [weight for network in built.generators() for weight in network.parameters()]
    weights += built.discriminator.network.parameters()
    convolutions = [weight for weight in weights if weight.dim() == 4 and min(weight.shape[1:]) > 1]
    return {"contiguous" if weight.is_contiguous() else "channels-last" for weight in convolutions}


def test_the_faster_layout_is_chosen_and_the_choice_is_cached(monkeypatch):
    built, accelerator = build()
    calls = times(monkeypatch, channels_last=2.0, contiguous=1.0)
    choice = choose_memory_format(AUTO, built, accelerator)
    assert (choice.name, choice.is_new) == ("contiguous", True)
    again = choose_memory_format(AUTO, built, accelerator)
    assert (again.name, again.seconds, again.is_new) == ("contiguous", choice.seconds, False)
    assert len(calls) == 1
    assert str(choice) == "contiguous (channels-last 2.000 s, contiguous 1.000 s)"


@pytest.mark.parametrize(("contiguous", "expected"), [(0.98, "channels-last"), (0.96, "contiguous")])
def test_a_small_difference_does_not_decide(monkeypatch, contiguous, expected):
    built, accelerator = build()
    times(monkeypatch, channels_last=1.0, contiguous=contiguous)
    assert choose_memory_format(AUTO, built, accelerator).name == expected


def test_another_network_precision_size_or_number_of_threads_is_measured_by_itself(monkeypatch):
    built, accelerator = build()
    calls = times(monkeypatch, channels_last=2.0, contiguous=1.0)
    choose_memory_format(AUTO, built, accelerator)
    choose_memory_format(AUTO, build("generator.width=6")[0], accelerator)
    choose_memory_format(Settings(training=Training(precision="bf16")), built, accelerator)
    choose_memory_format(Settings(data={"size": 64}), built, accelerator)
    threads = torch.get_num_threads()
    torch.set_num_threads(threads + 1)
    choose_memory_format(AUTO, built, accelerator)
    torch.set_num_threads(threads)
    assert len(calls) == 5


def test_a_cpu_is_measured_with_small_pictures(monkeypatch):
    built, accelerator = build()
    calls = times(monkeypatch, channels_last=2.0, contiguous=1.0)
    for size, batch in ((512, 8), (64, 2), (32, 8)):
        choose_memory_format(Settings(data={"size": size}, training={"batch": batch}), built, accelerator)
    assert calls == [(1, 128), (2, 64), (8, 32)]


@pytest.mark.parametrize("content", ["{", "[]", '{"memory_format": "diagonal", "seconds": {}}'])
def test_a_damaged_cache_entry_is_replaced(monkeypatch, content):
    built, accelerator = build()
    calls = times(monkeypatch, channels_last=2.0, contiguous=1.0)
    choose_memory_format(AUTO, built, accelerator)
    (entry,) = (cache_dir() / "memory-format").iterdir()
    entry.write_text(content, "utf-8")
    assert choose_memory_format(AUTO, built, accelerator).name == "contiguous"
    assert len(calls) == 2 and json.loads(entry.read_text("utf-8"))["memory_format"] == "contiguous"


def test_a_setting_decides_before_the_checkpoint_and_the_checkpoint_before_a_measurement(monkeypatch):
    built, accelerator = build()
    calls = times(monkeypatch, channels_last=2.0, contiguous=1.0)
    assert choose_memory_format(fixed("contiguous"), built, accelerator, "channels-last").name == "contiguous"
    assert choose_memory_format(AUTO, built, accelerator, "channels-last").name == "channels-last"
    assert calls == []


def test_networks_that_fail_are_left_to_the_run_to_report(monkeypatch):
    built, accelerator = build()

    def fail(*_):
        raise RuntimeError("not at this size")

    monkeypatch.setattr(memory_format, "measure_memory_formats", fail)
    assert choose_memory_format(AUTO, built, accelerator).name == "channels-last"
    assert not (cache_dir() / "memory-format").exists()


def test_a_compiled_network_is_measured_without_compiling(monkeypatch):
    def compiled(*_):
        raise AssertionError("compiled")

    built, accelerator = build()
    built.generator.network.compile(backend=compiled)
    settings = Settings(training=Training(compile=True))
    assert choose_memory_format(settings, built, accelerator).is_new


def test_a_measurement_changes_no_value():
    built, accelerator = build("training.average=0.9", "discriminator.norm=batch")
    before = {name: [tensor.clone() for tensor in tensors] for name, tensors in built.tensors().items()}
    seconds = memory_format.measure_memory_formats(built, accelerator, 2, 32)
    assert set(seconds) == {"channels-last", "contiguous"} and min(seconds.values()) > 0
    for name, tensors in built.tensors().items():
        assert all(torch.equal(old, new) for old, new in zip(before[name], tensors, strict=True)), name
    assert all(not trained.gradients() for trained in built.networks().values())


def test_networks_get_the_layout_and_take_the_same_step_in_it():
    terms = {}
    for name in ("contiguous", "channels-last"):
        built, accelerator = build("training.average=0.9")
        built = set_memory_format(built, name)
        assert layouts(built) == {name} and built.memory_format == name
        taken = take_step(built, make_batch(2), accelerator, number=0, random=torch.Generator().manual_seed(0))
        terms[name] = {key: float(value) for key, value in taken.items()}
    assert terms["contiguous"] == pytest.approx(terms["channels-last"], rel=1e-9)


def test_a_resumed_run_keeps_the_layout_of_its_checkpoint(tmp_path, photos, monkeypatch):
    options = ["--data", photos, "--size", 32, "--batch", 2, "--epochs", 2]
    times(monkeypatch, channels_last=2.0, contiguous=1.0)
    output = run("--out", tmp_path / "uninterrupted", *options).output
    assert "Memory layout, measured once for this network and device: contiguous (" in output
    run("--out", tmp_path / "resumed", *options, "--steps", 2)
    # The other layout would be chosen now.
    for entry in (cache_dir() / "memory-format").iterdir():
        entry.unlink()
    times(monkeypatch, channels_last=1.0, contiguous=2.0)
    output = run("--resume", tmp_path / "resumed", "--steps", 4).output
    assert "Memory layout" not in output and "bit for bit" not in output
    state = json.loads((newest_checkpoint(tmp_path / "resumed") / "state.json").read_text("utf-8"))
    assert state["conditions"]["memory_format"] == "contiguous"
    assert steps(tmp_path / "resumed") == steps(tmp_path / "uninterrupted")


def test_a_layout_that_is_set_when_resuming_is_named_as_a_difference(tmp_path, photos):
    options = ["--data", photos, "--size", 32, "--epochs", 1, "--set", "training.memory_format=contiguous"]
    run("--out", tmp_path / "out", *options)
    output = run("--resume", tmp_path / "out", "--set", "training.memory_format=channels-last").output
    assert "not be bit for bit the same: memory format contiguous then, channels-last now." in output
