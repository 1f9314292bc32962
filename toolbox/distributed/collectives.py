"""Several processes that train one network: who takes which pictures, and what they tell each other.

Nothing is wrapped: each process computes its share of the losses of the whole batch, and sums are taken over all
processes, of gradients before an update, of figures for the record. In a single process every function returns at once.
"""

from __future__ import annotations

import atexit
import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor
from torch import distributed as dist
from torch.distributed.tensor import DTensor

from toolbox.distributed.batch_slice import BatchSlice
from toolbox.errors import ToolboxError, TrainingError, UsageError

LOST_PEER_WORDS = ("gloo", "NCCL", "peer")  # in the messages of errors that come of another process's end
BUCKET_BYTES = 32 << 20  # bytes a message: long enough for the full rate of a link, short enough that several overlap


def world_size() -> int:
    """Return how many processes train together."""
    return dist.get_world_size() if dist.is_initialized() else 1


def rank() -> int:
    """Return the number of this process, from 0."""
    return dist.get_rank() if dist.is_initialized() else int(os.environ.get("RANK", "0"))


def is_main_process() -> bool:
    """Return whether this is the process that writes and speaks."""
    return rank() == 0


def rank_slice(whole: int) -> tuple[slice, BatchSlice]:
    """Return which rows of a batch of `whole` pictures are this process's, and their place in it.

    The slices are contiguous, in the order of the processes, and differ by one row at most. Where a batch has fewer
    rows than there are processes (the last of an epoch), those without one take its last row, which counts nothing.
    """
    start, stop = (whole * (rank() + more) // world_size() for more in (0, 1)) if world_size() > 1 else (0, whole)
    if start == stop:
        return slice(whole - 1, whole), BatchSlice(start=whole - 1, total=whole, weight=0.0)
    return slice(start, stop), BatchSlice(start=start, total=whole, weight=(stop - start) / whole)


def require_rows(whole: int) -> None:
    """Raise UsageError if a batch of `whole` pictures can't be shared out."""
    if whole < world_size():
        raise UsageError(
            f"A batch of {whole} is too small for {world_size()} processes, which share it: set --batch to "
            f"{world_size()} or more, or start fewer processes."
        )


def all_reduce_sum(tensors: Iterable[Tensor]) -> Callable[[], None]:
    """Start to sum tensors over the processes; the function that it gives waits and puts the sums into them.

    Every process must name tensors of the same shapes in the same order.
    """
    if world_size() == 1:
        return lambda: None
    flying = []
    for bucket in _buckets(tensors):
        flat = torch.cat([tensor.detach().reshape(-1) for tensor in bucket])
        flying.append((bucket, flat, dist.all_reduce(flat, async_op=True)))

    def finish() -> None:
        for bucket, flat, work in flying:
            work.wait()
            for tensor, values in zip(bucket, flat.split([one.numel() for one in bucket]), strict=True):
                tensor.detach().copy_(values.view(tensor.shape))

    return finish


def all_reduce_mean(tensors: Iterable[Tensor], share: float) -> None:
    """Put into each tensor of floats its mean over the processes, weighted by `share`.

    In float64, so that values which are equal everywhere stay as they are, however often.
    """
    if world_size() == 1:
        return
    floats = [tensor for tensor in tensors if tensor.is_floating_point()]
    values = [tensor.detach().double() * share for tensor in floats]
    all_reduce_sum(values)()
    for tensor, value in zip(floats, values, strict=True):
        tensor.copy_(value)


def any_rank(flag: bool) -> bool:
    """Return whether any process says yes. Waits for all of them."""
    return all_reduce_scalar(float(flag)) > 0


def all_reduce_scalar(value: float) -> float:
    """Return the sum of a number over the processes. Waits for all of them."""
    if world_size() == 1:
        return value
    values = torch.tensor([value], dtype=torch.float64, device=_device())
    dist.all_reduce(values)
    return values.item()


def gather_objects(value: Any) -> list[Any]:  # noqa: ANN401 - what JSON holds
    """Return every process's `value`, in the order of the processes; it must be what JSON holds."""
    if world_size() == 1:
        return [value]
    text = json.dumps(value).encode()
    lengths = [torch.zeros(1, dtype=torch.int64, device=_device()) for _ in range(world_size())]
    dist.all_gather(lengths, torch.tensor([len(text)], device=_device()))
    longest = max(int(length) for length in lengths)
    texts = [torch.zeros(longest, dtype=torch.uint8, device=_device()) for _ in range(world_size())]
    dist.all_gather(texts, torch.frombuffer(bytearray(text.ljust(longest)), dtype=torch.uint8).to(_device()))
    return [json.loads(one.cpu().numpy().tobytes()) for one in texts]


def on_main_process(make: Callable[[], Any]) -> Any:  # noqa: ANN401 - what JSON holds
    """Have the first process call `make` while the others wait, and return in all of them what it gave (for JSON).

    Raises:
        Exception: what `make` raised, in the first process; the others end without a word.
    """
    if world_size() == 1:
        return make()
    fault, value = None, None
    if is_main_process():
        try:
            value = make()
        except Exception as error:
            fault = error
    code, value = gather_objects([None if fault is None else getattr(fault, "exit_code", 1), value])[0]
    if fault is not None:
        raise fault
    if code is not None:
        raise SystemExit(code)
    return value


def same_error_on_every_rank(error: ToolboxError) -> BaseException:
    """Return what to raise for an error that every process meets alike: the first says it, the others just end."""
    return error if is_main_process() else SystemExit(error.exit_code)


def replicated(tensors: Iterable[Tensor]) -> Iterator[Tensor]:
    """Yield those tensors that every process has for itself, not spread over them; see `toolbox.distributed.fsdp`."""
    return (tensor for tensor in tensors if not isinstance(tensor, DTensor))


def require_equal_state(state: Mapping[str, Iterable[Tensor]]) -> None:
    """End the run if a part of its state is not the same, to the bit, in all processes that each have it.

    Raises:
        TrainingError: naming the parts.
    """
    if world_size() == 1:
        return
    sums = [sum((_checksum(tensor) for tensor in replicated(tensors)), start=_zero()) for tensors in state.values()]
    both = torch.stack([*sums, *(-one for one in sums)])
    dist.all_reduce(both, op=dist.ReduceOp.MAX)
    most, least = both.view(2, -1)
    apart = [name for name, differs in zip(state, (most != -least).tolist(), strict=True) if differs]
    if apart:
        raise same_error_on_every_rank(
            TrainingError(
                f"The processes have drifted apart: {', '.join(apart)} differ between them. They need the same version "
                "of everything and the same kind of device. The last checkpoint is whole: --resume it."
            )
        )


def run_with_peers(work: Callable[[], int]) -> int:
    """Do all of a program's work, which gives its exit code, and end with the others.

    Raises:
        TrainingError: another process has ended before.
    """
    code = 1
    try:
        code = work()
        if world_size() > 1:
            dist.barrier()  # a launcher takes who ends early for lost, and ends the rest
        return code
    except BaseException as error:
        if isinstance(error, ToolboxError):
            code = error.exit_code
        elif isinstance(error, SystemExit) and isinstance(error.code, int):
            code = error.code
        if not is_lost_peer(error):
            raise
        raise same_error_on_every_rank(
            TrainingError(
                "Another process of this run has ended, and so does this one; what it said is here or in its log. "
                "The last checkpoint is whole: --resume the run."
            )
        ) from error
    finally:
        if dist.is_initialized():
            # Threads and messages of a group, a broken one above all, hang or abort the interpreter's own end.
            atexit.register(_exit_now, code)


def is_lost_peer(error: BaseException) -> bool:
    """Return whether an error comes of another process's end."""
    return world_size() > 1 and isinstance(error, RuntimeError) and any(word in str(error) for word in LOST_PEER_WORDS)


def _exit_now(code: int) -> None:
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _buckets(tensors: Iterable[Tensor]) -> Iterator[list[Tensor]]:
    bucket: list[Tensor] = []
    size = 0
    for tensor in tensors:
        if bucket and (size + tensor.nbytes > BUCKET_BYTES or tensor.dtype != bucket[0].dtype):
            yield bucket
            bucket, size = [], 0
        bucket.append(tensor)
        size += tensor.nbytes
    if bucket:
        yield bucket


def _checksum(tensor: Tensor) -> Tensor:
    """Return the sum of a tensor's bits taken as whole numbers, which no order of adding changes."""
    words = {8: torch.int64, 4: torch.int32, 2: torch.int16, 1: torch.uint8}[tensor.element_size()]
    return tensor.detach().view(words).sum(dtype=torch.int64).to(_device())


def _zero() -> Tensor:
    return torch.zeros((), dtype=torch.int64, device=_device())


def _device() -> torch.device:
    return torch.device("cuda", torch.cuda.current_device()) if dist.get_backend() == "nccl" else torch.device("cpu")
