"""Read the docs for tests: pages, fenced blocks, sections, the first cells of tables, messages of the source."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
LINKED = [*PAGES, *(path for name in ("README.md", "CONTRIBUTING.md") if (path := ROOT / name).is_file())]
FENCE = re.compile(r"^```(\S*)([^\n]*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
ROW = re.compile(r"^\| (.+?) \|", re.MULTILINE)


def name_of(path):
    """Return a file's path below the repository, as the id of a test."""
    return path.relative_to(ROOT).as_posix()


def blocks(text, language, note=""):
    """Return the fenced blocks of a language with this note after the language."""
    return [body for kind, more, body in FENCE.findall(text) if (kind, more.strip()) == (language, note)]


def prose(text):
    """Return a page without its fenced blocks."""
    return FENCE.sub("", text)


def section(text, title):
    """Return the text below a heading, up to the next heading of the same or a higher level."""
    heading = re.search(rf"^(#+) {re.escape(title)}\n", text, re.MULTILINE)
    assert heading, f"no heading '{title}'"
    return re.split(rf"^#{{1,{len(heading[1])}}} ", text[heading.end() :], maxsplit=1, flags=re.MULTILINE)[0]


def rows(text):
    """Return the first cells of the rows of all tables, without the lines below the headers."""
    return [cell for cell in ROW.findall(text) if not set(cell) <= set("-|: ")]


def slug(title):
    """Return the anchor of a heading, as GitHub creates it."""
    return re.sub(r"[^\w\- ]", "", title.replace("`", "").strip().lower()).replace(" ", "-")


def strings(tree):
    """Yield the texts of a module (docstrings, messages, help), with … for the values in a formatted string."""
    inside = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield "".join(part.value if isinstance(part, ast.Constant) else "…" for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in inside:
            yield node.value
