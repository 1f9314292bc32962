"""Reports and comparisons of runs and albums: complete, escaped, without torch and without requests to elsewhere."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from pictures import smooth
from standins import gray, install_stand_in, run_restore, write_album

from toolbox.cli import main
from toolbox.hooks.observing import EpochRecord, RunEnded
from toolbox.imaging import io
from toolbox.reports.album_report import write_album_report
from toolbox.reports.chart import MAX_POINTS, line_chart, shorten
from toolbox.reports.page import html_page, section, table
from toolbox.reports.report_file import MAX_FRACTION, ReportFile
from toolbox.reports.run_files import read_run
from toolbox.reports.run_report import MAX_PREVIEWS, run_report

OLD_RUN = Path(__file__).resolve().parents[1] / "reference" / "version-0.1" / "run"


@pytest.fixture
def run(tmp_path):
    """Return a copy of a small run, with more steps and validations than it had."""
    folder = tmp_path / "runs" / "first"
    shutil.copytree(OLD_RUN, folder, ignore=shutil.ignore_patterns("checkpoints", "*.safetensors"))
    add_records(folder, 6, 40)
    return folder


def add_records(folder, start, stop):
    with (folder / "metrics.jsonl").open("a") as lines:
        for step in range(start, stop):
            lines.write(json.dumps({"step": step, "epoch": 0, "g": 50.0 / step, "d": 1.0, "d_accuracy": 0.5}) + "\n")
            if step % 10 == 9:
                figures = {"loss": 1 / step, "S": 0.5, "M": None, "C": 0.1, "score": step / 100}
                lines.write(json.dumps({"step": step, "epoch": 0, "validation": figures}) + "\n")
            epoch = {"means": {}, "learning_rate": {"generator": 1 / step}, "images_per_second": 9.5, "seconds": 3}
            lines.write(json.dumps({"step": step, "epoch": 0, "epoch_end": epoch}) + "\n")


def second_run(run, **changes):
    folder = run.parent / "second"
    shutil.copytree(run, folder)
    text = (folder / "recipe.toml").read_text()
    for key, value in changes.items():
        text = re.sub(rf"^{key} = .*$", f"{key} = {value}", text, count=1, flags=re.MULTILINE)
    (folder / "recipe.toml").write_text(text)
    return folder


def call(*arguments, code=0):
    result = CliRunner().invoke(main, list(map(str, arguments)))
    assert result.exit_code == code, (result.output, result.exception)
    return result.output


def test_the_report_of_a_run_has_scores_curves_previews_recipe_and_environment(run):
    (run / "previews").mkdir(exist_ok=True)
    io.write_png(run / "previews" / "epoch-001.png", np.zeros((40, 120, 3), np.uint8))
    assert call("report", run).strip() == str(run / "report.html")
    html = (run / "report.html").read_text("utf-8")
    for text in (
        "OpenCV Telea in gray",
        "Validation: S, M, C and score",
        "Accuracy of the discriminator",
        "epoch 1",
        "Learning rates",
        "lr.generator",
        "Images per second",
    ):
        assert text in html
    assert "[generator]" in html and "torch" in html
    assert html.count("<svg") >= 4 and html.count("data:image/jpeg") == 1


def test_a_report_requests_nothing_and_runs_no_script(run):
    html = run_report(read_run(run))
    assert "<script" not in html and not re.search(r"(?:src|href)=[\"'](?!data:)", html) and "@import" not in html
    assert "default-src 'none'" in html


def test_texts_from_outside_are_escaped(run):
    with (run / "metrics.jsonl").open("a") as lines:
        lines.write(json.dumps({"step": 7, "epoch": 0, "warning": {"cause": "x", "line": "<b>bad & big</b>"}}) + "\n")
        for step in (1, 2):
            lines.write(json.dumps({"step": step, "epoch": 0, "loss.<i>": 1.0 * step}) + "\n")
    html = run_report(read_run(run))
    assert "&lt;b&gt;bad &amp; big&lt;/b&gt;" in html and "<b>" not in html and "<i>" not in html
    assert "<b>" not in html_page("<b>", [section("<b>", table(("<b>",), [["<b>"]]))])


def test_fifty_epochs_take_less_than_eight_megabytes(run):
    (run / "previews").mkdir(exist_ok=True)
    noise = np.random.default_rng(0).integers(0, 255, (4 * 96, 3 * 96, 3), dtype=np.uint8)
    for epoch in range(60):
        io.write_png(run / "previews" / f"epoch-{epoch:03d}.png", noise)
    html = run_report(read_run(run))
    assert html.count("data:image/jpeg") == MAX_PREVIEWS and len(html) < 8e6
    assert "epoch 0<" in html and "epoch 59<" in html


def test_large_previews_are_shown_for_fewer_epochs(run, monkeypatch):
    (run / "previews").mkdir(exist_ok=True)
    for epoch in range(9):
        io.write_png(run / "previews" / f"epoch-{epoch:03d}.png", np.full((40, 120, 3), epoch, np.uint8))
    monkeypatch.setattr("toolbox.reports.run_report.MAX_PREVIEW_BYTES", 4000)
    html = run_report(read_run(run))
    assert 1 <= html.count("data:image/jpeg") < 9 and "epoch 8<" in html


def test_the_report_tells_leaks_and_what_differs_from_the_parent(run):
    info = json.loads((run / "run.json").read_text())
    info |= {"photos": {"train": 90, "validation": 10, "test": 0, "leaks": 3}, "parent": "default"}
    (run / "run.json").write_text(json.dumps(info | {"changes": {"training.batch": [8, 2]}}))
    html = run_report(read_run(run))
    assert "3 validation photographs share a scene" in html
    assert "<td>training.batch</td><td>8</td><td>2</td>" in html


def test_the_reports_of_a_run_take_a_small_part_of_its_time(run, monkeypatch):
    now = [100.0]
    written = []

    def write(folder):
        written.append(now[0])
        now[0] += 0.5

    monkeypatch.setattr("toolbox.reports.report_file.time.monotonic", lambda: now[0])
    monkeypatch.setattr("toolbox.reports.report_file.write_run_report", write)
    observer = ReportFile(run)
    for _ in range(100):
        now[0] += 1
        observer.on_epoch(EpochRecord(epoch=0, step=1, means={}, seconds=1.0))
    assert 0.5 * len(written) <= 2 * MAX_FRACTION * 100 and len(written) >= 2
    observer.on_end(RunEnded(status="failed", error="no luck"))
    assert written[-1] == now[0] - 0.5


def test_a_run_that_has_just_begun_has_a_report(tmp_path):
    (tmp_path / "new").mkdir()
    for name in ("recipe.toml", "run.json"):
        shutil.copy(OLD_RUN / name, tmp_path / "new")
    html = run_report(read_run(tmp_path / "new"))
    assert "There is no validation yet" in html and "There are no previews yet" in html


def test_reports_need_no_torch(run):
    code = (
        "import sys; from pathlib import Path; from toolbox.reports import run_report, album_report, comparison;"
        f"run_report.write_run_report(Path({str(run)!r})); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_an_album_with_names_that_are_not_printable_is_shown(tmp_path, monkeypatch):
    install_stand_in(monkeypatch)
    album = tmp_path / "al\xa0bum"
    album.mkdir()
    names = ["Screenshot at 3.45\u202fPM.png", "a\nb.png", "back\\slash.png", os.fsdecode(b"\xff.png")]
    for name in names:
        io.write_png(album / name, gray())
    run_restore(album, "-o", tmp_path / "out", "--report")
    html = (tmp_path / "out" / "report.html").read_text("utf-8")
    assert html.count("<img") == 2 * len(names) and "can't be shown" not in html


def test_copied_photographs_are_in_the_report(tmp_path, monkeypatch):
    install_stand_in(monkeypatch)
    (tmp_path / "album").mkdir()
    io.write_png(tmp_path / "album" / "colour.png", smooth(48, 64))
    run_restore(tmp_path / "album", "-o", tmp_path / "out", "--auto", "--report")
    html = (tmp_path / "out" / "report.html").read_text("utf-8")
    assert '<td>colour.png</td><td class="long">it needs nothing; or give it new colours with --keep luma</td>' in html


def test_a_picture_that_is_gone_is_named(tmp_path, monkeypatch):
    install_stand_in(monkeypatch)
    album = write_album(tmp_path / "album")
    run_restore(album, "-o", tmp_path / "out")
    (album / "a.png").unlink()
    html = write_album_report(tmp_path / "out").read_text("utf-8").replace("&#x27;", "'")
    assert f"before: {album / 'a.png'} can't be shown." in html and html.count("<img") == 5


def test_an_album_is_shown_before_and_after_with_its_failures(tmp_path, monkeypatch):
    install_stand_in(monkeypatch)
    album = write_album(tmp_path / "album")
    (album / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n and no more")
    run_restore(album, "-o", tmp_path / "out", code=3)
    assert call("report", tmp_path / "out").strip() == str(tmp_path / "out" / "report.html")
    html = (tmp_path / "out" / "report.html").read_text("utf-8")
    assert html.count("data:image/jpeg") == 6 and "<td>broken.png</td>" in html and "<script" not in html
    assert f"Photographs of {album}." in html and "<h2>" + str(album) not in html
    assert "100 % " in html and "1e+02" not in html and "0 % was" not in html


def test_restore_writes_the_report_beside_the_results(tmp_path, monkeypatch):
    install_stand_in(monkeypatch)
    album = write_album(tmp_path / "album")
    (album / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n and no more")
    run_restore(album, "-o", tmp_path / "out", "--report", code=3)
    assert "broken.png" in (tmp_path / "out" / "report.html").read_text("utf-8")
    run_restore(album, "-o", tmp_path / "plain", code=3)
    assert not (tmp_path / "plain" / "report.html").exists()
    assert "can't be combined" in run_restore(album, "-o", tmp_path / "out", "--report", "--preview", code=2).stderr


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"photos": [{}]}', '{"photos": 3}', "\x00"])
def test_a_damaged_report_json_is_one_line(tmp_path, text):
    (tmp_path / "report.json").write_text(text)
    assert call("report", tmp_path, code=1).endswith("is not a report of toolbox restore.\n")


def test_runs_are_listed_sorted_and_filtered(run):
    second = second_run(run, seed=7)
    (run.parent / "notes.txt").write_text("no run")
    rows = json.loads(call("runs", run.parent, "--sort", "score", "--json"))
    assert [row["run"] for row in rows] == [str(run), str(second)] and rows[0]["steps"] == 40
    assert call("runs", run.parent, "--recipe", "luma").splitlines() == ["run  recipe  seed  steps  score"]
    assert "nowhere" in call("runs", "nowhere", code=2)


def test_a_comparison_shows_scores_and_what_differs(run, tmp_path):
    (run / "previews").mkdir(exist_ok=True)
    for epoch in (1, 2):
        io.write_png(run / "previews" / f"epoch-{epoch:03d}.png", np.zeros((40, 120, 3), np.uint8))
    second = second_run(run, seed=7, epochs=9)
    found = json.loads(call("compare", run, second, "--json"))
    changed = {row["setting"]: (row["first"], row["second"]) for row in found["recipes"]}
    assert changed["seed"][1] == 7 and changed["training.epochs"][1] == 9
    assert [row["run"] for row in found["scores"]] == ["first", "second"]
    text = call("compare", run, second, "--html", tmp_path / "c.html")
    html = (tmp_path / "c.html").read_text("utf-8")
    assert "training.epochs" in text and "Validation: score" in html and html.count("data:image/jpeg") == 2


def test_runs_that_differ_in_the_seed_alone_have_a_spread(run):
    second = second_run(run, seed=7)
    summary = json.loads((second / "summary.json").read_text())
    summary["best"]["score"] += 0.2
    (second / "summary.json").write_text(json.dumps(summary))
    (row,) = json.loads(call("compare", run, second, "--json"))["seeds"]
    assert row["runs"] == "first, second" and row["standard deviation"] == pytest.approx(0.2 / 2**0.5)


def spread_of(run, second):
    return json.loads(call("compare", run, second, "--json"))["seeds"]


def test_runs_of_one_setup_have_the_same_photographs_other_seeds_and_a_score(run):
    second = second_run(run, seed=7)
    photos = {"train": {"a.png": "1", "b.png": "2"}, "validation": {"c.png": "3"}, "unused": {}}
    for folder in (run, second):
        (folder / "split.json").write_text(json.dumps(photos), "utf-8")
    assert len(spread_of(run, second)) == 1
    for part, other in (("train", {"a.png": "1", "b.png": "4"}), ("validation", {"c.png": "5"})):
        (second / "split.json").write_text(json.dumps(photos | {part: other}), "utf-8")
        assert spread_of(run, second) == []
    renamed = {"train": {"x.png": "2", "y.png": "1"}, "validation": {"z.png": "3"}, "unused": {}}
    (second / "split.json").write_text(json.dumps(renamed), "utf-8")
    assert len(spread_of(run, second)) == 1
    third = run.parent / "third"
    shutil.copytree(run, third)  # a copy is not another seed
    assert spread_of(run, third) == []
    (row,) = json.loads(call("compare", run, third, second, "--json"))["seeds"]
    assert row["runs"] == "first, second"
    summary = json.loads((second / "summary.json").read_text("utf-8"))
    without_score = summary | {"best": summary["best"] | {"score": None}}
    unfinished = summary | {"pixel_loss": {"before": summary["pixel_loss"]["before"]}}
    for changed in (without_score, unfinished):
        (second / "summary.json").write_text(json.dumps(changed), "utf-8")
        assert spread_of(run, second) == []


def test_runs_of_version_0_1_are_of_one_setup_if_their_data_folder_is_the_same(run):
    second = second_run(run, seed=7)
    info = json.loads((second / "run.json").read_text("utf-8"))
    assert len(spread_of(run, second)) == 1
    (second / "run.json").write_text(json.dumps(info | {"data": "/other"}), "utf-8")
    assert spread_of(run, second) == []


def test_scores_of_different_photographs_are_not_compared_in_silence(run, tmp_path):
    second = second_run(run, seed=7)
    recipe = (second / "recipe.toml").read_text("utf-8")
    (second / "recipe.toml").write_text('summary = "other"\n' + recipe.partition("\n")[2], "utf-8")
    for folder, photos in ((run, "a"), (second, "b")):
        summary = json.loads((folder / "summary.json").read_text("utf-8"))
        summary["measured_on"] = {"the validation photographs": photos, "data.size": 64}
        (folder / "summary.json").write_text(json.dumps(summary), "utf-8")
    assert "scores can't be compared" in call("compare", run, second, "--html", tmp_path / "c.html")
    assert "toolbox score RUN --data DIR" in (tmp_path / "c.html").read_text("utf-8")
    assert "summary" not in [row["setting"] for row in json.loads(call("compare", run, second, "--json"))["recipes"]]


def test_a_folder_that_is_no_run_is_named(tmp_path, run):
    assert "is neither a run folder nor a folder of results" in call("report", tmp_path, code=2)
    assert "is not a run folder" in call("compare", run, tmp_path, code=2)
    assert "at least two" in call("compare", run, code=2)


def test_a_long_line_is_drawn_by_the_means_of_its_sections():
    points = [(float(x), float(x % 2)) for x in range(10 * MAX_POINTS)]
    short = shorten(points)
    assert len(short) == MAX_POINTS and {y for _, y in short} == {0.5}
    assert short[0][0] == 4.5 and shorten(points[:5]) == points[:5]


def test_values_that_are_not_finite_leave_a_chart_readable():
    chart = line_chart("loss", {"g": [(1, float("nan")), (2, 1.0), (3, float("inf")), (4, 2.0)]})
    assert "nan" not in chart and "inf" not in chart and chart.count("polyline") == 1
    assert line_chart("loss", {"g": [(1, float("nan"))]}) == ""


def test_a_single_validation_is_a_dot_and_small_values_are_no_flat_line():
    single = line_chart("score", {"a": [(4, 0.5)], "b": [(9, 0.25)]})
    assert single.count("<circle") == 2 and "polyline" not in single and "step 9" in single
    assert "logarithmic" not in line_chart("loss", {"g": [(1, 1.0), (2, 40.0)]})
    assert "logarithmic" not in line_chart("loss", {"g": [(1, 0.0), (2, 400.0)]})
    chart = line_chart("loss", {"g": [(1, 1.0), (2, 2.0)], "d": [(1, 1e4), (2, 1e3)]})
    assert "logarithmic" in chart and ">100<" in chart and ">10000<" in chart


def test_the_report_says_which_recipe_when_and_whether_it_is_finished(run):
    start = {
        "started": "2026-11-29T16:27:04+00:00",
        "command": "toolbox run",
        "host": "h",
        "process": 1,
        "device": "cpu",
    }
    info = json.loads((run / "run.json").read_text()) | {"recipe": "mine", "sessions": [start]}
    (run / "run.json").write_text(json.dumps(info))
    assert "Recipe mine, started 2026-11-29 16:27, 40 steps, finished." in run_report(read_run(run))
    summary = json.loads((run / "summary.json").read_text())
    del summary["pixel_loss"]["after"]
    (run / "summary.json").write_text(json.dumps(summary))
    info["sessions"].append(start | {"started": "2026-11-30T09:00:00+00:00"})
    (run / "run.json").write_text(json.dumps(info))
    assert "16:27, continued 2026-11-30 09:00, 40 steps so far.<" in run_report(read_run(run))


def test_a_comparison_after_one_validation_has_points_and_without_one_says_so(run, tmp_path):
    lines = [line for line in (run / "metrics.jsonl").read_text().splitlines() if '"validation"' not in line]
    (run / "metrics.jsonl").write_text("\n".join(lines) + "\n")
    second = second_run(run, seed=7)
    page = tmp_path / "c.html"
    call("compare", run, second, "--html", page)
    assert "No run has a validation yet." in page.read_text() and "No differences." in page.read_text()
    record = {"step": 39, "epoch": 0, "validation": {"loss": 1.0, "score": 0.5, "psnr": 20.0}}
    with (run / "metrics.jsonl").open("a") as file:
        file.write(json.dumps(record) + "\n")
    call("compare", run, second, "--html", page)
    html = page.read_text()
    assert html.count("<svg") == 3 and "Validation: psnr" in html and "No run has" not in html


def test_runs_of_the_same_name_are_told_apart(run, tmp_path):
    other = tmp_path / "elsewhere" / "first"
    shutil.copytree(run, other)
    found = json.loads(call("compare", run, other, "--json"))
    assert [row["run"] for row in found["scores"]] == [str(run), str(other)]
    assert "at least two" in call("compare", run, run, code=2)
