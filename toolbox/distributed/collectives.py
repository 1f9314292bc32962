"""What the processes of a run exchange: sums of tensors, small JSON values, and each rank's rows of a batch.

No network is wrapped. Each process computes its share of the losses of the full batch; gradients and figures are
summed over all processes. In a single process every function returns at once.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch import distributed as dist
from torch.distributed.tensor import DTensor

from toolbox.distributed.batch_slice import BatchSlice
from toolbox.errors import ToolboxError, TrainingError, UsageError, brief
from toolbox.utils import surface
from toolbox.utils.launcher import is_local_main_process, launcher_number

T = TypeVar("T")

BUCKET_BYTES = 32 << 20  # of one message: large enough for the full rate of a link, small enough that several overlap


def world_size() -> int:
    """Return the number of processes that train together."""
    return dist.get_world_size() if dist.is_initialized() else 1


def rank() -> int:
    """Return the rank of this process, from 0."""
    return dist.get_rank() if dist.is_initialized() else launcher_number("RANK", "0")


def is_main_process() -> bool:
    """Return whether this is the process of rank 0, which writes files and prints messages."""
    return rank() == 0


def rank_slice(batch_size: int) -> tuple[slice, BatchSlice]:
    """Return this process's rows of a batch of `batch_size` pictures, and their position in it.

    The slices are contiguous, in the order of the ranks, and differ by one row at most. If a batch has fewer rows than
    there are processes (the last batch of an epoch), the processes without a row take its last row with weight 0.
    """
    if world_size() == 1:
        return slice(0, batch_size), BatchSlice(start=0, total=batch_size, weight=1.0)
    start, stop = (batch_size * number // world_size() for number in (rank(), rank() + 1))
    if start == stop:
        return slice(batch_size - 1, batch_size), BatchSlice(start=batch_size - 1, total=batch_size, weight=0.0)
    return slice(start, stop), BatchSlice(start=start, total=batch_size, weight=(stop - start) / batch_size)


def require_row_each(batch_size: int) -> None:
    """Raise UsageError if a batch has fewer pictures than there are processes."""
    if batch_size < world_size():
        option = surface.words(command="--batch", python="training.batch")
        raise UsageError(
            f"A batch of {batch_size} is too small for {world_size()} processes, which share it. Set {option} to "
            f"{world_size()} or more, or start fewer processes."
        )


def barrier() -> None:
    """Wait until every process has called this."""
    if world_size() > 1:
        dist.barrier(device_ids=[torch.cuda.current_device()] if dist.get_backend() == "nccl" else None)


@contextmanager
def local_main_process_first() -> Iterator[None]:
    """Have the first process of each machine run the block while the other processes wait for it."""
    first = is_local_main_process()
    if not first:
        barrier()
    yield
    if first:
        barrier()


def all_reduce_sum(tensors: Iterable[Tensor]) -> Callable[[], None]:
    """Start to sum tensors over the processes. The returned function waits and writes the sums into the tensors.

    Every process passes tensors of the same shapes in the same order.
    """
    if world_size() == 1:
        return lambda: None
    pending = []
    for bucket in _buckets(tensors):
        flat = torch.cat([tensor.detach().reshape(-1) for tensor in bucket])
        pending.append((bucket, flat, dist.all_reduce(flat, async_op=True)))

    def finish() -> None:
        for bucket, flat, work in pending:
            work.wait()
            for tensor, values in zip(bucket, flat.split([tensor.numel() for tensor in bucket]), strict=True):
                tensor.detach().copy_(values.view(tensor.shape))

    return finish


def all_reduce_mean(tensors: Iterable[Tensor], weight: float) -> None:
    """Write into each floating-point tensor its mean over the processes, weighted by each process's `weight`.

    The arithmetic is in float64, so that values that are equal in all processes never change.
    """
    if world_size() == 1:
        return
    floats = [tensor for tensor in tensors if tensor.is_floating_point()]
    values = [tensor.detach().double() * weight for tensor in floats]
    all_reduce_sum(values)()
    for tensor, value in zip(floats, values, strict=True):
        tensor.copy_(value)


def any_rank(flag: bool) -> bool:
    """Return whether `flag` is True in any process. All processes call it."""
    return all_reduce_scalar(float(flag)) > 0


def all_reduce_scalar(value: float) -> float:
    """Return the sum of a number over the processes. All processes call it."""
    if world_size() == 1:
        return value
    values = torch.tensor([value], dtype=torch.float64, device=_device())
    dist.all_reduce(values)
    return values.item()


def gather_objects(value: Any) -> list[Any]:  # noqa: ANN401 - any JSON value
    """Return the JSON `value` of every process, in the order of the ranks. All processes call it."""
    if world_size() == 1:
        return [value]
    text = json.dumps(value).encode()
    lengths = [torch.zeros(1, dtype=torch.int64, device=_device()) for _ in range(world_size())]
    dist.all_gather(lengths, torch.tensor([len(text)], device=_device()))
    longest = max(int(length) for length in lengths)
    texts = [torch.zeros(longest, dtype=torch.uint8, device=_device()) for _ in range(world_size())]
    dist.all_gather(texts, torch.frombuffer(bytearray(text.ljust(longest)), dtype=torch.uint8).to(_device()))
    return [json.loads(received.cpu().numpy().tobytes()) for received in texts]


def on_main_process(function: Callable[[], Any]) -> Any:  # noqa: ANN401 - any JSON value
    """Call `function` in the main process while the others wait, and return its JSON value in all of them.

    Raises:
        Exception: what `function` raised, in the main process; the other processes exit silently.
    """
    if world_size() == 1:
        return function()
    failure, value = None, None
    if is_main_process():
        try:
            value = function()
        except Exception as error:
            failure = error
    code, value = gather_objects([None if failure is None else getattr(failure, "exit_code", 1), value])[0]
    if failure is not None:
        raise failure
    if code is not None:
        raise SystemExit(code)
    return value


def same_error_on_every_rank(error: ToolboxError) -> BaseException:
    """Return the exception to raise for an error of all processes: the main process reports it, the others exit."""
    return error if is_main_process() else SystemExit(error.exit_code)


def replicated(tensors: Iterable[Tensor]) -> Iterator[Tensor]:
    """Yield the tensors that every process has in full, not those that `toolbox.distributed.fsdp` shards."""
    return (tensor for tensor in tensors if not isinstance(tensor, DTensor))


def require_equal_state(state: Mapping[str, Iterable[Tensor]]) -> None:
    """Check that the replicated tensors of a run's state have the same bits in all processes. All processes call it.

    Raises:
        TrainingError: they differ; the message names the parts of the state.
    """
    if world_size() == 1:
        return
    zero = torch.zeros((), dtype=torch.int64, device=_device())
    sums = [sum((_checksum(tensor) for tensor in replicated(tensors)), start=zero) for tensors in state.values()]
    extremes = torch.stack([*sums, *(-value for value in sums)])
    dist.all_reduce(extremes, op=dist.ReduceOp.MAX)
    largest, smallest = extremes.view(2, -1)
    different = [name for name, differs in zip(state, (largest != -smallest).tolist(), strict=True) if differs]
    if different:
        raise same_error_on_every_rank(
            TrainingError(
                f"The processes no longer have the same state: {', '.join(different)}. All of them need the same "
                "versions of all packages and the same kind of device. The last checkpoint is complete: resume the run."
            )
        )


def run_with_peers(program: Callable[[], T]) -> T:
    """Run a whole program, return its result, and leave the process group.

    Raises:
        TrainingError: another process ended before this one.
    """
    try:
        result = program()
        barrier()  # a launcher ends all processes when the first of them ends
        return result
    except RuntimeError as error:
        if not is_lost_peer(error):
            raise
        reason = brief(error, 200)
        raise same_error_on_every_rank(
            TrainingError(
                f"Another process of this run has ended ({reason}). Its own message is above or in its log. The last "
                "checkpoint is complete: resume the run."
            )
        ) from error
    finally:
        if dist.is_initialized():
            dist.destroy_process_group()


def is_lost_peer(error: BaseException) -> bool:
    """Return whether an error means that another process has ended.

    torch has no exception class for it under gloo, so an error counts as one if it was raised in a call of
    torch.distributed, or in a call of this module. The frames of torch's dispatcher below it do not count.
    """
    if world_size() == 1 or not isinstance(error, RuntimeError):
        return False
    module, trace = "", error.__traceback__
    while trace is not None:
        name = str(trace.tb_frame.f_globals.get("__name__"))
        if not name.startswith(("torch._ops", "torch._library")):
            module = name
        trace = trace.tb_next
    return module == __name__ or module.startswith("torch.distributed.")


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
    """Return the sum of a tensor's bits as integers, which does not depend on the order of the summands."""
    integers = {8: torch.int64, 4: torch.int32, 2: torch.int16, 1: torch.uint8}[tensor.element_size()]
    return tensor.detach().view(integers).sum(dtype=torch.int64).to(_device())


def _device() -> torch.device:
    return torch.device("cuda", torch.cuda.current_device()) if dist.get_backend() == "nccl" else torch.device("cpu")
