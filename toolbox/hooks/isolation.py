"""Run the code of plugins so that it does not disturb the program.

What a plugin prints goes to stderr, because stdout has the results of a command, often as JSON. What its import, its
hooks or `build` change of the process (working folder, random seeds, threads and so on) is put back and named.
"""

from __future__ import annotations

import importlib.util
import os
import random
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, Literal

from toolbox.hooks.plugin_output import stdout_to_stderr

VARIABLES = (
    *("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "CUDA_VISIBLE_DEVICES", "PYTHONHASHSEED"),
    *("TOOLBOX_HOME", "TOOLBOX_CACHE", "TOOLBOX_DISABLE"),
)


class PluginWarning(UserWarning):
    """A plugin did something that it should not; the program corrected it and continues."""


@dataclass(frozen=True)
class Setting:
    """A setting of the whole process.

    Attributes:
        name: its name in messages.
        module: the module that has it; it is read only if that module is imported.
        get: returns its value, which can be compared.
        put: sets it to such a value.
        at_build: whether `build` must not change it either. It may draw torch's random numbers.
        main_thread_only: whether other threads change it while a component runs, or only the main thread can set it.
    """

    name: str
    module: str
    get: Callable[[], Any]
    put: Callable[[Any], object]
    at_build: bool = True
    main_thread_only: bool = False


def _module(name: str) -> Any:  # noqa: ANN401 - any module
    return sys.modules[name]


def _cwd() -> str | None:
    try:
        return os.getcwd()
    except OSError:  # it was deleted
        return None


def _change_folder(path: str | None) -> None:
    if path is not None:
        os.chdir(path)


def _numpy_random() -> tuple[object, ...]:
    name, key, *rest = _module("numpy.random").get_state()
    return (name, key.tobytes(), *rest)


def _put_numpy_random(state: tuple[Any, ...]) -> None:
    name, key, *rest = state
    _module("numpy.random").set_state((name, _module("numpy").frombuffer(key, "uint32"), *rest))


def _torch_random() -> bytes:
    return bytes(_module("torch").get_rng_state().numpy())


def _put_torch_random(state: bytes) -> None:
    torch = _module("torch")
    torch.set_rng_state(torch.frombuffer(bytearray(state), dtype=torch.uint8))


def _variable(name: str) -> Setting:
    def put(value: str | None) -> None:
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value

    return Setting(f"the environment variable {name}", "os", lambda: os.environ.get(name), put)


def _handler(name: str) -> Setting:
    number = getattr(signal, name)
    return Setting(
        f"the handler of {name}",
        "signal",
        lambda: signal.getsignal(number),
        # None stands for a handler that Python did not set and can't set.
        lambda handler: None if handler is None else signal.signal(number, handler),
        main_thread_only=True,
    )


def _function_setting(title: str, module: str, get: str, put: str) -> Setting:
    """Return the setting that two functions of a module read and set."""
    return Setting(
        title, module, lambda: getattr(_module(module), get)(), lambda value: getattr(_module(module), put)(value)
    )


SETTINGS = (
    Setting("the working folder", "os", _cwd, _change_folder),
    Setting("Python's random numbers", "random", random.getstate, random.setstate, main_thread_only=True),
    Setting("the recursion limit", "sys", sys.getrecursionlimit, sys.setrecursionlimit),
    Setting("sys.excepthook", "sys", lambda: sys.excepthook, lambda hook: setattr(sys, "excepthook", hook)),
    *(_variable(name) for name in VARIABLES),
    _handler("SIGINT"),
    _handler("SIGTERM"),
    Setting("NumPy's random numbers", "numpy.random", _numpy_random, _put_numpy_random, main_thread_only=True),
    Setting(
        "NumPy's error handling", "numpy", lambda: _module("numpy").geterr(), lambda v: _module("numpy").seterr(**v)
    ),
    Setting("torch's random numbers", "torch", _torch_random, _put_torch_random, at_build=False, main_thread_only=True),
    _function_setting("torch's default dtype", "torch", "get_default_dtype", "set_default_dtype"),
    Setting(
        "torch's default device",
        "torch",
        lambda: _module("torch").get_default_device(),
        lambda device: _module("torch").set_default_device(None if device.type == "cpu" else device),
    ),
    _function_setting("torch's number of threads", "torch", "get_num_threads", "set_num_threads"),
    _function_setting("torch's gradient mode", "torch", "is_grad_enabled", "set_grad_enabled"),
    _function_setting(
        "torch's precision of matrix products", "torch", "get_float32_matmul_precision", "set_float32_matmul_precision"
    ),
    _function_setting("OpenCV's number of threads", "cv2", "getNumThreads", "setNumThreads"),
)
LATE_MODULES = ("numpy", "numpy.random", "torch", "cv2")


@contextmanager
def isolated(stage: Literal["load", "build"]) -> Iterator[list[str]]:
    """Run plugin code with its output on stderr, and put back what it changes of `SETTINGS`.

    Yields:
        A list; afterwards it has the names of the settings that were changed.
    """
    with stdout_to_stderr(), put_back(stage) as changed:
        yield changed


@contextmanager
def put_back(stage: Literal["load", "build"]) -> Iterator[list[str]]:
    """Put back what plugin code changes of `SETTINGS`; in the main thread also random numbers and signal handlers.

    Yields:
        A list; afterwards it has the names of the settings that were changed.
    """
    changed: list[str] = []
    is_main = threading.current_thread() is threading.main_thread()
    settings = [s for s in SETTINGS if (stage == "load" or s.at_build) and (is_main or not s.main_thread_only)]
    before: dict[str, Any] = {}
    seed = _torch_seed() if is_main else None
    torch_state = _torch_random() if seed is not None and stage == "build" else b""

    def read(module: str) -> None:
        # A module that the plugin imports has its defaults when its import ends.
        before.update({s.name: s.get() for s in settings if s.module == module and s.name not in before})

    for name in {setting.module for setting in settings} & sys.modules.keys():
        read(name)
    watcher = _ImportWatcher(read)
    sys.meta_path.insert(0, watcher)
    try:
        yield changed
    finally:
        sys.meta_path.remove(watcher)
        for setting in settings:
            if setting.name in before and setting.get() != before[setting.name]:
                setting.put(before[setting.name])
                changed.append(setting.name)
        if torch_state and _torch_seed() != seed:
            _put_torch_random(torch_state)
            changed.append("torch's seed")


def _torch_seed() -> int | None:
    return int(sys.modules["torch"].initial_seed()) if "torch" in sys.modules else None


class _ImportWatcher(MetaPathFinder):
    """Call `read` with the name of each of `LATE_MODULES` as soon as it has been imported."""

    def __init__(self, read: Callable[[str], None]) -> None:
        self.read = read
        self.searching = False

    def find_spec(self, name: str, path: object = None, target: ModuleType | None = None) -> ModuleSpec | None:
        """Return the spec that the other finders find, with a loader that calls `read` afterwards."""
        if self.searching or name not in LATE_MODULES:
            return None
        self.searching = True
        try:
            spec = importlib.util.find_spec(name)
        finally:
            self.searching = False
        if spec is not None and spec.loader is not None:
            load = spec.loader.exec_module

            def load_and_read(module: ModuleType) -> None:
                load(module)
                self.read(name)

            spec.loader.exec_module = load_and_read  # type: ignore[method-assign]
        return spec
