"""The notes on photographs that the code of toolbox can give in the page, read from its source."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import toolbox

ROOT = Path(toolbox.__file__).parent
# The folders whose modules give notes on a photograph and on the files that it is restored with.
FOLDERS = ("guidance", "imaging", "inference", "prints", "web")
_NOTES = re.compile(r"(note|caution)s?$")
_RETURN_NOTES = re.compile(r"note|caution|describe|unused")
# In place of a value. It is a word of its own, as a value is.
VALUE = "VALUE"


def notes_in_source():
    """Yield the path of each module in `FOLDERS` and a note that it gives, with `VALUE` for what is filled in.

    Notes are texts that are added or assigned to what is named "notes", "note" or "cautions", or given to "warn", or
    that functions return whose name or type says so.
    """
    paths = [path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*.py"))]
    trees = {path: ast.parse(path.read_text("utf-8")) for path in paths}
    constants = {}
    for tree in trees.values():
        for node in tree.body:
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                constants[node.targets[0].id] = node.value
    for path, tree in trees.items():
        for expression in _expressions(tree):
            for text in _texts(expression, constants):
                if re.sub(VALUE, "", text).strip(" :"):
                    yield path.relative_to(ROOT).as_posix(), text


def _expressions(tree):
    """Yield the expressions that are notes."""
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and _NOTES.search(_name(node.func.value))
        ):
            yield from node.args[-1:] if node.func.attr in ("append", "extend", "insert") else []
        elif isinstance(node, ast.Call) and _name(node.func) in ("warn", "_warn"):
            yield from node.args
        elif isinstance(node, ast.Assign | ast.AnnAssign | ast.AugAssign) and node.value is not None:
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names = [part for target in targets for part in getattr(target, "elts", [target])]
            if any(_NOTES.search(_name(name)) for name in names):
                yield node.value
        elif isinstance(node, ast.keyword) and _NOTES.search(node.arg or ""):
            yield node.value
        elif isinstance(node, ast.FunctionDef) and node.returns is not None:
            returned = ast.unparse(node.returns)
            if _RETURN_NOTES.search(node.name) or "tuple[str, ...]" in returned:
                yield from (
                    part.value for part in ast.walk(node) if isinstance(part, ast.Return | ast.Yield) and part.value
                )


def _name(node):
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def _texts(node, constants):
    """Yield the texts that an expression may have; those of `surface.words` as the page has them."""
    if isinstance(node, ast.Constant):
        yield from [node.value] if isinstance(node.value, str) else []
    elif isinstance(node, ast.JoinedStr):
        yield "".join(part.value if isinstance(part, ast.Constant) else VALUE for part in node.values)
    elif isinstance(node, ast.Name):
        yield from _texts(constants[node.id], {}) if node.id.isupper() and node.id in constants else []
    elif isinstance(node, ast.IfExp):
        yield from [*_texts(node.body, constants), *_texts(node.orelse, constants)]
    elif isinstance(node, ast.ListComp | ast.GeneratorExp):
        yield from _texts(node.elt, constants)
    elif isinstance(node, ast.Starred):
        yield from _texts(node.value, constants)
    else:
        for part in getattr(node, "elts", None) or getattr(node, "values", None) or []:
            yield from _texts(part, constants)
