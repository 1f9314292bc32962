"""Run checks: each has an outcome of its own, and a failed one does not stop the others."""

from __future__ import annotations

import random
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from toolbox.errors import InstallationError, RecipeError, ToolboxError, named, one_line
from toolbox.hooks import blame
from toolbox.hooks.isolation import PluginWarning, isolated

Status = Literal["ok", "failed", "noted"]
_UNUSUAL_SEED = 2_718_281_829  # no component seeds with it


@dataclass(frozen=True, kw_only=True)
class Check:
    """The outcome of one check.

    Attributes:
        name: what was checked.
        status: "ok"; "failed" if the contract is broken; "noted" for a design choice of the author, and for a check
            that is not possible here.
        detail: the result; after a failure also what to do.
    """

    name: str
    status: Status
    detail: str


class ContractError(Exception):
    """A component breaks its contract; the message says what is wrong and what to do."""


class Note(str):
    """The result of a check that the author should read, and that may be intended."""


def require(condition: object, message: str) -> None:
    """Raise ContractError with `message` unless `condition` is true."""
    if not condition:
        raise ContractError(message)


def require_comparable(*values: object) -> None:
    """Raise ContractError if numbers, arrays or tensors have NaN, which is neither equal to NaN nor above or below."""
    require(not any(_has_nan(value) for value in values), "some values are NaN, so they can't be compared")


def same_values(first: Any, second: Any) -> bool:  # noqa: ANN401
    """Return whether two numbers, arrays or tensors are equal; see `require_comparable` for values that differ."""
    both_tensors = isinstance(first, Tensor) and isinstance(second, Tensor)
    is_same = torch.equal(first, second) if both_tensors else np.array_equal(first, second)
    if not is_same:
        require_comparable(first, second)
    return is_same


def _has_nan(value: object) -> bool:
    if isinstance(value, Tensor):
        return bool(value.isnan().any())
    array = np.asarray(value)
    return array.dtype.kind in "fc" and bool(np.isnan(array).any())


def error_text(error: BaseException) -> str:
    """Return an error as one line; one that is not of toolbox with its type, shortened if it is long."""
    if isinstance(error, RecipeError):
        return "; ".join(str(fault) for fault in error.faults)
    return one_line(error) if isinstance(error, ToolboxError) else named(error, 300)


def global_random_state() -> tuple[object, ...]:
    """Return the state of the global random numbers of torch, numpy and Python, for comparison with a later state."""
    legacy = np.random.get_state(legacy=False)["state"]
    return torch.get_rng_state().numpy().tobytes(), legacy["key"].tobytes(), legacy["pos"], random.getstate()


def seed_everything() -> None:
    """Seed the global random numbers, with a seed so unusual that a component which seeds them changes them."""
    torch.manual_seed(_UNUSUAL_SEED)
    np.random.seed(_UNUSUAL_SEED)
    random.seed(_UNUSUAL_SEED)


@contextmanager
def quiet_plugins() -> Iterator[None]:
    """Hide the warnings of `build_component`; `check_process_settings` reports their causes. Hide NumPy's too.

    NumPy warns of values that are not finite, which the checks report.
    """
    with warnings.catch_warnings():
        for category in (PluginWarning, RuntimeWarning):
            warnings.simplefilter("ignore", category)
        yield


def run_checks(subject: Any, checks: Iterable[Callable[[Any], str]]) -> list[Check]:  # noqa: ANN401
    """Run every check on `subject` and return the outcomes.

    A check is a function `check_NAME` that takes the subject and returns its result in words; one that raises an error
    has failed. Each starts with the same global random numbers, whatever ran before, and afterwards the global random
    numbers are what they were at the start.
    """
    return [_run_check(subject, check) for check in checks]


def _run_check(subject: Any, check: Callable[[Any], str]) -> Check:  # noqa: ANN401
    name = check.__name__.removeprefix("check_").replace("_", " ")
    try:
        with torch.random.fork_rng(devices=[]), quiet_plugins(), isolated("build") as changed:
            seed_everything()
            result = check(subject)
        # The checks themselves set seeds; the checks of a kind test how it may draw random numbers.
        kept = [setting for setting in changed if "seed" not in setting and "random" not in setting]
        require(not kept, f"it changes {', '.join(kept)} for the whole process; remove that")
    except ContractError as error:
        return Check(name=name, status="failed", detail=str(error))
    except InstallationError as error:
        return Check(name=name, status="noted", detail=f"can't be checked here: {error}")
    except Exception as error:  # a component may raise anything
        raised = "" if isinstance(error, ToolboxError) else "raised "
        return Check(name=name, status="failed", detail=f"{raised}{error_text(error)}")
    except (KeyboardInterrupt, GeneratorExit):
        raise
    except BaseException as error:  # SystemExit and other errors that programs should not handle
        return Check(name=name, status="failed", detail=f"it {blame.ending(error)}")
    return Check(name=name, status="noted" if isinstance(result, Note) else "ok", detail=str(result))
