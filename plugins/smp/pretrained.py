"""Weights for an encoder: from smp's hub and timm's, or from a safetensors file."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import segmentation_models_pytorch as smp
import timm
import torch
from huggingface_hub.utils import logging as hub_logging
from safetensors import SafetensorError
from safetensors.torch import load_file
from segmentation_models_pytorch.encoders import TimmViTEncoder
from timm.data import (
    IMAGENET_DEFAULT_MEAN,
    IMAGENET_DEFAULT_STD,
    IMAGENET_DPN_MEAN,
    IMAGENET_DPN_STD,
    IMAGENET_INCEPTION_MEAN,
    IMAGENET_INCEPTION_STD,
)
from torch import Tensor, nn

from .params import SmpParams

SUFFIX = ".safetensors"
Statistics = tuple[tuple[float, ...], tuple[float, ...]]

PLAIN: Statistics = ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
IMAGENET: Statistics = (IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD)
HALVES: Statistics = (IMAGENET_INCEPTION_MEAN, IMAGENET_INCEPTION_STD)
DPN: Statistics = (IMAGENET_DPN_MEAN, IMAGENET_DPN_STD)
# smp keeps these in a file on its hub; a file of weights alone must do without. By the start of the name.
OTHERS = {"inception": HALVES, "xception": HALVES, "dpn": DPN}


def wanted(params: SmpParams) -> bool:
    """Return whether the encoder starts from weights."""
    return params.weights != "none"


def published(params: SmpParams) -> None:
    """Raise ValueError, with the choices, if `weights` is no file that is there and nothing that is published."""
    name, weights = params.encoder, params.weights
    if not wanted(params):
        return
    if weights.endswith(SUFFIX):
        if not Path(weights).is_file():
            raise ValueError(f"weights: there is no file {weights}")
        return
    if "/" in weights or "." in weights:
        raise ValueError(f"weights = '{weights}' is not a path that ends in {SUFFIX}; convert the file to safetensors")
    own = smp.encoders.encoders.get(name)
    if own is not None:
        tags = list(own["pretrained_settings"])
    else:
        tags = ["imagenet"] if timm.is_model_pretrained(name[3:]) else []
    if weights not in tags:
        choices = ", ".join(["none", *tags, f"a path that ends in {SUFFIX}"])
        raise ValueError(f"weights = '{weights}' is not published for encoder '{name}'. Known: {choices}")


def statistics(params: SmpParams) -> Statistics:
    """Return mean and deviation of each colour that the encoder's weights were made with."""
    if not wanted(params):
        return PLAIN
    if params.encoder.startswith("tu-"):
        settings = timm.get_pretrained_cfg(params.encoder[3:])
        return (tuple(settings.mean), tuple(settings.std)) if settings else IMAGENET
    if params.weights == "advprop":
        return HALVES
    return next((other for start, other in OTHERS.items() if params.encoder.startswith(start)), IMAGENET)


def load(encoder: nn.Module, params: SmpParams, sizing: dict[str, Any]) -> None:
    """Put the weights that `params` names into `encoder`, in place.

    Where the encoder has a fourth channel, the mask's weights are 0: it starts as it would without the mask.

    Raises:
        ValueError: no network, or a file that is not this encoder's; one line.
    """
    source = _from_file(params, sizing) if params.weights.endswith(SUFFIX) else _from_hub(params, sizing)
    with torch.no_grad():
        for name, own in encoder.state_dict().items():
            value = source[name]
            if own.ndim == 4 and own.shape[1] > value.shape[1]:
                own[:, value.shape[1] :] = 0
                own = own[:, : value.shape[1]]
            own.copy_(value)


def _colour_encoder(params: SmpParams, weights: str | bool | None, extra: dict[str, Any]) -> nn.Module:
    depth = params.options()["encoder_depth"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        if params.arch == "dpt":
            return TimmViTEncoder(params.encoder[3:], pretrained=bool(weights), depth=depth, **extra)
        return smp.encoders.get_encoder(params.encoder, depth=depth, weights=weights, **extra)


def _from_hub(params: SmpParams, sizing: dict[str, Any]) -> dict[str, Tensor]:
    weights = True if params.encoder.startswith("tu-") else params.weights
    verbosity = hub_logging.get_verbosity()
    # The hub's client tells of every try; what counts is whether it succeeds.
    hub_logging.set_verbosity_error()
    try:
        return _colour_encoder(params, weights, sizing).state_dict()
    except Exception as error:  # the hub's client, the network and the disk each have errors of their own
        reason = (str(error).strip() or type(error).__name__).splitlines()[0].split(". ")[0]
        raise ValueError(
            f"the weights '{params.weights}' of encoder '{params.encoder}' can't be fetched ({reason}); with no "
            f"network take weights = 'none' or the path of a {SUFFIX} file"
        ) from error
    finally:
        hub_logging.set_verbosity(verbosity)


def _from_file(params: SmpParams, sizing: dict[str, Any]) -> dict[str, Tensor]:
    path = Path(params.weights)
    try:
        state = load_file(path)
        if params.encoder.startswith("tu-"):
            return _by_timm(params, sizing, state)
        encoder = _colour_encoder(params, None, {})
        encoder.load_state_dict(state)
        return encoder.state_dict()
    except (OSError, SafetensorError, RuntimeError, KeyError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ValueError(f"{path} is not a file of weights for encoder '{params.encoder}': {reason}") from error


def _by_timm(params: SmpParams, sizing: dict[str, Any], state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Let timm read `state`, whose names are those of its whole model.

    timm passes over what is missing. That would be drawn at random, and so differ between two seeds.
    """
    built = []
    for seed in range(2):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            overlay = {"state_dict": dict(state), "custom_load": False}
            built.append(_colour_encoder(params, True, sizing | {"pretrained_cfg_overlay": overlay}).state_dict())
    first, second = built
    missing = [name for name, value in first.items() if not torch.equal(value, second[name])]
    if missing:
        raise ValueError(f"it lacks {len(missing)} of {len(first)} tensors, such as {missing[0]}")
    return first
