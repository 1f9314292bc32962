"""Observers of a run: the records that they get, and that one which fails costs nothing. Some 5 s."""

from __future__ import annotations

import csv
import json
import os
from dataclasses import asdict

import pytest
import torch
from catalogs import plugin

import toolbox
from toolbox import Observer, ObserverSpec, RunEnded, StepRecord
from toolbox.config import recipe as recipes
from toolbox.errors import OutputError, UsageError
from toolbox.hooks import isolated_call
from toolbox.hooks.isolation import PluginWarning
from toolbox.models import weight_file
from toolbox.testing.components import check_component
from toolbox.testing.plugins import catalog_with
from toolbox.training.observers import NamedObserver, Observers, given_observer

TINY = {
    "generator.width": 4,
    "discriminator.width": 4,
    "data.size": 32,
    "data.repeat": 1,
    "training.steps": 3,
    "training.batch": 8,
    "validation.previews": 0,
    "training.memory_format": "channels-last",
}


class Recorder:
    """Keeps what it is told. It is no subclass of Observer."""

    def __init__(self):
        self.records = []

    def __getattr__(self, name):
        if not name.startswith("on_"):
            raise AttributeError(name)
        return lambda record: self.records.append((name, record))


class Broken(Observer):
    """Fails at the second step."""

    def __init__(self):
        self.calls = 0

    def on_step(self, record):
        self.calls += 1
        if self.calls == 2:
            raise RuntimeError("no luck")


class Silent:
    def __init__(self):
        self.lines = []

    def print_line(self, line):
        self.lines.append(line)

    def progress_bar(self, title, total, done=0):
        from contextlib import nullcontext

        return nullcontext(lambda: None)


def test_a_run_tells_its_observers_and_leaves_out_one_that_fails(tmp_path):
    recorder, broken, console = Recorder(), Broken(), Silent()
    recipe = toolbox.Recipe.load("default")
    for key, value in TINY.items():
        recipe = recipe.set(key, value)
    recipe = recipe.set("observers.table.name", "csv-file").set("observers.table.file", "figures.csv")
    run = toolbox.train(recipe, out=tmp_path / "run", device="cpu", observers=[broken, recorder], console=console)

    calls = [name for name, _ in recorder.records]
    assert calls == ["on_start", "on_step", "on_step", "on_step", "on_validation", "on_epoch", "on_end"]
    started, steps, ended = recorder.records[0][1], recorder.records[1:4], recorder.records[-1][1]
    assert (started.folder, started.step, started.steps, started.device) == (run.folder, 0, 3, "cpu")
    assert ended == RunEnded(status="finished", step=3)
    written = [json.loads(line) for line in (run.folder / "metrics.jsonl").read_text("utf-8").splitlines()]
    assert [{"step": r.step, "epoch": r.epoch, **r.terms} for _, r in steps] == written[:3]
    (epoch,) = [record for name, record in recorder.records if name == "on_epoch"]
    (figures,) = [record["epoch_end"] for record in written if "epoch_end" in record]
    assert (dict(epoch.means), dict(epoch.learning_rates)) == (figures["means"], figures["learning_rate"])
    assert (epoch.images_per_second, epoch.memory) == (figures["images_per_second"], figures["memory"])

    # The broken one is reported once and called no more.
    assert broken.calls == 2
    (line,) = [line for line in console.lines if "left out" in line]
    assert line.startswith(
        "warning: observers.Broken is left out from here on. Observer 'Broken' raised RuntimeError: no luck "
        f"({__file__}:{Broken.on_step.__code__.co_firstlineno + 3}). "
    )

    (row,) = csv.DictReader((run.folder / "figures.csv").read_text("utf-8").splitlines())
    (validation,) = [record["validation"] for record in written if "validation" in record]
    assert (int(row["step"]), float(row["loss"])) == (3, validation["loss"])
    assert float(row["score"]) == validation["score"]
    report = (run.folder / "report.html").read_text("utf-8")
    assert "generator.width" in report and "3 steps, finished." in report and " train, " in report
    info = json.loads((run.folder / "run.json").read_text("utf-8"))
    assert info["parent"] == "default" and info["photos"]["train"] == 24
    assert info["changes"]["training.steps"] == [None, 3]
    assert info["changes"]["observers.table.file"] == [None, "figures.csv"]
    # Whoever restores with the weights needs no plugin of an observer.
    assert "observers" in recipes.parse((run.folder / "recipe.toml").read_text("utf-8"), "")
    assert "observers" not in recipes.parse(weight_file.read_header(run.folder / "best.safetensors").recipe, "")


