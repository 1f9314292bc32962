"""Reuse the results of functions of arrays when a user changes one thing and repeats the request.

Plugins use `toolbox.reuse`.

A filler calls `reuse` for each part of its work. Outside a `reusing` block, this only calls the function. The page of
`toolbox serve` fills inside such a block, so that a change of one mark does not fill all other holes again.
"""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Generic, TypeVar

import numpy as np

from toolbox.utils.cancelling import check_cancelled

Value = TypeVar("Value")


class Recent(Generic[Value]):
    """The values that were used last, by a key; threads may share it."""

    def __init__(self, *, limit: int) -> None:
        """Keep values whose sizes sum to at most `limit`."""
        self._limit = limit
        self._values: OrderedDict[str, tuple[int, Value]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: str) -> Value | None:
        """Return a value, or None."""
        with self._lock:
            if key not in self._values:
                return None
            self._values.move_to_end(key)
            return self._values[key][1]

    def put(self, key: str, value: Value, size: int) -> None:
        """Keep a value of a size; those that were not used for the longest time are dropped."""
        with self._lock:
            self._values[key] = (size, value)
            while self._values and sum(size for size, _ in self._values.values()) > self._limit:
                self._values.popitem(last=False)


class Latest(Generic[Value]):
    """The value that was made last, with the key of what it was made from; not for several threads at once."""

    def __init__(self) -> None:
        """Keep nothing yet."""
        self._kept: tuple[object, Value] | None = None

    def get(self, key: object, make: Callable[[], Value]) -> Value:
        """Return the value if its key is `key`; otherwise make a new one and keep it."""
        if self._kept is None or self._kept[0] != key:
            self._kept = (key, make())
        return self._kept[1]

    def put(self, key: object, value: Value) -> None:
        """Keep a value."""
        self._kept = (key, value)


_current: ContextVar[Recent[np.ndarray] | None] = ContextVar("_current", default=None)


@contextmanager
def reusing(results: Recent[np.ndarray]) -> Iterator[None]:
    """Let `reuse` look up and keep results in `results`, in this thread. Use one store for one filler."""
    token = _current.set(results)
    try:
        yield
    finally:
        _current.reset(token)


def reuse(compute: Callable[[], np.ndarray], *inputs: np.ndarray | int | str) -> np.ndarray:
    """Return the array that `compute` returns; in a `reusing` block, that of an earlier call with equal inputs.

    Args:
        compute: depends on `inputs` alone.
        inputs: everything that the result depends on. Do not change the result: other callers get the same array.

    Raises:
        CancelledError: see `toolbox.utils.cancelling`.
    """
    check_cancelled()
    results = _current.get()
    if results is None:
        return compute()
    key = digest(*inputs)
    value = results.get(key)
    if value is None:
        value = compute()
        results.put(key, value, value.nbytes)
    return value


def digest(*inputs: np.ndarray | int | str) -> str:
    """Return a key that is different for different values, shapes or types."""
    result = hashlib.blake2b(digest_size=16)
    for value in inputs:
        if isinstance(value, np.ndarray):
            result.update(f"{value.shape} {value.dtype}".encode())
            result.update(np.ascontiguousarray(value).data)
        else:
            result.update(f"{type(value).__name__} {value!r};".encode())
    return result.hexdigest()
