"""Time SSIM as a loss, forward and backward, against pytorch-msssim and torchmetrics with the same window.

    OMP_NUM_THREADS=1 python -m benchmarks ssim --batch 8 --size 512

The JSON and the table have the seconds of each library, and our speed-up (see `benchmarks.common.timing`). ``values``
has the SSIM that each library computes. torchmetrics also counts windows across the border, so its value differs.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import torch
from toolbox_plugins.default.ssim import ssim
from torch import Tensor

from benchmarks.common import timing
from toolbox.distributed.accelerator import make_accelerator

WINDOW, SIGMA = 11, 1.5


def installed_libraries() -> dict[str, Callable[[Tensor, Tensor], Tensor]]:
    """Return a function for each installed library: the mean SSIM of two batches in [0, 1]."""
    functions: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
        "ours": lambda x, y: ssim(
            x, y, side=WINDOW, kernel="gaussian", sigma=SIGMA, sample_covariance=False, data_range=1.0
        ).mean()
    }
    try:
        from pytorch_msssim import ssim as msssim

        functions["pytorch-msssim"] = lambda x, y: msssim(x, y, data_range=1.0, win_size=WINDOW, win_sigma=SIGMA)
    except ImportError:
        pass
    try:
        from torchmetrics.functional.image import structural_similarity_index_measure as theirs

        functions["torchmetrics"] = lambda x, y: theirs(x, y, sigma=SIGMA, kernel_size=WINDOW, data_range=1.0)
    except ImportError:
        pass
    return functions


def measure(batch: int, size: int, rounds: int, device: str | None) -> dict[str, Any]:
    """Time each library forward and backward, alternately, and return the values that it computes too."""
    torch_device = make_accelerator(device).device
    generator = torch.Generator().manual_seed(0)
    truth = torch.rand((batch, 3, size, size), generator=generator).to(torch_device)
    # Smooth and similar, as restored pictures are. The running time does not depend on the values.
    truth = torch.nn.functional.avg_pool2d(truth, 5, 1, 2)
    restored = (
        (truth + 0.05 * torch.randn(truth.shape, generator=generator).to(torch_device)).clamp(0, 1).requires_grad_()
    )
    values: dict[str, float] = {}

    def make_call(name: str, call: Callable[[Tensor, Tensor], Tensor]) -> Callable[[], None]:
        def forward_and_backward() -> None:
            restored.grad = None
            loss = 1 - call(restored, truth)
            loss.backward()
            values[name] = 1 - float(loss.detach())  # float() waits for the device
            if torch_device.type == "cuda":
                torch.cuda.synchronize()

        return forward_and_backward

    libraries = installed_libraries()
    times = timing.time_alternately({name: make_call(name, call) for name, call in libraries.items()}, rounds)
    return {
        "shape": list(truth.shape),
        "device": str(torch_device),
        "window": f"Gaussian, {WINDOW}x{WINDOW}, sigma {SIGMA}",
        "not_installed": sorted({"pytorch-msssim", "torchmetrics"} - libraries.keys()),
        "values": values,
        **timing.compare(times),
    }


@click.command("ssim")
@click.option("--batch", type=click.IntRange(1), default=8, show_default=True, help="Pictures.")
@click.option("--size", type=click.IntRange(1), default=512, show_default=True, help="Side of the pictures in pixels.")
@click.option("--rounds", type=click.IntRange(1), default=9, show_default=True, help="Calls of each, alternately.")
@click.option("--device", help="The device.  [default: the best available]")
@timing.quick_option
@timing.json_option
def command(batch: int, size: int, rounds: int, device: str | None, quick: bool, path: Path | None) -> None:
    """Time SSIM, forward and backward, against pytorch-msssim and torchmetrics; print JSON."""
    if quick:
        batch, size, rounds = 1, 32, 1
    timing.report(measure(batch, size, rounds, device), path)
