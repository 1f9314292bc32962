"""The memory layout of networks and pictures: contiguous or channels last, whichever trains faster on this device.

Which one is faster depends on the processor: channels last with AVX-512 instructions, contiguous with AVX2 alone, where
the backward pass of channels last is slow. The setting "auto" measures both once for each device and network, and
caches the choice.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from toolbox.config.settings import Settings
from toolbox.data.batch import Batch
from toolbox.distributed.accelerator import Accelerator
from toolbox.distributed.shards import is_sharded
from toolbox.errors import OutputError
from toolbox.models.forward import run_generator
from toolbox.training.fingerprint import device_name
from toolbox.training.state import MEMORY_FORMATS, TrainState
from toolbox.training.step_context import discriminate
from toolbox.utils import files
from toolbox.utils.json_values import parse_json
from toolbox.utils.paths import cache_dir
from toolbox.utils.processor import processor_name

FORMAT_VERSION = 1  # raised when the measurement changes, so that old choices are not used
DEFAULT = "channels-last"
MARGIN = 0.03  # the factor by which contiguous must be faster, so that noise does not decide between equal layouts
ROUNDS = 3
MAX_SIDE = 128  # pixels; larger pictures are measured at this size on a CPU, where the ratio is much the same
MAX_PIXELS = MAX_SIDE**2  # pixels of all pictures of a measurement on a CPU together, so that it takes a few seconds


@dataclass(frozen=True, kw_only=True)
class MemoryFormatChoice:
    """A memory layout and the measurement behind it.

    Attributes:
        name: a key of `MEMORY_FORMATS`.
        seconds: the shortest time of a forward and backward pass by layout; empty if nothing was measured.
        is_new: whether it was measured just now, not read from the cache.
    """

    name: str
    seconds: dict[str, float]
    is_new: bool = False

    def __str__(self) -> str:
        times = ", ".join(f"{name} {seconds:.3f} s" for name, seconds in self.seconds.items())
        return f"{self.name} ({times})" if times else self.name


def choose_memory_format(
    settings: Settings, state: TrainState, accelerator: Accelerator, recorded: str | None = None
) -> MemoryFormatChoice:
    """Return the memory layout for a run.

    Args:
        settings: the recipe's settings; a fixed `training.memory_format` decides.
        state: the networks that are to train.
        accelerator: the device and the precision.
        recorded: the layout of the checkpoint that the run continues from, which decides if the setting is "auto".
    """
    setting = settings.training.memory_format
    if setting != "auto":
        return MemoryFormatChoice(name=setting, seconds={})
    if recorded is not None:
        return MemoryFormatChoice(name=recorded, seconds={})
    if is_sharded(state.generator.network):
        return MemoryFormatChoice(name=DEFAULT, seconds={})
    batch_size, side = _measured_shape(settings, accelerator.device)
    cached = _cache_path(settings, state, accelerator, (batch_size, side))
    choice = _read(cached)
    if choice is not None:
        return choice
    # A compiled network would be compiled anew in each layout, which takes minutes.
    uncompiled = torch.compiler.set_stance("force_eager") if settings.training.compile else nullcontext()
    try:
        with uncompiled:
            seconds = measure_memory_formats(state, accelerator, batch_size, side)
    except (RuntimeError, ValueError):
        # Networks that fail at this size or run out of memory are reported when the run itself calls them.
        return MemoryFormatChoice(name=DEFAULT, seconds={})
    is_faster = seconds["contiguous"] < (1 - MARGIN) * seconds["channels-last"]
    choice = MemoryFormatChoice(name="contiguous" if is_faster else DEFAULT, seconds=seconds, is_new=True)
    _write(cached, choice)
    return choice


def set_memory_format(state: TrainState, name: str) -> TrainState:
    """Give all networks of `state` a memory layout, in place, and return the state with that layout.

    Sharded networks keep theirs.
    """
    networks = [*state.generators(), *(trained.network for trained in state.networks().values())]
    for network in networks:
        if not is_sharded(network):
            network.to(memory_format=MEMORY_FORMATS[name])
    return replace(state, memory_format=name)


def measure_memory_formats(state: TrainState, accelerator: Accelerator, batch_size: int, side: int) -> dict[str, float]:
    """Return the shortest time of a forward and backward pass of all networks by layout, in seconds.

    The time on a CPU is that of the processor, which other programs on the machine disturb less. The networks are
    in eval mode meanwhile, so that nothing but their layout and their gradients changes; the gradients are dropped.

    Args:
        state: the networks.
        accelerator: the device and the precision.
        batch_size: the number of pictures.
        side: the side of the pictures in pixels.
    """
    draw = torch.Generator().manual_seed(0)
    dtype = next(state.generator.network.parameters()).dtype
    pictures = torch.rand((batch_size, 3, side, side), generator=draw).to(accelerator.device, dtype)
    modules = [module for trained in state.networks().values() for module in trained.network.modules()]
    modes = [module.training for module in modules]
    seconds: dict[str, float] = {}
    for number in range(ROUNDS):
        # The order alternates, so that other programs disturb both layouts equally.
        for name in list(MEMORY_FORMATS)[:: 1 if number % 2 == 0 else -1]:
            set_memory_format(state, name)
            image = pictures.contiguous(memory_format=MEMORY_FORMATS[name])
            batch = Batch(image=image, mask=torch.zeros_like(image[:, :1]), truth=image, names=())
            spent = _timed(partial(_forward_and_backward, state, accelerator, batch), accelerator.device)
            seconds[name] = min(spent, seconds.get(name, spent))
    for module, mode in zip(modules, modes, strict=True):
        module.training = mode
    return seconds


def _forward_and_backward(state: TrainState, accelerator: Accelerator, batch: Batch) -> None:
    networks = [trained.network.eval() for trained in state.networks().values()]
    with accelerator.autocast():
        restored = _first_output(state, batch)
        total = restored.float().mean()
        if state.discriminator is not None:
            maps = discriminate(state.discriminator.network, restored, batch)
            total = total + torch.stack([values.float().mean() for values in maps]).mean()
    total.backward()
    for network in networks:
        network.zero_grad(set_to_none=True)


def _first_output(state: TrainState, batch: Batch) -> torch.Tensor:
    network = state.generator.network
    if state.restores:
        return run_generator(network, state.keep, batch.image, batch.mask)["restored"]
    output = network(batch.image, batch.mask)
    result: torch.Tensor = output[0] if isinstance(output, tuple) else output
    return result


def _timed(call: Callable[[], None], device: torch.device) -> float:
    if device.type == "cpu":
        started = time.process_time()
        call()
        return time.process_time() - started
    wait = torch.cuda.synchronize if device.type == "cuda" else torch.mps.synchronize
    wait()
    started = time.perf_counter()
    call()
    wait()
    return time.perf_counter() - started


def _measured_shape(settings: Settings, device: torch.device) -> tuple[int, int]:
    """Return the number of pictures and their side: those of the recipe, on a CPU fewer and smaller ones."""
    batch_size, side = settings.training.batch, settings.data.size
    if device.type != "cpu":
        return batch_size, side
    side = min(side, MAX_SIDE)
    return max(1, min(batch_size, MAX_PIXELS // side**2)), side


def _cache_path(settings: Settings, state: TrainState, accelerator: Accelerator, shape: tuple[int, int]) -> Path:
    networks = [
        [[name, list(weight.shape), str(weight.dtype)] for name, weight in trained.network.named_parameters()]
        for trained in state.networks().values()
    ]
    environment: list[Any] = [torch.__version__, device_name(accelerator.device), settings.training.precision]
    if accelerator.device.type == "cpu":
        environment += [processor_name(), torch.get_num_threads(), os.environ.get("ONEDNN_MAX_CPU_ISA", "")]
    key = hashlib.sha256(json.dumps([FORMAT_VERSION, environment, shape, networks]).encode()).hexdigest()
    return cache_dir() / "memory-format" / f"{key}.json"


def _read(path: Path) -> MemoryFormatChoice | None:
    try:
        stored = parse_json(path.read_text("utf-8"))
        name, seconds = stored["memory_format"], stored["seconds"]
        if name in MEMORY_FORMATS:
            return MemoryFormatChoice(name=name, seconds={key: float(value) for key, value in seconds.items()})
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        pass  # missing or incomplete: measured again
    return None


def _write(path: Path, choice: MemoryFormatChoice) -> None:
    try:
        files.ensure_folder(path.parent)
        files.write_json(path, {"memory_format": choice.name, "seconds": choice.seconds})
    except OutputError:
        pass  # without the cache the next run measures again
