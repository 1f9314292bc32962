"""The settings of the whole process that plugins must not change, each with functions that read and set it."""

from __future__ import annotations

import gc
import os
import random
import signal
import sys
import warnings
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce
from typing import Any, Literal, cast, get_args

VARIABLES = (
    *("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "CUDA_VISIBLE_DEVICES", "PYTHONHASHSEED"),
    *("TOOLBOX_HOME", "TOOLBOX_CACHE", "TOOLBOX_DISABLE"),
)


# When plugin code runs: its import and its hooks, `build`, and the calls of its components.
Stage = Literal["load", "build", "call"]
STAGES = get_args(Stage)
# What plugins have put in the place of stdout and stderr.
_replaced_streams: list[object] = []
# The seeds that were set last by `seed_torch`.
own_seeds: deque[int] = deque(maxlen=64)


@dataclass(frozen=True)
class Setting:
    """A setting of the whole process.

    Attributes:
        name: its name in messages.
        module: the module that has it; it is read only if that module is imported.
        get: returns its value, which can be compared.
        put: sets it to such a value.
        last: the last stage in which it must not change: `build` and calls may draw torch's random numbers, and to read
            the umask in every call would disturb other threads.
        only_alone: whether it is compared only if no other component ran meanwhile: `warnings.catch_warnings` in one
            thread changes the filters of all threads for a while.
        main_thread_only: whether other threads change it while a component runs, or only the main thread can set it.
    """

    name: str
    module: str
    get: Callable[[], Any]
    put: Callable[[Any], object]
    last: Stage = "call"
    only_alone: bool = False
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


def torch_random() -> bytes:
    """Return the state of torch's global random numbers on the CPU."""
    return bytes(_module("torch").get_rng_state().numpy())


def put_torch_random(state: bytes) -> None:
    """Set the state of torch's global random numbers on the CPU."""
    torch = _module("torch")
    torch.set_rng_state(torch.frombuffer(bytearray(state), dtype=torch.uint8))


def torch_seed() -> int | None:
    """Return the seed of torch's global random numbers; None if torch is not imported."""
    return int(_module("torch").initial_seed()) if "torch" in sys.modules else None


def seed_torch(seed: int) -> None:
    """Seed torch's global random numbers while components may be running in other threads, which are not blamed."""
    own_seeds.append(seed)  # first: another thread may read the seed at any time
    _module("torch").manual_seed(seed)


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
        # None means a handler that Python did not set and can't set.
        lambda handler: None if handler is None else signal.signal(number, handler),
        main_thread_only=True,
    )


def _function_setting(title: str, module: str, get: str, put: str) -> Setting:
    """Return the setting that two functions of a module read and set."""
    return Setting(
        title, module, lambda: getattr(_module(module), get)(), lambda value: getattr(_module(module), put)(value)
    )


def _attribute(title: str, module: str, path: str, *, main_thread_only: bool = False) -> Setting:
    """Return the setting that is an attribute of a module, given by its dotted path."""
    *parents, name = path.split(".")

    def holder() -> Any:  # noqa: ANN401 - a module or what it has
        return reduce(getattr, parents, _module(module))

    return Setting(
        title,
        module,
        lambda: getattr(holder(), name),
        lambda value: setattr(holder(), name, value),
        main_thread_only=main_thread_only,
    )


def _stream(name: str) -> Setting:
    def put(stream: object) -> None:
        # A wrapper around its buffer would close the buffer when it is deleted.
        _replaced_streams.append(getattr(sys, name))
        setattr(sys, name, stream)

    return Setting(f"sys.{name}", "sys", lambda: getattr(sys, name), put, main_thread_only=True)


def _blanket_filters() -> list[Any]:
    """Return the filters that say what happens to warnings of every text and every module."""
    return [row for row in warnings.filters if row[1] is None and row[3] is None and issubclass(UserWarning, row[2])]


def _put_blanket_filters(before: list[Any]) -> None:
    now = _blanket_filters()
    added, removed = [row for row in now if row not in before], [row for row in before if row not in now]
    kept = [row for row in warnings.filters if row not in added]
    warnings.resetwarnings()
    cast(list[Any], warnings.filters).extend([*kept, *removed])


