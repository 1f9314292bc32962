"""What becomes of a command when its output can't be written or the launcher's variables are odd. About 5 s."""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from standins import install_stand_in, read_report, run_restore, write_album

from toolbox.cli import main
from toolbox.errors import UsageError
from toolbox.hooks.command_spec import CORE_COMMANDS
from toolbox.imaging import io as image_io
from toolbox.utils import devices, launcher, screen, signals


class BadStream(io.TextIOWrapper):
    """A text stream that fails after some writes, as a full disk or a closed pipe does."""

    def __init__(self, error, after=0, encoding="utf-8"):
        super().__init__(io.BytesIO(), encoding=encoding)
        self.error, self.left = error, after

    def write(self, text):
        if self.left <= 0:
            raise self.error
        self.left -= 1
        return super().write(text)


@pytest.fixture
def album(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    install_stand_in(monkeypatch)
    return write_album(tmp_path / "album")


def run_on(monkeypatch, stdout, *arguments, stderr=None):
    """Run the program with these streams; return its exit code and what stderr got."""
    errors = stderr or io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    monkeypatch.setattr(sys, "stdout", stdout)
    monkeypatch.setattr(sys, "stderr", errors)
    with pytest.raises(SystemExit) as stopped:
        main([str(argument) for argument in arguments])
    errors.flush()
    return stopped.value.code or 0, errors.buffer.getvalue().decode()


@pytest.mark.parametrize("after", [0, 1, 3])
@pytest.mark.parametrize("flags", [[], ["--json"]])
def test_a_full_disk_below_stdout_does_not_end_a_batch(album, monkeypatch, after, flags):
    stdout = BadStream(OSError(28, "No space left on device"), after if not flags else 0)
    code, errors = run_on(monkeypatch, stdout, "restore", album, "-o", "out", "--mask", "none", *flags)
    assert code == 1 and errors.splitlines()[-1] == "toolbox: the output can't be written: No space left on device"
    assert "Traceback" not in errors and read_report(Path("out"))["restored"] == 3


@pytest.mark.parametrize("streams", [{2}, {1, 2}, {0, 1, 2}])
def test_a_stream_that_is_closed_from_the_start_does_not_end_a_batch(album, streams):
    def close():
        for descriptor in streams:
            os.close(descriptor)

    command = [sys.executable, "-P", "-m", "toolbox", "restore", str(album), "-o", "out", "--preview"]
    done = subprocess.run(command, preexec_fn=close, check=False)  # noqa: PLW1509 - this process has no threads
    assert done.returncode == 0 and read_report(Path("out"))["preview"] == 3


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
@pytest.mark.parametrize(
    "words",
    [
        ["doctor"],
        ["doctor", "--json"],
        ["list"],
        ["show", "loss", "ssim"],
        ["plugins"],
        ["weights"],
        ["recipe", "show", "default"],
        ["recipe", "validate", "default"],
        ["recipe", "copy", "default", "copy.toml"],
        ["recipe", "schema"],
        ["mask", "album", "-o", "masks"],
        ["restore", "album", "-o", "out", "--dry-run"],
        ["score", "album", "album"],
        ["runs", "."],
        ["runs", "clean", "."],
        ["run", "--recipe", "default", "--dry-run"],
        *([name, "--help"] for name in CORE_COMMANDS),
    ],
    ids=" ".join,
)
def test_output_on_a_full_disk_is_one_line_on_stderr(album, monkeypatch, words):
    with contextlib.suppress(OSError), open("/dev/full", "w", encoding="utf-8") as stdout:
        code, errors = run_on(monkeypatch, stdout, "--no-plugins", *words)
    lines = [line for line in errors.splitlines() if not line.startswith("note: ")]
    assert (code, lines) == (1, ["toolbox: the output can't be written: No space left on device"])


@pytest.mark.parametrize("words", [["--help"], ["--version"], ["list", "--help"]])
def test_help_that_can_not_be_written_is_one_line(monkeypatch, words):
    code, errors = run_on(monkeypatch, BadStream(OSError(28, "No space left on device")), *words)
    assert code == 1 and len(errors.splitlines()) == 1 and "No space left on device" in errors


def test_a_closed_pipe_does_not_end_a_batch(album, monkeypatch):
    stdout = BadStream(BrokenPipeError(32, "Broken pipe"), 1)
    assert run_on(monkeypatch, stdout, "restore", album, "-o", "out", "--mask", "none") == (0, "")
    assert read_report(Path("out"))["restored"] == 3


@pytest.mark.parametrize("closed", [("stdout",), ("stderr",), ("stdout", "stderr"), ("stdin", "stdout", "stderr")])
@pytest.mark.parametrize("command", ["restore", "mask"])
def test_closed_streams_do_not_end_a_batch(album, monkeypatch, closed, command):
    for name in closed:
        monkeypatch.setattr(sys, name, None)  # as Python has it after 2>&-
    with pytest.raises(SystemExit) as stopped:
        main([command, str(album), "-o", "out"])
    assert not stopped.value.code and len(list(Path("out").rglob("*.png"))) == 3


@pytest.mark.parametrize("command", ["restore", "mask"])
def test_a_pipe_in_an_album_fails_and_is_not_waited_for(album, monkeypatch, command):
    os.mkfifo(album / "b2.png")
    stdout = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    code, errors = run_on(monkeypatch, stdout, command, album, "-o", "out")
    stdout.flush()
    text = stdout.buffer.getvalue().decode() + errors
    assert code == 3 and "b2.png" in text and "is not a plain file" in text
    assert len(list(Path("out").rglob("*.png"))) == 3


def test_both_streams_can_fail(album, monkeypatch):
    (album / "bad.png").write_bytes(b"no picture")
    full = [BadStream(OSError(5, "Input/output error")) for _ in range(2)]
    code, _ = run_on(monkeypatch, full[0], "restore", album, "-o", "out", "--mask", "none", stderr=full[1])
    report = read_report(Path("out"))
    assert code == 3 and (report["restored"], report["failed"]) == (3, 1)


@pytest.mark.parametrize("arguments", [["list"], ["weights"], ["recipe", "show", "default"], ["plugins"], ["mask"]])
def test_other_commands_end_in_one_line(album, monkeypatch, arguments):
    words = [*arguments, album, "-o", "masks"] if arguments == ["mask"] else arguments
    code, errors = run_on(monkeypatch, BadStream(OSError(28, "No space left on device")), *words)
    assert code == 1 and "No space left on device" in errors and len(errors.splitlines()) == 1
    if arguments == ["mask"]:
        assert len(list(Path("masks").glob("*.png"))) == 2


@pytest.mark.parametrize("encoding", ["cp1252", "ascii", "koi8-r"])
@pytest.mark.parametrize("name", ["a-фото.png", "日本.png", "😀.png", "\udcff.png"])
def test_a_name_that_the_encoding_lacks(album, monkeypatch, encoding, name):
    (album / "a.png").rename(album / name)
    for flags in ([], ["--json"]):
        stdout = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
        words = ["restore", album, "-o", "out", "--mask", "none", "--overwrite", *flags]
        assert run_on(monkeypatch, stdout, *words)[0] == 0
        stdout.flush()
        # click writes UTF-8 where the encoding is ASCII.
        text = stdout.buffer.getvalue().decode("utf-8" if encoding == "ascii" else encoding)
        assert read_report(Path("out"))["restored"] == 3
    assert json.loads(text) == read_report(Path("out"))


def test_mask_and_score_print_names_that_the_encoding_lacks(album, monkeypatch):
    (album / "a.png").rename(album / "фото.png")
    for words in (["mask", album, "-o", "m"], ["score", album, album], ["score", album, album, "--json"]):
        stdout = io.TextIOWrapper(io.BytesIO(), encoding="cp1252")
        assert run_on(monkeypatch, stdout, *words)[0] == 0


@pytest.mark.parametrize("name", ["RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE"])
def test_an_empty_launcher_variable_is_not_set(album, monkeypatch, name):
    monkeypatch.setenv(name, "")
    run_restore(album, "-o", "out", "--mask", "none")
    assert read_report(Path("out"))["restored"] == 3
    missing = CliRunner().invoke(main, ["restore", "none", "-o", "out"])
    assert missing.stderr == "toolbox: none: there is no such file or folder.\n"


@pytest.mark.parametrize("value", ["two", "-1", "1.5", "²"])
def test_nonsense_in_a_launcher_variable_is_one_line(album, monkeypatch, value):
    monkeypatch.setenv("WORLD_SIZE", value)
    for words in (["restore", album, "-o", "out"], ["run", "--recipe", "default", "--dry-run"]):
        result = CliRunner().invoke(main, [str(word) for word in words])
        assert result.exit_code == 2 and len(result.stderr.splitlines()) == 1, result.output
        assert f"WORLD_SIZE is '{value}', which is not a whole number of at least 0" in result.stderr
    with pytest.raises(UsageError):
        devices.launched_process_count()
    with pytest.raises(UsageError), signals.stop_on_signals("this photo", print):
        pass
    monkeypatch.setenv("RANK", value)
    assert not launcher.is_main_process()


def test_a_closed_terminal_stops_after_the_current_photo(album, monkeypatch):
    stand_in = install_stand_in(monkeypatch)
    object.__setattr__(stand_in, "before_call", lambda count: os.kill(os.getpid(), signal.SIGHUP) if count == 1 else 0)
    # The tests may run under nohup, which ignores this signal.
    handler = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    try:
        run_restore(album, "-o", "out", "--mask", "none", code=129)
    finally:
        signal.signal(signal.SIGHUP, handler)
    report = read_report(Path("out"))
    assert (report["restored"], report["not reached"]) == (2, 1)


def test_the_report_is_written_if_the_batch_breaks_off(album, monkeypatch):
    stand_in = install_stand_in(monkeypatch)

    def interrupt(count):
        if count == 1:
            raise KeyboardInterrupt

    object.__setattr__(stand_in, "before_call", interrupt)
    CliRunner().invoke(main, ["restore", str(album), "-o", "out", "--mask", "none"])
    report = read_report(Path("out"))
    assert (report["restored"], report["not reached"]) == (1, 2)
    assert screen.take_failure() is None and image_io.find_images("out")
