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


@pytest.mark.parametrize("text", [None, "", "[]", "{}", '{"pixel_loss": {}}', '{"pixel_loss": 1, "baselines": {}}'])
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
