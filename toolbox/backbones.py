"""For plugins: timm's backbones as feature extractors, made, examined, and filled from safetensors files."""

from __future__ import annotations

import difflib
import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import timm
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from timm.layers import Format
from torch import Tensor, nn

FILE = "model.safetensors"

# Two sides that share no odd factor: a backbone that takes both has no fixed size.
PROBE = (384, 256)

# What lets backbones of a fixed size take others; each family knows one of them.
FREE_SIZE: tuple[dict[str, Any], ...] = ({"dynamic_img_size": True}, {"strict_img_size": False}, {})


@dataclass(frozen=True, kw_only=True)
class Backbone:
    """A feature extractor.

    Attributes:
        network: gives a list of feature maps for normalised pictures.
        strides: pixels of the picture a pixel of each map, in the order of the maps.
        channels: the channels of each map.
        mean: the mean of the pictures that it was made for, a value for each of R, G, B.
        std: their deviation.
    """

    network: nn.Module
    strides: tuple[int, ...]
    channels: tuple[int, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]


def create(name: str, inputs: int = 3, **options: Any) -> Backbone:  # noqa: ANN401 - timm's own options
    """Make timm's backbone `name` for pictures of `inputs` channels; ValueError in one line if it can't be."""
    if not timm.is_model(name):
        near = difflib.get_close_matches(name, timm.list_models(), n=3, cutoff=0.5)
        hint = f" Near: {', '.join(near)}." if near else ""
        raise ValueError(f"timm has no backbone '{name}'.{hint} See timm.list_models() for all")
    config = timm.get_pretrained_cfg(name)
    fixed = config is not None and config.fixed_input_size
    try:
        network = _first(name, FREE_SIZE if fixed else ({},), in_chans=inputs, **options)
    except Exception as error:
        raise ValueError(f"backbone '{name}' gives no feature maps: {' '.join(str(error).split())}") from error
    info = network.feature_info
    return Backbone(
        network=network,
        strides=tuple(info.reduction()),
        channels=tuple(info.channels()),
        mean=config.mean if config is not None else timm.data.IMAGENET_DEFAULT_MEAN,
        std=config.std if config is not None else timm.data.IMAGENET_DEFAULT_STD,
    )


def _first(name: str, choices: tuple[dict[str, Any], ...], **options: Any) -> Any:  # noqa: ANN401
    """Make the network with the first of `choices` that its family knows."""
    for choice in choices[:-1]:
        try:
            return timm.create_model(name, features_only=True, **choice, **options)
        except TypeError:  # an option that this family doesn't have
            continue
    return timm.create_model(name, features_only=True, **choices[-1], **options)


def features(network: nn.Module, picture: Tensor) -> list[Tensor]:
    """Return the maps of a normalised `picture` (B, C, H, W), each (B, c, h, w)."""
    maps = network(picture)
    if getattr(network, "output_fmt", None) == Format.NHWC:
        maps = [one.permute(0, 3, 1, 2) for one in maps]
    return list(maps)


def examine(name: str, inputs: int = 3) -> Backbone:
    """Make the backbone without memory and try it; ValueError if it doesn't take pictures of any size."""
    with torch.device("meta"):
        backbone = create(name, inputs)
        try:
            maps = features(backbone.network.eval(), torch.zeros(1, inputs, *PROBE))
        except Exception as error:
            text = " ".join(str(error).split()) or type(error).__name__
            raise ValueError(f"backbone '{name}' does not take pictures of any size: {text}") from error
    if tuple(one.shape[1] for one in maps) != backbone.channels:
        raise ValueError(f"backbone '{name}' gives other feature maps than timm says of it")
    return backbone


