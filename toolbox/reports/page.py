"""The parts of an HTML report: the page, tables, pictures. All text is escaped; nothing is loaded from elsewhere."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from html import escape
from pathlib import Path

import cv2
import numpy as np

from toolbox import __version__
from toolbox.errors import DataError
from toolbox.imaging import io
from toolbox.imaging.pixels import shrink

THUMBNAIL_SIDE = 256
_QUALITY = 80
_STYLE = """
:root { color-scheme: light dark; }
body { font: 16px/1.45 system-ui, sans-serif; max-width: 70rem; margin: 0 auto; padding: 1rem; }
table { border-collapse: collapse; margin: .5rem 0 1.5rem; }
th, td { border-bottom: 1px solid #8886; padding: .25rem .75rem .25rem 0; text-align: left; vertical-align: top; }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; }
figure { display: inline-block; margin: 0 1rem 1rem 0; }
img { max-width: 100%; height: auto; }
svg { max-width: 100%; height: auto; display: block; margin-bottom: 1rem; }
svg text { font: 12px system-ui, sans-serif; fill: currentColor; }
pre { overflow: auto; padding: .75rem; background: #8882; }
.slides { display: flex; flex-wrap: wrap; gap: .15rem; align-items: center; }
.slides figure { display: none; order: 1; width: 100%; margin-top: .5rem; }
.slides input { margin: 0; }
.slides input:checked + figure { display: block; }
.warning { border-left: .3rem solid #c60; padding-left: .75rem; }
"""


def html_page(title: str, sections: Sequence[str]) -> str:
    """Return a complete page; `sections` are HTML, `title` is text."""
    policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head>\n"
        f"<body><h1>{escape(title)}</h1>\n" + "\n".join(sections) + f"\n<p>toolbox {__version__}</p></body></html>\n"
    )


def section(title: str, *parts: str) -> str:
    """Return a section with a heading; `parts` are HTML."""
    return f"<section><h2>{escape(title)}</h2>\n" + "\n".join(parts) + "</section>"


def paragraph(text: str, kind: str = "") -> str:
    """Return a paragraph of text; `kind` is a class of the style sheet."""
    return f'<p class="{kind}">{escape(text)}</p>' if kind else f"<p>{escape(text)}</p>"


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Return a table of text and numbers; numbers are aligned on the right."""

    def cells(row: Sequence[object], tag: str) -> str:
        return "".join(
            f'<{tag} class="number">{format_number(value)}</{tag}>'
            if isinstance(value, int | float) and not isinstance(value, bool)
            else f"<{tag}>{escape('' if value is None else str(value))}</{tag}>"
            for value in row
        )

    head = f"<tr>{cells(header, 'th')}</tr>" if header else ""
    lines = [f"<tr>{cells(row, 'td')}</tr>" for row in rows]
    return f"<table>{head}{''.join(lines)}</table>"


def format_number(value: float) -> str:
    """Return a number with four significant digits; whole numbers in full."""
    return str(value) if isinstance(value, int) else f"{value:.4g}"


def figure(picture: str, caption: str) -> str:
    """Return a picture with its caption; `picture` is what `picture_url` returned."""
    return f'<figure><img src="{picture}" alt="{escape(caption)}"><figcaption>{escape(caption)}</figcaption></figure>'


def slides(name: str, pictures: Sequence[tuple[str, str]]) -> str:
    """Return pictures of which one is shown at a time, the last one at first; arrow keys go through them.

    Args:
        name: tells several such groups on a page apart.
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
