"""Line charts as SVG, without a script."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from html import escape

from toolbox.reports.page import format_number

Points = Sequence[tuple[float, float]]

WIDTH, HEIGHT = 720, 220
_LEFT, _RIGHT, _TOP, _BOTTOM = 76, 150, 28, 24
# Eight colours that can be told apart on white and on black, also by most colour-blind readers (Okabe and Ito 2008).
_COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8a6d00", "#7f7f7f")
MAX_POINTS = 300


def line_chart(title: str, series: Mapping[str, Points]) -> str:
    """Return a chart with one line for each series over a common horizontal axis; empty if no series has two points.

    Args:
        title: above the chart.
        series: (x, y) by the name of the line. Points that are not finite are left out, and a long line is drawn by
            the means of `MAX_POINTS` sections of equal length.
    """
    lines = {name: shorten([(x, y) for x, y in points if math.isfinite(y)]) for name, points in series.items()}
    lines = {name: points for name, points in lines.items() if points}
    if max((len(points) for points in lines.values()), default=0) < 2:
        return ""
    xs = [x for points in lines.values() for x, _ in points]
    ys = [y for points in lines.values() for _, y in points]
    to_x = _scale(min(xs), max(xs), _LEFT, WIDTH - _RIGHT)
    to_y = _scale(min(ys), max(ys), HEIGHT - _BOTTOM, _TOP)
    parts = [
        f'<text x="{_LEFT}" y="16">{escape(title)}</text>',
        *(
            f'<line x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{to_y(y):.1f}" y2="{to_y(y):.1f}" stroke="#8886"/>'
            f'<text x="{_LEFT - 6}" y="{to_y(y) + 4:.1f}" text-anchor="end">{format_number(float(y))}</text>'
            for y in sorted({min(ys), (min(ys) + max(ys)) / 2, max(ys)})
        ),
        *(
            f'<text x="{to_x(x):.1f}" y="{HEIGHT - 6}" text-anchor="middle">{format_number(x)}</text>'
            for x in sorted({min(xs), max(xs)})
        ),
    ]
    for index, (name, points) in enumerate(lines.items()):
        color = _COLORS[index % len(_COLORS)]
        path = " ".join(f"{to_x(x):.1f},{to_y(y):.1f}" for x, y in points)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{color}" stroke-width="1.5"/>')
        parts += [f'<circle cx="{to_x(x):.1f}" cy="{to_y(y):.1f}" r="2" fill="{color}"/>' for x, y in points[:1]]
        row = _TOP + 10 + 16 * index
        parts.append(f'<rect x="{WIDTH - _RIGHT + 10}" y="{row - 9}" width="10" height="10" fill="{color}"/>')
        parts.append(f'<text x="{WIDTH - _RIGHT + 26}" y="{row}">{escape(name)}</text>')
    height = max(HEIGHT, _TOP + 16 * (len(lines) + 1))
    return f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(title)}">{"".join(parts)}</svg>'


def shorten(points: Points) -> list[tuple[float, float]]:
    """Return at most `MAX_POINTS` points: the means of sections with equal numbers of points."""
    if len(points) <= MAX_POINTS:
        return list(points)
    edges = [round(index * len(points) / MAX_POINTS) for index in range(MAX_POINTS + 1)]
    sections = [points[start:end] for start, end in zip(edges, edges[1:], strict=False)]
    return [
        (sum(x for x, _ in part) / len(part), sum(y for _, y in part) / len(part)) for part in sections if len(part)
    ]


def _scale(low: float, high: float, start: float, end: float) -> Callable[[float], float]:
    span = high - low
    return lambda value: (start + end) / 2 if not span else start + (value - low) / span * (end - start)
