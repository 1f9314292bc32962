"""What a call of a component changes of the process is put back and named, whatever its kind and its thread."""

from __future__ import annotations

import os
import random
import threading
import warnings
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch

from toolbox import Detection, DetectorSpec, FillerSpec, MetricSpec, PostprocessorSpec, Sample
from toolbox.hooks import isolated_call
from toolbox.hooks.blame import WrongResultError
from toolbox.hooks.catalog import Entry
from toolbox.hooks.isolated_call import SHIPPED_CALLS, call_isolated
from toolbox.hooks.isolation import PluginWarning, Snapshot
from toolbox.hooks.specs import DegradationSpec
from toolbox.inference.fillers import LoadedFiller
from toolbox.inference.postprocessors import LoadedPostprocessor
from toolbox.masks.detectors import LoadedDetector
from toolbox.models.array_calls import COMPARED_CALLS, DegradationCall, MetricCall
from toolbox.training.step import seed_step
from toolbox.utils.versions import DISTRIBUTION

GRAY = np.zeros((8, 8), np.uint8)
RGB = np.zeros((8, 8, 3), np.uint8)
MASK = np.zeros((8, 8), bool)


@pytest.fixture(autouse=True)
def no_warnings_of_before(monkeypatch):
    monkeypatch.setattr(isolated_call, "_warned", set())
    monkeypatch.setattr(isolated_call, "_shipped_calls", Counter())


def entry_of(kind, spec_class):
    spec = spec_class(name="rigged", summary="x", build=lambda params: None)
    return Entry(kind=kind, spec=spec, plugin="stranger", distribution="", version="")


FILLER = entry_of("filler", FillerSpec)


def moving(result):
    """Return a component that changes the working folder and returns `result`."""

    def call(*_, **__):
        os.chdir("/")
        return result

    return call


def calls():
    """Return a call of each kind of component that takes arrays, by kind."""
    sample = Sample(image=RGB, mask=MASK, truth=RGB)
    detector = LoadedDetector(
        name="rigged", detect=moving(Detection(mask=MASK)), entry=entry_of("detector", DetectorSpec)
    )
    filler = LoadedFiller(fill=moving(GRAY), entry=FILLER)
    process = LoadedPostprocessor(process=moving(RGB), entry=entry_of("postprocessor", PostprocessorSpec))
    metric = MetricCall(entry=entry_of("metric", MetricSpec), component=moving(0.5))
    degradation = DegradationCall(entry=entry_of("degradation", DegradationSpec), component=moving(sample))
    return {
        "detector": lambda: detector(RGB),
        "filler": lambda: filler(GRAY, MASK),
        "postprocessor": lambda: process(RGB, RGB, MASK),
        "metric": lambda: metric(RGB, RGB, MASK),
        "degradation": lambda: degradation(sample, np.random.default_rng(0)),
    }


@pytest.mark.parametrize("kind", calls())
def test_the_working_folder_is_put_back_and_the_component_named_once(kind):
    before, call = os.getcwd(), calls()[kind]
    with pytest.warns(PluginWarning, match=f"{kind.capitalize()} 'rigged' .* changed the working folder in a call"):
        call()
    assert os.getcwd() == before
    for _ in range(COMPARED_CALLS + 1):  # named once, and put back in every call
        call()
    assert os.getcwd() == before


def test_a_call_that_raises_is_put_back_too():
    before = os.getcwd()

    def fail():
        os.chdir("/")
        raise ZeroDivisionError

    with pytest.warns(PluginWarning, match="working folder"), pytest.raises(ZeroDivisionError):
        call_isolated(FILLER, fail)
    assert os.getcwd() == before


def random_states():
    """Return the states of the global random numbers of Python, NumPy and torch."""
    return random.getstate(), repr(np.random.get_state()), torch.get_rng_state().tolist()


def in_another_thread(function):
    """Run a function in another thread to its end."""
    thread = threading.Thread(target=function)
    thread.start()
    thread.join()


RANDOM = {
    "Python's random numbers": [lambda: random.seed(0), random.random, lambda: random.shuffle([1, 2])],
    "NumPy's random numbers": [lambda: np.random.seed(0), np.random.rand, lambda: np.random.shuffle(np.arange(5))],
    "torch's seed": [lambda: torch.manual_seed(0), torch.seed],
}


@pytest.mark.parametrize(("setting", "change"), [(name, change) for name, some in RANDOM.items() for change in some])
def test_in_another_thread_random_numbers_are_put_back_and_the_component_named(setting, change):
    before = random_states()
    with pytest.warns(PluginWarning, match=f"^Filler 'rigged' .* changed {setting} in a call, which was put back"):
        in_another_thread(lambda: call_isolated(FILLER, change))
    assert random_states() == before


def test_a_step_that_is_seeded_meanwhile_is_not_blamed_on_a_component_of_another_thread():
    before = torch.initial_seed()
    with warnings.catch_warnings(record=True) as caught, torch.random.fork_rng(devices=[]):
        warnings.simplefilter("always")
        in_another_thread(lambda: call_isolated(FILLER, lambda: seed_step(3, 0)))
        assert caught == [] and torch.initial_seed() != before


