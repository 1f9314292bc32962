"""Whether a component works where its inputs are, found out on a GPU or, without one, on torch's meta device."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from toolbox.testing.checks import Broken, Noted, demand, said

# Functions that may rightly see tensors of two devices.
MOVES = frozenset({"to", "copy_", "type_as", "__getitem__", "__setitem__"})

ADVICE = "make tensors with device=x.device, and keep constants by register_buffer in a Module"


class OneDevice(TorchFunctionMode):
    """Refuses calls that mix tensors of two devices, which meta's convolutions and others let through."""

    def __torch_function__(
        self,
        func: Any,  # noqa: ANN401
        types: Any,  # noqa: ANN401
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401
        """Call `func` after a look at where its tensors are."""
        name = getattr(func, "__name__", "")
        if name not in MOVES:
            # A scalar on the CPU may be mixed with anything.
            devices = {one.device.type for one in _tensors([args, kwargs]) if one.dim()}
            demand(len(devices) < 2, f"{name} is given tensors on {' and '.join(sorted(devices))}; {ADVICE}")
        return func(*args, **(kwargs or {}))


def moved(prepare: Callable[[torch.device], Callable[[], Iterable[Tensor]]]) -> str:
    """Demand that what `prepare` returns for another device than the CPU runs there, its results there too."""
    device = torch.device("cuda" if torch.cuda.is_available() else "meta")
    try:
        run = prepare(device)
        with OneDevice():
            results = list(run())
    except Broken:
        raise
    except (NotImplementedError, RuntimeError) as error:
        # Without a GPU there are no values to look at, which is no fault of the component.
        if device.type == "meta" and (isinstance(error, NotImplementedError) or "meta tensors" in str(error)):
            return Noted("it looks at values, so this can be tried with a GPU only")
        raise Broken(f"it fails on another device than the CPU ({said(error)}); {ADVICE}") from error
    elsewhere = {one.device.type for one in results} - {device.type}
    demand(not elsewhere, f"given tensors on another device, its result is on {', '.join(elsewhere)}; {ADVICE}")
    return f"works on {device.type}"


def placed(component: Any, where: torch.device) -> Any:  # noqa: ANN401 - every kind of component
    """Return a component on a device, as the run places it: one without weights stays as it is."""
    return component.to(where) if isinstance(component, nn.Module) else component


def _tensors(value: Any) -> Iterator[Tensor]:  # noqa: ANN401
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, list | tuple):
        for one in value:
            yield from _tensors(one)
    elif isinstance(value, Mapping):
        yield from _tensors(list(value.values()))
