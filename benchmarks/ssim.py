"""SSIM as a loss, forward and backward: ours against pytorch-msssim and torchmetrics, by one window."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import torch
from toolbox_plugins.default.ssim import ssim
from torch import Tensor

from benchmarks import _measure
from toolbox.distributed.accelerator import make_accelerator

WINDOW, SIGMA = 11, 1.5


def sides() -> dict[str, Callable[[Tensor, Tensor], Tensor]]:
    """Return the mean SSIM of two batches in [0, 1] by each library that is installed."""
    found: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
        "ours": lambda x, y: ssim(
            x, y, side=WINDOW, kernel="gaussian", sigma=SIGMA, sample_covariance=False, data_range=1.0
        ).mean()
    }
    try:
        from pytorch_msssim import ssim as msssim

        found["pytorch-msssim"] = lambda x, y: msssim(x, y, data_range=1.0, win_size=WINDOW, win_sigma=SIGMA)
    except ImportError:
        pass
    try:
        from torchmetrics.functional.image import structural_similarity_index_measure as theirs

        found["torchmetrics"] = lambda x, y: theirs(x, y, sigma=SIGMA, kernel_size=WINDOW, data_range=1.0)
    except ImportError:
        pass
    return found


def measure(batch: int, size: int, rounds: int, device: str | None) -> dict[str, Any]:
    """Return the seconds of each library, forward and backward, in turn, and what it computed."""
    place = make_accelerator(device).device
    draw = torch.Generator().manual_seed(0)
    truth = torch.rand((batch, 3, size, size), generator=draw).to(place)
    # Smooth and near to each other, as restored pictures are; the values do not change what is computed.
    truth = torch.nn.functional.avg_pool2d(truth, 5, 1, 2)
    restored = (truth + 0.05 * torch.randn(truth.shape, generator=draw).to(place)).clamp(0, 1).requires_grad_()
    values: dict[str, float] = {}

    def timed(name: str, call: Callable[[Tensor, Tensor], Tensor]) -> Callable[[], None]:
        def once() -> None:
            restored.grad = None
            loss = 1 - call(restored, truth)
            loss.backward()
            values[name] = 1 - float(loss.detach())  # waits for the device
            if place.type == "cuda":
                torch.cuda.synchronize()

        return once

    found = sides()
    times = _measure.in_turn({name: timed(name, call) for name, call in found.items()}, rounds)
    return {
        "shape": list(truth.shape),
        "device": str(place),
        "window": f"Gaussian, {WINDOW}x{WINDOW}, sigma {SIGMA}",
        "not_installed": sorted({"pytorch-msssim", "torchmetrics"} - found.keys()),
        "values": values,
        **_measure.summary(times),
    }


@click.command("ssim")
@click.option("--batch", default=8, show_default=True, help="Pictures.")
@click.option("--size", default=512, show_default=True, help="Side of the pictures in pixels.")
@click.option("--rounds", default=9, show_default=True, help="Times of each, in turn.")
@click.option("--device", help="The device; the best there is if not given.")
@_measure.quick
@_measure.json_path
def command(batch: int, size: int, rounds: int, device: str | None, quick: bool, path: Path | None) -> None:
    """Time SSIM, forward and backward, against pytorch-msssim and torchmetrics; print JSON."""
    if quick:
        batch, size, rounds = 1, 32, 1
    _measure.report(measure(batch, size, rounds, device), path)
