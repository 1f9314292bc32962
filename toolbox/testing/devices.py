"""Check that a component works on the device of its inputs: on a GPU, or without one on torch's meta device."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from toolbox.distributed.torch_patches import autocast_on_meta
from toolbox.testing.checks import ContractError, Note, error_text, require

# Functions that may take tensors of two devices. `Module.to` calls the last one.
CROSS_DEVICE_FUNCTIONS = frozenset(
    {"to", "copy_", "type_as", "__getitem__", "__setitem__", "_has_compatible_shallow_copy_type"}
)

# What torch says of `torch.Generator(device="meta")`, which exists on every real device.
NOT_ON_META = ("META device type not an accelerator.", "Device type META is not supported for torch.Generator() api.")
# What torch says when a module of `torch.jit.load` is moved to the meta device.
NO_MOVE_TO_META = "param must be a Parameter"

REMEDY = "make tensors with device=x.device, and register constants with register_buffer in a Module"


class SameDeviceMode(TorchFunctionMode):
    """Refuse calls that mix tensors of two devices; some operators of the meta device accept them."""

    def __torch_function__(
        self,
        func: Any,  # noqa: ANN401
        types: Any,  # noqa: ANN401
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401
        """Check the devices of all tensors, then call `func`."""
        name = getattr(func, "__name__", "")
        if name not in CROSS_DEVICE_FUNCTIONS:
            # A scalar on the CPU can be combined with any tensor.
            devices = {tensor.device.type for tensor in _tensors([args, kwargs]) if tensor.dim()}
            require(len(devices) < 2, f"{name} is given tensors on {' and '.join(sorted(devices))}; {REMEDY}")
        return func(*args, **(kwargs or {}))


def run_on_other_device(prepare: Callable[[torch.device], Callable[[], Iterable[Tensor]]]) -> str:
    """Run a component on another device than the CPU, and require that its results are there.

    Args:
        prepare: called with the device; returns a function that calls the component there and returns its results.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "meta")
    try:
        call = prepare(device)
        with SameDeviceMode(), autocast_on_meta():
            results = list(call())
    except ContractError:
        raise
    except (NotImplementedError, RuntimeError, AssertionError) as error:
        # The meta device has no values and no random numbers. A component that needs them is not wrong.
        is_meta = device.type == "meta"
        if is_meta and (isinstance(error, NotImplementedError) or "meta tensors" in str(error)):
            return Note("reads values of tensors, so this can be checked only on a GPU")
        if is_meta and str(error) == NO_MOVE_TO_META:
            return Note("is a module of torch.jit.load, so this can be checked only on a GPU")
        if is_meta and str(error) in NOT_ON_META:
            return Note("has a generator of random numbers on the device, so this can be checked only on a GPU")
        _require_cpu(prepare)
        raise ContractError(f"fails on another device than the CPU ({error_text(error)}); {REMEDY}") from error
    wrong = {result.device.type for result in results} - {device.type}
    require(not wrong, f"for inputs on another device, its result is on {', '.join(wrong)}; {REMEDY}")
    return f"works on {device.type}"


def _require_cpu(prepare: Callable[[torch.device], Callable[[], Iterable[Tensor]]]) -> None:
    """Raise ContractError if a component fails on the CPU, too: then no device is the cause."""
    try:
        list(prepare(torch.device("cpu"))())
    except Exception as error:  # a component may raise anything
        raise ContractError(f"fails on the CPU, too ({error_text(error)}), so this can't be checked") from error


def move_to(component: Any, device: torch.device) -> Any:  # noqa: ANN401 - every kind of component
    """Return a component on a device, as a run moves it; one that is not a module is returned as it is."""
    return component.to(device) if isinstance(component, nn.Module) else component


def _tensors(value: Any) -> Iterator[Tensor]:  # noqa: ANN401
    """Yield the tensors in nested lists, tuples and mappings."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _tensors(item)
    elif isinstance(value, Mapping):
        yield from _tensors(list(value.values()))
