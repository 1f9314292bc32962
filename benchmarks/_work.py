"""How much arithmetic there is in a step, and how fast a device does it: what a step could take at best."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry


class Counter(TorchDispatchMode):
    """Counts the operations of convolutions and products; FlopCounterMode fails where gradients are taken twice."""

    total = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        count = flop_registry.get(function._overloadpacket)
        self.total += count(*args, **(kwargs or {}), out_val=result) if count else 0
        return result


def operations(call: Callable[[], object]) -> int:
    """Return the multiplications and additions of the convolutions and products in a call."""
    with Counter() as counter:
        call()
    return counter.total


def convolution_share(call: Callable[[], object]) -> float:
    """Return the share of a call's time on the CPU that is bare convolution, forward and backward."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        call()
    events = profile.key_averages()
    total = sum(event.self_cpu_time_total for event in events)
    return sum(event.self_cpu_time_total for event in events if "conv" in event.key) / total


def seconds(call: Callable[[], object], device: torch.device, rounds: int) -> float:
    """Return the least time of a call over so many, after one that does not count."""
    call()
    found = []
    for _ in range(rounds):
        wait(device)
        started = time.perf_counter()
        call()
        wait(device)
        found.append(time.perf_counter() - started)
    return min(found)


def wait(device: torch.device) -> None:
    """Wait until the device has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def convolution_rates(batch: int, size: int, width: int, device: torch.device, rounds: int = 3) -> dict[str, float]:
    """Return the operations a second of bare 3x3 convolutions, forward and backward, of the sizes in a U-Net.

    The channels are last in memory; `width` is that of the first of five levels, at the full size.
    """
    rates = {}
    for level in range(5):
        channels, side = width * 2**level, max(1, size // 2**level)
        layer = torch.nn.Conv2d(channels, channels, 3, padding=1).to(device, memory_format=torch.channels_last)
        x = torch.rand(batch, channels, side, side, device=device).contiguous(memory_format=torch.channels_last)
        x.requires_grad_()

        def once(layer: torch.nn.Conv2d = layer, x: torch.Tensor = x) -> None:
            layer(x).sum().backward()

        rates[f"{channels} channels at {side} px"] = operations(once) / seconds(once, device, rounds)
    return rates


def matrix_rate(device: torch.device, dtype: torch.dtype, side: int, rounds: int = 20) -> float:
    """Return the operations a second of products of square matrices of `side`, ten launched at a time."""
    a, b = (torch.rand(side, side, device=device, dtype=dtype) for _ in range(2))

    def once() -> None:
        for _ in range(10):
            a @ b

    return 10 * 2 * side**3 / seconds(once, device, rounds)
