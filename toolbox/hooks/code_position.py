"""Where in its plugin the code of a component is."""

from __future__ import annotations

import inspect
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import CodeType, ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from toolbox.hooks.catalog import Entry

_TOOLBOX = Path(__file__).resolve().parents[1]  # the package


def built_at(entry: Entry) -> str:
    """Return where a component is built; "" if it is not known."""
    code = _build_code(entry)
    return "" if code is None else f"built at {code.co_filename}:{code.co_firstlineno}"


def _build_code(entry: Entry) -> CodeType | None:
    """Return the code of the function that builds a component, or loads a command."""
    return code_of(getattr(entry.spec, "build", None) or getattr(entry.spec, "load", None))


def held_codes(function: object, depth: int = 4) -> Iterator[CodeType]:
    """Yield the code of a function, then that of functions in the attributes, lists and dicts of its object."""
    code = code_of(function)
    if code is not None:
        yield code
    owner = getattr(function, "__self__", function)
    if not depth or isinstance(owner, ModuleType | type):
        return
    held = owner.values() if isinstance(owner, dict) else getattr(owner, "__dict__", {}).values()
    for value in list(owner if isinstance(owner, list | tuple) else held):
        yield from held_codes(value, depth - 1)


def is_of(entry: Entry, file: str) -> bool:
    """Return whether a file belongs to the plugin of an entry: the file of its `build`, or one of the same package."""
    code = _build_code(entry)
    if code is None:
        return False
    path, home = Path(file), Path(code.co_filename)
    return path == home or ((home.parent / "__init__.py").is_file() and path.is_relative_to(home.parent))


def code_of(function: object) -> CodeType | None:
    """Return the code of a function, a method, or an object that can be called; without decorators."""
    function = getattr(function, "func", function)  # functools.partial
    methods = [getattr(type(function), name, None) for name in ("forward", "__call__")]
    codes = (getattr(inspect.unwrap(it), "__code__", None) for it in (function, *methods) if callable(it))
    return next((code for code in codes if isinstance(code, CodeType)), None)


def is_raised_on_purpose(error: BaseException, entry: Entry) -> bool:
    """Return whether a `raise` of a component, or of toolbox, has raised an error, and no library that it calls."""
    frames = traceback.extract_tb(error.__traceback__)
    if not frames or not frames[-1].line:  # there is no source
        return True
    is_own = is_of(entry, frames[-1].filename) or Path(frames[-1].filename).is_relative_to(_TOOLBOX)
    return is_own and frames[-1].line.startswith("raise")
