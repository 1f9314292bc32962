"""Hooks of mkdocs: pages of the site that lie outside docs/, and links between them as they are in the repository."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[1]
# The files outside docs/ that pages link to, and their places on the site.
PAGES = {
    "README.md": "start.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "toolbox/models/shipped/luma.md": "weights-luma.md",
    "toolbox/models/shipped/luma-score.md": "weights-luma-score.md",
    "toolbox/models/shipped/average-fill.md": "weights-average-fill.md",
    "toolbox/models/shipped/expected-hues.md": "weights-expected-hues.md",
    "toolbox/models/shipped/luma-photos.csv": "luma-photos.csv",
    "toolbox/models/shipped/CC-BY-SA-4.0.txt": "CC-BY-SA-4.0.txt",
    "toolbox/data/sample/LICENCES.md": "sample-licences.md",
    **{
        f"plugins/{path.parent.name}/README.md": f"plugins/{path.parent.name}.md"
        for path in ROOT.glob("plugins/*/README.md")
    },
}
API = """# Python reference

Everything that `from toolbox import …` gives. [Use it from Python](python.md) has examples.

::: toolbox
"""
LINK = re.compile(r"(?<=\]\()(?!\w+:|#)([^)\s#]+)")
FENCE = re.compile(r"^```.*?^```$", re.DOTALL | re.MULTILINE)


def on_files(files: Files, config: Any) -> Files:  # noqa: ANN401 - a configuration of mkdocs
    """Add the pages outside docs/ and the reference."""
    for source, target in PAGES.items():
        files.append(File.generated(config, target, abs_src_path=str(ROOT / source)))
    files.append(File.generated(config, "api.md", content=API))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:  # noqa: ANN401 - a page of mkdocs
    """Rewrite relative links from places in the repository to places on the site."""
    site_path = page.file.src_uri
    sources = {target: source for source, target in PAGES.items()}
    folder = Path(sources.get(site_path, f"docs/{site_path}")).parent

    def rewrite(match: re.Match[str]) -> str:
        path = os.path.normpath(folder / match[1])
        target = PAGES.get(path, path.removeprefix("docs/"))
        return os.path.relpath(target, Path(site_path).parent)

    if site_path == "api.md":
        return markdown
    parts, end = [], 0
    for fence in FENCE.finditer(markdown):
        parts += [LINK.sub(rewrite, markdown[end : fence.start()]), fence[0]]
        end = fence.end()
    return "".join([*parts, LINK.sub(rewrite, markdown[end:])])