def load(backbone: Backbone, name: str, *, pretrained: bool, weights: str | None) -> None:
    """Fill `backbone` from the file `weights`, or from timm's hub, or leave it as it was drawn."""
    if weights is not None:
        fill(backbone.network, read(name, Path(weights)), f"weights {weights}")
    elif pretrained:
        # timm itself knows which published files have other keys than its networks; without their classifier,
        # whose weights features don't need.
        filled = create(name, pretrained=True, pretrained_cfg_overlay={"state_dict": load_file(fetch(name))})
        fill(backbone.network, filled.network.state_dict(), f"the pretrained weights of '{name}'")


def read(name: str, path: Path) -> dict[str, Tensor]:
    """Return the tensors of a safetensors file of the network `name`, by timm's keys.

    Raises:
        ValueError: the file is not there, not a safetensors file, or a larger network's.
    """
    if not path.is_file():
        raise ValueError(f"there is no file {path}; weights is the path of a safetensors file")
    try:
        tensors = load_file(path)
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path} is not a safetensors file ({error}); convert other formats first") from error
    with torch.device("meta"):
        whole = {_canonical(key) for key in timm.create_model(name).state_dict()}
    stages = {_stage(key) for key in whole}
    # Keys of other parts, such as another task's head, do no harm; more of the same part is another network.
    foreign = [key for key in tensors if _canonical(key) not in whole and _stage(_canonical(key)) in stages]
    if foreign:
        raise ValueError(f"{path} is not of '{name}': it has {len(foreign)} tensors more, as {foreign[0]}")
    return tensors


def fill(network: nn.Module, tensors: Mapping[str, Tensor], origin: str) -> None:
    """Copy `tensors` into `network`, all of which must be there.

    A convolution that has one channel more than the file's sees the mask by it: its weights there become 0,
    so that the network starts as it was trained.

    Raises:
        ValueError: a tensor is missing or of another shape; the message names `origin` and the first.
    """
    given = {_canonical(key): value for key, value in tensors.items()}
    ready, faults = {}, []
    for key, own in network.state_dict().items():
        found = given.get(_canonical(key))
        if found is None:
            # Written by some and not by others; training counts on from 0.
            faults += [] if key.endswith("num_batches_tracked") else [f"{key} is missing"]
            continue
        if found.ndim == 4 and own.ndim == 4 and own.shape[1] == found.shape[1] + 1:
            found = torch.cat([found, torch.zeros_like(found[:, :1])], dim=1)
        if found.shape != own.shape:
            faults.append(f"{key} is {list(found.shape)}, not {list(own.shape)}")
        ready[key] = found
    if faults:
        raise ValueError(f"{origin} doesn't fit the backbone in {len(faults)} tensors: {faults[0]}")
    network.load_state_dict(ready, strict=False)


def fetch(name: str) -> Path:
    """Return the hub's safetensors file of `name`, downloaded once; ValueError if it can't be had."""
    import huggingface_hub as hub

    config = timm.get_pretrained_cfg(name)
    if config is None or not config.hf_hub_id:
        raise ValueError(f"timm's hub has no weights of '{name}'; set weights to a safetensors file of them")
    try:
        return Path(hub.hf_hub_download(config.hf_hub_id, FILE, local_files_only=True))
    except OSError:
        pass  # not in the cache
    try:
        # One request without retries first: without a network a download would try for minutes.
        hub.get_hf_file_metadata(hub.hf_hub_url(config.hf_hub_id, FILE), timeout=10)
        return Path(hub.hf_hub_download(config.hf_hub_id, FILE))
    except Exception as error:  # whatever the hub's HTTP library raises
        text = " ".join(str(error).split())
        raise ValueError(
            f"the pretrained weights of '{name}' can't be had from timm's hub ({config.hf_hub_id}: {text}); "
            "without a network set weights to a safetensors file of them"
        ) from error


def _canonical(key: str) -> str:
    """Return a key as it is the same in the whole network and in a feature extractor, which flattens names."""
    return key.removeprefix("model.").removeprefix("body.").replace(".", "_")


def _stage(key: str) -> str:
    """Return the first word of a canonical key, as 'blocks'."""
    return "".join(itertools.takewhile(lambda letter: letter != "_" and not letter.isdigit(), key))
