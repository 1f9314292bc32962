"""Line charts as HTML with SVG, without a script."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from html import escape

from toolbox.reports.page import format_number

Points = Sequence[tuple[float, float]]

WIDTH, HEIGHT = 480, 200
_LEFT, _RIGHT, _TOP, _BOTTOM = 76, 12, 10, 24
# Eight colours that can be distinguished on white and on black, also by most colour-blind readers (Okabe and Ito 2008).
_COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8a6d00", "#7f7f7f")
MAX_POINTS = 300
# Positive values with a larger ratio are drawn on a logarithmic axis: the small ones would be a flat line.
MAX_LINEAR_RATIO = 50


def line_chart(title: str, series: Mapping[str, Points], limits: tuple[float, float] | None = None) -> str:
    """Return a chart with one line for each series over a common horizontal axis; empty if there is no point.

    Args:
        title: above the chart.
        series: (x, y) by the name of the line. Points that are not finite are left out, and a long line is drawn by
            the means of `MAX_POINTS` sections of equal length. A single point is a dot.
        limits: the ends of the vertical axis; None: the least and the largest value.
    """
    lines = {name: shorten([(x, y) for x, y in points if math.isfinite(y)]) for name, points in series.items()}
    lines = {name: points for name, points in lines.items() if points}
    if not lines:
        return ""
    xs = [x for points in lines.values() for x, _ in points]
    ys = [y for points in lines.values() for _, y in points]
    low, high = limits or (min(ys), max(ys))
    is_logarithmic = low > 0 and high / low > MAX_LINEAR_RATIO
    to_x = _scale(min(xs), max(xs), _LEFT, WIDTH - _RIGHT)
    to_y, middle = _vertical_scale(low, high, is_logarithmic)
    parts = [
        *(
            f'<line x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{to_y(y):.1f}" y2="{to_y(y):.1f}" stroke="#8886"/>'
            f'<text x="{_LEFT - 6}" y="{to_y(y) + 4:.1f}" text-anchor="end">{format_number(float(y))}</text>'
            for y in sorted({low, middle, high})
        ),
        *_horizontal_labels(min(xs), max(xs), to_x),
    ]
    for color, points in zip(_colors(len(lines)), lines.values(), strict=True):
        path = " ".join(f"{to_x(x):.1f},{to_y(y):.1f}" for x, y in points)
        if len(points) > 1:
            parts.append(f'<polyline points="{path}" fill="none" stroke="{color}" stroke-width="1.5"/>')
        radius = 2 if len(points) > 1 else 4
        parts += [f'<circle cx="{to_x(x):.1f}" cy="{to_y(y):.1f}" r="{radius}" fill="{color}"/>' for x, y in points[:1]]
    legend = "".join(
        f'<span><i style="background:{color}"></i>{escape(name)}</span>'
        for color, name in zip(_colors(len(lines)), lines, strict=True)
    )
    caption = f"{title} (logarithmic axis)" if is_logarithmic else title
    svg = f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(caption)}">{"".join(parts)}</svg>'
    return f'<figure class="chart"><figcaption>{escape(caption)}</figcaption>{svg}<p>{legend}</p></figure>'


def shorten(points: Points) -> list[tuple[float, float]]:
    """Return at most `MAX_POINTS` points: the means of sections with equal numbers of points."""
    if len(points) <= MAX_POINTS:
        return list(points)
    edges = [round(index * len(points) / MAX_POINTS) for index in range(MAX_POINTS + 1)]
    sections = [points[start:end] for start, end in zip(edges, edges[1:], strict=False)]
    return [
        (sum(x for x, _ in part) / len(part), sum(y for _, y in part) / len(part)) for part in sections if len(part)
    ]


def _colors(count: int) -> list[str]:
    return [_COLORS[index % len(_COLORS)] for index in range(count)]


def _horizontal_labels(first: float, last: float, to_x: Callable[[float], float]) -> list[str]:
    anchors = {first: "start", last: "end"} if first < last else {first: "middle"}
    return [
        f'<text x="{to_x(x):.1f}" y="{HEIGHT - 6}" text-anchor="{anchor}">step {format_number(x)}</text>'
        for x, anchor in anchors.items()
    ]


def _vertical_scale(low: float, high: float, is_logarithmic: bool) -> tuple[Callable[[float], float], float]:
    """Return what maps a value to its height, and the value in the middle of the axis."""
    if not is_logarithmic:
        return _scale(low, high, HEIGHT - _BOTTOM, _TOP), (low + high) / 2
    to_y = _scale(math.log(low), math.log(high), HEIGHT - _BOTTOM, _TOP)
    return lambda value: to_y(math.log(value)), math.sqrt(low * high)


def _scale(low: float, high: float, start: float, end: float) -> Callable[[float], float]:
    span = high - low
    return lambda value: (start + end) / 2 if not span else start + (value - low) / span * (end - start)
