"""The accelerator: accelerate, for the device, the precision and the processes. Nothing else names a device."""

from __future__ import annotations

import os
from collections.abc import Iterable
from datetime import timedelta
from typing import Any, cast

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import InitProcessGroupKwargs
from torch import Tensor
from torch.optim import Optimizer

from toolbox.errors import UsageError
from toolbox.utils.devices import launched_process_count, require_device

# How long a process waits for the others, who may be waiting for the first to restore a folder of photographs. When
# one ends, the launcher ends them all, so nothing depends on this being short.
PEER_TIMEOUT = timedelta(days=1)


def make_accelerator(device: str | None = None, precision: str = "fp32", *, several: bool = False) -> Accelerator:
    """Return an accelerator for `device` ("cpu", "cuda", "cuda:1", "mps"; None takes the best there is).

    Args:
        device: see above; among several processes each takes the GPU of its own number.
        precision: of the recipe.
        several: the processes that a launcher has started (WORLD_SIZE) work together and meet here.

    Raises:
        UsageError: the device is not there, or can't compute in that precision; several processes without `several`.
    """
    mixed = precision if precision in ("bf16", "fp16") else "no"
    launched = launched_process_count()
    if launched > 1 and not several:
        raise UsageError(f"This was started as {launched} processes; it takes one. `toolbox run` trains in several.")
    # accelerate keeps one state a process and refuses a second with other settings; each run sets its own.
    AcceleratorState._reset_state(reset_partial_state=not torch.distributed.is_initialized())
    if device is not None:
        require_device(device)
    if launched > 1:
        _require_one_gpu_each(device)
    try:
        meeting = InitProcessGroupKwargs(timeout=PEER_TIMEOUT)
        # Without a GPU, several processes that were not told of the CPU would not meet.
        cpu = device == "cpu" or (launched > 1 and not torch.cuda.is_available())
        return Accelerator(cpu=cpu, mixed_precision=mixed, kwargs_handlers=[meeting])
    except ValueError as error:
        raise UsageError(f"--precision {precision} does not work here: {error}") from error


def scale_loss(accelerator: Accelerator, loss: Tensor) -> Tensor:
    """Return a loss as it is to be differentiated: in fp16 times the scale that keeps gradients from vanishing."""
    return loss if accelerator.scaler is None else accelerator.scaler.scale(loss)


def unscale_norm(accelerator: Accelerator, norm: Tensor) -> Tensor:
    """Return the norm of gradients of `scaled` losses as it is without the scale.

    In fp16 it is 0 where the scale was too large for it: the scaler then lowers the scale and moves nothing by it.
    A scale of 1 or less is no cause of what is not finite.
    """
    if accelerator.scaler is None:
        return norm
    grad_scaler_state = accelerator.scaler.scale(torch.ones_like(norm))
    return torch.where(norm.isfinite() | (grad_scaler_state <= 1), norm / grad_scaler_state, 0.0)


def step_optimizers(accelerator: Accelerator, optimizers: Iterable[Optimizer], wrong: Tensor) -> None:
    """Step optimisers whose gradients are all there; in fp16 the scale that all of them have changes after the last.

    Args:
        accelerator: the accelerator.
        optimizers: fused ones.
        wrong: a scalar on the device; where it is not 0, no weight moves. Nothing waits for it.
    """
    for optimizer in optimizers:
        inner = cast(Any, getattr(optimizer, "optimizer", optimizer))
        if accelerator.scaler is None:
            # What torch's own GradScaler tells a fused optimiser; in fp16 it does so itself.
            inner.grad_scale, inner.found_inf = None, wrong
            optimizer.step()
        else:
            # A scaler goes by the gradients alone, and one of them is enough.
            weights = [weight for group in inner.param_groups for weight in group["params"]]
            for gradient in [weight.grad for weight in weights if weight.grad is not None][:1]:
                gradient.add_(torch.where(wrong > 0, torch.inf, 0.0))
            # accelerate's own would change the scale after the first.
            accelerator.scaler.step(inner)
    if accelerator.scaler is not None:
        accelerator.scaler.update()


def grad_scaler_state(accelerator: Accelerator) -> dict[str, float]:
    """Return what fp16's scale is and when it grows, for a checkpoint; empty in other precisions."""
    return {} if accelerator.scaler is None else accelerator.scaler.state_dict()


def load_grad_scaler_state(accelerator: Accelerator, saved: dict[str, float]) -> None:
    """Bring fp16's scale to what `scale` gave; where one of the two is not of fp16, leave it as it is."""
    if accelerator.scaler is not None and saved:
        accelerator.scaler.load_state_dict(saved)


def _require_one_gpu_each(device: str | None) -> None:
    if device not in (None, "cpu", "cuda"):
        raise UsageError(
            f"--device {device}: several processes take --device cuda, a GPU each, or cpu. CUDA_VISIBLE_DEVICES says "
            "which GPUs."
        )
    here, there = int(os.environ.get("LOCAL_WORLD_SIZE", "1")), torch.cuda.device_count()
    if device != "cpu" and torch.cuda.is_available() and here > there:
        raise UsageError(f"{here} processes were started on a machine with {there} GPUs; start one a GPU.")
