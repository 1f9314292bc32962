"""Initial weights of an encoder: from smp's or timm's hub, or from a safetensors file."""

from __future__ import annotations

import warnings
from pathlib import Path
from textwrap import shorten
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

# Mean and standard deviation of R, G and B by the kind of pretraining.
NONE: Statistics = ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
IMAGENET: Statistics = (IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD)
INCEPTION: Statistics = (IMAGENET_INCEPTION_MEAN, IMAGENET_INCEPTION_STD)
DPN: Statistics = (IMAGENET_DPN_MEAN, IMAGENET_DPN_STD)
# Encoders without ImageNet's usual statistics, by the start of their names. smp has these in a file on its hub; a local
# file of weights has no such file beside it.
STATISTICS_BY_PREFIX = {"inception": INCEPTION, "xception": INCEPTION, "dpn": DPN}


def is_used(params: SmpParams) -> bool:
    """Return whether the encoder starts with pretrained weights."""
    return params.weights != "none"


def check_weights(params: SmpParams) -> None:
    """Raise ValueError with the choices if `weights` is neither an existing file nor a published tag."""
    name, weights = params.encoder, params.weights
    if not is_used(params):
        return
    if weights.endswith(SUFFIX):
        if not Path(weights).is_file():
            raise ValueError(f"weights: there is no file {weights}")
        return
    if "/" in weights or "." in weights:
        raise ValueError(f"weights = '{weights}' does not end in {SUFFIX}; convert the file to safetensors")
    entry = smp.encoders.encoders.get(name)
    if entry is not None:
        tags = list(entry["pretrained_settings"])
    else:
        tags = ["imagenet"] if timm.is_model_pretrained(name[3:]) else []
    if weights not in tags:
        choices = ", ".join(["none", *tags, f"the path of a {SUFFIX} file"])
        raise ValueError(f"weights = '{weights}' is not published for encoder '{name}'. Known: {choices}")


def statistics(params: SmpParams) -> Statistics:
    """Return mean and standard deviation of R, G and B with which the encoder's weights were trained."""
    if not is_used(params):
        return NONE
    if params.encoder.startswith("tu-"):
        settings = timm.get_pretrained_cfg(params.encoder[3:])
        return (tuple(settings.mean), tuple(settings.std)) if settings else IMAGENET
    if params.weights == "advprop":
        return INCEPTION
    return next(
        (statistics for prefix, statistics in STATISTICS_BY_PREFIX.items() if params.encoder.startswith(prefix)),
        IMAGENET,
    )


def load_weights(encoder: nn.Module, params: SmpParams, size_options: dict[str, Any]) -> None:
    """Load the weights that `params` names into `encoder`, in place.

    If the encoder has a fourth channel for the mask, its weights become 0, so the mask has no effect at first.

    Raises:
        ValueError: there is no internet connection, or the file is for another encoder; one line.
    """
    source = _from_file(params, size_options) if params.weights.endswith(SUFFIX) else _from_hub(params, size_options)
    with torch.no_grad():
        for name, target in encoder.state_dict().items():
            value = source[name]
            if target.ndim == 4 and target.shape[1] > value.shape[1]:
                target[:, value.shape[1] :] = 0
                target = target[:, : value.shape[1]]
            target.copy_(value)


def _rgb_encoder(params: SmpParams, weights: str | bool | None, options: dict[str, Any]) -> nn.Module:
    """Build the encoder for three input channels, with these weights."""
    depth = params.options()["encoder_depth"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        if params.arch == "dpt":
            return TimmViTEncoder(params.encoder[3:], pretrained=bool(weights), depth=depth, **options)
        return smp.encoders.get_encoder(params.encoder, depth=depth, weights=weights, **options)


def _from_hub(params: SmpParams, size_options: dict[str, Any]) -> dict[str, Tensor]:
    weights = True if params.encoder.startswith("tu-") else params.weights
    verbosity = hub_logging.get_verbosity()
    # The hub's client logs every attempt; only the final error matters.
    hub_logging.set_verbosity_error()
    try:
        return _rgb_encoder(params, weights, size_options).state_dict()
    except Exception as error:  # the hub's client, the network and the disk raise errors of many types
        reason = (str(error).strip() or type(error).__name__).splitlines()[0].split(". ")[0]
        raise ValueError(
            f"the weights '{params.weights}' of encoder '{params.encoder}' can't be downloaded ({reason}); without "
            f"internet, set weights = 'none' or to the path of a {SUFFIX} file"
        ) from error
    finally:
        hub_logging.set_verbosity(verbosity)


def _from_file(params: SmpParams, size_options: dict[str, Any]) -> dict[str, Tensor]:
    path = Path(params.weights)
    try:
        state = load_file(path)
        if params.encoder.startswith("tu-"):
            return _load_with_timm(params, size_options, state)
        encoder = _rgb_encoder(params, None, {})
        encoder.load_state_dict(state)
        return encoder.state_dict()
    except (OSError, SafetensorError, RuntimeError, KeyError, ValueError) as error:
        reason = shorten(str(error), 300, placeholder="…")
        raise ValueError(f"{path} has no weights for encoder '{params.encoder}': {reason}") from error


def _load_with_timm(params: SmpParams, size_options: dict[str, Any], state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the encoder's state after timm has loaded `state`, whose keys are those of timm's whole model.

    timm ignores missing tensors, which then keep random values. So the encoder is built with two seeds: tensors that
    differ are missing.

    Raises:
        ValueError: tensors are missing.
    """
    states = []
    for seed in range(2):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            overlay = {"state_dict": dict(state), "custom_load": False}
            states.append(_rgb_encoder(params, True, size_options | {"pretrained_cfg_overlay": overlay}).state_dict())
    first, second = states
    missing = [name for name, value in first.items() if not torch.equal(value, second[name])]
    if missing:
        raise ValueError(f"{len(missing)} of {len(first)} tensors are missing, such as {missing[0]}")
    return first
