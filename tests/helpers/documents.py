"""The docs as tests read them: pages, fenced blocks, sections, the first cells of tables."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
LINKED = [*PAGES, *(path for name in ("README.md", "CONTRIBUTING.md") if (path := ROOT / name).is_file())]
FENCE = re.compile(r"^```(\S*)([^\n]*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
ROW = re.compile(r"^\| (.+?) \|", re.MULTILINE)


def name_of(path):
    return path.relative_to(ROOT).as_posix()


def blocks(text, language, note=""):
    """Return the fenced blocks of a language, those with that note behind it."""
    return [body for kind, more, body in FENCE.findall(text) if (kind, more.strip()) == (language, note)]


def prose(text):
    return FENCE.sub("", text)


def section(text, title):
    """Return what is below a heading, up to the next one of its level or above."""
    head = re.search(rf"^(#+) {re.escape(title)}\n", text, re.MULTILINE)
    assert head, f"no heading '{title}'"
    return re.split(rf"^#{{1,{len(head[1])}}} ", text[head.end() :], maxsplit=1, flags=re.MULTILINE)[0]


def rows(text):
    """Return the first cells of a table's rows, without heads and rules."""
    return [cell for cell in ROW.findall(text) if not set(cell) <= set("-|: ")]


def slug(title):
    """Return a heading's anchor, as GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", title.replace("`", "").strip().lower()).replace(" ", "-")
