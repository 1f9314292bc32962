"""run, doctor, recipe and bench with paths that can't be looked at, are too long or are not UTF-8: one line each."""

from __future__ import annotations

import builtins
import io
import os

import pytest
from click.testing import CliRunner

from toolbox.cli import main

COMMANDS = (
    ("run", "--data", "{}"),
    ("run", "--resume", "{}"),
    ("run", "--out", "{}", "--dry-run"),
    ("run", "--recipe", "{}.toml"),
    ("doctor", "--data", "{}"),
    ("doctor", "--repeat", "{}"),
    ("doctor", "--recipe", "{}.toml"),
    ("recipe", "show", "{}.toml"),
    ("recipe", "validate", "{}.toml"),
    ("recipe", "copy", "default", "{}.toml"),
    ("bench", "--recipe", "{}.toml"),
)
PATHS = {
    "no permission": "locked/inside",
    "too long a name": "n" * 300,
    "not UTF-8": os.fsdecode(b"name-\xff"),
    "a file as a folder": "file/inside",
}


def refuse_locked(function):
    """Return `function` with the error that the system gives for a path below a folder without permission."""

    def refuse(path, *args, **options):
        if isinstance(path, str | os.PathLike) and "locked/" in os.fspath(path):
            raise PermissionError(13, "Permission denied", os.fspath(path))
        return function(path, *args, **options)

    return refuse


@pytest.mark.parametrize("path", PATHS.values(), ids=list(PATHS))
@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_hostile_path_is_one_line(tmp_path, monkeypatch, command, path):
    (tmp_path / "file").write_text("x", "utf-8")
    (tmp_path / "locked").mkdir()
    for module, name in ((os, "stat"), (os, "listdir"), (os, "scandir"), (os, "mkdir"), (os, "open"), (io, "open")):
        monkeypatch.setattr(module, name, refuse_locked(getattr(module, name)))
    monkeypatch.setattr(builtins, "open", refuse_locked(open))
    result = CliRunner().invoke(main, [part.format(path) for part in command])
    if path == PATHS["not UTF-8"] and command[:2] in (("recipe", "copy"), ("run", "--out")):
        assert result.exit_code == 0  # such a name is a name
        return
    assert result.exit_code in (1, 2), (result.output, result.exception)
    assert isinstance(result.exception, SystemExit) and "Traceback" not in result.output
    lines = [line for line in result.stderr.splitlines() if line.startswith("toolbox: ")]
    assert len(lines) == 1, result.output
    if path == PATHS["no permission"]:
        assert "ermission" in lines[0]
