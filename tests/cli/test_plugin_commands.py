"""`toolbox PLUGIN COMMAND`: found, listed, loaded when it runs, and named if it fails. 3 s."""

from __future__ import annotations

import dataclasses
import errno
import os
from pathlib import Path

import click
import numpy as np
import pytest
from catalogs import plugin, registries
from commands import invoke, invoke_error
from PIL import Image
from profiles import profile

import toolbox
from toolbox.evaluation.score_files import score_files
from toolbox.hooks import catalog, manager
from toolbox.hooks.manager import Candidate, PluginRecord
from toolbox.imaging import io

loaded: list[str] = []


def make_command(name="greet", error=None):
    error = error or KeyError("x")

    def load():
        loaded.append(name)

        @click.command(name)
        @click.option("--fail", is_flag=True, help="Raise an error.")
        def command(fail):
            """Say hello."""
            if fail:
                raise error
            click.echo("hello")

        return command

    return toolbox.CommandSpec(name=name, summary=f"The command {name}", load=load)


def returning(specs):
    return lambda: specs


def catalog_of(**commands):
    """Return a catalog with one plugin for each keyword, which has these commands."""
    loaded_manager = manager.load(third_party=False, registries=registries())
    for name, specs in commands.items():
        record = PluginRecord(name=name, origin="file", source=name)
        loaded_manager.records.append(record)
        module = plugin(name, toolbox_commands=returning(specs))
        manager.register(loaded_manager, Candidate(record=record, load=lambda module=module: module))
    return catalog.build(loaded_manager)


@pytest.fixture
def plugins(monkeypatch):
    """Replace the installed plugins; return a function that takes the commands of each plugin."""
    loaded.clear()

    def install(**commands):
        made = catalog_of(**commands)
        monkeypatch.setattr(catalog, "load", lambda third_party=True: made)
        return made

    return install


def test_a_command_runs_under_the_name_of_its_plugin(plugins):
    plugins(one=[make_command()], two=[make_command()])
    assert invoke("one", "greet").stdout == "hello\n"
    assert invoke("two", "greet").stdout == "hello\n"
    listed = invoke("list", "commands").stdout
    assert "one" in listed and "two" in listed and "The command greet" in listed


def test_a_command_is_loaded_only_when_it_runs(plugins):
    plugins(one=[make_command("first"), make_command("second")])
    text = invoke("one", "--help").stdout
    assert "first" in text and "The command second" in text and loaded == []
    invoke("one", "second", "--help")
    assert loaded == ["second"]


@dataclasses.dataclass(frozen=True)
class FrozenError(Exception):
    code: int


class MuteError(Exception):
    def __str__(self):
        raise RuntimeError("no text")


@pytest.mark.parametrize(("error", "text"), [(FrozenError(3), "FrozenError: 3"), (MuteError(), "MuteError")])
def test_an_error_in_load_that_python_cannot_pass_on_is_named_too(plugins, error, text):
    def load():
        raise error

    plugins(one=[toolbox.CommandSpec(name="broken", summary="Breaks", load=load)])
    assert f"'broken' of the plugin 'one' can't be loaded: {text} (" in invoke_error("one", "broken", code=1)


def test_an_error_without_a_text_is_named_by_its_type(plugins):
    plugins(one=[make_command(error=MuteError())])
    assert "Command 'greet' of the plugin 'one' failed: MuteError (" in invoke_error("one", "greet", "--fail", code=1)


def test_a_failure_names_the_command_and_the_plugin(plugins):
    def load():
        raise ImportError("no module named nothing")

    plugins(
        one=[
            make_command(),
            toolbox.CommandSpec(name="broken", summary="Breaks", load=load),
            toolbox.CommandSpec(name="wrong", summary="Is no command", load=lambda: 3),
        ]
    )
    start = "toolbox: Command '{}' of the plugin 'one' {} ("
    end = "). {}For the traceback add --traceback. To disable the plugin: toolbox plugin disable one"
    contract = "Expected: load() returns a click.Command. "
    for name, options, what, expected in (
        ("greet", ["--fail"], "failed: KeyError: 'x'", ""),  # it was loaded as it should be
        ("broken", [], "can't be loaded: ImportError: no module named nothing", contract),
    ):
        error = invoke_error("one", name, *options, code=1)
        assert error.startswith(start.format(name, what) + __file__) and error.endswith(end.format(expected))
    assert "can't be loaded: load returned int. Expected: load() returns a click.Command" in invoke_error(
        "one", "wrong", code=1
    )


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), "No space left on device"),
        (PermissionError(errno.EACCES, "Permission denied", "out/x.png"), "out/x.png can't be used: no permission"),
        (MemoryError(), "memory ran out"),
    ],
    ids=["full disk", "permission", "memory"],
)
def test_an_error_of_the_machine_is_no_fault_of_the_plugin(plugins, error, cause):
    plugins(one=[make_command(error=error)])
    text = invoke_error("one", "greet", "--fail", code=1)
    assert text.endswith(f"Command 'greet' of the plugin 'one' failed: {cause}. For the traceback add --traceback.")


def test_an_async_command_is_refused(plugins):
    """It did nothing, and ended with code 0."""

    async def greet():
        click.echo("hello")

    command = click.Command("greet", callback=greet)
    plugins(one=[toolbox.CommandSpec(name="greet", summary="Waits", load=lambda: command)])
    assert "returned a coroutine; write `def` instead of `async def`" in invoke_error("one", "greet", code=1)


def test_an_unknown_name_gets_the_cause(plugins):
    made = plugins(one=[make_command()], empty=[])
    assert "No such command 'gret'" in invoke("one", "gret", code=2).stderr
    assert "There is no command 'onee'. Did you mean 'one'?" in invoke("onee", code=2).stderr
    assert "The plugin 'empty' has no commands" in invoke("empty", code=2).stderr
    record = next(record for record in made.plugins if record.name == "empty")
    record.status, record.cause = "failed", "no luck"
    assert "The plugin 'empty' was not loaded: no luck" in invoke("empty", code=2).stderr


