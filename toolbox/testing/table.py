"""The outcomes of checks as a table for people, and as rows for JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from toolbox.testing.checks import Check

Results = Mapping[str, Sequence[Check]]
HEADER = ("COMPONENT", "CHECK", "STATUS", "DETAIL")


def rows(results: Results, kept: Literal["all", "failed or noted"] = "all") -> list[tuple[str, str, str, str]]:
    """Return one row per check: component, check, status, detail.

    With `kept` "failed or noted", the checks of a component that are ok become one row.
    """
    lines: list[tuple[str, str, str, str]] = []
    for component, checks in results.items():
        listed = [check for check in checks if kept == "all" or check.status != "ok"]
        lines += [(component, check.name, check.status, check.detail) for check in listed]
        omitted = len(checks) - len(listed)
        if omitted:
            lines.append((component, f"{omitted} more" if listed else f"{omitted} checks", "ok", ""))
    return lines


def summary(results: Results) -> str:
    """Return one line: the number of components and checks, and how many failed or are noted."""
    statuses = [check.status for checks in results.values() for check in checks]
    failed, noted = statuses.count("failed"), statuses.count("noted")
    return f"{len(results)} checked, {len(statuses)} checks: {failed} failed, {noted} noted"


def table(results: Results, kept: Literal["all", "failed or noted"] = "all") -> str:
    """Return the rows in aligned columns, and the summary."""
    lines = [HEADER, *rows(results, kept)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEADER) - 1)]
    text = ["  ".join([*(c.ljust(w) for c, w in zip(line, widths, strict=False)), line[-1]]).rstrip() for line in lines]
    return "\n".join([*text, summary(results)])


def json_rows(results: Results) -> list[dict[str, Any]]:
    """Return one dict per check, for JSON."""
    return [
        {"component": component, "check": check.name, "status": check.status, "detail": check.detail}
        for component, checks in results.items()
        for check in checks
    ]
