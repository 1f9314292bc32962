"""What one check says, and how a list of checks is run so that none hides the next."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch

from toolbox.errors import InstallationError, RecipeError

Status = Literal["ok", "failed", "noted"]


@dataclass(frozen=True, kw_only=True)
class Check:
    """The outcome of one check.

    Attributes:
        name: what was looked at.
        status: "ok"; "failed" where the contract is broken; "noted" for what is the author's choice, or could
            not be tried here.
        detail: what was found and, where it failed, what to do.
    """

    name: str
    status: Status
    detail: str


class Broken(Exception):
    """A component does not keep its contract; the message says what is wrong and what to do."""


class Noted(str):
    """What a check returns in place of a plain string where its author should know and may well mean it."""


def demand(kept: object, message: str) -> None:
    """Raise Broken with `message` unless `kept`."""
    if not kept:
        raise Broken(message)


def said(error: BaseException) -> str:
    """Return an error's text in one line, with its type where the text alone would not say what it is."""
    if isinstance(error, RecipeError):
        return "; ".join(str(fault) for fault in error.faults)
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:300]}" if text else type(error).__name__


def global_random() -> tuple[object, ...]:
    """Return the state of the global random numbers of torch, numpy and Python, to compare with a later one."""
    legacy = np.random.get_state(legacy=False)["state"]
    return torch.get_rng_state().numpy().tobytes(), legacy["key"].tobytes(), legacy["pos"], random.getstate()


def perform(subject: Any, checks: Iterable[Callable[[Any], str]]) -> list[Check]:  # noqa: ANN401
    """Run every check on `subject`; one that raises has failed and the others still run.

    A check is named by its function, takes the subject, and returns what it found. The global random numbers
    are the same at its start whatever ran before, and as they were when all have run.
    """
    return [_one(subject, check) for check in checks]


def _one(subject: Any, check: Callable[[Any], str]) -> Check:  # noqa: ANN401
    name = check.__name__.replace("_", " ")
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            found = check(subject)
    except Broken as fault:
        return Check(name=name, status="failed", detail=str(fault))
    except InstallationError as error:
        return Check(name=name, status="noted", detail=f"can't be tried here: {error}")
    except Exception as error:  # a component may raise anything
        return Check(name=name, status="failed", detail=f"raised {said(error)}")
    return Check(name=name, status="noted" if isinstance(found, Noted) else "ok", detail=str(found))
