"""The name of the processor."""

from __future__ import annotations

import platform
from pathlib import Path

import pytest

from toolbox.utils.processor import processor_name


@pytest.mark.parametrize(
    ("text", "name"),
    [("processor\t: 0\nmodel name\t: Some CPU: 8 cores\nmodel name\t: Other\n", "Some CPU: 8 cores"), ("", "")],
)
def test_the_first_model_name_is_the_processors(monkeypatch, text, name):
    monkeypatch.setattr(Path, "read_text", lambda path, encoding: text)
    assert processor_name() == name


def test_a_system_without_such_a_file_names_it_in_its_own_way(monkeypatch):
    def missing(path, encoding):
        raise FileNotFoundError(path)

    monkeypatch.setattr(Path, "read_text", missing)
    assert processor_name() == platform.processor()