def test_the_report_names_the_plugin_and_an_exit_of_the_program_is_caught():
    def exit_program(record):
        raise SystemExit(3)

    class Exits:
        on_step = staticmethod(exit_program)

    extra = plugin(
        "extra", toolbox_observers=lambda: [ObserverSpec(name="broken", summary="fails", build=lambda params: Broken())]
    )
    catalog, _ = catalog_with(extra, "extra")
    lines = []
    entry = catalog.find("observer", "broken")
    observers = Observers(
        report=lines.append,
        active=[
            NamedObserver(label="mine", observer=entry.spec.build(None), entry=entry),
            NamedObserver(label="exits", observer=Exits()),
        ],
    )
    for number in range(3):
        observers.notify("on_step", StepRecord(step=number, epoch=0, terms={}, names=()))
    assert observers.active == [] and len(lines) == 2
    assert lines[0].startswith("warning: observers.exits is left out from here on. Its on_step raised SystemExit: 3")
    assert "observers.mine" in lines[1] and "Observer 'broken' of the plugin 'extra' raised RuntimeError" in lines[1]


def test_the_reason_why_an_observer_is_left_out_ends_with_one_full_stop():
    class Refusing:
        def on_step(self, record):
            raise UsageError("b is not a run folder: it has no recipe.toml.")

    lines = []
    Observers(report=lines.append, active=[NamedObserver(label="x", observer=Refusing())]).notify("on_step", None)
    assert lines[0].endswith("Its on_step raised UsageError: b is not a run folder: it has no recipe.toml.")


CHANGES = {
    "the working folder": (os.getcwd, lambda: os.chdir("/")),
    "torch's default dtype": (torch.get_default_dtype, lambda: torch.set_default_dtype(torch.float64)),
    "torch's seed": (torch.initial_seed, lambda: torch.manual_seed(torch.initial_seed() + 1)),
    "torch's number of threads": (torch.get_num_threads, lambda: torch.set_num_threads(torch.get_num_threads() + 1)),
}


@pytest.mark.parametrize("setting", CHANGES)
def test_what_an_observer_from_python_changes_of_the_process_is_put_back_and_named(setting, monkeypatch):
    class Careless:
        def on_step(self, record):
            change()

    monkeypatch.setattr(isolated_call, "_warned", set())
    get, change = CHANGES[setting]
    before = get()
    observers = Observers(report=pytest.fail, active=[given_observer(Careless())])
    with pytest.warns(PluginWarning, match=f"^Observer 'Careless' changed {setting} in a call, which was put back$"):
        observers.notify("on_step", StepRecord(step=0, epoch=0, terms={}, names=()))
    assert get() == before


def test_a_metrics_file_that_cannot_be_written_ends_the_run(tmp_path):
    class Log:
        def on_step(self, record):
            raise OSError("full")

    observers = Observers(report=print, active=[NamedObserver(label="log", observer=Log(), is_required=True)])
    with pytest.raises(OSError, match="full"):
        observers.notify("on_step", None)


def test_the_kit_finds_a_misspelt_method_and_random_numbers():
    class Misspelt:
        def on_steps(self, record):
            pass

    class Random(Observer):
        def on_step(self, record):
            import random

            random.random()

    for build, name in ((Misspelt, "methods"), (Observer, "methods"), (Random, "random numbers")):
        spec = ObserverSpec(name="x", summary="y", build=lambda params, build=build: build())
        failed = [check.name for check in check_component(spec) if check.status == "failed"]
        assert failed == [name], build


def test_a_report_that_fails_costs_a_run_nothing_but_a_line(tmp_path, monkeypatch):
    def fail(folder):
        raise OutputError("the disk is full")

    monkeypatch.setattr("toolbox.reports.report_file.write_run_report", fail)
    console, recipe = Silent(), toolbox.Recipe.load("default")
    for key, value in TINY.items():
        recipe = recipe.set(key, value)
    run = toolbox.train(recipe, out=tmp_path / "run", device="cpu", console=console)
    assert run.result.finished and not (run.folder / "report.html").exists()
    (line,) = [line for line in console.lines if "left out" in line]
    assert "report.html" in line and "the disk is full" in line
    quiet = toolbox.train(recipe.set("validation.report", False), out=tmp_path / "quiet", device="cpu", console=console)
    assert quiet.result.finished and len([line for line in console.lines if "left out" in line]) == 1


def test_records_have_dicts_of_their_own():
    """They were read-only mappings, which json and dataclasses.asdict refuse."""
    seen = []

    class Writes:
        def on_step(self, record):
            seen.append(json.dumps(record.terms) + json.dumps(asdict(record)))
            record.terms["g"] = 0.0

    class Reads:
        def on_step(self, record):
            seen.append(record.terms["g"])

    observers = Observers(report=pytest.fail)
    observers.active += [NamedObserver(label=str(one), observer=one) for one in (Writes(), Reads())]
    record = StepRecord(step=0, epoch=0, terms={"g": 1.5}, names=("a",))
    observers.notify("on_step", record)
    assert seen[-1] == 1.5 and len(seen) == 2 and record.terms == {"g": 1.5}
