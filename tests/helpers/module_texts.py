"""The texts in modules of toolbox that may be read at the command line, in the page, or in a Python program."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path


def modules_after(statements):
    """Return the files of toolbox that are imported after some statements of Python."""
    code = f"import sys; {statements}; print(*(m.__file__ for m in list(sys.modules.values()) " + (
        "if m.__name__.startswith('toolbox') and getattr(m, '__file__', None)), sep='\\n')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return [Path(line) for line in done.stdout.splitlines()]


def texts_of(path, surface):
    """Yield the strings of a module, without docstrings and without words that have others for this surface.

    `surface.option("grow")` counts as "--grow" in the page, if it has no words for it.
    """
    skipped = set()
    for node in ast.walk(tree := ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Expr):
            skipped.add(id(node.value))
        if isinstance(node, ast.Call) and surface in {keyword.arg for keyword in node.keywords}:
            others = [keyword.value for keyword in node.keywords if keyword.arg != surface]
            skipped |= {id(part) for value in others for part in ast.walk(value)}
    for node in ast.walk(tree):
        if surface == "page" and isinstance(node, ast.Call) and ast.unparse(node.func) == "surface.option":
            if "page" not in {keyword.arg for keyword in node.keywords}:
                yield f"--{ast.literal_eval(node.args[0])}"
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in skipped:
            yield node.value
