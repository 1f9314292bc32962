"""A browser, and the page of the fixture `service` in it."""

from __future__ import annotations

import shutil

import pytest
from browser_page import wait_for_text, watch


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
def page(browser, service):
    with browser.new_context(viewport={"width": 1200, "height": 900}, accept_downloads=True) as context:
        page = context.new_page()
        problems = watch(page, service)
        page.goto(service.link)
        wait_for_text(page, "#status", "Ready")
        yield page
        assert problems == []
