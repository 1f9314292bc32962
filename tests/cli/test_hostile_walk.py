"""Every command of the command line, with hostile paths, names and environments: it works, or says why in a message.

The commands and their options are read from the program, so a new command is in here by itself.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import click
import pytest
from catalogs import default_catalog
from click.testing import CliRunner
from standins import gray, install_stand_in

from toolbox.cli import main
from toolbox.errors import DataError, OutputError
from toolbox.imaging import io
from toolbox.utils import files

# A zero byte is not among them: no system passes it to a program.
PATHS = ("absent/x.png", "photo.png/inside", "", "loop", "caf\udce9.png", "x" * 300, "folder", "text.toml")
PATHS += ("pipe.png", "pipe.toml", "socket", "closed.png", "closed")
# Paths without a file name.
FOLDERS = (".", "..", "./", "folder/..", "/")
NAMES = (
    *FOLDERS,
    "absent",
    "",
    "../up",
    "caf\udce9",
    "x" * 300,
    "[/]{}%s\n\x1b[31m",
    "-dash",
    "text.toml",
    "pipe.toml",
)
# Texts that no command looks up: hosts are names of machines, which a test must not ask for.
SKIPPED = {"--host"}
SECONDS = 20  # no command may hang


def commands() -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Yield the words and the command of each command that ships."""

    def walk(group, context, words):
        for name in group.list_commands(context):
            command = group.get_command(context, name)
            inner = click.Context(command, info_name=name, parent=context)
            if isinstance(command, click.Group):
                yield from walk(command, inner, (*words, name))
            if not isinstance(command, click.Group) or command.invoke_without_command:
                yield (*words, name), command

    shipped = click.Context(main, obj={"third_party": False})
    return walk(main, shipped, ())


COMMANDS = {" ".join(words): (words, command) for words, command in commands()}


def fail_as_expected(*arguments, **options):
    raise DataError("the work of a command is not what is tested here")


@pytest.fixture
def surroundings(tmp_path, monkeypatch):
    """Lay out files with hostile names, and keep commands from loading all plugins and weights each time."""
    io.write_png(tmp_path / "photo.png", gray(32, 32))
    (tmp_path / "folder").mkdir()
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "text.toml").write_bytes(b"\xff\xfe = [")
    # Nobody writes into the pipes, so whoever opens one waits for ever.
    for name in ("pipe.png", "pipe.toml"):
        os.mkfifo(tmp_path / name)
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as listener:
        listener.bind("socket")  # relative, because the path of a socket is short
    io.write_png(tmp_path / "closed.png", gray(8, 8))
    (tmp_path / "closed").mkdir()
    for name in ("closed.png", "closed"):
        (tmp_path / name).chmod(0)
    (tmp_path / os.fsdecode(b"caf\xe9.png")).write_bytes(b"\x89PNG\r\n\x1a\n cut short")
    loaded = cache(default_catalog)
    monkeypatch.setattr("toolbox.hooks.catalog.load", lambda **options: loaded())
    install_stand_in(monkeypatch)
    # What takes its time when a call gets so far: an empty path is the working folder.
    for work in ("benchmark.measure_settings", "trial_step.try_step"):
        monkeypatch.setattr(f"toolbox.diagnostics.{work}", fail_as_expected)
    monkeypatch.setattr("toolbox.web.server.Service.prepare", fail_as_expected)

    def end(number, frame):
        raise AssertionError(f"still running after {SECONDS} s")

    before = signal.signal(signal.SIGALRM, end)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def require_message(arguments, result):
    """Require that a command worked, or failed with an exit code of ours and a message, without a traceback."""
    stopped = result.exception is None or isinstance(result.exception, SystemExit)
    assert stopped, f"{arguments}: {type(result.exception).__name__}: {result.exception}"
    assert result.exit_code in (0, 1, 2, 3), arguments
    assert "Traceback" not in result.output, arguments
    if result.exit_code:
        assert result.output.strip(), f"{arguments} fails silently"


