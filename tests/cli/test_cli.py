"""The commands by hand: what they print, and one clear line for every mistake and failure."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from toolbox.cli import main
from toolbox.data import sample
from toolbox.data.folders import open_folder
from toolbox.diagnostics import environment
from toolbox.hooks.command_spec import CORE_COMMANDS
from toolbox.imaging import io

REFERENCE = Path(__file__).parents[1] / "reference" / "competition_score.npz"


def call(*arguments, code=0):
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert result.exit_code == code, result.output
    return result


def line(result):
    """Return the one line of an error."""
    assert result.stderr.count("\n") == 1, result.stderr
    assert "Traceback" not in result.stderr
    return result.stderr.strip()


def picture(path, height=48, width=64, seed=0):
    io.write_png(path, np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))


@pytest.fixture
def pairs(tmp_path):
    folder = tmp_path / "pairs"
    for name in ("train_input", "train_gt"):
        (folder / name).mkdir(parents=True)
        for index in range(3):
            picture(folder / name / f"{index}.png", seed=index)
    return folder


# ---- what was typed


@pytest.mark.parametrize("words", [["list"], ["restore", "/a.png", "-o", "/x"], ["doctor"]])
def test_a_deleted_working_folder_gets_one_line(words, tmp_path):
    code = f"import os, shutil; shutil.rmtree(os.getcwd()); from toolbox.cli import main; main({words})"
    (tmp_path / "here").mkdir()
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path / "here", capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr == "toolbox: The working folder does not exist any more; change to another with cd.\n"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["list", "losse"], "Did you mean 'losses'?"),
        (["show", "loss", "sim"], "Loss 'sim' is not known. Did you mean 'ssim'?"),
        (["show", "los", "ssim"], "Did you mean 'losses'?"),
        (["run", "--recipe", "defalt"], "Recipe 'defalt' is not known. Did you mean 'default'?"),
        (["run", "--recipe", "mine.toml"], "There is no recipe file mine.toml"),
        (["run", "--data", "nowhere"], "--data nowhere: there is no such folder. It should contain train_input/"),
        (["run", "--resume", "nowhere"], "nowhere is not a run folder"),
        (["run", "--resume", "x", "--recipe", "default"], "Leave out --recipe and --out"),
        (["run", "--set", "seed"], "write KEY=VALUE"),
        (["run", "--device", "tpu", "--dry-run"], "--device tpu is not"),
        (["score", "a", "b"], "TRUTH b: there is no such folder"),
        (["mask", "nowhere", "-o", "out"], "nowhere: there is no such file or folder"),
        (["doctor", "--data", "nowhere"], "there is no such folder"),
        (["recipe", "copy", "default", "mine.txt"], "ends in .toml"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(arguments, says):
    result = call(*arguments, code=2)
    assert says in line_of(result)


def test_an_archive_as_a_data_folder_and_a_recipe_without_its_ending(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("open.zip", "notes.txt", "mine.toml"):
        (tmp_path / name).write_text("", "utf-8")
    (tmp_path / "above.toml").write_text('extends = "mine"', "utf-8")
    assert "--data open.zip is a file; unpack it, and name a folder" in line_of(
        call("run", "--data", "open.zip", code=2)
    )
    assert "--data notes.txt is a file; name a folder" in line_of(call("run", "--data", "notes.txt", code=2))
    for name in ("mine", "above.toml"):
        line = line_of(call("run", "--recipe", name, code=2))
        assert "Recipe 'mine' is not known" in line and line.endswith("There is a file of this name; write mine.toml")


def line_of(result):
    return next(text for text in result.stderr.splitlines() if text.startswith("toolbox: "))


def test_an_unknown_command_has_a_nearest_name():
    assert "There is no command 'rn'. Did you mean 'run'?" in call("rn", code=2).stderr


def test_every_fault_of_a_recipe_is_said_at_once():
    result = call("run", "--set", "losses.sim.weight=3", "--set", "data.size=3", "--dry-run", code=2)
    assert "has 2 faults" in result.stderr
    assert "losses.sim:" in result.stderr and "data.size:" in result.stderr


# ---- data folders


def test_an_empty_folder_says_what_it_should_hold(tmp_path):
    (tmp_path / "empty").mkdir()
    assert "contains no photographs. It should contain" in line(call("run", "--data", "empty", code=1))


def test_pairs_may_have_different_suffixes(pairs):
    for number in range(2):
        (pairs / "train_gt" / f"{number}.png").rename(pairs / "train_gt" / f"{number}.jpg")
    opened = open_folder(pairs)
    assert [(item.name, item.truth.name) for item in opened.items] == [
        ("0.png", "0.jpg"),
        ("1.png", "1.jpg"),
        ("2.png", "2.png"),
    ]
    picture(pairs / "train_gt" / "0.webp")  # which of the two is not known
    text = line(call("run", "--data", pairs, code=1))
    assert "train_input/0.png has no partner in train_gt/" in text and "train_gt/0.webp has no partner" in text


def test_names_without_a_partner_are_named(pairs):
    (pairs / "train_gt" / "1.png").unlink()
    picture(pairs / "train_gt" / "9.png")
    text = line(call("run", "--data", pairs, code=1))
    assert "train_input/1.png has no partner in train_gt/" in text
    assert "train_gt/9.png has no partner in train_input/" in text


def test_pairs_of_unequal_size_are_named_with_both_sizes(pairs):
    picture(pairs / "train_gt" / "1.png", 50, 64)
    text = line_of(call("run", "--data", pairs, "--size", 32, "--set", "generator.width=4", "--steps", 1, code=1))
    assert "1.png: the pair is of unequal size: train_input 64x48 and train_gt 64x50" in text


def test_a_truncated_image_is_named(pairs):
    path = pairs / "train_gt" / "1.png"
    path.write_bytes(path.read_bytes()[:-30])
    text = line_of(call("run", "--data", pairs, "--size", 32, code=1))
    assert "1.png" in text and "cut short" in text
    assert not (Path("runs")).exists()


def test_a_csv_that_names_a_missing_file_is_named(pairs):
    (pairs / "train.csv").write_text("input_image_path,gt_image_path\n./train_input/7.png,./train_gt/0.png\n", "utf-8")
    assert "train.csv names ./train_input/7.png, which is not in" in line(call("run", "--data", pairs, code=1))


def test_a_folder_that_cannot_be_written_is_named(tmp_path, pairs):
    (tmp_path / "file").write_text("x", "utf-8")
    text = line_of(call("run", "--data", pairs, "--size", 32, "--out", tmp_path / "file" / "run", code=1))
    assert str(tmp_path / "file") in text and "--out" in text


def test_an_out_folder_that_holds_something_is_refused(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "letter.txt").write_text("dear", "utf-8")
    text = line(call("run", "--out", "out", code=2))
    assert "out is not an empty folder" in text and "--out" in text and "--resume" not in text


# ---- the listing commands


def test_ctrl_c_before_a_command_is_in_charge_is_one_line_and_130(monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("toolbox.hooks.catalog.load", interrupted)
    assert line(call("list", code=130)) == "toolbox: stopped."


def test_every_command_is_in_the_help_with_a_line():
    listed = call("--help").stdout
    for name in CORE_COMMANDS:
        assert f"  {name} " in listed


def test_list_shows_the_default_bundle():
    rows = json.loads(call("list", "--json").stdout)
    found = {(row["kind"], row["name"]) for row in rows if row["plugin"] == "default"}
    assert found == {
        ("generator", "inpainting-unet"),
        ("generator", "segmentation-unet"),
        ("discriminator", "lsgan-patch"),
        ("loss", "lsgan"),
        ("loss", "mse"),
        ("loss", "ssim"),
        ("penalty", "gradient"),
        ("degradation", "lost-region"),
        ("metric", "psnr"),
        ("detector", "painted-shape"),
        *(("optimizer", name) for name in ("adam", "adamw", "sgd")),
        *(("schedule", name) for name in ("constant", "cosine", "step")),
        *(("step", name) for name in ("adversarial", "segmentation", "supervised")),
        ("recipe", "default"),
        ("recipe", "published"),
    }
    assert all(row["distribution"] == "toolbox-restore" and row["version"] for row in rows)
    assert "loss  ssim" in call("list", "losses").stdout


def test_show_has_params_with_defaults_and_help():
    text = call("show", "loss", "ssim").stdout
    assert "window" in text and "per-channel | volume" in text and "Reference: Wang" in text
    facts = json.loads(call("show", "loss", "ssim", "--json").stdout)
    params = {param["name"]: param for param in facts["params"]}
    assert params["detach"]["default"] is False
    assert all(param["help"] for param in params.values())


def test_every_component_can_be_shown():
    for row in json.loads(call("list", "--json").stdout):
        if row["kind"] not in ("recipe", "weights", "command"):
            call("show", row["kind"], row["name"])


def test_weights_that_ship_are_listed_among_the_rest():
    assert "luma" in call("list", "weights").stdout
    assert line(call("show", "weights", "luma", code=2)) == "toolbox: Weights are shown by: toolbox weights"


def test_recipe_show_validate_copy_schema(tmp_path):
    assert json.loads(call("recipe", "show", "default", "--json").stdout)["losses"]["ssim"]["weight"] == 50
    assert "Recipe 'default' is valid." in call("recipe", "validate", "default").stdout
    assert "warning: losses.ssim" in call("recipe", "validate", "published").stdout
    call("recipe", "copy", "default", "mine.toml")
    assert "already exists" in line(call("recipe", "copy", "default", "mine.toml", code=2))
    call("recipe", "validate", "mine.toml")
    Path("mine.toml").write_text('extends = "default"\nsede = 3\n', "utf-8")
    found = json.loads(call("recipe", "validate", "mine.toml", "--json", code=2).stdout)
    assert found["faults"][0]["location"] == "sede" and "Did you mean 'seed'?" in found["faults"][0]["message"]
    schema = json.loads(call("recipe", "schema").stdout)
    assert schema["properties"]["generator"]["anyOf"][0]["properties"]["name"]


# ---- doctor


def test_doctor_says_what_is_here_and_takes_a_step():
    result = call("doctor", "--recipe", "default", "--device", "cpu", *_tiny(), "--json")
    found = json.loads(result.stdout)
    assert {"torch", "torchvision", "timm"} <= {finding["what"] for finding in found["environment"]}
    assert "s per step, peak memory" in found["step"][0]["detail"]


def _tiny():
    settings = ("generator.width=4", "discriminator.width=4", "data.size=32", "training.batch=2")
    return [text for setting in settings for text in ("--set", setting)]


def test_doctor_names_every_file_that_cannot_be_read(pairs):
    for name in ("0.png", "2.png"):
        (pairs / "train_gt" / name).write_bytes(b"no picture")
    picture(pairs / "train_gt" / "1.png", 10, 10)
    found = json.loads(call("doctor", "--data", pairs, "--json", code=1).stdout)["data"]
    assert found[0]["what"] == "pairing" and found[0]["ok"]
    faults = {finding["what"]: finding["detail"] for finding in found if not finding["ok"]}
    assert list(faults) == ["0.png", "1.png", "2.png", "broken"]
    assert "unequal size" in faults["1.png"]


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (RuntimeError("operator torchvision::nms does not exist"), "pip install --force-reinstall torch torchvision"),
        (ImportError("libGL.so.1: cannot open shared object file: No such file"), "apt-get install libgl1"),
        (ModuleNotFoundError("No module named 'timm'", name="timm"), "'timm' is not installed"),
    ],
)
def test_import_failures_that_are_known_say_what_to_install(monkeypatch, error, says):
    assert says in environment.explain_import(error)
    assert environment.explain_import(ValueError("other")) is None

    def fails(*_):
        raise error

    monkeypatch.setattr("toolbox.cli.common.load_catalog", fails)
    monkeypatch.setattr("toolbox.cli.list.load_catalog", fails)
    assert says in line(call("list", code=1))


def test_doctor_notices_the_unrelated_distribution(tmp_path, monkeypatch):
    info = tmp_path / "site" / "toolbox-0.4.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: toolbox\nVersion: 0.4\n", "utf-8")
    assert not [f for f in environment.check_packages() if f.what == "toolbox"]
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    finding = next(f for f in environment.check_packages() if f.what == "toolbox")
    assert not finding.ok and "pip uninstall toolbox" in finding.detail


# ---- mask and score


@pytest.fixture
def damaged(tmp_path):
    """Lay out the reference images: predictions, truths, masks."""
    with np.load(REFERENCE) as reference:
        for index in range(4):
            for folder, key in (("pred", "pred"), ("truth", "gt")):
                (tmp_path / folder).mkdir(exist_ok=True)
                io.write_png(tmp_path / folder / f"{index}.png", reference[f"{key}{index}"])
            (tmp_path / "masks").mkdir(exist_ok=True)
            mask = reference[f"mask{index}"] > 0
            io.write_png(tmp_path / "masks" / f"{index}.png", mask.astype(np.uint8) * 255)
        return reference["S_M_C_score"]


def test_score_is_the_competitions(damaged, tmp_path):
    found = json.loads(call("score", "pred", "truth", "--masks", "masks", "--json").stdout)
    figures = [[image[key] for key in ("S", "M", "C", "score")] for image in found["images"]]
    np.testing.assert_allclose(figures, damaged, atol=1e-6)
    np.testing.assert_allclose([found["mean"][k] for k in ("S", "M", "C", "score")], damaged.mean(0), atol=1e-6)
    with zipfile.ZipFile(tmp_path / "s.zip", "w") as archive:
        for path in io.find_images(tmp_path / "pred"):
            archive.write(path, path.name)
    zipped = json.loads(call("score", "s.zip", "truth", "--masks", "masks", "--json", "--csv", "out.csv").stdout)
    assert zipped["images"] == found["images"]
    rows = Path("out.csv").read_text("utf-8").splitlines()
    figures = "psnr,ssim,ab,ab_gray,ab_ratio,colorfulness,colorfulness_truth,colorfulness_ratio"
    assert rows[0] == f"name,S,M,C,score,{figures}" and len(rows) == 5
    assert float(rows[1].split(",")[4]) == found["images"][0]["score"]


def test_score_without_masks_has_no_m_and_says_why(damaged):
    result = call("score", "pred", "truth", "--json")
    found = json.loads(result.stdout)
    assert found["mean"]["M"] is None and found["mean"]["score"] is None and found["mean"]["S"] is not None
    assert "--masks or --inputs" in found["notes"][0]


def test_score_of_an_empty_mask_and_a_constant_prediction_is_defined(damaged, tmp_path):
    first, second = (io.read_rgb(tmp_path / "truth" / f"{index}.png").shape for index in range(2))
    io.write_png(tmp_path / "masks" / "0.png", np.zeros(first[:2], np.uint8))
    io.write_png(tmp_path / "pred" / "1.png", np.full(second, 90, np.uint8))
    result = call("score", "pred", "truth", "--masks", "masks", "--json")
    found = json.loads(result.stdout)
    assert "NaN" not in result.stdout
    assert found["images"][0]["M"] is None and "0 lost pixels" in found["notes"][0]
    assert all(isinstance(found["images"][1][key], float) for key in ("S", "M", "C", "score"))


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda root: (root / "pred" / "2.png").unlink(), "2 has no partner in pred"),
        (lambda root: (root / "truth" / "2.png").unlink(), "2 has no partner in truth"),
        (lambda root: (root / "masks" / "2.png").unlink(), "2.png has no partner in masks"),
        (lambda root: picture(root / "pred" / "2.png", 9, 9), "2.png is 9x9, and its truth"),
        (lambda root: (root / "pred" / "2.png").write_bytes(b"x"), "2.png"),
    ],
)
def test_score_names_what_does_not_fit(damaged, tmp_path, spoil, says):
    spoil(tmp_path)
    assert says in line(call("score", "pred", "truth", "--masks", "masks", code=1))


def test_mask_writes_the_lost_region_of_a_folder_and_goes_on_past_bad_files(tmp_path):
    from toolbox_plugins.default.lost_region import damage

    (tmp_path / "in").mkdir()
    truths = {}
    for index, path in enumerate(io.find_images(sample.folder() / "photos")[:3]):
        gray, mask = damage(io.read_rgb(path), np.random.default_rng(index))
        io.write_png(tmp_path / "in" / f"{path.stem}.png", gray)
        truths[path.stem] = mask
    (tmp_path / "in" / "bad.png").write_bytes(b"no picture")
    result = call("mask", "in", "-o", "out", "--json", code=3)
    assert "bad.png" in result.stderr
    for stem, mask in truths.items():
        found = io.read_mask(tmp_path / "out" / f"{stem}.png")
        assert found[mask].all()
        assert (found & ~mask).mean() <= 0.001
    assert "own folder" in line(call("mask", "in", "-o", "in", code=2))
    # A mask may have been corrected by hand.
    corrected = tmp_path / "out" / f"{next(iter(truths))}.png"
    io.write_png(corrected, np.zeros((4, 4), np.uint8))
    assert "there already" in call("mask", "in", "-o", "out", code=3).stdout
    assert io.read_gray(corrected).shape == (4, 4)
    call("mask", "in", "-o", "out", "--overwrite", code=3)
    assert io.read_gray(corrected).shape != (4, 4)
