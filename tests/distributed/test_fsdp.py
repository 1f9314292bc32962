"""A generator sharded over two processes trains and is saved as in one, and takes half the memory in each.

Some 35 seconds on two cores.
"""

from __future__ import annotations

import json

import distributed_cases
import fsdp_cases
import numpy as np
import pytest
import torch
from click.testing import CliRunner
from launching import start, wait
from safetensors.torch import load_file

from toolbox import load_restorer
from toolbox.cli import main
from toolbox.distributed.shards import is_sharded
from toolbox.errors import RecipeError
from toolbox.imaging import io
from toolbox.training import step

SIZE = ["--size=32", "--epochs=1", "--steps=3", "--batch=3"]
SETTINGS = (*distributed_cases.SMALL, "training.precision=fp64", "training.shard=true")
RUN = ["run", *(f"--set={setting}" for setting in SETTINGS), *SIZE]


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Run `fsdp_cases` in one process and in two; return the folders of the results."""
    folder = tmp_path_factory.mktemp("results")
    processes = start([fsdp_cases.__file__, folder / "two"])
    threads = torch.get_num_threads()
    fsdp_cases.main(folder / "one")
    torch.set_num_threads(threads)
    for code, _, errors in wait(processes):
        assert code == 0, errors
    return folder / "one", folder / "two"


def results(folder, count=2):
    return [json.loads((folder / f"results {rank}.json").read_text("utf-8")) for rank in range(count)]


def require_close(actual, expected):
    """Check that two safetensors files have the same tensors to 1e-9."""
    expected, actual = load_file(expected), load_file(actual)
    assert expected.keys() == actual.keys() and expected
    for name, value in expected.items():
        torch.testing.assert_close(actual[name], value, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("case", fsdp_cases.CASES)
def test_the_terms_equal_those_of_one_process_to_1e_9(folders, case):
    one, two = folders
    rows = [np.load(folder / f"{case} {rank}.npz")["rows"] for folder, rank in ((one, 0), (two, 0), (two, 1))]
    _, _, sharded, steps = fsdp_cases.CASES[case]
    assert len(rows[0]) == len(sharded) * steps and np.ptp(rows[0][:, 0]) > 0
    for actual in rows[1:]:
        np.testing.assert_allclose(actual, rows[0], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("case", fsdp_cases.CASES)
def test_the_saved_tensors_equal_those_of_one_process_to_1e_9(folders, case):
    one, two = (max((folder / case).glob("step-*")) for folder in folders)
    names = sorted(path.name for path in one.glob("*.safetensors"))
    assert {"generator.safetensors", "average.safetensors", "generator-optimizer.safetensors"} < {*names}
    assert names == sorted(path.name for path in two.glob("*.safetensors"))
    for name in names:
        require_close(two / name, one / name)
    require_close(folders[1] / case / "best.safetensors", folders[0] / case / "best.safetensors")


@pytest.mark.parametrize("name", ["segmentation", "flow-matching"])
def test_a_step_with_a_network_of_its_own_equals_that_of_one_process_to_1e_9(folders, name):
    (one,), two = results(folders[0], 1), results(folders[1])
    rows, norms = one["steps"][name]
    assert len(rows) == 3 and np.ptp(np.array(rows)[:, 0]) > 0
    for result in two:
        np.testing.assert_allclose(result["steps"][name][0], rows, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(two[0]["steps"][name][1], norms, rtol=1e-9)


def test_each_process_holds_half_of_the_weights_their_average_and_the_optimizers_state(folders):
    fractions = np.array([result["fractions"] for result in results(folders[1])])
    np.testing.assert_allclose(fractions.sum(0), 1)
    np.testing.assert_allclose(fractions, 0.5, atol=0.01)


def test_a_value_that_is_not_finite_in_one_process_changes_no_weight_in_any(folders):
    for good, *bad in (result["changes"] for result in results(folders[1])):
        assert good > 0 and bad == [0, 0]


def test_a_generator_that_cant_be_sharded_is_refused_by_the_main_process(folders):
    (error, message), other = (result["refused"] for result in results(folders[1]))
    assert error == "UsageError" and "scalar" in message and message.endswith("Set training.shard=false.")
    assert other[0] == "SystemExit"


def test_an_optimizer_that_cant_update_shards_says_so_in_one_line(folders):
    for result in results(folders[1]):
        assert result["rprop"].startswith("generator.optimizer can't update the shards of the generator: ")
        assert "Set training.shard=false" in result["rprop"] and "\n" not in result["rprop"]


def test_the_setting_changes_nothing_in_one_process():
    outcomes = []
    for sharded in (False, True):
        built, accelerator, dtype = distributed_cases.build(fsdp_cases.bind_plan(sharded, *fsdp_cases.PLAIN))
        assert not is_sharded(built.generator.network)
        batches = distributed_cases.batches(0, 2, 3, dtype)
        rows = [record.terms for record in step.take_steps(built, batches, accelerator, seed=7, first=0)]
        outcomes.append((rows, [value for values in built.tensors().values() for value in values]))
    assert outcomes[0][0] == outcomes[1][0]
    assert all(torch.equal(a, b) for a, b in zip(outcomes[0][1], outcomes[1][1], strict=True))


def test_fp16_is_refused_in_one_line():
    with pytest.raises(RecipeError, match=r"training.shard: is True: .* precision fp16") as raised:
        fsdp_cases.bind_plan(True, *fsdp_cases.PLAIN, "training.precision=fp16")
    assert len(raised.value.faults) == 1


def test_a_full_run_equals_that_of_one_process_and_its_best_weights_restore(tmp_path, monkeypatch):
    one, two = tmp_path / "one", tmp_path / "two"
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    # Without a GPU and without --device the processes use the CPU.
    (code, output, errors), (other_code, *_) = wait(start(["-m", "toolbox", *RUN, f"--out={two}"]))
    assert (code, other_code) == (0, 0), errors
    assert "fp64 on cpu in 2 processes" in output
    assert "outside of a torch.nn.Module" not in errors  # the gathered weights are not in the network
    done = CliRunner().invoke(main, [*RUN, "--device=cpu", f"--out={one}"])
    assert done.exit_code == 0, done.output
    expected, actual = (json.loads((folder / "summary.json").read_text("utf-8")) for folder in (one, two))
    assert actual["best"] == pytest.approx(expected["best"], rel=1e-9)
    assert actual["pixel_loss"] == pytest.approx(expected["pixel_loss"], rel=1e-9)
    require_close(two / "best.safetensors", one / "best.safetensors")
    names = sorted(path.name for path in (one / "test").iterdir())
    assert names and names == sorted(path.name for path in (two / "test").iterdir())
    restorer = load_restorer(two, device="cpu")
    for name in names:
        pictures = [io.read_rgb(folder / "test" / name) for folder in (one, two)]
        np.testing.assert_array_equal(*pictures)
    assert restorer(pictures[0][..., 0]).shape == pictures[0].shape
