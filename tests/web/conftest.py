"""A browser, and the page of the fixture `service` in it."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from browser_page import wait_until_ready, watch
from page_server import running
from standins import install_stand_in

from toolbox.hooks.protocols import Detection
from toolbox.masks.detectors import LoadedDetector
from toolbox.web import damage


@pytest.fixture(scope="session")
def browser():
    sync_api = pytest.importorskip("playwright.sync_api", reason="needs Playwright: pip install playwright")
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if program is None:
        pytest.skip("needs the browser chromium, which is not installed")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def proposed(monkeypatch):
    """Find a scratch and a stain in every photograph, instead of the network; return where they are."""

    def detect(image):
        height, width = image.shape
        scratch, stain = np.zeros((2, height, width), bool)
        scratch[height // 4 : height // 4 + 4, width // 4 : width // 2] = True
        stain[height // 2 : height // 2 + 14, width // 2 : width // 2 + 14] = True
        found.update(scratch=scratch, stain=stain)
        empty = np.zeros((height, width), np.float32)
        probabilities = {
            "scratch": scratch.astype(np.float32),
            "fold": empty,
            "dust": empty,
            "stain": stain * np.float32(1),
        }
        return Detection(mask=scratch | stain, probabilities=probabilities)

    found: dict[str, np.ndarray] = {}
    loaded = LoadedDetector(name="print-damage", detect=detect)
    monkeypatch.setattr(damage, "damage_detector", lambda params, catalog: loaded)
    return found


@pytest.fixture
def restorer(monkeypatch):
    """Return what restores in the page and with the command, instead of weights; other files have another one."""
    return install_stand_in(monkeypatch)


@pytest.fixture
def service(tmp_path, restorer):
    """Serve an empty album."""
    with running(tmp_path / "album") as service:
        yield service


@pytest.fixture
def page(browser, service, proposed):
    with browser.new_context(viewport={"width": 1200, "height": 900}, accept_downloads=True) as context:
        page = context.new_page()
        problems = watch(page, service)
        page.goto(service.link)
        wait_until_ready(page)
        yield page
        assert problems == []
