"""Joins decoders and encoders, and says which pairs smp can't join without building one."""

from __future__ import annotations

import difflib
import functools
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import segmentation_models_pytorch as smp
import timm
import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from .params import SmpParams

# A multiple of every total stride there is, and none of the sizes that timm's models are made for, so that
# one which insists on its own is found out.
SIDE = 192

# What makes a model of timm take any size, by family; most need nothing.
ANY_SIZE: tuple[dict[str, Any], ...] = ({}, {"dynamic_img_size": True}, {"strict_img_size": False})


class _Dry(TorchFunctionMode):
    """Keeps the depths of stochastic dropping real, which encoders read as numbers while they are made."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:  # noqa: ANN401
        """Call `func`, torch.linspace on the CPU."""
        kwargs = dict(kwargs or {})
        if func is torch.linspace:
            kwargs["device"] = "cpu"
        return func(*args, **kwargs)


@contextmanager
def _quietly() -> Iterator[None]:
    """Keep out smp's word on the names that it will drop, and take its word on ill-matched options for an error."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.filterwarnings("error", message="Encoder does not have prefix tokens")
        yield


def known(encoder: str) -> None:
    """Raise ValueError with the nearest names if neither smp nor timm has `encoder`."""
    if encoder in smp.encoders.encoders:
        return
    if encoder.startswith("tu-") and timm.is_model(encoder[3:]):
        return
    names = [*smp.encoders.encoders, *(f"tu-{name}" for name in timm.list_models())]
    near = difflib.get_close_matches(encoder, names, n=3)
    hint = f"; near: {', '.join(near)}" if near else ""
    raise ValueError(
        f"encoder '{encoder}' is neither one of smp's {len(smp.encoders.encoders)} nor 'tu-' and a model of timm{hint}"
    )


def create(params: SmpParams, sizing: dict[str, Any]) -> nn.Module:
    """Let smp build the network with random weights; `sizing` goes to timm."""
    with _quietly():
        network = smp.create_model(
            params.arch,
            encoder_name=params.encoder,
            encoder_weights=None,
            in_channels=4 if params.mask_input else 3,
            classes=3,
            **params.options(),
            **sizing,
        )
    if params.arch == "dpt":
        # It reads the maps between the blocks; what comes after the last would never get a gradient.
        network.encoder.model.prune_intermediate_layers([-1], prune_norm=True, prune_head=True)
    return network


@functools.lru_cache(maxsize=64)
def sizing(params: SmpParams) -> dict[str, Any]:
    """Return what timm must be told so that the network takes any size.

    The pair is tried on torch's meta device, where tensors have shapes and no memory: nothing is allocated,
    loaded or drawn, and it is smp itself that says no.

    Raises:
        ValueError: the pair can't be joined; one line with smp's reason.
    """
    known(params.encoder)
    ways = ANY_SIZE if params.encoder.startswith("tu-") else ANY_SIZE[:1]
    reasons = []
    for way in ways:
        reason = _refusal(params, way)
        if reason is None:
            return way
        reasons.append(reason)
    raise ValueError(f"smp can't join '{params.arch}' to encoder '{params.encoder}': {reasons[0]}")


def _refusal(params: SmpParams, way: dict[str, Any]) -> str | None:
    shape = (1, 4 if params.mask_input else 3, SIDE, SIDE)
    try:
        with torch.random.fork_rng(devices=[]), torch.no_grad(), torch.device("meta"), _Dry():
            network = create(params, way).to("meta").eval()
            restored = network(torch.empty(shape))
    except Exception as error:  # whatever an encoder raises is a reason not to take it
        return " ".join(str(error).split())[:300] or type(error).__name__
    if tuple(restored.shape) != (1, 3, SIDE, SIDE):
        return f"it gives {list(restored.shape[-2:])} pixels for {SIDE}x{SIDE}"
    return None
