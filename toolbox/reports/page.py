"""The parts of an HTML report: the page, tables, pictures. All text is escaped; nothing is loaded from elsewhere."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import TypeGuard

import cv2
import numpy as np

from toolbox import __version__
from toolbox.errors import DataError, OutputError
from toolbox.imaging import io
from toolbox.imaging.pixels import shrink
from toolbox.utils import files

THUMBNAIL_SIDE = 256
_QUALITY = 80
_LONG_TEXT = 40
_FOOTER = "<p>toolbox "
_STYLE = """
:root { color-scheme: light dark; }
body { font: 16px/1.45 system-ui, sans-serif; max-width: 70rem; margin: 0 auto; padding: 1rem;
  overflow-wrap: anywhere; }
h1 { margin-bottom: 0; }
.about { margin-top: .25rem; opacity: .8; }
.wide { overflow-x: auto; margin: .5rem 0 1.5rem; }
table { border-collapse: collapse; }
th, td { border-bottom: 1px solid #8886; padding: .25rem .75rem .25rem 0; text-align: left; vertical-align: top;
  overflow-wrap: normal; }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
td:first-child:not(.long) { white-space: nowrap; }
td.long { overflow-wrap: anywhere; min-width: 12rem; }
figure { display: inline-block; margin: 0 1rem 1rem 0; }
img { max-width: 100%; height: auto; }
.charts { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 28rem), 1fr)); gap: 1.5rem; }
.chart { display: block; margin: 0; }
.chart svg { width: 100%; height: auto; display: block; }
.chart svg text { font: 12px system-ui, sans-serif; fill: currentColor; }
.chart p { display: flex; flex-wrap: wrap; gap: 0 1rem; margin: 0; font-size: .875rem; }
.chart i { display: inline-block; width: .7rem; height: .7rem; margin-right: .35rem; }
pre { overflow: auto; padding: .75rem; background: #8882; }
.slides { display: flex; flex-wrap: wrap; gap: .15rem; align-items: center; }
.slides figure { display: none; order: 1; width: 100%; margin-top: .5rem; }
.slides img { width: 36rem; }
.pictures img { width: 24rem; }
.slides input { margin: 0; }
.slides input:checked + figure { display: block; }
.warning { border-left: .3rem solid #c60; padding-left: .75rem; }
"""


def html_page(title: str, sections: Sequence[str], about: str = "") -> str:
    """Return a complete page; `sections` are HTML, `title` and `about`, the line under it, are text."""
    policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head>\n"
        f"<body><h1>{escape(title)}</h1>\n"
        + "\n".join([*([paragraph(about, "about")] if about else []), *sections])
        + f"\n{_FOOTER}{__version__}</p></body></html>\n"
    )


def write_page(path: Path, page: str) -> None:
    """Write a page of `html_page`; OutputError if it can't be written, or would replace a file of another origin."""
    require_replaceable(path)
    files.write_text(path, page)


def require_replaceable(path: Path) -> None:
    """Raise OutputError if a file exists at the path of a page and was not written by `html_page`."""
    if path.is_file() and _FOOTER.encode() not in path.read_bytes()[-200:]:
        raise OutputError(f"{files.printable(path)} is not a report of toolbox and would be replaced; move that file")


def section(title: str, *parts: str) -> str:
    """Return a section with a heading; `parts` are HTML."""
    return f"<section><h2>{escape(title)}</h2>\n" + "\n".join(parts) + "</section>"


def paragraph(text: str, kind: str = "") -> str:
    """Return a paragraph of text; `kind` is a class of the style sheet."""
    return f'<p class="{kind}">{escape(text)}</p>' if kind else f"<p>{escape(text)}</p>"


def table(header: Sequence[str], rows: Sequence[Sequence[object]], decimals: int | None = None) -> str:
    """Return a table of text and numbers; columns of numbers are aligned on the right.

    Args:
        header: the titles of the columns; empty: none.
        rows: the cells of each row; None is an empty cell.
        decimals: of numbers that are not whole; None: as `format_number`.
    """
    count = max(map(len, [header, *rows]), default=0)
    columns = [[row[index] for row in rows if index < len(row) and row[index] is not None] for index in range(count)]
    is_number = [bool(values) and all(map(_is_number, values)) for values in columns]

    def cells(row: Sequence[object], tag: str) -> str:
        texts = [_text(value, decimals) for value in row]
        kinds = [
            "number" if numeric else "long" if len(text) > _LONG_TEXT else ""
            for text, numeric in zip(texts, is_number, strict=False)
        ]
        return "".join(
            f'<{tag} class="{kind}">{escape(text)}</{tag}>' if kind else f"<{tag}>{escape(text)}</{tag}>"
            for text, kind in zip(texts, kinds, strict=True)
        )

    head = f"<tr>{cells(header, 'th')}</tr>" if header else ""
    lines = [f"<tr>{cells(row, 'td')}</tr>" for row in rows]
    return f'<div class="wide"><table>{head}{"".join(lines)}</table></div>'


def _is_number(value: object) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _text(value: object, decimals: int | None) -> str:
    if isinstance(value, float) and decimals is not None:
        return f"{value:.{decimals}f}"
    if _is_number(value):
        return format_number(value)
    return "" if value is None else str(value)


def format_number(value: float) -> str:
    """Return a number with four significant digits; whole numbers in full, and none below 10 million with a power."""
    if isinstance(value, int):
        return str(value)
    return f"{value:.0f}" if 1e4 <= abs(value) < 1e7 else f"{value:.4g}"


def setting_text(value: object) -> str:
    """Return the value of a setting as a table shows it."""
    return "not set" if value is None else value if isinstance(value, str) else json.dumps(value)


def chart_grid(charts: Sequence[str], none: str) -> str:
    """Return charts, two beside each other where the page is wide enough; the text `none` if all are empty."""
    drawn = [chart for chart in charts if chart]
    return f'<div class="charts">{"".join(drawn)}</div>' if drawn else paragraph(none)


def figure(picture: str, caption: str) -> str:
    """Return a picture with its caption; `picture` is what `picture_url` returned."""
    return f'<figure><img src="{picture}" alt="{escape(caption)}"><figcaption>{escape(caption)}</figcaption></figure>'


def pictures(figures: Sequence[str]) -> str:
    """Return pictures beside each other, of the same width; `figures` are what `figure` returned."""
    return f'<div class="pictures">{"".join(figures)}</div>'


def slides(name: str, pictures: Sequence[tuple[str, str]]) -> str:
    """Return pictures of which one is shown at a time, first the last one; arrow keys show the others.

    Args:
        name: distinguishes several such groups on a page.
        pictures: (caption, picture), the pictures as in `figure`.
    """
    parts = []
    for number, (caption, picture) in enumerate(pictures, 1):
        checked = " checked" if number == len(pictures) else ""
        button = f'<input type="radio" name="{escape(name)}" title="{escape(caption)}"{checked}>'
        parts.append(button + figure(picture, caption))
    return f'<div class="slides">{"".join(parts)}</div>'


def picture_url(rgb: np.ndarray, side: int = THUMBNAIL_SIDE) -> str:
    """Return (H, W, 3) uint8 RGB as a JPEG in a data URL, with a long side of at most `side` pixels."""
    _, data = cv2.imencode(
        ".jpg", cv2.cvtColor(shrink(rgb, side), cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, _QUALITY]
    )
    return "data:image/jpeg;base64," + base64.b64encode(data.tobytes()).decode()


def picture_file(path: Path, side: int = THUMBNAIL_SIDE) -> str | None:
    """Return a picture file as `picture_url` does; None if it is missing or can't be read."""
    try:
        return picture_url(io.read_rgb(path), side) if path.is_file() else None
    except DataError:
        return None
