"""Drill: files that are cut, mutated or from a fuzz corpus are restored or refused by `toolbox restore`."""

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
from standins import StandIn, install_stand_in, run_restore

from toolbox.errors import DataError
from toolbox.imaging import io
from toolbox.inference import output_paths
from toolbox.inference.batch import restore_all
from toolbox.inference.options import RestoreOptions
from toolbox.masks.sources import MaskOptions

CUTS = [60, pytest.param(600, marks=pytest.mark.drill)]
MANY = [100, pytest.param(10_000, marks=pytest.mark.drill)]
EVERY = [27, pytest.param(1, marks=pytest.mark.drill)]

MAX_SECONDS = 2
MAX_BYTES = 10**9


def resident():
    """Return the resident memory of this process in bytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def restore_in_process(folder, out, log, options):
    """Restore a folder in a separate process; return the results, and the peak memory above its start in bytes.

    The log has a line for each photograph, so it shows where the process died. Its output is in a file beside the log.
    """

    def work():
        before = resident()
        jobs = output_paths.plan_jobs([folder], out)
        results = restore_all(jobs, FastStandIn(), options)
        with log.open("w") as lines:
            for job in jobs:
                started = time.process_time()
                result = next(results)
                seconds = time.process_time() - started
                assert result.photo == str(job.photo)
                lines.write(json.dumps([job.photo.name, result.status, result.reason, seconds, result.result]) + "\n")
                lines.flush()
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - before
            lines.write(json.dumps(peak) + "\n")

    code, output = run_forked(work, log.with_suffix(".txt"))
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert code == 0, f"after {lines[-1:]}: exit code {code}: {output[-2000:]}"
    assert "Traceback" not in output
    *records, peak = lines
    return records, peak


class FastStandIn(StandIn):
    """A stand-in that records nothing, so it holds no memory that a real restorer would not hold."""

    def __call__(self, image, mask):
        result = np.repeat(image[..., None], 3, axis=2) if image.ndim == 2 else image.copy()
        result[mask] = 100
        return result


def check_restored_or_refused(records, peak, name):
    counts = collections.Counter(status for _, status, *_ in records)
    assert set(counts) <= {"restored", "failed"}
    for photo, status, reason, seconds, result in records:
        assert (status == "restored") == Path(result).exists() == (reason == "")
        if status == "failed":
            # A reason that opens with a class name is an unexpected error, not a refusal.
            assert not re.match(r"[A-Z]\w*(Error|Exception|Interrupt)\b", reason), f"{photo}: {reason}"
            assert "\n" not in reason, reason
        assert seconds < MAX_SECONDS, f"{photo}: {status} after {seconds} s: {reason}"
    assert peak < MAX_BYTES
    slowest = max(seconds for _, status, _, seconds, _ in records if status == "failed")
    print(f"{name}: {dict(counts)}, slowest refusal {slowest:.2f} s, {peak / 1e6:.0f} MB above the start")
    return counts


@pytest.mark.parametrize("count", CUTS)
@pytest.mark.parametrize("kind", ["jpg", "png"])
def test_every_cut_is_refused(kind, count):
    rng = random.Random(count)
    originals = hostile.jpegs() if kind == "jpg" else hostile.pngs()
    for name, data in originals.items():
        assert io.decode(data, name).pixels.size
    for number in range(count):
        name = list(originals)[number % len(originals)]
        # Every tenth file of each kind lacks only its last bytes.
        tail = (number // len(originals)) % 10 == 0
        length = len(originals[name]) - rng.randint(1, 12) if tail else rng.randrange(len(originals[name]))
        with pytest.raises(DataError, match=f"^{name} "):
            io.decode(originals[name][:length], name)


@pytest.mark.parametrize("count", MANY)
def test_mutated_files_are_restored_or_refused(tmp_path, count, capsys):
    rng = random.Random(count)
    originals = hostile.all_files()
    (tmp_path / "in").mkdir()
    for number in range(count):
        name = list(originals)[number % len(originals)]
        (tmp_path / "in" / f"{number:05d}-{name}").write_bytes(hostile.mutate(originals[name], rng))
    options = RestoreOptions(keep="luma")
    records, peak = restore_in_process(tmp_path / "in", tmp_path / "out", tmp_path / "log", options)
    assert len(records) == count
    with capsys.disabled():
        counts = check_restored_or_refused(records, peak, f"{count} mutated files")
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
    records, peak = restore_in_process(tmp_path / "in", tmp_path / "out", tmp_path / "log", RestoreOptions(keep="luma"))
    assert len(records) == len(paths[::every])
    with capsys.disabled():
        counts = check_restored_or_refused(records, peak, f"{len(records)} files of the fuzz corpus")
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

    # Also in a separate process, so that its freed memory is not used again.
    assert run_forked(write, tmp_path / "written") == (0, "")
    options = RestoreOptions(keep="luma", mask_options=MaskOptions(search=False))
    records, peak = restore_in_process(tmp_path / "in", tmp_path / "out", tmp_path / "log", options)
    assert [status for _, status, *_ in records] == ["restored"]
    with capsys.disabled():
        print(f"{kind} of 50 megapixels: {peak / 1e6:.0f} MB above the start")
    assert peak < MAX_BYTES


def test_the_command_reports_each_photograph(tmp_path, monkeypatch):
    install_stand_in(monkeypatch)
    rng = random.Random(7)
    originals = hostile.all_files()
    (tmp_path / "in").mkdir()
    for number in range(100):
        name = list(originals)[number % len(originals)]
        data = hostile.mutate(originals[name], rng) if number < 60 else originals[name]
        (tmp_path / "in" / f"{number:03d}-{name}").write_bytes(data)
    result = run_restore(tmp_path / "in", "-o", "out", "--keep", "luma", code=3)
    report = json.loads(Path("out/report.json").read_text("utf-8"))
    counts = {status: report[status] for status in ("restored", "failed", "left as it is", "there already")}
    assert sum(counts.values()) == len(report["photos"]) == 100 and report["not reached"] == 0
    assert counts["restored"] >= 40 - 2 and counts["failed"] > 10
    # A photograph that is refused because all of it is lost has a preview of its mask instead of a result.
    results = [path for path in Path("out").iterdir() if not path.name.endswith((".preview.png", ".json"))]
    assert len(results) == counts["restored"]
    failures = [line for line in result.output.splitlines() if line.startswith("  failed: ")]
    assert len(failures) == counts["failed"] and "Traceback" not in result.output
