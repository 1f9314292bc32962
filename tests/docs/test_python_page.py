"""Run docs/python.md and the notebook, each as one program, in this process. 20 s."""

from __future__ import annotations

import json

from documents import DOCS, blocks


def run_program(parts: list[str], name: str) -> dict[str, object]:
    """Run the parts of a program one after the other, and return its names."""
    names: dict[str, object] = {"__name__": name}
    for number, part in enumerate(parts):
        exec(compile(part, f"{name}, part {number}", "exec"), names)
    return names


def test_the_page_is_a_program_that_runs():
    names = run_program(blocks((DOCS / "python.md").read_text("utf-8"), "python"), "docs/python.md")
    assert len(names["rows"]) > len(names["losses"]) == 3
    assert len(names["scores"]) == 2, "one validation for each of the two sessions that ended"
    assert names["restored"].ndim == 3


def test_the_notebook_runs():
    notebook = json.loads((DOCS / "restore-and-train.ipynb").read_text("utf-8"))
    assert notebook["nbformat"] == 4
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in cells), "clear the outputs"
    names = run_program(["".join(cell["source"]) for cell in cells], "the notebook")
    assert names["restored"].size == names["gray"].size
    assert names["run"].result.finished
