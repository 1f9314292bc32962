"""When the results of test photographs are kept: never those of other weights, settings or photographs."""

from __future__ import annotations

from dataclasses import replace

import pytest
from standins import gray
from tiny_weights import tiny_plan, write_tiny_run

from toolbox.data.folders import Item
from toolbox.imaging import io
from toolbox.models.weight_file import read_header, read_tensors, write_weights
from toolbox.reports.run_records import RunSummary, write_summary
from toolbox.training.submit import results_fault, results_origin
from toolbox.utils import files

ORIGIN = {"weights": "a", "settings": "b", "code": "c", "photos": "d"}


@pytest.fixture
def run(tmp_path):
    """Write a run folder with weights, a submission of two pictures and its record; return the folder."""
    folder = write_tiny_run(tmp_path / "run")
    (folder / "test").mkdir()
    for number in range(2):
        io.write_png(folder / "test" / f"{number}.png", gray(seed=number))
    members = [(path.name, path) for path in sorted((folder / "test").iterdir())]
    files.write_flat_zip(folder / "submission.zip", members)
    made = {**ORIGIN, "sha256": files.sha256(folder / "submission.zip")}
    write_summary(folder, RunSummary(loss_before=1, baselines={}, submission=made))
    return folder


def test_complete_results_of_this_origin_are_kept(run):
    assert results_fault(run, ORIGIN) == ""


def test_what_has_changed_is_named(run):
    assert results_fault(run, ORIGIN | {"photos": "x"}) == "changed since then: the test photographs"
    assert results_fault(run, ORIGIN | {"code": "x", "settings": "x"}) == (
        "changed since then: the settings, toolbox or a plugin"
    )
    before = RunSummary(loss_before=1, baselines={}, submission={"origin": "abc", "sha256": "abc"})
    write_summary(run, before)  # of an earlier version
    assert results_fault(run, ORIGIN) == "it is not recorded what their results were made from"


@pytest.mark.parametrize("name", ["test/0.png", "submission.zip", "summary.json"])
def test_missing_or_changed_files_are_no_results(run, name):
    content = (run / name).read_bytes()
    for damaged in (content[:-2], content.replace(b"a", b"b"), None):
        (run / name).unlink()
        if damaged is not None:
            (run / name).write_bytes(damaged)
        assert results_fault(run, ORIGIN)


def test_the_origin_is_another_one_for_other_weights_settings_or_photographs(run, tmp_path):
    photo, weights = tmp_path / "photo.png", run / "best.safetensors"
    io.write_png(photo, gray())
    tests = [Item(name="photo.png", input=photo)]

    def origin(*settings, items=tests):
        return tuple(results_origin(tiny_plan(*settings), weights, items).values())

    first = origin()
    assert origin() == first == origin("validation.report=false")
    others = [origin("restoring.tile=128"), origin("keep=luma"), origin(items=[Item(name="p.png", input=photo)])]
    io.write_png(photo, gray(seed=1))
    others.append(origin())
    header, tensors = read_header(weights), read_tensors(weights)
    write_weights(weights, tensors, replace(header, loss=0.5))  # only measured again
    assert origin() == others[-1]
    write_weights(weights, {name: value + 1 for name, value in tensors.items()}, header)
    others.append(origin())
    assert len({first, *others}) == 6
