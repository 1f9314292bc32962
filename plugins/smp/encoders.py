"""Build networks of smp, and check whether a decoder and an encoder are compatible without building one."""

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

# Side of the trial input in pixels: a multiple of every total stride, and not the fixed size of any timm model, so that
# a model with a fixed size fails.
TRIAL_SIDE = 192

# Options that make a timm model accept any size; each family knows at most one of them, and most need none.
ANY_SIZE_OPTIONS: tuple[dict[str, Any], ...] = ({}, {"dynamic_img_size": True}, {"strict_img_size": False})


class _LinspaceOnCpu(TorchFunctionMode):
    """Run torch.linspace on the CPU: encoders read the drop rates that it returns as Python numbers."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:  # noqa: ANN401
        """Call `func`; torch.linspace runs on the CPU."""
        kwargs = dict(kwargs or {})
        if func is torch.linspace:
            kwargs["device"] = "cpu"
        return func(*args, **kwargs)


@contextmanager
def _smp_warnings() -> Iterator[None]:
    """Ignore smp's warnings, but treat its warning about options that don't match as an error."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.filterwarnings("error", message="Encoder does not have prefix tokens")
        yield


def check_encoder_name(encoder: str) -> None:
    """Raise ValueError with the nearest names if `encoder` is neither in smp nor 'tu-' and a model of timm."""
    if encoder in smp.encoders.encoders:
        return
    if encoder.startswith("tu-") and timm.is_model(encoder[3:]):
        return
    names = [*smp.encoders.encoders, *(f"tu-{name}" for name in timm.list_models())]
    near = difflib.get_close_matches(encoder, names, n=3)
    hint = f"; did you mean {', '.join(near)}?" if near else ""
    raise ValueError(
        f"encoder '{encoder}' is not one of smp's {len(smp.encoders.encoders)} encoders and not 'tu-' followed by a "
        f"timm model{hint}"
    )


def create_network(params: SmpParams, size_options: dict[str, Any]) -> nn.Module:
    """Build the network with random weights; `size_options` are options of timm (see `find_size_options`)."""
    with _smp_warnings():
        network = smp.create_model(
            params.arch,
            encoder_name=params.encoder,
            encoder_weights=None,
            in_channels=4 if params.mask_input else 3,
            classes=3,
            **params.options(),
            **size_options,
        )
    if params.arch == "dpt":
        # DPT uses the feature maps between the blocks. The layers after the last block would never get a gradient.
        network.encoder.model.prune_intermediate_layers([-1], prune_norm=True, prune_head=True)
    return network


@functools.lru_cache(maxsize=64)
def find_size_options(params: SmpParams) -> dict[str, Any]:
    """Return the options of timm that make the network accept any size.

    The pair of decoder and encoder is tried on torch's meta device, where tensors have shapes but no memory: no memory
    is allocated, no file is read, no random number is drawn. So the reason of every refusal comes from smp.

    Raises:
        ValueError: decoder and encoder are not compatible; one line with smp's reason.
    """
    check_encoder_name(params.encoder)
    candidates = ANY_SIZE_OPTIONS if params.encoder.startswith("tu-") else ANY_SIZE_OPTIONS[:1]
    reasons = []
    for options in candidates:
        reason = _incompatibility(params, options)
        if reason is None:
            return options
        reasons.append(reason)
    raise ValueError(f"smp can't combine decoder '{params.arch}' with encoder '{params.encoder}': {reasons[0]}")


def _incompatibility(params: SmpParams, options: dict[str, Any]) -> str | None:
    """Return why the pair fails with these options, in one line; None if it works."""
    shape = (1, 4 if params.mask_input else 3, TRIAL_SIDE, TRIAL_SIDE)
    try:
        with torch.random.fork_rng(devices=[]), torch.no_grad(), torch.device("meta"), _LinspaceOnCpu():
            network = create_network(params, options).to("meta").eval()
            restored = network(torch.empty(shape))
    except Exception as error:  # encoders raise errors of many types
        return " ".join(str(error).split())[:300] or type(error).__name__
    if tuple(restored.shape) != (1, 3, TRIAL_SIDE, TRIAL_SIDE):
        return f"for {TRIAL_SIDE}x{TRIAL_SIDE} pixels it returns {list(restored.shape[-2:])}"
    return None
