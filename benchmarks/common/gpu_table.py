"""The Markdown table of the benchmark `gpu`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def markdown_table(results: dict[str, Any]) -> list[str]:
    """Return the Markdown table of the rows that were measured."""
    lines = ["| what | here | target |", "|---|---|---|"]

    def add(row: str, what: str, target: str, describe: Callable[[dict[str, Any]], str]) -> None:
        if row in results:
            result = results[row]
            lines.append(f"| {what} | {result['fault'] if 'fault' in result else describe(result)} | {target} |")

    def speed(result: dict[str, Any], other: str) -> str:
        ratio = result["times_as_fast"].get(other)
        if ratio is None:
            return f"{other} is not installed"
        return f"{ratio['median']:.2f} times as fast ({ratio['least']:.2f} to {ratio['most']:.2f})"

    def share(name: str) -> Callable[[dict[str, Any]], str]:
        return lambda result: f"{result['share_of_the_matrix_rate'][name]:.1%}"

    add("step", "step of `default`, bf16, against the published step", "10", lambda result: speed(result, "published"))
    add("compiled", "step of `default`, bf16, compiled against not", "", lambda result: speed(result, "plain"))
    add("arithmetic", "generator's share of the matrix rate", "45 %", share("generator"))
    add("arithmetic", "whole step's share of the matrix rate", "", share("step"))
    add(
        *("arithmetic", "share of the step that is the float32 penalty", ""),
        lambda result: f"{result['penalty_share_of_the_step']:.1%}",
    )
    for precision in results.get("two-stage", {}):
        add(
            *("two-stage", f"two-stage, ours in {precision}", "1.2"),
            lambda result, precision=precision: speed(result[precision], "Lightning"),
        )
    for library in ("pytorch-msssim", "torchmetrics"):
        add("ssim", f"SSIM against {library}", "1", lambda result, library=library: speed(result, library))
    for variant, target in (("ours", "0.9"), ("ours, recomputed", "0.6")):
        add(
            *("memory", f"peak memory, {variant}", target),
            lambda result, variant=variant: f"{result['share_of_the_published'][variant]['peak']:.2f}",
        )
    add("waiting", "share of a step waiting for data", "2 %", lambda result: f"{result['share_waiting']:.2%}")
    return lines
