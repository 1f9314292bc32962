"""What every benchmark needs: sides timed in turn, the machine's facts, the result as JSON and as a row of Markdown."""

from __future__ import annotations

import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from toolbox.utils.versions import find_version

PACKAGES = (
    *("torch", "numpy", "opencv-python", "pillow", "scikit-image", "pytorch-msssim", "torchmetrics"),
    *("safetensors", "segmentation-models-pytorch", "lightning"),
)

quick = click.option("--quick", is_flag=True, help="One small iteration, to see that it works.")
json_path = click.option("--json", "path", type=click.Path(path_type=Path), help="Write the raw figures here as well.")


def in_turn(sides: Mapping[str, Callable[[], object]], rounds: int, warm_up: int = 1) -> dict[str, list[float]]:
    """Time every side once a round, in turn, so that a noisy machine disturbs all alike; seconds by side.

    The side that goes first changes by the round. Rounds of `warm_up` come before and are not counted.
    """
    return by_both_clocks(sides, rounds, warm_up)[0]


def by_both_clocks(
    sides: Mapping[str, Callable[[], object]], rounds: int, warm_up: int = 1
) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
    """Do as `in_turn`; return the processor's seconds too, which a busy machine disturbs less."""
    times: dict[str, list[float]] = {name: [] for name in sides}
    spent: dict[str, list[float]] = {name: [] for name in sides}
    names = list(sides)
    for number in range(-warm_up, rounds):
        first = number % len(names)
        for name in names[first:] + names[:first]:
            started, used = time.perf_counter(), time.process_time()
            sides[name]()
            if number >= 0:
                times[name].append(time.perf_counter() - started)
                spent[name].append(time.process_time() - used)
    return times, spent


def spread(values: Sequence[float]) -> dict[str, float]:
    """Return the median, the least and the most."""
    return {"median": statistics.median(values), "least": min(values), "most": max(values)}


def summary(times: Mapping[str, Sequence[float]], ours: str = "ours") -> dict[str, Any]:
    """Return the spread of each side's seconds, and how many times as fast `ours` is, by the pairs of one round."""
    ratios = {
        name: spread([one / mine for one, mine in zip(values, times[ours], strict=True)])
        for name, values in times.items()
        if name != ours
    }
    return {"seconds": {name: spread(values) for name, values in times.items()}, "times_as_fast": ratios, "raw": times}


def facts() -> dict[str, Any]:
    """Return the machine, the versions, the date and the command."""
    versions = {name: find_version(name) for name in PACKAGES}
    found: dict[str, Any] = {
        "date": time.strftime("%Y-%m-%d"),
        # Where they lie on this machine says nothing elsewhere.
        "command": " ".join(
            ["python -m benchmarks", *(Path(word).name if "/" in word else word for word in sys.argv[1:])]
        ),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "versions": versions,
    }
    if "torch" in sys.modules:
        found["threads"] = sys.modules["torch"].get_num_threads()
    return found


def report(result: Mapping[str, Any], path: Path | None) -> None:
    """Print the facts and `result` as JSON; into `path` too, if it is given."""
    text = json.dumps({**facts(), **result}, indent=2) + "\n"
    click.echo(text, nl=False)
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    for line in rows(result):
        click.echo(line, err=True)


def rows(result: Mapping[str, Any]) -> list[str]:
    """Return the sides of a result of `summary` as rows of a Markdown table: seconds, and times as fast."""
    lines = []
    for name, seconds in result.get("seconds", {}).items():
        ratio = result.get("times_as_fast", {}).get(name)
        than = f"{ratio['median']:.2f} ({ratio['least']:.2f} to {ratio['most']:.2f})" if ratio else ""
        lines.append(f"| {name} | {seconds['median']:.4f} ({seconds['least']:.4f} to {seconds['most']:.4f}) | {than} |")
    return lines


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")