def run(arguments, **options):
    signal.alarm(SECONDS)
    try:
        result = CliRunner(**options).invoke(main, ["--no-plugins", *arguments])
    finally:
        signal.alarm(0)
    require_message(arguments, result)
    return result


def values_for(param: click.Parameter) -> tuple[str, ...]:
    """Return hostile values of a parameter; none for one whose type click checks."""
    if SKIPPED & set(param.opts) or getattr(param, "is_flag", False):
        return ()
    if isinstance(param.type, click.Path | click.File):
        return PATHS
    return NAMES if param.type.name == "text" else ()


def words_of(param: click.Parameter, value: str) -> list[str]:
    return [f"{param.opts[-1]}={value}"] if isinstance(param, click.Option) else [value]


def hostile_calls(words, command) -> Iterator[list[str]]:
    """Yield the arguments of calls in which one parameter has a hostile value, and the required others a good one."""
    dry = ["--dry-run"] if any("--dry-run" in param.opts for param in command.params) else []
    required = [param for param in command.params if param.required]
    good = {param: "photo.png" if values_for(param) is PATHS else "default" for param in required}
    for hostile in command.params:
        for value in values_for(hostile):
            chosen = {**good, hostile: value}
            options = [word for p, v in chosen.items() if isinstance(p, click.Option) for word in words_of(p, v)]
            arguments = [chosen[p] for p in command.params if isinstance(p, click.Argument) and p in chosen]
            yield [*words, *dry, *options, "--", *arguments]


@pytest.mark.parametrize("name", [name for name, (_, c) in COMMANDS.items() if any(map(values_for, c.params))])
def test_no_path_and_no_name_gives_a_traceback(name, surroundings):
    calls = list(hostile_calls(*COMMANDS[name]))
    assert calls
    for arguments in calls:
        run(arguments)


@pytest.mark.parametrize(
    "words",
    [
        ["restore", "pipe.png", "-o", "out"],
        ["restore", "photo.png", "-o", "out", "--mask", "pipe.png"],
        ["restore", "photo.png", "-o", "out", "--hints", "pipe.png"],
        ["restore", "/dev/full", "-o", "out"],
        ["mask", "pipe.png", "-o", "out"],
        ["score", "pipe.png", "folder"],
        ["score", "pipe.png", "--check", "pictures"],
        ["doctor", "--photo", "pipe.png"],
    ],
    ids=" ".join,
)
def test_a_pipe_or_a_device_is_named_and_not_waited_for(words, surroundings):
    Path("pictures").mkdir()
    io.write_png("pictures/photo.png", gray(32, 32))
    result = run(words)
    assert result.exit_code in (1, 3) and "is not a plain file" in result.output


DEEP_JSON = "[" * 100_000


@pytest.mark.parametrize("words", [["runs", "."], ["report", "run"], ["compare", "run", "run"]], ids=" ".join)
@pytest.mark.parametrize("name", ["run.json", "summary.json"])
def test_json_that_is_nested_too_deeply_counts_as_damaged(words, name, surroundings):
    Path("run").mkdir()
    for file, text in {"recipe.toml": "", "run.json": "{}", name: DEEP_JSON}.items():
        Path("run", file).write_text(text, "utf-8")
    run(words)


def test_a_report_of_results_that_is_nested_too_deeply_is_no_report(surroundings):
    Path("folder/report.json").write_text(DEEP_JSON, "utf-8")
    result = run(["restore", "photo.png", "-o", "folder"])
    assert result.exit_code == 1 and "folder/report.json is not a report of `toolbox restore`" in result.output
    assert run(["report", "folder"]).exit_code == 1


def test_a_number_with_too_many_digits_is_a_fault_of_a_recipe(surroundings):
    Path("long.toml").write_text(f"seed = {'9' * 5000}", "utf-8")
    assert "it has a number with too many digits" in run(["recipe", "validate", "long.toml"]).output
    assert run(["recipe", "show", "default", "--set", f"seed={'9' * 5000}"]).exit_code == 2


