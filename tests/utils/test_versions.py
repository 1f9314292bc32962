"""The one look-up of versions."""

from __future__ import annotations

from importlib.metadata import version

from toolbox.utils import versions


def test_an_installed_package_has_its_version_and_a_missing_one_none():
    assert versions.find_version("pluggy") == version("pluggy")
    assert versions.find_version("surely-absent") is None
    assert versions.list_versions(["pluggy", "surely-absent"]) == {
        "pluggy": version("pluggy"),
        "surely-absent": "not installed",
    }


def test_metadata_without_a_version_counts_as_not_installed(tmp_path, monkeypatch):
    (tmp_path / "hollow-1.0.dist-info").mkdir()
    (tmp_path / "hollow-1.0.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: hollow\n", "utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert versions.find_version("hollow") is None


def test_toolbox_without_an_installation_has_an_empty_version(monkeypatch):
    assert versions.toolbox_version() == version("toolbox-restore")
    monkeypatch.setattr(versions, "DISTRIBUTION", "surely-absent")
    assert versions.toolbox_version() == ""
