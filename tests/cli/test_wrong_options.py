"""Options that are wrong, or that would be ignored, end a command with one line and a remedy that works."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
from commands import invoke, invoke_error
from PIL import Image
from tiny_weights import write_tiny_run

from toolbox.utils.shell import shell_word


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / "photo.png"
    Image.new("L", (40, 30), 90).save(path)
    return path


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--photo", "{photo}", "--recipe", "default"], "--photo and --recipe can't be combined; leave one out."),
        (["--photo", "{photo}", "--data", ".", "--device", "cpu"], "--photo and --data, --device can't be combined"),
        (["--set", "seed=1"], "--set is for the step of --recipe or --repeat; add one of them."),
        (["--device", "cpu"], "--device is for the step of --recipe or --repeat"),
    ],
)
def test_no_option_of_doctor_is_ignored(photo, words, message):
    assert message in invoke_error("doctor", *[word.format(photo=photo) for word in words])


@pytest.mark.parametrize("option", ["--zip=a.zip", "--report", "--before-after", "--provenance", "--variants=2"])
def test_a_preview_has_none_of_what_is_written_beside_results(photo, tmp_path, option):
    error = invoke_error("restore", photo, "-o", tmp_path / "out", "--preview", option)
    assert f"{option.partition('=')[0]} and --preview can't be combined" in error


@pytest.mark.parametrize("option", ["--hints", "--palette"])
def test_a_folder_in_the_place_of_a_file_is_named(photo, tmp_path, option):
    error = invoke_error("restore", photo, "-o", tmp_path / "out", option, tmp_path)
    assert error.endswith(f"{option} {tmp_path} is a folder; name a file.")


def test_weights_that_find_no_damage_are_named_as_such(photo, tmp_path):
    words = ["mask", photo, "-o", tmp_path / "out", "--damage", "--damage-weights", "luma"]
    assert "they are weights of 'luma-unet', not of 'damage-net'; choose others." in invoke_error(*words, code=1)


@pytest.mark.parametrize("value", ["nan", "inf"])
@pytest.mark.parametrize(
    "words",
    [
        ["restore", "p.png", "-o", "o", "--contrast"],
        ["restore", "p.png", "-o", "o", "--saturation"],
        ["restore", "p.png", "-o", "o", "--repair", "--sensitivity"],
        ["run", "--minutes"],
        ["bench", "--seconds"],
    ],
)
def test_numbers_that_are_not_finite_are_refused(words, value):
    text = invoke(*words, value, code=2).stderr
    assert f"Invalid value for '{words[-1]}': " in text and value in text


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        ImportError("libtorch_cpu.so: failed to map segment from shared object"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_memory_that_ran_out_is_one_line_about_memory(error, tmp_path, monkeypatch):
    def fail(*arguments, **options):
        raise error

    monkeypatch.setattr("toolbox.cli.restore.load_catalog", fail)
    Image.new("L", (8, 8), 9).save(tmp_path / "a.png")
    assert "Memory ran out" in invoke_error("restore", tmp_path / "a.png", "-o", tmp_path / "out", code=1)


OUTPUTS = (
    ["weights", "export", "{run}", "-o", "{out}.safetensors"],
    ["weights", "export", "{run}", "-o", "{out}.onnx"],
    ["weights", "average", "{run}", "{run}", "-o", "{out}.safetensors"],
    ["weights", "calibrate", "{run}", "--data", "{photos}", "-o", "{out}.safetensors"],
    ["score", "{run}", "--data", "{photos}", "--csv", "{out}.csv"],
    ["score", "{photos}", "{photos}", "--csv", "{out}.csv"],
)


@pytest.mark.parametrize("words", OUTPUTS, ids=" ".join)
def test_a_result_that_can_not_be_written_is_refused_before_the_work(words, photos, tmp_path, monkeypatch):
    def work(*arguments, **options):
        raise AssertionError("the work was done first")

    for name in ("models.stored_weights.find_weights", "evaluation.score_files.score_files"):
        monkeypatch.setattr(f"toolbox.{name}", work)
    monkeypatch.setattr("toolbox.models.weights.find_weights", work)
    (tmp_path / "file").write_text("", "utf-8")
    for out, cause in (("absent/x", "does not exist; create it"), ("file/x", "is a file, not a folder")):
        named = [word.format(run=tmp_path, photos=photos, out=tmp_path / out) for word in words]
        assert cause in invoke_error(*named, code=1)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "photos"]


@pytest.mark.parametrize("name", ["print-damage", "expected-hues", "average-fill"])
@pytest.mark.parametrize(
    "words",
    [["restore", "{photo}", "-o", "out", "--weights", "{}"], ["weights", "export", "{}", "-o", "x.safetensors"]],
    ids=lambda words: words[0],
)
def test_published_weights_of_another_use_are_named_as_such(words, name, photo):
    error = invoke_error(*[word.format(name, photo=photo) for word in words], code=1)
    assert f"The published weights '{name}' have no recipe: a detector, " in error and "`toolbox weights`" in error


def test_every_folder_that_may_be_meant_is_named(competition):
    inside = ", ".join(str(competition / name) for name in ("test_input", "train_gt", "train_input"))
    error = invoke_error("score", competition / "test_input", competition, code=1)
    assert error.endswith(f"has no images. Do you mean one of these: {inside}?")


def test_a_file_is_not_an_unknown_recipe(tmp_path):
    invoke("recipe", "copy", "default", "mine.toml")
    assert "mine.toml is a file; copy it as any other file" in invoke_error("recipe", "copy", "mine.toml", "new.toml")


NAMES = [
    "it's mine",
    "caf\udce9",
    "caf\udce9's",
    "two  spaces",
    " ",
    "line\nbreak",
    "back\\slash",
    "bidi\u202e",
    "\udcffabc",
    "é~$`*",
]


def words_in_bash(command):
    """Return the words that bash reads in a command; it runs nothing."""
    done = subprocess.run(["bash", "-c", f"printf '%s\\0' {command}"], capture_output=True, check=True)
    return [os.fsdecode(word) for word in done.stdout.split(b"\0")[:-1]]


@pytest.mark.parametrize("name", NAMES)
def test_a_path_in_a_command_to_type_is_that_path_in_bash(tmp_path, photos, name):
    folder = photos.rename(tmp_path / name)
    printed = invoke("recipe", "copy", "default", folder / "a.toml").stdout
    commands = [printed.partition("run it: ")[2]]
    (folder / "recipe.toml").touch()  # as a run has
    commands.append(invoke_error("run", "--data", folder, "--out", folder).partition("in it: ")[2].partition(" (")[0])
    (folder / "recipe.toml").unlink()
    commands.append(invoke_error("score", "--check", folder, folder).partition("submission.zip ")[2])
    commands.append(invoke_error("runs", folder, "clean").partition("toolbox runs clean ")[2])
    path = sorted(folder.glob("*.png"))[0]
    commands.append(invoke("doctor", "--photo", path).stdout.partition("command: ")[2])
    commands.append(json.loads(invoke("doctor", "--photo", path, "--json").stdout)["command"])
    commands.append(invoke("data", "damage", folder, "-o", folder / "new").stdout.partition("train on them: ")[2])
    commands.append(invoke("data", "pack", folder / "new", folder / "packed").stdout.partition("them:\n")[2])
    commands.append(
        invoke("plugin", "new", "--kind", "loss", "mine", "--out", folder).stdout.partition("pip install ")[2]
    )
    for command in commands:
        line = command.split("\n")[0]
        assert line.isprintable() and any(str(folder) in word for word in words_in_bash(line)), command


def test_a_path_in_a_command_is_no_option():
    assert shell_word("-dash.jpg") == "./-dash.jpg" and shell_word("a-b.jpg") == "a-b.jpg"
    assert shell_word("\ud800") == "$'\\xed\\xa0\\x80'"


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["back\\slash.png"], "can't be in a submission by this name; rename it."),
        (["a:b.png"], "can't be in a submission by this name; rename it."),
        (["line\nbreak.png"], "can't be in a submission by this name; rename it."),
        (["a.png", "a.jpg"], "Two photographs would both be a.png in the submission"),
        (["a.png", "A.png"], "Two photographs would both be "),
    ],
    ids=repr,
)
def test_names_that_a_submission_can_not_have_are_refused_before_the_work(names, message, competition, monkeypatch):
    def work(*arguments, **options):
        raise AssertionError("the work was done first")

    monkeypatch.setattr("toolbox.training.run.train", work)
    monkeypatch.setattr("toolbox.inference.batch.restore_batch", work, raising=False)
    tests = competition / "test_input"
    for path in [*tests.iterdir(), competition / "test.csv"]:
        path.unlink(missing_ok=True)
    for name in names:
        Image.new("L", (64, 64), 90).save(tests / name)
    words = ["run", "--data", competition, "--size", 32, "--device", "cpu", "--out", "run"]
    for more in ([], ["--dry-run"]):
        assert message in invoke(*words, *more, code=1).stderr
    assert message in invoke_error("restore", tests, "-o", "out", "--zip", "s.zip", code=1)
    assert not Path("run").exists() and not Path("out").exists()


def test_variants_of_weights_that_make_none_are_refused_before_the_photographs(photo, tmp_path):
    tiny = write_tiny_run(tmp_path / "tiny")
    error = invoke_error("restore", photo, "-o", "out", "--weights", tiny, "--variants", 2)
    assert "--variants needs weights that predict classes of colours" in error and not Path("out").exists()


def test_the_published_weights_of_the_detector_need_no_option(photo):
    error = invoke_error("mask", photo, "-o", "out", "--damage", "--damage-weights", "print-damage", code=1)
    assert "loads them by itself. Leave them out" in error
    assert invoke("mask", photo, "-o", "out", "--damage").exit_code == 0
