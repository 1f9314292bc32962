"""The device, the precision and the process group of a training run. Nothing else sets them up."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import timedelta

import torch
from torch import Tensor
from torch import distributed as dist
from torch.amp.grad_scaler import GradScaler
from torch.optim import Optimizer

from toolbox.distributed.torch_patches import skip_update_if
from toolbox.errors import UsageError, one_line
from toolbox.utils import surface
from toolbox.utils.devices import launched_process_count, pick_device
from toolbox.utils.launcher import launcher_number, require_rank

# Other ranks may wait while the main process restores a folder of photographs. A launcher ends all processes when one
# of them ends, so nothing depends on a short timeout.
PEER_TIMEOUT = timedelta(days=1)

AUTOCAST_DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True, kw_only=True)
class Accelerator:
    """Where and in which precision this process trains.

    Attributes:
        device: the device of this process.
        autocast_dtype: the dtype of the networks' arithmetic in a mixed precision, None in the others.
        scaler: the gradient scaler of fp16, None in other precisions.
    """

    device: torch.device
    autocast_dtype: torch.dtype | None = None
    scaler: GradScaler | None = None

    def autocast(self) -> AbstractContextManager[object]:
        """Return a context in which networks compute in the mixed precision, if there is one."""
        if self.autocast_dtype is None:
            return nullcontext()
        return torch.autocast(self.device.type, dtype=self.autocast_dtype)


def make_accelerator(device: str | None = None, precision: str = "fp32", *, distributed: bool = False) -> Accelerator:
    """Return an accelerator for `device` ("cpu", "cuda", "cuda:1", "mps"; None chooses the best device).

    Args:
        device: see above. Among several processes each takes the GPU with its own local rank.
        precision: the recipe's precision.
        distributed: join the process group of all processes that a launcher has started (WORLD_SIZE).

    Raises:
        UsageError: the device is missing or does not support the precision; or a launcher has started several
            processes and `distributed` is False.
    """
    processes = launched_process_count()
    if processes > 1 and not distributed:
        raise UsageError(f"{processes} processes were started, but this command runs in one. Use `toolbox run`.")
    if processes > 1:
        _require_one_gpu_each(device)
    # Without a GPU, several processes all use the CPU.
    chosen = pick_device("cpu" if processes > 1 and device is None and not torch.cuda.is_available() else device)
    _require_precision(precision, chosen)
    if processes > 1 and not dist.is_initialized():
        _join_process_group(chosen)
    return Accelerator(
        device=chosen,
        autocast_dtype=AUTOCAST_DTYPES.get(precision),
        scaler=GradScaler(chosen.type) if precision == "fp16" else None,
    )


def scale_loss(accelerator: Accelerator, loss: Tensor) -> Tensor:
    """Return the loss to differentiate: in fp16 times the scale that keeps gradients from becoming 0."""
    return loss if accelerator.scaler is None else accelerator.scaler.scale(loss)


def unscale_norm(accelerator: Accelerator, norm: Tensor) -> Tensor:
    """Return the norm of gradients of a scaled loss without the scale.

    In fp16 it is 0 where the scale was too large for the gradients: the scaler then lowers the scale and skips the
    update. If the scale is 1 or less, a value that is not finite has another cause.
    """
    if accelerator.scaler is None:
        return norm
    scale = accelerator.scaler.scale(torch.ones_like(norm))
    return torch.where(norm.isfinite() | (scale <= 1), norm / scale, 0.0)


def step_optimizer(accelerator: Accelerator, optimizer: Optimizer, not_finite: Tensor) -> None:
    """Step an optimizer whose gradients are complete; `update_scale` follows when all of them are stepped.

    Args:
        accelerator: the accelerator.
        optimizer: the optimizer.
        not_finite: a scalar on the device; no weight changes if it is not 0. The host waits for it only if the
            optimizer is not fused: a fused one reads it on the device.
    """
    if accelerator.scaler is not None:
        # A scaler decides by the gradients alone, and one gradient that is not finite is enough.
        weights = [weight for group in optimizer.param_groups for weight in group["params"]]
        for gradient in [weight.grad for weight in weights if weight.grad is not None][:1]:
            gradient.add_(torch.where(not_finite > 0, torch.inf, 0.0))
        accelerator.scaler.step(optimizer)
    elif is_fused(optimizer):
        skip_update_if(optimizer, not_finite)
        optimizer.step()
    elif not float(not_finite):
        optimizer.step()


def update_scale(accelerator: Accelerator) -> None:
    """Update the scale that all optimizers share in fp16, after their steps; do nothing in other precisions."""
    if accelerator.scaler is not None:
        accelerator.scaler.update()


def is_fused(optimizer: Optimizer) -> bool:
    """Return whether an optimizer updates all its weights by torch's fused kernels."""
    return all(group.get("fused") for group in optimizer.param_groups)


def grad_scaler_state(accelerator: Accelerator) -> dict[str, float]:
    """Return the state of fp16's gradient scaler for a checkpoint; empty in other precisions."""
    return {} if accelerator.scaler is None else accelerator.scaler.state_dict()


def load_grad_scaler_state(accelerator: Accelerator, state: dict[str, float]) -> None:
    """Load what `grad_scaler_state` returned. Change nothing if one of the two is not in fp16."""
    if accelerator.scaler is not None and state:
        accelerator.scaler.load_state_dict(state)


def _require_precision(precision: str, device: torch.device) -> None:
    option = surface.words(command="--precision", python="training.precision")
    if precision == "fp16" and device.type == "cpu":
        raise UsageError(f"{option} fp16 needs a GPU. On a CPU, use bf16 or fp32.")
    if precision == "bf16" and device.type == "cuda" and not torch.cuda.is_bf16_supported():
        raise UsageError(f"{option} bf16 does not work on {torch.cuda.get_device_name(device)}. Use fp16 or fp32.")


def _require_one_gpu_each(device: str | None) -> None:
    if device not in (None, "cpu", "cuda"):
        option = surface.option("device")
        raise UsageError(
            f"{option} {device}: several processes need {option} cuda (one GPU each) or {option} cpu. Choose the GPUs "
            "with CUDA_VISIBLE_DEVICES."
        )
    processes, gpus = launcher_number("LOCAL_WORLD_SIZE", "1"), torch.cuda.device_count()
    if device != "cpu" and torch.cuda.is_available() and processes > gpus:
        raise UsageError(f"{processes} processes were started on a machine with {gpus} GPUs. Start one for each GPU.")


def _join_process_group(device: torch.device) -> None:
    """Set up communication between the processes: NCCL between GPUs, gloo between CPUs."""
    require_rank()
    if device.type == "cuda":
        torch.cuda.set_device(device)
    elif "OMP_NUM_THREADS" not in os.environ:
        local = launcher_number("LOCAL_WORLD_SIZE", "1")
        torch.set_num_threads(max(1, (os.cpu_count() or 1) // local))
    try:
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=PEER_TIMEOUT)
    except ValueError as error:
        reason = one_line(error).rstrip(".")
        raise UsageError(
            f"The processes can't find each other: {reason}. Start them with torchrun or accelerate launch."
        ) from error
