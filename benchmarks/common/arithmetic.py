"""Count the operations of a call, and measure how many operations a device does in a second."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry


class OperationCounter(TorchDispatchMode):
    """Count the operations of convolutions and matrix products.

    torch's FlopCounterMode fails if gradients are computed twice, as in a gradient penalty.
    """

    total = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        count = flop_registry.get(function._overloadpacket)
        self.total += count(*args, **(kwargs or {}), out_val=result) if count else 0
        return result


def count_operations(call: Callable[[], object]) -> int:
    """Return the number of multiplications and additions in the convolutions and matrix products of a call."""
    with OperationCounter() as counter:
        call()
    return counter.total


def convolution_share(call: Callable[[], object]) -> float:
    """Return the fraction of a call's CPU time that is convolution, forward and backward."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        call()
    events = profile.key_averages()
    total = sum(event.self_cpu_time_total for event in events)
    return sum(event.self_cpu_time_total for event in events if "conv" in event.key) / total


def shortest_seconds(call: Callable[[], object], device: torch.device, rounds: int) -> float:
    """Return the shortest time of `rounds` calls, after one call that is not counted."""
    call()
    times = []
    for _ in range(rounds):
        synchronize(device)
        start = time.perf_counter()
        call()
        synchronize(device)
        times.append(time.perf_counter() - start)
    return min(times)


def synchronize(device: torch.device) -> None:
    """Wait until the device has done all its work."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def convolution_rates(batch: int, size: int, width: int, device: torch.device, rounds: int = 3) -> dict[str, float]:
    """Return the operations per second of plain 3x3 convolutions, forward and backward, at each level of a U-Net.

    The memory format is channels-last. `width` is the number of channels of the first of five levels, which has the
    full size.
    """
    rates = {}
    for level in range(5):
        channels, side = width * 2**level, max(1, size // 2**level)
        layer = torch.nn.Conv2d(channels, channels, 3, padding=1).to(device, memory_format=torch.channels_last)
        x = torch.rand(batch, channels, side, side, device=device).contiguous(memory_format=torch.channels_last)
        x.requires_grad_()

        def forward_and_backward(layer: torch.nn.Conv2d = layer, x: torch.Tensor = x) -> None:
            layer(x).sum().backward()

        seconds = shortest_seconds(forward_and_backward, device, rounds)
        rates[f"{channels} channels at {side} px"] = count_operations(forward_and_backward) / seconds
    return rates


def matrix_rate(device: torch.device, dtype: torch.dtype, side: int, rounds: int = 20) -> float:
    """Return the operations per second of products of square matrices of `side`, ten launched at a time."""
    a, b = (torch.rand(side, side, device=device, dtype=dtype) for _ in range(2))

    def ten_products() -> None:
        for _ in range(10):
            a @ b

    return 10 * 2 * side**3 / shortest_seconds(ten_products, device, rounds)
