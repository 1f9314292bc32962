"""`toolbox score WEIGHTS --data DIR` and `--check`: figures, training photographs, faults of a zip. 8 s."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from catalogs import DEFAULT, plugin, registries
from commands import invoke, invoke_error
from PIL import Image
from tiny_weights import write_tiny_run

import toolbox
from toolbox import MetricSpec
from toolbox.data.folders import open_folder
from toolbox.data.split import DataSplit
from toolbox.data.split_record import photo_identities, write_record
from toolbox.evaluation import metrics
from toolbox.evaluation.score_weights import ScoreOptions, score_weights
from toolbox.hooks import catalog, manager
from toolbox.imaging import io


@pytest.fixture
def run(tmp_path):
    return write_tiny_run(tmp_path / "run")


def record_split(run, data):
    """Record that the run has trained on the first three photographs of a folder, and validated with the fourth."""
    items = open_folder(data).items
    write_record(
        run / "split.json",
        DataSplit(train=items[:3], validation=items[3:4], unused=(), leaks=0, identities=photo_identities(items)),
    )
    return [item.name for item in items]


def scored(*arguments):
    return json.loads(invoke("score", *arguments, "--json", "--device", "cpu").stdout)


def test_pairs_get_the_figures_of_the_restored_photographs(run, competition):
    found = scored(run, "--data", competition, "--csv", "table.csv")
    restorer = toolbox.load_restorer(run, device="cpu")
    for row in found["images"]:
        gray = io.read_gray(competition / "train_input" / row["name"])
        truth = io.read_rgb(competition / "train_gt" / row["name"])
        mask = gray != np.asarray(Image.fromarray(truth).convert("L"))
        restored = restorer(np.repeat(gray[..., None], 3, axis=2), mask)
        assert row["S"] == metrics.structural_similarity(restored, truth)
        assert row["M"] is not None and row["score"] is not None
    assert len(found["images"]) == 6 and found["interval"]["score"][0] < found["mean"]["score"]
    header, *rows = Path("table.csv").read_text("utf-8").splitlines()
    assert header.startswith("name,S,M,C,score,psnr,ssim,ab,ab_gray,ab_ratio,") and len(rows) == 6
    assert "no record of its training photographs" in found["notes"][0]


def test_photographs_without_inputs_are_damaged_by_the_recipe_and_the_seed(run, photos):
    first, again, other = (scored(run, "--data", photos, "--seed", seed)["images"] for seed in (1, 1, 2))
    assert first == again != other
    assert first[0]["M"] is not None
    small = scored(run, "--data", photos, "--size", 32)
    assert len(small["images"]) == 6 and small["images"] != first


def test_photographs_in_which_nothing_is_lost_have_no_m_and_a_line_says_why(tmp_path, photos, run):
    line = "No M and no score, because nothing of these photographs is lost: the recipe of these weights simulates no"
    unhurt = write_tiny_run(tmp_path / "unhurt", "degradations.lost-region.enabled=false")
    found = scored(unhurt, "--data", photos)
    assert found["mean"]["M"] is None and any(note.startswith(line) for note in found["notes"])
    assert not any("No M" in note for note in scored(run, "--data", photos)["notes"])


def test_a_size_far_above_the_photographs_is_refused_before_the_first(run, photos, monkeypatch):
    largest = max(min(io.read_size(path)) for path in io.find_images(photos))
    monkeypatch.setattr("toolbox.data.loader.load_sample", lambda *arguments: pytest.fail("a photograph was read"))
    message = invoke_error("score", run, "--data", photos, "--size", 4 * largest + 1, "--device", "cpu")
    assert f"A size of {4 * largest + 1} pixels is more than 4 times" in message and f"at most {largest};" in message


def test_training_photographs_are_named_whatever_their_names(run, photos):
    names = record_split(run, photos)
    (photos / names[0]).rename(photos / "zz.png")
    found = scored(run, "--data", photos)
    uses = {row["name"]: row["seen"] for row in found["images"]}
    assert uses == dict.fromkeys([names[1], names[2], "zz.png"], "training") | {names[3]: "validation"} | dict.fromkeys(
        names[4:]
    )
    assert "3 of 6 photographs" in found["notes"][0] and "1 of 6 photographs" in found["notes"][0]
    held_out = scored(run / "best.safetensors", "--data", photos, "--held-out")
    assert len(held_out["images"]) == 3 and "they are left out" in held_out["notes"][0]
    (run / "split.json").unlink()
    assert "--held-out needs the run" in invoke_error("score", run, "--data", photos, "--held-out")


@pytest.mark.parametrize("name", ["run/best.safetensors", "competition/train_gt/TRAIN_000.png"])
def test_the_table_replaces_neither_weights_nor_photographs(run, competition, tmp_path, name):
    before = (tmp_path / name).read_bytes()
    message = invoke_error("score", run, "--data", competition, "--csv", tmp_path / name, "--overwrite")
    assert "does not end in .csv" in message and (tmp_path / name).read_bytes() == before


def test_metrics_of_plugins_count_too(run, photos):
    extra = MetricSpec(name="red", summary="Red", build=lambda params: lambda a, b, mask: float(a[..., 0].mean()))
    loaded = manager.load(third_party=False, registries=registries(DEFAULT))
    loaded.pm.register(plugin(toolbox_metrics=lambda: [extra]), name="extra")
    loaded.records.append(catalog.PluginRecord(name="extra", origin="package", source="extra"))
    scores = score_weights(run, photos, ScoreOptions(device="cpu", size=32), catalog.build(loaded))
    assert set(scores.figures.mean) >= {"red", "psnr"} and scores.figures.intervals["red"] is not None


def test_from_python(run, photos):
    scores = toolbox.score(run, data=photos, size=32, device="cpu")
    assert len(scores.images) == 6 and scores.mean.score == scores.figures.mean["score"]
    with pytest.raises(TypeError, match="truth or data"):
        toolbox.score(run, size=32)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["a"], "Give one of these"),
        (["a", "b", "--data", "c"], "Give one of these"),
        (["a", "b", "--fill", "network"], "--fill is only used with --data"),
        (["a", "--data", "b", "--masks", "c"], "--masks is only used with TRUTH"),
        (["a.safetensors", "--data", "b"], "no weight file a.safetensors"),
        (["luma", "--data", "b"], "--data b: there is no such folder"),
        (["a.zip", "--check", "b"], "--check"),
    ],
)
def test_arguments_that_do_not_fit_are_named(arguments, message):
    assert message in invoke_error("score", *arguments)


# ---- --check


def png(picture):
    return io.encode_png(picture)


def write_zip(path, members):
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members:
            archive.writestr(name, data)
    return path


RGB = np.zeros((64, 64, 3), np.uint8)


@pytest.mark.parametrize("folder", ["", "test_input"])
def test_a_right_submission_has_no_faults(competition, tmp_path, folder):
    archive = write_zip(tmp_path / "s.zip", [(f"TEST_00{number}.png", png(RGB)) for number in (6, 7)])
    assert "2 photographs, no faults" in invoke("score", archive, "--check", competition / folder).stdout


@pytest.mark.parametrize(
    ("members", "fault"),
    [
        ([], "TEST_007.png is missing"),
        ([("TEST_007.png", png(RGB[:32]))], "TEST_007.png is 64x32, and its test photograph is 64x64"),
        ([("TEST_007.png", png(RGB[..., 0]))], "TEST_007.png is gray of 8 bits; it must be RGB of 8 bits"),
        ([("TEST_007.png", png(RGB.astype(np.uint16)))], "TEST_007.png is RGB of 16 bits; it must be RGB of 8 bits"),
        ([("TEST_007.png", b"x")], "TEST_007.png can't be read"),
        ([("TEST_007.png", png(RGB)), ("more.txt", b"")], "more.txt belongs to no test photograph"),
        ([("TEST_007.png", png(RGB)), ("TEST_007.jpg", b"")], "TEST_007.jpg must end in .png"),
        ([("TEST_007.png", png(RGB)), ("a/TEST_007.png", b"")], "a/TEST_007.png is in a folder"),
    ],
)
def test_every_fault_of_a_submission_has_a_line(competition, tmp_path, members, fault):
    archive = write_zip(tmp_path / "s.zip", [("TEST_006.png", png(RGB)), *members])
    lines = invoke("score", archive, "--check", competition, code=1).stdout.splitlines()
    assert len(lines) == 1 and lines[0].startswith(fault)
    assert json.loads(invoke("score", archive, "--check", competition, "--json", code=1).stdout)["faults"] == lines


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_name_that_is_there_twice_is_a_fault(competition, tmp_path):
    members = [(f"TEST_00{number}.png", png(RGB)) for number in (6, 7, 7)]
    output = invoke("score", write_zip(tmp_path / "s.zip", members), "--check", competition, code=1).stdout
    assert output == "TEST_007.png is in the zip 2 times\n"


def test_a_zip_of_the_parent_folder_gets_one_line_with_the_remedy(competition, tmp_path):
    pictures = [(f"out/TEST_00{number}.png", png(RGB)) for number in (6, 7)]
    archive = write_zip(tmp_path / "s.zip", pictures)
    assert invoke("score", archive, "--check", competition, code=1).stdout == (
        "out/TEST_006.png, out/TEST_007.png are in a folder; a submission has none. Zip the pictures without the "
        "folder: python -m zipfile -c submission.zip out/*.png\n"
    )
    # The content is checked too, so that everything can be corrected at once.
    archive = write_zip(tmp_path / "small.zip", [pictures[0], ("out/TEST_007.png", png(RGB[:32]))])
    lines = invoke("score", archive, "--check", competition, code=1).stdout.splitlines()
    assert len(lines) == 2 and "is 64x32, and its" in lines[1]
    remedy = "python -m zipfile -c submission.zip out/*.png"
    assert remedy in invoke_error("score", archive, competition / "train_gt", code=1)


def test_a_folder_in_place_of_the_zip_or_of_the_tests_gets_the_remedy(competition, tmp_path):
    folder = competition / "train_gt"
    message = invoke_error("score", folder, "--check", competition)
    assert "is a folder; a submission is a zip. Zip the pictures without the folder: python -m zipfile -c " in message
    assert f"{folder}/*.png" in message
    archive = write_zip(tmp_path / "s.zip", [])
    assert f"no test photographs. Do you mean {competition}?" in invoke_error(
        "score", archive, "--check", competition.parent, code=1
    )
    assert f"no images. Do you mean one of these: {competition / 'test_input'}, " in invoke_error(
        "score", competition, competition, code=1
    )
    (tmp_path / "empty").mkdir()
    assert "or the data folder with test_input/" in invoke_error(
        "score", archive, "--check", tmp_path / "empty", code=1
    )
    assert f"Do you mean {competition}?" in invoke_error("run", "--data", competition.parent, code=1)
