"""The figures of a restored photograph, their means over photographs, and the bootstrap intervals of the means."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from toolbox.errors import PluginError
from toolbox.evaluation import colors, metrics
from toolbox.hooks import blame
from toolbox.hooks.protocols import Metric
from toolbox.utils.memory import is_out_of_device_memory, is_out_of_memory

Figures = dict[str, float | None]
Interval = tuple[float, float]

# The figures in their order; those of plugins follow. docs/score.md defines them.
ORDER = (
    *("S", "M", "C", "score", "psnr", "ssim", "ab", "ab_gray", "ab_ratio"),
    *("colorfulness", "colorfulness_truth", "colorfulness_ratio", "lpips"),
)
# Quotients of two figures. The mean of a quotient is the quotient of the means, so a gray truth does not decide it.
RATIOS = {"ab_ratio": ("ab", "ab_gray"), "colorfulness_ratio": ("colorfulness", "colorfulness_truth")}
RESAMPLES = 2000
PERCENTILES = (2.5, 97.5)
# The divisor of a quotient is at least this; a gray photograph has less.
_LEAST = 0.1
_CHUNK = 100


@dataclass(frozen=True, kw_only=True)
class ExtraFigures:
    """The figures that need weights or a plugin.

    Attributes:
        lpips: returns the LPIPS of a restored photograph and its truth; None: it is not measured.
        metrics: metrics of plugins by label. One with the name of a figure of `ORDER` is left out.
        failures: gets a line for each metric that fails, by label; it is not called again.
        notes: a line for each metric that is installed and can't be used.
    """

    lpips: Callable[[np.ndarray, np.ndarray], float | None] | None = None
    metrics: Mapping[str, Metric] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def all_notes(self) -> list[str]:
        """Return the notes, and a line for each metric that has failed."""
        return [*self.notes, *(f"The metric '{label}' has failed: {line}" for label, line in self.failures.items())]


@dataclass(frozen=True, kw_only=True)
class FigureTable:
    """The figures of photographs.

    Attributes:
        images: the figures of each photograph, by its name; None where a figure is undefined.
        mean: the mean of each figure over the photographs that have it; see `RATIOS` and `metrics.mean`.
        intervals: the 95 % bootstrap interval of each mean; None for fewer than two photographs.
    """

    images: dict[str, Figures]
    mean: Figures
    intervals: dict[str, Interval | None]


def measure(restored: np.ndarray, truth: np.ndarray, mask: np.ndarray | None, extra: ExtraFigures) -> Figures:
    """Return the figures of one photograph.

    Args:
        restored: (H, W, 3) uint8 RGB.
        truth: of the same shape.
        mask: (H, W) bool, True where the photograph was lost. None: unknown; then M and the score are None, and the
            metrics of plugins get an empty mask.
        extra: what else to measure.

    Raises:
        ValueError: a wrong type, or shapes that differ.
    """
    score, true_ab = metrics.score(restored, truth, mask), colors.ab(truth)
    figures: Figures = {
        "S": score.S,
        "M": score.M,
        "C": score.C,
        "psnr": metrics.psnr(restored, truth),
        "ssim": metrics.standard_ssim(restored, truth),
        "ab": float(colors.chroma(colors.ab(restored) - true_ab).mean()),
        "ab_gray": float(colors.chroma(true_ab).mean()),
        "colorfulness": colors.colorfulness(restored),
        "colorfulness_truth": colors.colorfulness(truth),
    }
    if extra.lpips is not None:
        figures["lpips"] = extra.lpips(restored, truth)
    lost = np.zeros(truth.shape[:2], bool) if mask is None else mask
    for label, metric in extra.metrics.items():
        if label not in ORDER:
            figures[label] = call_metric(label, metric, restored, truth, lost, extra.failures)
    columns = _complete({name: _number(value) for name, value in figures.items()})
    return {name: _figure(value) for name, value in columns.items()}


def call_metric(
    label: str,
    metric: Metric,
    restored: np.ndarray,
    truth: np.ndarray,
    mask: np.ndarray,
    failures: dict[str, str],
) -> float | None:
    """Return the figure of one metric, arguments as in `measure`; if it fails, add the reason to `failures`."""
    if label in failures:
        return None
    try:
        return metric(restored, truth, mask)
    except Exception as error:  # a metric may raise anything
        reason = blame.explain(error) or error
        # Memory that a metric needs for one photograph does not depend on the batch.
        is_own = is_out_of_memory(error) and not is_out_of_device_memory(error)
        place = blame.place(error) if is_own else ""
        if not isinstance(reason, PluginError) and not place:
            raise
        failures[label] = f"Memory ran out in {place}." if place else str(reason)
        return None


def summarize(images: Mapping[str, Figures], *, seed: int = 0) -> FigureTable:
    """Return the figures of photographs with their means and the 95 % intervals of these.

    The interval is the percentile bootstrap (Efron and Tibshirani, "An Introduction to the Bootstrap", 1993): the
    photographs are drawn `RESAMPLES` times with replacement. It says how much the mean depends on the choice of the
    photographs, and nothing about the spread over training seeds.
    """
    rows = list(images.values())
    names = [name for name in (rows[0] if rows else ()) if name != "score" and name not in RATIOS]
    table = np.array([[_number(row[name]) for name in names] for row in rows], np.float64).reshape(len(rows), -1)
    means = {name: _mean(table[:, index]) for index, name in enumerate(names)}
    return FigureTable(
        images=dict(images),
        mean={name: _figure(value) for name, value in _complete(means).items()},
        intervals=_intervals(names, table, seed),
    )


def _intervals(names: Sequence[str], table: np.ndarray, seed: int) -> dict[str, Interval | None]:
    """Return the interval of each mean of the columns of `table` (N, K), and of the figures derived from them."""
    known = ~np.isnan(table)
    values = np.where(known, table, 0)
    random, chunks = np.random.default_rng(seed), []
    count = len(table)
    for _ in range(RESAMPLES // _CHUNK if count > 1 else 0):
        drawn = random.multinomial(count, np.full(count, 1 / count), _CHUNK).astype(np.float64)
        with np.errstate(invalid="ignore", over="ignore"):
            chunks.append((drawn @ values) / (drawn @ known))
    if not chunks:
        return dict.fromkeys(_complete({name: np.float64("nan") for name in names}))
    means = np.concatenate(chunks)
    columns = _complete({name: means[:, index] for index, name in enumerate(names)})
    enough = {name: known[:, names.index(name)].sum() > 1 for name in names}
    intervals: dict[str, Interval | None] = {}
    for name, column in columns.items():
        defined = column[np.isfinite(column)]
        intervals[name] = None
        if len(defined) and enough.get(name, True):
            low, high = np.percentile(defined, PERCENTILES)
            intervals[name] = (float(low), float(high))
    return intervals


def _complete(base: Mapping[str, Any]) -> dict[str, Any]:
    """Return figures, or columns of figures, with those that are derived from them, in the order of `ORDER`."""
    columns = dict(base)
    if base:
        columns["score"] = sum(weight * base[part] for weight, part in zip(metrics.WEIGHTS, "SMC", strict=True))
    for name, (value, divisor) in RATIOS.items():
        if divisor in base:
            with np.errstate(divide="ignore", invalid="ignore"):
                columns[name] = np.where(base[divisor] >= _LEAST, base[value] / base[divisor], np.nan)
    ordered = [name for name in ORDER if name in columns]
    return {name: columns[name] for name in [*ordered, *(name for name in columns if name not in ORDER)]}


def _mean(column: np.ndarray) -> np.float64:
    defined = column[~np.isnan(column)]
    if not len(defined):
        return np.float64("nan")
    try:
        return np.float64(math.fsum(defined) / len(defined))
    except OverflowError:  # the sum is too large, the mean is not
        return np.float64(math.fsum(defined / len(defined)))


def _number(value: float | None) -> np.float64:
    return np.float64("nan" if value is None else value)


def _figure(value: np.ndarray | np.float64) -> float | None:
    number = float(value)
    return None if math.isnan(number) else number
