"""A stand-in for trained weights, and helpers for tests of `toolbox restore`."""

from __future__ import annotations

import hashlib
import importlib
import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from click.testing import CliRunner
from pictures import scene, smooth
from scenes import Tint
from torch import nn

from toolbox.cli import main
from toolbox.color import integer_luma
from toolbox.imaging import io
from toolbox.inference.color_classes import ColorPredictor
from toolbox.inference.guided import Restoration
from toolbox.inference.photo_view import make_view

FILL = 100


@dataclass(frozen=True, kw_only=True)
class StandIn:
    """A restorer that fills the lost region with one gray, leaves other pixels, and records its calls."""

    keep: str = "luma"
    saturation: float = 1.0
    predicts_classes: bool = False
    filler: object = None
    repair: object = None
    network: nn.Module = field(default_factory=Tint)
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    multiple: int = 1
    size: int = 64
    warn: Callable[[str], None] = print
    calls: list = field(default_factory=list)
    before_call: Callable[[int], None] = lambda count: None

    def __call__(self, image, mask):
        assert mask.dtype == bool and mask.shape == image.shape[:2]
        self.before_call(len(self.calls))
        self.calls.append((self.keep, image.copy(), mask.copy()))
        result = np.repeat(image[..., None], 3, axis=2) if image.ndim == 2 else image.copy()
        result[mask] = FILL * (257 if image.dtype == np.uint16 else 1)
        return result

    @property
    def color_predictor(self):
        """The network of the stand-in, which predicts no classes of colours."""
        return ColorPredictor(network=self.network, multiple=self.multiple, device=self.device, side=self.size)

    def restore(self, image, mask, **guidance):
        """Return the result as a restorer does, without a record of where pixels come from."""
        return Restoration(pixels=self(image, mask), origin=np.zeros(mask.shape, np.uint8))

    def prepare(self, image, mask, **guidance):
        """Return the photograph with its mask, and no guide."""
        return make_view(image, mask), None

    def restore_prepared(self, view, guide):
        """Return the result as `restore`."""
        return self.restore(view.image, view.mask)


def install_stand_in(monkeypatch):
    """Return a stand-in that `toolbox restore` uses instead of trained weights."""
    return install(monkeypatch, StandIn())


def install(monkeypatch, restorer):
    """Use a restorer instead of trained weights, and return it."""
    # Imported while the function is replaced, these modules would keep the stand-in after the test.
    for module in ("toolbox.api", "toolbox.evaluation.score_weights", "toolbox.inference.arrays"):
        importlib.import_module(module)
    monkeypatch.setattr("toolbox.inference.loading.load_restorer", lambda weights, **options: restorer)
    return restorer


def hold(restorer):
    """Let a stand-in wait in each call; return the gate that lets it go on."""
    gate = threading.Event()
    object.__setattr__(restorer, "before_call", lambda count: gate.wait(10))
    return gate


def run_restore(*arguments, code=0):
    """Run `toolbox restore`, check its exit code, and return the result."""
    result = CliRunner().invoke(main, ["restore", *map(str, arguments)])
    assert result.exit_code == code, (result.output, result.exception)
    return result


def gray(height=48, width=64, seed=3):
    return integer_luma(smooth(height, width)) ^ (scene(height, width, 1, seed=seed) & 7)


def gray_to_rgb(pixels):
    return np.repeat(pixels[..., None], 3, axis=2)


def write_album(folder):
    """Write three gray photographs, one of them in a subfolder."""
    for name in ("a.png", "b.png", "sub/c.png"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        io.write_png(folder / name, gray(seed=len(name)))
    return folder


def digests(folder):
    return {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in Path(folder).rglob("*") if path.is_file()}


def read_report(out):
    return json.loads((out / "report.json").read_text("utf-8"))
