"""A stand-in for trained weights, and what tests of `toolbox restore` share."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from click.testing import CliRunner
from pictures import scene, smooth

from toolbox.cli import main
from toolbox.color import integer_luma
from toolbox.imaging import io

FILL = 100


@dataclass(frozen=True, kw_only=True)
class Stand:
    """Fills what is lost with one gray, leaves the rest as it is, and notes what it was given."""

    keep: str = "luma"
    say: Callable[[str], None] = print
    calls: list = field(default_factory=list)
    before: Callable[[int], None] = lambda count: None

    def __call__(self, image, mask):
        assert mask.dtype == bool and mask.shape == image.shape[:2]
        self.before(len(self.calls))
        self.calls.append((self.keep, image.copy(), mask.copy()))
        result = np.repeat(image[..., None], 3, axis=2) if image.ndim == 2 else image.copy()
        result[mask] = FILL * (257 if image.dtype == np.uint16 else 1)
        return result


def standing(monkeypatch):
    """Put a stand-in where the weights are loaded, and return it."""
    made = Stand()
    monkeypatch.setattr("toolbox.inference.restorer.load_restorer", lambda weights, **options: made)
    return made


def restored(*words, code=0):
    """Run `toolbox restore` and demand its exit code."""
    result = CliRunner().invoke(main, ["restore", *map(str, words)])
    assert result.exit_code == code, (result.output, result.exception)
    return result


def gray(height=48, width=64, seed=3):
    return integer_luma(smooth(height, width)) ^ (scene(height, width, 1, seed=seed) & 7)


def three(pixels):
    return np.repeat(pixels[..., None], 3, axis=2)


def album_at(folder):
    """Write three gray photographs, one in a folder of its own."""
    for name in ("a.png", "b.png", "sub/c.png"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        io.write_png(folder / name, gray(seed=len(name)))
    return folder


def digests(folder):
    return {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in Path(folder).rglob("*") if path.is_file()}


def report(out):
    return json.loads((out / "report.json").read_text("utf-8"))
