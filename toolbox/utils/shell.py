"""Paths in the commands that messages print, for the user to type."""

from __future__ import annotations

import shlex
from pathlib import Path


def shell_word(path: str | Path) -> str:
    r"""Return `path` as it is typed in a command for bash: printable, in quotes if it needs them.

    What can't be printed, and spaces that a message would join, are written as the bytes of the file name, as in
    ``$'caf\xe9'``. A leading ``-`` gets ``./`` before it.
    """
    text = f"./{path}" if str(path).startswith("-") else str(path)
    if text.isprintable() and text == " ".join(text.split()):
        return shlex.quote(text)
    return f"$'{''.join(_ansi_c(character) for character in text)}'"


def _ansi_c(character: str) -> str:
    """Return a character as bash reads it between ``$'`` and ``'``."""
    if character in "'\\":
        return f"\\{character}"
    if character.isprintable() and character != " ":
        return character
    # A byte of a name that is not UTF-8, or any character that can't be printed.
    errors = "surrogateescape" if "\udc80" <= character <= "\udcff" else "surrogatepass"
    return "".join(f"\\x{byte:02x}" for byte in character.encode("utf-8", errors))
