"""Time several variants alternately, and report the result with the facts about the machine.

The result is JSON on stdout, and in a file with ``--json``. If it contains times, stderr gets rows of a Markdown
table: the name of the variant; its seconds, as median (minimum to maximum); our speed-up, which is the seconds of this
variant divided by the seconds of ours in the same round, as median (minimum to maximum).
"""

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

from toolbox.utils.processor import processor_name
from toolbox.utils.versions import find_version

PACKAGES = (
    *("torch", "numpy", "opencv-python", "pillow", "scikit-image", "pytorch-msssim", "torchmetrics"),
    *("safetensors", "segmentation-models-pytorch", "lightning"),
)

quick_option = click.option("--quick", is_flag=True, help="Run one small iteration, to test the code.")
json_option = click.option(
    "--json", "path", type=click.Path(path_type=Path), help="Write the raw figures to this file too."
)


def time_alternately(
    variants: Mapping[str, Callable[[], object]], rounds: int, warm_up: int = 1
) -> dict[str, list[float]]:
    """Call every variant once in each round, and return the seconds of each call by variant.

    The calls alternate, so that other load on the machine affects all variants equally. The variant that goes first
    changes from round to round. `warm_up` further rounds come first and are not counted.
    """
    return time_with_both_clocks(variants, rounds, warm_up)[0]


def time_with_both_clocks(
    variants: Mapping[str, Callable[[], object]], rounds: int, warm_up: int = 1
) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
    """Do as `time_alternately`, and return the CPU seconds too; other load on the machine affects them less."""
    wall: dict[str, list[float]] = {name: [] for name in variants}
    cpu: dict[str, list[float]] = {name: [] for name in variants}
    names = list(variants)
    for number in range(-warm_up, rounds):
        first = number % len(names)
        for name in names[first:] + names[:first]:
            wall_start, cpu_start = time.perf_counter(), time.process_time()
            variants[name]()
            if number >= 0:
                wall[name].append(time.perf_counter() - wall_start)
                cpu[name].append(time.process_time() - cpu_start)
    return wall, cpu


def spread(values: Sequence[float]) -> dict[str, float]:
    """Return the median, the minimum and the maximum."""
    return {"median": statistics.median(values), "least": min(values), "most": max(values)}


def compare(times: Mapping[str, Sequence[float]], ours: str = "ours") -> dict[str, Any]:
    """Return the spread of each variant's seconds, and the speed-up of `ours`, from the ratios in each round."""
    ratios = {
        name: spread([theirs / mine for theirs, mine in zip(values, times[ours], strict=True)])
        for name, values in times.items()
        if name != ours
    }
    return {"seconds": {name: spread(values) for name, values in times.items()}, "times_as_fast": ratios, "raw": times}


def environment() -> dict[str, Any]:
    """Return the date, the command, the machine and the versions."""
    facts: dict[str, Any] = {
        "date": time.strftime("%Y-%m-%d"),
        # Only the names of files: their folders mean nothing on another machine.
        "command": " ".join(
            ["python -m benchmarks", *(Path(word).name if "/" in word else word for word in sys.argv[1:])]
        ),
        "processor": processor_name() or "unknown",
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "versions": {name: find_version(name) for name in PACKAGES},
    }
    if "torch" in sys.modules:
        facts["threads"] = sys.modules["torch"].get_num_threads()
    return facts


def report(result: Mapping[str, Any], path: Path | None) -> None:
    """Print the environment and `result` as JSON, and write it to `path` if that is given."""
    text = json.dumps({**environment(), **result}, indent=2) + "\n"
    click.echo(text, nl=False)
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    for line in markdown_rows(result):
        click.echo(line, err=True)


def markdown_rows(result: Mapping[str, Any]) -> list[str]:
    """Return the rows of a Markdown table for a result of `compare`; see the module docstring for the columns."""
    lines = []
    for name, seconds in result.get("seconds", {}).items():
        ratio = result.get("times_as_fast", {}).get(name)
        factor = f"{ratio['median']:.2f} ({ratio['least']:.2f} to {ratio['most']:.2f})" if ratio else ""
        times = f"{seconds['median']:.4f} ({seconds['least']:.4f} to {seconds['most']:.4f})"
        lines.append(f"| {name} | {times} | {factor} |")
    return lines
