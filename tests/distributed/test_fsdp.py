"""A generator spread over two processes trains as one does, is kept as one is, and takes half the room in each.

Some 35 seconds on two cores.
"""

from __future__ import annotations

import json

import numpy as np
import pytest
import several
import shards
import torch
from click.testing import CliRunner
from launching import ended, start
from safetensors.torch import load_file

from toolbox import load_restorer
from toolbox.cli import main
from toolbox.distributed import fsdp
from toolbox.errors import RecipeError
from toolbox.imaging import io
from toolbox.training import step

SIZE = ["--size=32", "--epochs=1", "--steps=3", "--batch=3"]
RUN = ["run", *(f"--set={one}" for one in (*several.SMALL, "training.precision=fp64", "training.shard=true")), *SIZE]


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """Run everything of `shards` in one process and in two; return their folders."""
    folder = tmp_path_factory.mktemp("both")
    started = start([shards.__file__, folder / "two"])
    threads = torch.get_num_threads()
    shards.main(folder / "one")
    torch.set_num_threads(threads)
    for code, _, errors in ended(started):
        assert code == 0, errors
    return folder / "one", folder / "two"


def told(folder):
    return [json.loads((folder / f"told {process}.json").read_text("utf-8")) for process in range(2)]


@pytest.mark.parametrize("case", shards.CASES)
def test_the_losses_are_those_of_one_process_to_1e_9(both, case):
    one, two = both
    rows = [np.load(folder / f"{case} {process}.npz")["rows"] for folder, process in ((one, 0), (two, 0), (two, 1))]
    _, _, spread, steps = shards.CASES[case]
    assert len(rows[0]) == len(spread) * steps and np.ptp(rows[0][:, 0]) > 0
    for found in rows[1:]:
        np.testing.assert_allclose(found, rows[0], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("case", shards.CASES)
def test_what_is_kept_is_what_one_process_keeps_to_1e_9(both, case):
    one, two = (max((folder / case).glob("step-*")) for folder in both)
    names = sorted(path.name for path in one.glob("*.safetensors"))
    assert {"generator.safetensors", "average.safetensors", "generator-optimizer.safetensors"} < {*names}
    assert names == sorted(path.name for path in two.glob("*.safetensors"))
    for a, b in [(one / name, two / name) for name in names] + [
        [folder / case / "best.safetensors" for folder in both]
    ]:
        expected, found = load_file(a), load_file(b)
        assert expected.keys() == found.keys() and expected
        for key, value in expected.items():
            torch.testing.assert_close(found[key], value, rtol=1e-9, atol=1e-9)


def test_each_process_holds_half_of_the_weights_their_average_and_the_optimisers_state(both):
    shares = np.array([one["held"] for one in told(both[1])])
    np.testing.assert_allclose(shares.sum(0), 1)
    np.testing.assert_allclose(shares, 0.5, atol=0.01)


def test_a_value_that_is_not_finite_in_one_process_moves_no_weight_in_any(both):
    for good, *bad in (one["moved"] for one in told(both[1])):
        assert good > 0 and bad == [0, 0]


def test_a_generator_that_cant_be_spread_is_refused_by_the_first_process(both):
    (kind, line), other = (one["refused"] for one in told(both[1]))
    assert kind == "UsageError" and "scalar" in line and line.endswith("Set training.shard=false.")
    assert other[0] == "SystemExit"


def test_nothing_changes_in_one_process():
    found = []
    for on in (False, True):
        built, accelerator, dtype = several.build(shards.plan(on, *shards.PLAIN))
        assert not fsdp.is_sharded(built.generator.network)
        given = several.batches(0, 2, 3, dtype)
        rows = [one.terms for one in step.take_steps(built, given, accelerator, seed=7, first=0)]
        found.append((rows, [value for values in built.state().values() for value in values]))
    assert found[0][0] == found[1][0]
    assert all(torch.equal(one, other) for one, other in zip(found[0][1], found[1][1], strict=True))


def test_fp16_is_refused_in_one_line():
    with pytest.raises(
        RecipeError, match=r"training.shard: is True: it can't be combined with precision fp16"
    ) as caught:
        shards.plan(True, *shards.PLAIN, "training.precision=fp16")
    assert len(caught.value.faults) == 1


def test_a_whole_run_is_that_of_one_process_and_its_best_weights_load(tmp_path, monkeypatch):
    one, two = tmp_path / "one", tmp_path / "two"
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    # Without a GPU and without being told so they meet on the CPU.
    (code, output, errors), (other, *_) = ended(start(["-m", "toolbox", *RUN, f"--out={two}"]))
    assert (code, other) == (0, 0), errors
    assert "fp64 on cpu in 2 processes" in output
    done = CliRunner().invoke(main, [*RUN, "--device=cpu", f"--out={one}"])
    assert done.exit_code == 0, done.output
    expected, found = (json.loads((folder / "summary.json").read_text("utf-8")) for folder in (one, two))
    assert found["best"] == pytest.approx(expected["best"], rel=1e-9)
    assert found["pixel_loss"] == pytest.approx(expected["pixel_loss"], rel=1e-9)
    expected, found = (load_file(folder / "best.safetensors") for folder in (one, two))
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=1e-9, atol=1e-9)
    names = sorted(path.name for path in (one / "test").iterdir())
    assert names and names == sorted(path.name for path in (two / "test").iterdir())
    restorer = load_restorer(two, device="cpu")
    for name in names:
        pictures = [io.read_rgb(folder / "test" / name) for folder in (one, two)]
        np.testing.assert_array_equal(*pictures)
    assert restorer(pictures[0][..., 0]).shape == pictures[0].shape
