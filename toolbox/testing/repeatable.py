"""Call a component again and again under the same conditions: its state, torch's random numbers, float64."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ParamSpec, TypeVar

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

P = ParamSpec("P")
R = TypeVar("R")

LOW_PRECISION = (torch.float32, torch.float16, torch.bfloat16)
# Functions whose purpose is another dtype.
CASTS = frozenset({"float", "half", "bfloat16", "to", "type", "type_as"})


def with_fixed_state(component: object, function: Callable[P, R]) -> Callable[P, R]:
    """Return `function` so that each call starts with the same state of `component`, and the same random numbers.

    The state is that of now, buffers and attributes; the component has it after each call too.
    """
    modules = list(component.modules()) if isinstance(component, nn.Module) else []
    owners: list[object] = [*modules] or [component]
    buffers = [
        (module, name, value.clone()) for module in modules for name, value in module.named_buffers(recurse=False)
    ]
    # torch keeps parameters, buffers and hooks in attributes that begin with "_".
    attributes = [
        (owner, {name: value for name, value in vars(owner).items() if not name.startswith("_")})
        for owner in owners
        if isinstance(getattr(owner, "__dict__", None), dict)
    ]

    def restore() -> None:
        for module, name, value in buffers:
            setattr(module, name, value.clone())
        for owner, values in attributes:
            vars(owner).update(values)

    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        restore()
        torch.manual_seed(0)
        try:
            return function(*args, **kwargs)
        finally:
            restore()

    return call


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
