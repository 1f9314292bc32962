"""Time and memory of one training step of a recipe, for `toolbox doctor`."""

from __future__ import annotations

import time

import torch

from toolbox.config.plan import Plan
from toolbox.data.batch import Batch
from toolbox.distributed.accelerator import make_accelerator
from toolbox.training import state, step
from toolbox.training.memory_format import choose_memory_format, set_memory_format
from toolbox.training.state import MEMORY_FORMATS
from toolbox.utils import devices


def try_step(plan: Plan, device: str | None) -> tuple[float, int, str]:
    """Take two steps on random pictures and measure the second.

    Returns:
        Its time in seconds, the peak memory in bytes, and whose memory it is ("device" or "process").
    """
    settings = plan.settings
    accelerator = make_accelerator(device, settings.training.precision)
    dtype = devices.weight_dtype(settings.training.precision)
    built = state.build_state(plan, accelerator, dtype)
    built = set_memory_format(built, choose_memory_format(settings, built, accelerator).name)
    shape = (settings.training.batch, 3, settings.data.size, settings.data.size)
    pictures = torch.rand(shape, generator=torch.Generator().manual_seed(0)).to(accelerator.device, dtype)
    pictures = pictures.contiguous(memory_format=MEMORY_FORMATS[built.memory_format])
    mask = torch.zeros_like(pictures[:, :1])
    labels = mask.repeat(1, len(built.kinds), 1, 1) if built.kinds else None
    batch = Batch(image=pictures, mask=mask, truth=pictures.flip(0), names=(), labels=labels, kinds=built.kinds)
    seconds = 0.0
    for number in range(2):
        started = time.perf_counter()
        terms = step.take_step(built, batch, accelerator, number=number, random=step.seed_step(settings.seed, number))
        float(next(iter(terms.values())))  # waits for the device
        seconds = time.perf_counter() - started
    measured = "device" if accelerator.device.type == "cuda" else "process"
    return seconds, devices.peak_memory(accelerator.device), measured
