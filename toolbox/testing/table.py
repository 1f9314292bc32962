"""The outcome of checks as a table that a person can act on, and as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from toolbox.testing.checks import Check

Results = Mapping[str, Sequence[Check]]
HEADER = ("COMPONENT", "CHECK", "STATUS", "WHAT TO KNOW, WHAT TO DO")


def rows(results: Results, kept: Literal["all", "failed or noted"] = "all") -> list[tuple[str, str, str, str]]:
    """Return a row a check: component, check, status, detail; the checks that are ok as one row if not `kept`."""
    found: list[tuple[str, str, str, str]] = []
    for component, checks in results.items():
        shown = [check for check in checks if kept == "all" or check.status != "ok"]
        found += [(component, check.name, check.status, check.detail) for check in shown]
        silent = len(checks) - len(shown)
        if silent:
            found.append((component, f"{silent} more" if shown else f"{silent} checks", "ok", ""))
    return found


def summary(results: Results) -> str:
    """Return one line: how many components, how many checks, how many failed or are noted."""
    checks = [check for some in results.values() for check in some]
    failed, noted = (sum(check.status == status for check in checks) for status in ("failed", "noted"))
    return f"{len(results)} checked, {len(checks)} checks: {failed} failed, {noted} noted"


def table(results: Results, kept: Literal["all", "failed or noted"] = "all") -> str:
    """Return the rows in columns, and the summary."""
    lines = [HEADER, *rows(results, kept)]
    widths = [max(len(line[place]) for line in lines) for place in range(len(HEADER) - 1)]
    text = ["  ".join([*(c.ljust(w) for c, w in zip(line, widths, strict=False)), line[-1]]).rstrip() for line in lines]
    return "\n".join([*text, summary(results)])


def plain(results: Results) -> list[dict[str, Any]]:
    """Return a dict a check, for JSON."""
    return [
        {"component": component, "check": check.name, "status": check.status, "detail": check.detail}
        for component, checks in results.items()
        for check in checks
    ]