@pytest.mark.parametrize("name", ["caf\udce9.png", "caf\n.png"])
def test_a_name_that_a_zip_can_not_hold_is_refused_before_the_work(name, surroundings):
    io.write_png(name, gray(32, 32))
    result = run(["restore", name, "-o", "out", "--zip", "submission.zip"])
    assert result.exit_code == 1 and "can't be in a submission by this name; rename it." in result.output
    assert not Path("out").exists()


def run_with_empty(kind):
    """Yield each command with an empty value of each of its params of a kind: its words, the param, and the result."""
    for words, command in COMMANDS.values():
        for param in command.params:
            if values_for(param) is kind:
                others = [p for p in command.params if p.required and p is not param]
                options = [word for p in others if isinstance(p, click.Option) for word in words_of(p, "photo.png")]
                mine = words_of(param, "") if isinstance(param, click.Option) else []
                rest = ["" if p is param else "photo.png" for p in command.params if isinstance(p, click.Argument)]
                yield words, param, run([*words, *options, *mine, "--", *rest])


def test_no_empty_path_is_the_working_folder(surroundings):
    for words, param, result in run_with_empty(PATHS):
        assert result.exit_code == 2 and "the path is empty" in result.output, (words, param.name)


def test_no_empty_text_counts_as_not_given(surroundings):
    for words, param, result in run_with_empty(NAMES):
        assert result.exit_code == 2, (words, param.name)
        assert "empty" in result.output, (words, param.name, result.output)


def no_home(monkeypatch, tmp_path):
    for name in ("HOME", "TOOLBOX_HOME", "TOOLBOX_CACHE", "XDG_CONFIG_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)

    def fail():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", fail)
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)


def variables(**values):
    def change(monkeypatch, tmp_path):
        for name, value in values.items():
            monkeypatch.setenv(name, value)

    return change


def no_folder(monkeypatch, tmp_path):
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()


ENVIRONMENTS = {
    "no home": no_home,
    "a deleted working folder": no_folder,
    "empty launcher variables": variables(WORLD_SIZE="", RANK="", LOCAL_RANK=""),
    "folders below a file": variables(TOOLBOX_HOME="/dev/null/home", TOOLBOX_CACHE="/dev/null/cache"),
    "names that are not UTF-8": variables(TOOLBOX_HOME="/tmp/caf\udce9", TOOLBOX_DISABLE=",\udce9,,absent"),
    "a strange terminal": variables(TERM="", COLUMNS="many", NO_COLOR="", LC_ALL="xx_YY.klingon"),
}
LIGHT = (
    *(["list"], ["list", "--json"], ["show", "loss", "ssim"], ["plugins", "--json"], ["recipe", "show", "default"]),
    *(["recipe", "validate", "default"], ["weights"], ["plugin", "disable", "default"], ["plugin", "remove", "absent"]),
)


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_no_environment_gives_a_traceback(environment, surroundings, monkeypatch, tmp_path):
    ENVIRONMENTS[environment](monkeypatch, tmp_path)
    for words, _ in COMMANDS.values():
        assert run([*words, "--help"]).exit_code == 0
    for arguments in LIGHT:
        run(arguments)


@pytest.mark.parametrize("charset", ["ascii", "cp1252", "utf-16"])
def test_no_encoding_gives_a_traceback(charset, surroundings):
    for arguments in (*LIGHT, ["show", "loss", "фото"], ["score", "фото", "фото"], ["plugin", "add", "фото.py"]):
        run(arguments, charset=charset)


@pytest.mark.parametrize("reference", FOLDERS)
def test_a_folder_is_no_recipe(reference, surroundings):
    Path("child.toml").write_text(f'extends = "{reference}"', "utf-8")
    for words in (["recipe", "validate", reference], ["recipe", "validate", "child.toml"]):
        assert f"Recipe '{reference}' is not known." in run(words).output


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs a folder that takes no new folders")
@pytest.mark.parametrize("out", ["/proc/x", "/proc/x/y"])
def test_a_folder_that_takes_no_new_folders_is_named(out, surroundings):
    with pytest.raises(OutputError, match=f"^{out} can't be written: the folder /proc takes no new files or folders"):
        files.ensure_folder(Path(out))