def test_a_call_around_another_one_puts_back_both():
    before = os.getcwd()

    def outer():
        os.chdir("/")
        return call_isolated(FILLER, lambda: os.chdir("/tmp") or "inner")

    with pytest.warns(PluginWarning, match="working folder"):
        assert call_isolated(FILLER, outer) == "inner"
    assert os.getcwd() == before


def test_a_damage_that_changes_the_truth_is_named():
    sample = Sample(image=RGB, mask=MASK, truth=RGB)
    damage = DegradationCall(
        entry=entry_of("degradation", DegradationSpec), component=lambda sample, _: replace(sample, truth=RGB + 1)
    )
    with pytest.raises(WrongResultError, match="Degradation 'rigged' .* changes the truth, which a damage must leave"):
        damage(sample, np.random.default_rng(0))
    spec = replace(damage.entry.spec, role="augment")
    augment = DegradationCall(entry=replace(damage.entry, spec=spec), component=damage.component)
    assert np.array_equal(augment(sample, np.random.default_rng(0)).truth, RGB + 1)


CHANGES = {
    "the working folder": lambda: os.chdir("/"),
    "torch's default dtype": lambda: torch.set_default_dtype(torch.float64),
    "torch's seed": lambda: torch.manual_seed(7),
    "NumPy's random numbers": lambda: np.random.seed(7),
    "Python's random numbers": lambda: random.seed(7),
    "the warning filters": lambda: warnings.simplefilter("ignore"),
    "the environment variable OMP_NUM_THREADS": lambda: os.environ.update(OMP_NUM_THREADS="7"),
}


@pytest.mark.parametrize("setting", CHANGES)
def test_a_change_in_a_late_call_is_put_back_and_named(setting):
    count = iter(range(1000))

    def late(*_):
        if next(count) == 100:
            CHANGES[setting]()
        return 0.5

    metric = MetricCall(entry=entry_of("metric", MetricSpec), component=late)
    before = Snapshot("call").before
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(103):
            metric(RGB, RGB, MASK)
    assert [str(w.message).partition(" changed ")[2] for w in caught] == [f"{setting} in a call, which was put back"]
    after = Snapshot("call").before
    assert all(after[name] == value for name, value in before.items() if name != "the warning filters")


def test_of_a_component_that_ships_with_toolbox_the_first_calls_are_compared():
    entry = replace(FILLER, distribution=DISTRIBUTION)
    with pytest.warns(PluginWarning, match="the working folder"):
        for _ in range(SHIPPED_CALLS):
            call_isolated(entry, lambda: os.chdir("/"))
    before = isolated_call._running.copy()
    assert call_isolated(entry, lambda: len(isolated_call._running)) == len(before) == 0
    assert call_isolated(FILLER, lambda: len(isolated_call._running)) == 1


def during_another_call(mine, other):
    """Call a filler that runs `mine`, and while it runs, a detector in another thread that runs `other`."""
    thread = threading.Thread(target=lambda: call_isolated(entry_of("detector", DetectorSpec), other))

    def call():
        mine()
        thread.start()
        thread.join()

    call_isolated(FILLER, call)


def test_of_components_that_run_at_the_same_time_all_are_named():
    before = os.getcwd()
    for mine, other in ((lambda: None, lambda: os.chdir("/")), (lambda: os.chdir("/"), lambda: None)):
        with pytest.warns(PluginWarning) as caught:
            during_another_call(mine, other)
        assert len(caught) == 1 and os.getcwd() == before
        text = str(caught[0].message)
        assert text.startswith("One of these, which ran at the same time: ")
        assert "Filler 'rigged'" in text and "Detector 'rigged'" in text and "the working folder" in text
        isolated_call._warned.clear()


def test_a_call_that_begins_after_a_change_does_not_keep_it():
    before, changed, seen = os.getcwd(), threading.Event(), threading.Event()

    def early():
        os.chdir("/")
        changed.set()
        seen.wait(10)

    thread = threading.Thread(target=lambda: call_isolated(entry_of("detector", DetectorSpec), early))

    def late():
        seen.set()
        thread.join()

    with pytest.warns(PluginWarning, match="Detector 'rigged'"):
        thread.start()
        changed.wait(10)
        call_isolated(FILLER, late)
    assert os.getcwd() == before


def test_filters_of_another_thread_for_a_while_are_no_change_and_those_that_stay_are():
    warnings_in_thread, end = threading.Event(), threading.Event()

    def suppressing():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings_in_thread.set()
            end.wait(10)

    thread = threading.Thread(target=lambda: call_isolated(entry_of("detector", DetectorSpec), suppressing))

    def call():
        thread.start()
        warnings_in_thread.wait(10)

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        call_isolated(FILLER, call)
        end.set()
        thread.join()
        call_isolated(FILLER, lambda: None)
        assert caught == []
        during_another_call(lambda: warnings.simplefilter("ignore"), lambda: None)
        call_isolated(FILLER, lambda: None)
    assert ["the warning filters" in str(w.message) for w in caught] == [True]


def test_a_good_component_gives_no_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert call_isolated(FILLER, lambda value: value + 1, 1) == 2
