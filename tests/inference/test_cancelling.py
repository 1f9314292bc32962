"""A restoration is cancelled between its steps: in a fill, before each tile, and before the result is written."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from pictures import scene
from scenes import square_hole, tint_restorer
from standins import StandIn, digests, gray
from toolbox_plugins.fills.auto import auto
from toolbox_plugins.fills.average import average
from toolbox_plugins.fills.frequency import frequency
from toolbox_plugins.fills.texture import texture

import toolbox
from toolbox.errors import CancelledError
from toolbox.imaging import io
from toolbox.inference.batch import restore_all
from toolbox.inference.fillers import LoadedFiller
from toolbox.inference.options import RestoreOptions
from toolbox.inference.output_paths import plan_jobs
from toolbox.utils.cancelling import cancellable

SIDE = 96


class Cancelling:
    """Cancels at a check; counts the checks."""

    def __init__(self, at):
        self.at, self.count = at, 0

    def __call__(self):
        self.count += 1
        return self.count >= self.at


@pytest.mark.parametrize("fill", [auto, average, frequency, texture])
def test_a_fill_is_cancelled_in_the_middle(fill):
    image, mask = gray(SIDE, SIDE), square_hole(SIDE, 40, 56)
    counting = Cancelling(at=10**9)
    with cancellable(counting):
        expected = fill(image, mask)
    assert counting.count >= 3
    with cancellable(Cancelling(at=counting.count)), pytest.raises(CancelledError):
        fill(image, mask)
    # The block is over, and a fill that was cancelled leaves nothing behind.
    np.testing.assert_array_equal(fill(image, mask), expected)


def test_the_error_goes_through_the_calls_of_components():
    restorer = replace(tint_restorer("luma"), filler=LoadedFiller(fill=lambda *arguments, **options: cancelled()))

    def cancelled():
        toolbox.check_cancelled()

    with cancellable(lambda: True), pytest.raises(CancelledError):
        restorer(gray(SIDE, SIDE), square_hole(SIDE, 40, 56))


def test_a_large_photograph_is_cancelled_before_each_tile():
    restorer = replace(tint_restorer("none"), tile=64)
    tiles = []
    restorer.network.register_forward_hook(lambda *call: tiles.append(1))
    cancelling = Cancelling(at=10**9)
    with cancellable(cancelling):
        restorer(scene(256, 256, 3))
    assert cancelling.count >= 16
    tiles.clear()
    with cancellable(Cancelling(at=5)), pytest.raises(CancelledError):
        restorer(scene(256, 256, 3))
    assert len(tiles) == 4


def test_a_cancelled_photograph_writes_nothing_and_ends_the_batch(tmp_path):
    for name in ("a.png", "b.png"):
        io.write_png(tmp_path / name, gray())
    before = digests(tmp_path)
    restorer = StandIn()
    jobs = plan_jobs([tmp_path / "a.png", tmp_path / "b.png"], tmp_path / "out")
    for at in (1, 2):
        with cancellable(Cancelling(at=at)), pytest.raises(CancelledError):
            list(restore_all(jobs, restorer, RestoreOptions()))
        assert len(restorer.calls) == at - 1 and digests(tmp_path) == before
    assert [result.status for result in restore_all(jobs, restorer, RestoreOptions())] == ["restored", "restored"]
