"""The page by the rules of axe-core, in each of its states. axe-core is no part of toolbox: npm install axe-core."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from browser_page import drag, open_photo, photo, wait_for_text
from scenes import tint_restorer
from standins import install

ROOT = Path(__file__).resolve().parents[2]
# The folders in which npm and Debian install packages.
FOLDERS = (
    ROOT / "node_modules",
    *(Path(folder) for folder in os.environ.get("NODE_PATH", "").split(os.pathsep) if folder),
    *(Path(folder) for folder in ("/usr/local/lib/node_modules", "/usr/lib/node_modules", "/usr/share/nodejs")),
)


@pytest.fixture(scope="session")
def axe():
    for folder in FOLDERS:
        if (folder / "axe-core/axe.min.js").is_file():
            return (folder / "axe-core/axe.min.js").read_text("utf-8")
    pytest.skip("needs axe-core, which is not installed: npm install axe-core, or set NODE_PATH to its folder")


@pytest.fixture
def restorer(monkeypatch):
    return install(monkeypatch, tint_restorer("luma", 96))


def faults(page, axe):
    """Return the findings of axe-core, as lines with the rule, its impact and the elements."""
    page.evaluate(axe)
    found = page.evaluate("axe.run(document).then((result) => result.violations)")
    return [f"{one['id']} ({one['impact']}): {[node['target'] for node in one['nodes']]}" for one in found]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_in_any_state_of_the_page(page, axe, tmp_path, scheme):
    page.emulate_media(color_scheme=scheme)
    assert faults(page, axe) == []
    open_photo(page, photo(tmp_path))
    open_photo(page, photo(tmp_path, "second.png"))
    assert faults(page, axe) == []
    page.click("#restore")
    page.wait_for_selector("#compare-row:not([hidden])")
    page.click("[data-tool=colour]")
    drag(page, [(0.3, 0.3), (0.5, 0.3)])
    page.locator("#palette button").first.wait_for()
    page.set_input_files("#reference-file", str(tmp_path / "old.png"))
    wait_for_text(page, "#reference-name", "old.png")
    page.check("#show-origin")
    page.wait_for_selector("#origin:not([hidden])")
    assert faults(page, axe) == []
    (tmp_path / "broken.png").write_bytes(b"no photograph")
    page.set_input_files("#files", str(tmp_path / "broken.png"))
    page.wait_for_selector("#status.error")
    page.set_viewport_size({"width": 390, "height": 800})
    page.select_option("#language", "ko")
    assert faults(page, axe) == []