def test_a_plugin_with_the_name_of_a_command_has_none(plugins):
    record = plugins(run=[make_command()]).plugins[-1]
    assert record.status == "failed" and "`toolbox run` is a command of toolbox; rename the plugin" in record.cause


def test_the_damaged_folder_can_be_trained_on_and_scored(tmp_path, photos):
    assert "Wrote 6 pairs" in invoke("data", "damage", photos, "-o", tmp_path / "data", "--seed", 1).stdout
    names = [path.name for path in io.find_images(photos)]
    for folder in ("train_input", "train_gt", "masks"):
        assert [path.name for path in io.find_images(tmp_path / "data" / folder)] == names
    assert (io.read_rgb(tmp_path / "data" / "train_gt" / names[0]) == io.read_rgb(photos / names[0])).all()
    assert "Dry run" in invoke("run", "--data", tmp_path / "data", "--dry-run", "--device", "cpu", "--size", 32).output
    scores = score_files(
        tmp_path / "data" / "train_input", tmp_path / "data" / "train_gt", masks=tmp_path / "data" / "masks"
    )
    assert scores.mean.M is not None and scores.mean.M < 1
    assert "exists already" in invoke("data", "damage", photos, "-o", tmp_path / "data", code=2).stderr


@pytest.fixture
def two_photos(tmp_path):
    """Write two photographs into a folder whose name needs quotes in a shell."""
    folder = tmp_path / "my photos"
    folder.mkdir()
    for name in ("a.png", "b.png"):
        Image.effect_noise((40, 30), 60).convert("RGB").save(folder / name)
    return folder


COMMANDS = (["damage", "{photos}", "-o", "{out}"], ["pack", "{photos}", "{out}"])


def fill_in(words, photos, out):
    return ["data", *[word.format(photos=photos, out=out) for word in words]]


@pytest.mark.parametrize("words", COMMANDS, ids=lambda words: words[0])
def test_a_command_that_fails_leaves_nothing(words, two_photos, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("", "utf-8")
    for out in ("file/out", "x" * 300):
        error = invoke(*fill_in(words, two_photos, tmp_path / out), code=1).stderr
        assert "can't be written" in error and "disable" not in error

    def fail(*arguments, **options):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    before = sorted(tmp_path.rglob("*"))
    monkeypatch.setattr("PIL.Image.Image.save", fail)
    monkeypatch.setattr("tarfile.TarFile.addfile", fail)
    error = invoke(*fill_in(words, two_photos, tmp_path / "out"), code=1).stderr
    assert f"{tmp_path / 'out'} can't be written: No space left on device" in error
    assert sorted(tmp_path.rglob("*")) == before  # so the same command can be given again
    monkeypatch.undo()
    printed = invoke(*fill_in(words, two_photos, tmp_path / "my out")).stdout
    assert f"--data '{tmp_path / 'my out'}'" in printed


def test_photographs_are_damaged_as_a_run_reads_them(two_photos, tmp_path):
    pixels = np.full((30, 40, 3), (200, 80, 60), np.uint8)
    Image.fromarray(pixels).save(two_photos / "a.png", icc_profile=profile(b"RGB "))
    Image.fromarray(pixels[..., 0].astype(np.uint16) * 257).save(two_photos / "b.png")
    invoke("data", "damage", two_photos, "-o", tmp_path / "data")
    for name in ("a.png", "b.png"):
        assert (io.read_rgb(tmp_path / "data/train_gt" / name) == io.read_rgb(two_photos / name)).all()
    assert (io.read_rgb(two_photos / "a.png") != pixels).any()


def test_a_photograph_that_can_not_be_read_is_named(two_photos, tmp_path):
    Path(two_photos, "b.png").write_bytes(b"no image")
    error = invoke_error("data", "damage", two_photos, "-o", tmp_path / "data", code=1)
    assert f"{two_photos / 'b.png'} is not an image of a known format" in error
    assert not (tmp_path / "data").exists()


def test_a_missing_package_is_named_with_its_remedy(two_photos, tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    error = invoke_error("data", "pack", two_photos, tmp_path / "out.lmdb", code=1)
    assert 'pip install "toolbox-restore[lmdb]"' in error


def test_photographs_to_restore_may_have_the_names_of_pairs(competition, tmp_path):
    for index, path in enumerate(sorted((competition / "test_input").iterdir())):
        path.rename(path.with_name(f"TRAIN_{index:03d}.png"))
    (competition / "test.csv").unlink()
    invoke("data", "pack", competition, tmp_path / "tars")
    words = ["run", "--set", "source.name=webdataset", "--data", tmp_path / "tars", "--dry-run", "--device", "cpu"]
    assert "pairs: 4 train, 2 validate, 2 test" in invoke(*words, "--size", 32).output  # 6 pairs


def test_names_that_would_be_the_same_in_an_archive_are_refused(two_photos, tmp_path):
    for name in ("a.b.png", "a_b.png"):
        Image.effect_noise((40, 30), 60).convert("RGB").save(two_photos / name)
    error = invoke("data", "pack", two_photos, tmp_path / "tars", code=2).stderr
    assert "a.b.png and a_b.png would both be a_b; rename one of them." in error
    assert not (tmp_path / "tars").exists()


def test_hidden_files_are_not_damaged(two_photos, tmp_path):
    (two_photos / "._a.png").write_bytes(b"what macOS stores beside a file")
    assert "Wrote 2 pairs" in invoke("data", "damage", two_photos, "-o", tmp_path / "data").stdout
