"""run.json and summary.json: what is written is read again, and damaged or older files are read as far as possible."""

from __future__ import annotations

import json

import pytest

from toolbox.evaluation.metrics import Score
from toolbox.reports.run_records import (
    METRICS,
    RUN_INFO,
    SUMMARY,
    BestWeights,
    RunInfo,
    RunSummary,
    read_records,
    read_run_info,
    read_summary,
    write_run_info,
    write_summary,
)

BACKUP = "To get the records back, restore the file from a backup."
SCORE = Score(S=0.5, M=None, C=0.25, score=None)


@pytest.mark.parametrize(
    "summary",
    [
        RunSummary(loss_before=0.5, baselines={"input as it is": SCORE}),
        RunSummary(
            loss_before=0.5,
            baselines={"input as it is": SCORE},
            loss_after=0.25,
            best=BestWeights(step=7, score=SCORE),
            warnings={"overfitting": "a line"},
        ),
    ],
)
def test_a_summary_is_read_as_it_was_written(tmp_path, summary):
    write_summary(tmp_path, summary)
    assert read_summary(tmp_path) == summary


def test_a_summary_has_the_entries_of_version_0_1(tmp_path):
    best = BestWeights(step=7, score=SCORE)
    write_summary(tmp_path, RunSummary(loss_before=0.5, loss_after=0.25, baselines={"Telea": SCORE}, best=best))
    score = {"S": 0.5, "M": None, "C": 0.25, "score": None}
    assert json.loads((tmp_path / SUMMARY).read_text("utf-8")) == {
        "pixel_loss": {"before": 0.5, "after": 0.25},
        "baselines": {"Telea": score},
        "best": {"step": 7, **score},
    }


GOOD = '{"pixel_loss": {"before": 1}, "baselines": {}'


@pytest.mark.parametrize(
    "text",
    [
        *(None, "", "[]", "{}", "5", '"a"', '{"pixel_loss": {}}', '{"pixel_loss": 1, "baselines": {}}'),
        GOOD.replace("{}", '{"a": {"S": "x", "M": null, "C": null, "score": null}}') + "}",
        GOOD.replace("1", '"x"') + "}",
        *(GOOD + rest for rest in (', "best": "x"}', ', "warnings": []}', ', "measured_on": 1}', ', "best": []}')),
    ],
)
def test_a_missing_or_damaged_summary_is_none(tmp_path, text):
    if text is not None:
        (tmp_path / SUMMARY).write_text(text, "utf-8")
    assert read_summary(tmp_path) is None


def test_run_info_is_read_as_it_was_written(tmp_path):
    info = RunInfo(recipe="default", seed=42, data="/photos", device="cpu", versions={"torch": "2.8.0"})
    write_run_info(tmp_path, info)
    assert read_run_info(tmp_path) == info


def test_unknown_and_missing_entries_of_run_info_are_ignored(tmp_path):
    (tmp_path / RUN_INFO).write_text('{"recipe": "default", "unknown": 1}', "utf-8")
    assert read_run_info(tmp_path) == RunInfo(recipe="default")
    (tmp_path / RUN_INFO).write_text("{", "utf-8")
    assert read_run_info(tmp_path) == RunInfo()


@pytest.mark.parametrize("line", ["[1]", "7", '{"step": "a"}', '{"step": 1, "validation": 3}', "[" * 9999, "\x00"])
def test_a_line_that_is_no_record_is_left_out(tmp_path, line):
    (tmp_path / METRICS).write_text(f'{{"step": 0}}\n{line}\n{{"step": 1}}\n', "utf-8")
    assert [record["step"] for record in read_records(tmp_path)] == [0, 1]


def test_entries_of_run_json_with_a_wrong_type_are_left_out(tmp_path):
    (tmp_path / RUN_INFO).write_text(
        '{"recipe": "luma", "data": ["d"], "seed": "x", "photos": 3, "sessions": 5}', "utf-8"
    )
    assert read_run_info(tmp_path) == RunInfo(recipe="luma")


DAMAGED = {
    "a line that was cut off": (b'{"step": 0}\n{"step": 1, "g": 0.', "line 2 is no record", 1),
    "binary": (b'{"step": 0}\n\0\xff\x80\n\xfe\n', "line 2 and 1 more lines are no record", 1),
    "all binary": (bytes(range(128, 256)), "line 1 is no record", 0),
    "JSON of another type": (b'[1]\n{"step": "a"}\n{"step": 0}\n', "line 1 and 1 more lines are no record", 1),
    "two records in a line": (b'{"step": 0}{"step": 1}\n{"step": 2}\n', "line 1 is no record", 1),
}


@pytest.mark.parametrize("damage", DAMAGED)
def test_damaged_lines_of_the_records_are_named_with_file_and_line(tmp_path, damage):
    data, words, count = DAMAGED[damage]
    (tmp_path / METRICS).write_bytes(data)
    lines = []
    assert len(list(read_records(tmp_path, lines.append))) == count
    assert lines == [f"{tmp_path / METRICS}: {words} (cut off or damaged), and left out. {BACKUP}"]


def test_records_that_are_missing_or_whole_give_no_line_and_a_folder_in_their_place_gives_one(tmp_path):
    lines = []
    assert list(read_records(tmp_path, lines.append)) == [] and lines == []
    (tmp_path / METRICS).write_text('{"step": 0}\r\n\n{"step": 1}\n', "utf-8")
    assert len(list(read_records(tmp_path, lines.append))) == 2 and lines == []
    (tmp_path / METRICS).unlink()
    (tmp_path / METRICS).mkdir()
    assert list(read_records(tmp_path, lines.append)) == []
    assert len(lines) == 1 and "can't be read" in lines[0]


def test_entries_of_run_json_of_wrong_types_are_left_out(tmp_path):
    """A report of such a run was a traceback, and so was its continuation."""
    stored = {
        "recipe": "default",
        "versions": {"torch": "2", "numpy": 5},
        "plugins": {"a": [], "b": "1"},
        "photos": {"train": "x", "test": 3},
        "changes": {"a": 5, "b": [1], "c": [1, 2]},
    }
    (tmp_path / RUN_INFO).write_text(json.dumps(stored), "utf-8")
    info = read_run_info(tmp_path)
    assert (info.recipe, info.versions, info.plugins) == ("default", {"torch": "2"}, {"b": "1"})
    assert (info.photos, info.changes) == ({"test": 3}, {"c": [1, 2]})


@pytest.mark.parametrize("content", ["", "{", "[]", "\xff", '{"recipe": "default"}'])
def test_a_damaged_file_of_a_run_gives_a_line_and_a_missing_one_none(tmp_path, content):
    lines = []
    assert read_run_info(tmp_path, lines.append) == RunInfo() and read_summary(tmp_path, lines.append) is None
    assert lines == []
    (tmp_path / SUMMARY).write_bytes(content.encode("latin-1"))
    assert read_summary(tmp_path, lines.append) is None
    assert len(lines) == 1 and lines[0].startswith(f"{tmp_path / SUMMARY} is damaged, and left out: ")
    (tmp_path / RUN_INFO).write_bytes(content.encode("latin-1"))
    is_sound = bool(read_run_info(tmp_path, lines.append).recipe)
    assert len(lines) == (1 if is_sound else 2)
