"""Fixtures that every test may use."""

from __future__ import annotations

from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of shared photographs, corpora and reference figures; a user's machine has none."""
    if not SHARED.is_dir():
        pytest.skip("needs the shared test data beside the checkout (../shared), which is not here")
    return SHARED


@pytest.fixture(autouse=True)
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the user's own configuration, cache and working folder out of every test."""
    monkeypatch.setenv("TOOLBOX_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TOOLBOX_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("TOOLBOX_DISABLE", raising=False)
    monkeypatch.chdir(tmp_path)