def _autocast() -> tuple[tuple[str, bool, Any], ...]:
    """Return torch's autocast of this thread: for each kind of device whether it is on, and its dtype."""
    torch = _module("torch")
    return tuple((kind, torch.is_autocast_enabled(kind), torch.get_autocast_dtype(kind)) for kind in ("cpu", "cuda"))


def _put_autocast(state: tuple[tuple[str, bool, Any], ...]) -> None:
    torch = _module("torch")
    for kind, is_on, dtype in state:
        torch.set_autocast_enabled(kind, is_on)
        torch.set_autocast_dtype(kind, dtype)


def _umask() -> int:
    value = os.umask(0o077)
    os.umask(value)
    return value


SETTINGS = (
    Setting("the working folder", "os", _cwd, _change_folder),
    Setting("Python's random numbers", "random", random.getstate, random.setstate),
    Setting("the recursion limit", "sys", sys.getrecursionlimit, sys.setrecursionlimit),
    Setting(
        "the warning filters",
        "warnings",
        _blanket_filters,
        _put_blanket_filters,
        only_alone=True,
        main_thread_only=True,
    ),
    Setting("the umask", "os", _umask, os.umask, last="build", main_thread_only=True),
    Setting("the command line", "sys", lambda: [*sys.argv], lambda v: sys.argv.__setitem__(slice(None), v)),
    Setting("the garbage collection", "gc", gc.isenabled, lambda on: (gc.enable if on else gc.disable)()),
    _attribute("sys.excepthook", "sys", "excepthook"),
    _attribute("the level below which logging is off", "logging", "root.manager.disable"),
    _stream("stdout"),
    _stream("stderr"),
    *(_variable(name) for name in VARIABLES),
    _handler("SIGINT"),
    _handler("SIGTERM"),
    Setting("NumPy's random numbers", "numpy.random", _numpy_random, _put_numpy_random),
    Setting(
        "NumPy's error handling", "numpy", lambda: _module("numpy").geterr(), lambda v: _module("numpy").seterr(**v)
    ),
    Setting("torch's random numbers", "torch", torch_random, put_torch_random, last="load", main_thread_only=True),
    _function_setting("torch's default dtype", "torch", "get_default_dtype", "set_default_dtype"),
    Setting(
        "torch's default device",
        "torch",
        lambda: _module("torch").get_default_device(),
        lambda device: _module("torch").set_default_device(None if device.type == "cpu" else device),
    ),
    _function_setting("torch's number of threads", "torch", "get_num_threads", "set_num_threads"),
    _function_setting("torch's gradient mode", "torch", "is_grad_enabled", "set_grad_enabled"),
    Setting("torch's autocast", "torch", _autocast, _put_autocast),
    _function_setting(
        "torch's precision of matrix products", "torch", "get_float32_matmul_precision", "set_float32_matmul_precision"
    ),
    _function_setting(
        "torch's deterministic algorithms",
        "torch",
        "are_deterministic_algorithms_enabled",
        "use_deterministic_algorithms",
    ),
    Setting(
        "torch's search for anomalies",
        "torch",
        lambda: _module("torch").is_anomaly_enabled(),
        lambda on: _module("torch").autograd.set_detect_anomaly(on),
    ),
    _attribute("cuDNN's benchmark", "torch", "backends.cudnn.benchmark"),
    _attribute("cuDNN's determinism", "torch", "backends.cudnn.deterministic"),
    _function_setting("OpenCV's number of threads", "cv2", "getNumThreads", "setNumThreads"),
    _attribute("Pillow's limit of pixels", "PIL.Image", "MAX_IMAGE_PIXELS"),
    _attribute("Pillow's handling of truncated images", "PIL.ImageFile", "LOAD_TRUNCATED_IMAGES"),
)
# The modules of `SETTINGS` that a plugin may be the first to import.
LATE_MODULES = {setting.module for setting in SETTINGS} - sys.stdlib_module_names
