"""All changes to torch's own behaviour and private state. No other module of toolbox makes one.

`toolbox.testing.devices` watches calls of torch functions, but does not change them. The functions here:

- `wrap_forward` replaces the `forward` of one module. A subclass would change the module's type.
- `replaced_batch_norm` replaces `F.batch_norm` while a block runs: layers of other libraries call it inside their own
  `forward`.
- `local_fused_optimizers` changes the arguments of torch's fused optimizer kernels while a block runs: torch has no
  sharding rule for that of SGD.
- `copied_running_statistics` replaces the buffers of normalisation layers while a block runs: torch.utils.checkpoint
  calls `forward` twice, and each call would update them.
- `skip_update_if` sets `grad_scale` and `found_inf` of a fused optimizer, as torch's GradScaler does in fp16. Without a
  scaler there is no public call for it.
- `autocast_on_meta` lets `torch.autocast` accept the device "meta" while a block runs, as it accepts every real device.
- `Float64Mode` lets torch functions compute in float64 while a block runs: the conformance kit measures gradients so.
- `step_schedule` silences torch's warning about a schedule that is stepped before its optimizer: a network may be
  without a loss, and a step that is not finite is skipped.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm, _NormBase
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from torch.overrides import TorchFunctionMode

Forward = Callable[..., Any]
LOW_PRECISION = (torch.float32, torch.float16, torch.bfloat16)
# Functions whose purpose is another dtype.
CASTS = frozenset({"float", "half", "bfloat16", "to", "type", "type_as"})


def wrap_forward(module: nn.Module, wrap: Callable[[Forward], Forward]) -> None:
    """Replace the `forward` of `module` by ``wrap(forward)``."""
    module.forward = wrap(module.forward)  # type: ignore[method-assign]


def batch_norm_layers(network: nn.Module) -> list[nn.Module]:
    """Return the layers of `network` that derive from torch's BatchNorm."""
    return [module for module in network.modules() if isinstance(module, _BatchNorm)]


class _Intercepted(TorchFunctionMode):
    """While active, pass every call of a torch function to `intercept`."""

    def __init__(self, intercept: Callable[[Callable[..., Any], tuple[Any, ...], dict[str, Any]], Any]) -> None:
        super().__init__()
        self.intercept = intercept

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:  # noqa: ANN401
        return self.intercept(function, args, kwargs or {})


def replaced_batch_norm(substitute: Callable[..., Tensor]) -> contextlib.AbstractContextManager[object]:
    """Return a context in which `F.batch_norm` with ``training=True`` calls `substitute` with the same arguments."""

    def intercept(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:  # noqa: ANN401
        if function is F.batch_norm and kwargs.get("training"):
            return substitute(*args, **kwargs)
        return function(*args, **kwargs)

    return _Intercepted(intercept)


def local_fused_optimizers(
    local: Callable[[list[Tensor]], list[Tensor]],
) -> contextlib.AbstractContextManager[object]:
    """Return a context in which fused optimizer kernels get `local` of each of their lists of tensors."""

    def intercept(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:  # noqa: ANN401
        if getattr(function, "__name__", "").startswith("_fused_"):
            args = tuple(local(value) if isinstance(value, list) else value for value in args)
        return function(*args, **kwargs)

    return _Intercepted(intercept)


@contextlib.contextmanager
def copied_running_statistics(network: nn.Module) -> Iterator[None]:
    """Give the normalisation layers of `network` copies of their buffers, and drop the copies afterwards."""
    layers = [module for module in network.modules() if isinstance(module, _NormBase) and module.track_running_stats]
    originals = [dict(layer._buffers) for layer in layers]
    for layer, buffers in zip(layers, originals, strict=True):
        layer._buffers.update({name: value.clone() for name, value in buffers.items() if value is not None})
    try:
        yield
    finally:
        for layer, buffers in zip(layers, originals, strict=True):
            layer._buffers.update(buffers)


def skip_update_if(optimizer: Optimizer, flag: Tensor) -> None:
    """Make the next steps of a fused optimizer change nothing if `flag`, a scalar on the device, is not 0.

    The host does not wait for the device to learn the flag.
    """
    fused = cast(Any, optimizer)
    fused.grad_scale, fused.found_inf = None, flag


@contextlib.contextmanager
def autocast_on_meta() -> Iterator[None]:
    """Let `torch.autocast("meta")` do what it does for the CPU: it has no effect on tensors of the meta device."""
    original = torch.autocast.__init__

    def accept_meta(self: torch.autocast, device_type: str, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401
        original(self, "cpu" if device_type == "meta" else device_type, *args, **kwargs)

    torch.autocast.__init__ = accept_meta  # type: ignore[method-assign]
    try:
        yield
    finally:
        torch.autocast.__init__ = original  # type: ignore[method-assign]


def step_schedule(schedule: LRScheduler, count: int = 1) -> None:
    """Step a schedule `count` times, whether or not its optimizer has been stepped."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        for _ in range(count):
            schedule.step()


class Float64Mode(TorchFunctionMode):
    """While active, torch functions compute in float64: casts to less are left out, and new tensors are float64.

    Rounding to float32, as by `x.float()`, is too coarse for differences of values. Integers stay integers.
    """

    def __enter__(self) -> Float64Mode:
        """Begin, with float64 as the default dtype."""
        self.default = torch.get_default_dtype()
        torch.set_default_dtype(torch.float64)
        super().__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        """End, and set the default dtype back."""
        super().__exit__(*error)
        torch.set_default_dtype(self.default)

    def __torch_function__(
        self,
        func: Any,  # noqa: ANN401
        types: Any,  # noqa: ANN401
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401
        """Call `func` in float64."""
        name = getattr(func, "__name__", "")
        options = {key: torch.float64 if value in LOW_PRECISION else value for key, value in _dtypes(kwargs).items()}
        kwargs = {**(kwargs or {}), **options}
        if name in CASTS:
            is_float64 = isinstance(args[0], Tensor) and args[0].dtype == torch.float64
            result = func(*args, **kwargs)
            return args[0].to(result.device) if is_float64 and result.dtype in LOW_PRECISION else result
        # A function that writes into a tensor needs the tensor itself.
        if not name.endswith("_") and name not in ("__set__", "__get__", "__setitem__") and "out" not in kwargs:
            args, kwargs = _in_float64(args), _in_float64(kwargs)
        return func(*args, **kwargs)


def _dtypes(kwargs: Mapping[str, Any] | None) -> dict[str, Any]:
    return {key: value for key, value in (kwargs or {}).items() if isinstance(value, torch.dtype)}


def _in_float64(value: Any) -> Any:  # noqa: ANN401
    """Return nested lists, tuples and dicts with their tensors of less precision in float64."""
    if isinstance(value, Tensor):
        return torch.ops.aten.to.dtype(value, torch.float64) if value.dtype in LOW_PRECISION else value
    if type(value) in (list, tuple):
        return type(value)(_in_float64(item) for item in value)
    if type(value) is dict:
        return {key: _in_float64(item) for key, item in value.items()}
    return value
