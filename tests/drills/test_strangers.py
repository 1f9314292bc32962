"""The drill on files from strangers: cut, mutated and from a fuzz corpus, through the batch of `toolbox restore`."""

from __future__ import annotations

import collections
import json
import os
import random
import re
import resource
import time
from pathlib import Path

import hostile
import numpy as np
import pytest
from forking import run_forked
from pictures import saved
from standins import Stand, restored, standing

from toolbox.errors import DataError
from toolbox.imaging import io
from toolbox.inference import output_paths
from toolbox.inference.batch import RestoreOptions, restore_all
from toolbox.masks.sources import MaskOptions

CUTS = [60, pytest.param(600, marks=pytest.mark.drill)]
MANY = [100, pytest.param(10_000, marks=pytest.mark.drill)]
EVERY = [27, pytest.param(1, marks=pytest.mark.drill)]

SECONDS = 2
BYTES = 10**9


def resident():
    """Return how much memory this process has now, in bytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def batch_apart(folder, out, log, how):
    """Restore a folder in a process of its own; return what became of each, and the peak of memory above its start.

    The log tells after which photograph the process died, if it did; all that it said goes beside it.
    """

    def work():
        before = resident()
        jobs = output_paths.plan_jobs([folder], out)
        outcomes = restore_all(jobs, Quick(), how)
        with log.open("w") as lines:
            for job in jobs:
                started = time.process_time()
                one = next(outcomes)
                seconds = time.process_time() - started
                assert one.photo == str(job.photo)
                lines.write(json.dumps([job.photo.name, one.status, one.reason, seconds, one.result]) + "\n")
                lines.flush()
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - before
            lines.write(json.dumps(peak) + "\n")

    code, said = run_forked(work, log.with_suffix(".txt"))
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert code == 0, f"after {lines[-1:]}: exit code {code}: {said[-2000:]}"
    assert "Traceback" not in said
    *found, peak = lines
    return found, peak


class Quick(Stand):
    """Notes nothing, so that no memory is held that a real restorer would not hold."""

    def __call__(self, image, mask):
        result = np.repeat(image[..., None], 3, axis=2) if image.ndim == 2 else image.copy()
        result[mask] = 100
        return result


def demand_restored_or_refused(found, peak, name):
    counts = collections.Counter(status for _, status, *_ in found)
    assert set(counts) <= {"restored", "failed"}
    for photo, status, reason, seconds, result in found:
        assert (status == "restored") == Path(result).exists() == (reason == "")
        if status == "failed":
            # What is not one of our own errors is told with its class: an accident, not a refusal.
            assert not re.match(r"[A-Z]\w*(Error|Exception|Interrupt)\b", reason), f"{photo}: {reason}"
            assert "\n" not in reason, reason
        assert seconds < SECONDS, f"{photo}: {status} after {seconds} s: {reason}"
    assert peak < BYTES
    slowest = max(seconds for _, status, _, seconds, _ in found if status == "failed")
    print(f"{name}: {dict(counts)}, slowest refusal {slowest:.2f} s, {peak / 1e6:.0f} MB above the start")
    return counts


@pytest.mark.parametrize("count", CUTS)
@pytest.mark.parametrize("kind", ["jpg", "png"])
def test_every_cut_is_refused(kind, count):
    chance = random.Random(count)
    makes = hostile.jpegs() if kind == "jpg" else hostile.pngs()
    for name, data in makes.items():
        assert io.decode(data, name).pixels.size
    for number in range(count):
        name = list(makes)[number % len(makes)]
        # Every tenth of each make lacks its last bytes alone.
        tail = (number // len(makes)) % 10 == 0
        kept = len(makes[name]) - chance.randint(1, 12) if tail else chance.randrange(len(makes[name]))
        with pytest.raises(DataError, match=f"^{name} "):
            io.decode(makes[name][:kept], name)


@pytest.mark.parametrize("count", MANY)
def test_mutated_files_are_restored_or_refused(tmp_path, count, capsys):
    chance = random.Random(count)
    makes = hostile.makes()
    (tmp_path / "in").mkdir()
    for number in range(count):
        name = list(makes)[number % len(makes)]
        (tmp_path / "in" / f"{number:05d}-{name}").write_bytes(hostile.mutated(makes[name], chance))
    how = RestoreOptions(keep="luma")
    found, peak = batch_apart(tmp_path / "in", tmp_path / "out", tmp_path / "log", how)
    assert len(found) == count
    with capsys.disabled():
        counts = demand_restored_or_refused(found, peak, f"{count} mutated files")
    assert min(counts["restored"], counts["failed"]) > count / 10


@pytest.mark.parametrize("every", EVERY)
def test_the_fuzz_corpus_is_restored_or_refused(tmp_path, shared, every, capsys):
    paths = [path for path in sorted((shared / "corpora" / "fuzz").rglob("*")) if path.is_file()]
    paths = [path for path in paths if path.name != "LICENSE"]
    assert len(paths) == 2673
    (tmp_path / "in").mkdir()
    for path in paths[::every]:
        kind = ".jpg" if path.parent.name == "jpeg" else ".png"
        (tmp_path / "in" / f"{path.name}{kind}").write_bytes(path.read_bytes())
    found, peak = batch_apart(tmp_path / "in", tmp_path / "out", tmp_path / "log", RestoreOptions(keep="luma"))
    assert len(found) == len(paths[::every])
    with capsys.disabled():
        counts = demand_restored_or_refused(found, peak, f"{len(found)} files of the fuzz corpus")
    assert len(counts) == 2


@pytest.mark.drill
@pytest.mark.parametrize("kind", ["gray.jpg", "colour.jpg", "alpha.png", "deep.png"])
def test_the_largest_photo_takes_less_than_a_gigabyte(tmp_path, kind, capsys):
    (tmp_path / "in").mkdir()
    path = tmp_path / "in" / kind

    def write():
        level = (np.add.outer(np.arange(7000), np.arange(7140)) // 8 % 256).astype(np.uint8)
        rgb = np.dstack([level, level[::-1], level[:, ::-1]])
        if kind.endswith("jpg"):
            path.write_bytes(saved(level if kind == "gray.jpg" else rgb, "JPEG"))
        elif kind == "alpha.png":
            io.write_png(path, rgb, alpha=np.full_like(level, 200))
        else:
            io.write_png(path, rgb.astype(np.uint16) * 257)

    # Made in a process of its own too, so that its memory is not there to be used again.
    assert run_forked(write, tmp_path / "written") == (0, "")
    how = RestoreOptions(keep="luma", mask_options=MaskOptions(given=False))
    found, peak = batch_apart(tmp_path / "in", tmp_path / "out", tmp_path / "log", how)
    assert [status for _, status, *_ in found] == ["restored"]
    with capsys.disabled():
        print(f"{kind} of 50 megapixels: {peak / 1e6:.0f} MB above the start")
    assert peak < BYTES


def test_the_command_says_of_each_what_became_of_it(tmp_path, monkeypatch):
    standing(monkeypatch)
    chance = random.Random(7)
    makes = hostile.makes()
    (tmp_path / "in").mkdir()
    for number in range(100):
        name = list(makes)[number % len(makes)]
        data = hostile.mutated(makes[name], chance) if number < 60 else makes[name]
        (tmp_path / "in" / f"{number:03d}-{name}").write_bytes(data)
    result = restored(tmp_path / "in", "-o", "out", "--keep", "luma", code=3)
    report = json.loads(Path("out/report.json").read_text("utf-8"))
    counts = {status: report[status] for status in ("restored", "failed", "left as it is", "there already")}
    assert sum(counts.values()) == len(report["photos"]) == 100 and report["not reached"] == 0
    assert counts["restored"] >= 40 - 2 and counts["failed"] > 10
    assert len(list(Path("out").glob("*.png")) + list(Path("out").glob("*.tif*"))) == counts["restored"]
    told = [line for line in result.output.splitlines() if line.startswith("  failed: ")]
    assert len(told) == counts["failed"] and "Traceback" not in result.output
