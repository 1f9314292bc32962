"""For plugins: pretrained networks as feature extractors. timm builds them; it is imported when it is needed."""

from __future__ import annotations

import difflib
import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from torch import Tensor, nn

from toolbox.models import efficientnet_lite

HUB_FILE = "model.safetensors"
# Two sides in pixels without a common odd factor: a backbone that takes both takes any size.
PROBE_SIZE = (384, 256)
# What makes a backbone of a fixed size take any size. Each family of timm has one of these options.
ANY_SIZE_OPTIONS: tuple[dict[str, Any], ...] = ({"dynamic_img_size": True}, {"strict_img_size": False}, {})


@dataclass(frozen=True, kw_only=True)
class Backbone:
    """A feature extractor.

    Attributes:
        network: called with normalised pictures; see `features`.
        strides: of each map, the pixels of the picture per pixel of the map, in the order of the maps.
        channels: the channels of each map.
        mean: the mean that normalises pictures for it, of R, G and B in [0, 1].
        std: the standard deviation that normalises them.
    """

    network: nn.Module
    strides: tuple[int, ...]
    channels: tuple[int, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]


def create(name: str, inputs: int = 3, **options: Any) -> Backbone:  # noqa: ANN401 - timm's own options
    """Build timm's backbone `name` for pictures of `inputs` channels, with random weights.

    Raises:
        ValueError: timm has no such backbone, or it gives no feature maps. The message is one line.
    """
    if not options and _without_tag(name) in efficientnet_lite.SCALES:
        network = efficientnet_lite.EfficientNetLite(_without_tag(name), inputs)
        return Backbone(
            network=network,
            strides=efficientnet_lite.STRIDES,
            channels=network.channels,
            mean=efficientnet_lite.MEAN,
            std=efficientnet_lite.STD,
        )
    import timm

    if not timm.is_model(name):
        near = difflib.get_close_matches(name, timm.list_models(), n=3, cutoff=0.5)
        hint = f" Similar names: {', '.join(near)}." if near else ""
        raise ValueError(f"timm has no backbone '{name}'.{hint} See timm.list_models() for all")
    config = timm.get_pretrained_cfg(name)
    has_fixed_size = config is not None and config.fixed_input_size
    try:
        network = _create_with_timm(name, ANY_SIZE_OPTIONS if has_fixed_size else ({},), in_chans=inputs, **options)
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


def features(network: nn.Module, picture: Tensor) -> list[Tensor]:
    """Return the feature maps of a normalised `picture` (B, C, H, W), each (B, c, h, w)."""
    maps = network(picture)
    if getattr(network, "output_fmt", None) == "NHWC":
        maps = [values.permute(0, 3, 1, 2) for values in maps]
    return list(maps)


def examine(name: str, inputs: int = 3) -> Backbone:
    """Build the backbone without memory for its weights, and call it once.

    Raises:
        ValueError: as `create`; or it does not take pictures of any size.
    """
    with torch.device("meta"):
        backbone = create(name, inputs)
        try:
            maps = features(backbone.network.eval(), torch.zeros(1, inputs, *PROBE_SIZE))
        except Exception as error:
            text = " ".join(str(error).split()) or type(error).__name__
            raise ValueError(f"backbone '{name}' does not take pictures of any size: {text}") from error
    if tuple(values.shape[1] for values in maps) != backbone.channels:
        raise ValueError(f"backbone '{name}' gives feature maps that do not match timm's description of it")
    return backbone


def load(backbone: Backbone, name: str, *, pretrained: bool, weights: str | None) -> None:
    """Load the file `weights` into `backbone`, or the weights of timm's hub if `pretrained`, or nothing.

    Raises:
        ValueError: as `read`, `fill` and `fetch`.
    """
    if weights is not None:
        fill(backbone.network, read(name, Path(weights)), f"weights {weights}")
    elif pretrained:
        # Some published files have other keys than the networks. timm translates them, and drops the classifier.
        source = create(
            name, pretrained=True, pretrained_cfg_overlay={"state_dict": load_tensors(fetch(name).read_bytes())}
        )
        fill(backbone.network, source.network.state_dict(), f"the pretrained weights of '{name}'")


def read(name: str, path: Path) -> dict[str, Tensor]:
    """Return the tensors of a safetensors file of the network `name`, with timm's keys.

    Raises:
        ValueError: the file does not exist, is no safetensors file, or is of a larger network.
    """
    import timm

    if not path.is_file():
        raise ValueError(f"there is no file {path}; weights is the path of a safetensors file")
    try:
        tensors = load_tensors(path.read_bytes())
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path} is not a safetensors file ({error}); convert other formats first") from error
    with torch.device("meta"):
        known = {_canonical_key(key) for key in timm.create_model(name).state_dict()}
    parts = {_first_word(key) for key in known}
    # Keys of other parts, such as the head of another task, are allowed. More keys of a known part mean another
    # network.
    foreign = [
        key for key in tensors if (canonical := _canonical_key(key)) not in known and _first_word(canonical) in parts
    ]
    if foreign:
        raise ValueError(f"{path} is not of '{name}': it has {len(foreign)} additional tensors, such as {foreign[0]}")
    return tensors


def fill(network: nn.Module, tensors: Mapping[str, Tensor], origin: str) -> None:
    """Copy `tensors` into `network`; all tensors of the network must be among them.

    A convolution may have one input channel more than in the file, for the mask. The weights of that channel become 0,
    so that the network starts as it was trained.

    Raises:
        ValueError: a tensor is missing or has another shape; the message names `origin` and the first such tensor.
    """
    by_key = {_canonical_key(key): value for key, value in tensors.items()}
    state, faults = {}, []
    for key, current in network.state_dict().items():
        value = by_key.get(_canonical_key(key))
        if value is None:
            # Not every library writes this counter. It then starts at 0.
            faults += [] if key.endswith("num_batches_tracked") else [f"{key} is missing"]
            continue
        if value.ndim == 4 and current.ndim == 4 and current.shape[1] == value.shape[1] + 1:
            value = torch.cat([value, torch.zeros_like(value[:, :1])], dim=1)
        if value.shape != current.shape:
            faults.append(f"{key} is {list(value.shape)}, not {list(current.shape)}")
        state[key] = value
    if faults:
        raise ValueError(f"{origin} doesn't fit the backbone in {len(faults)} tensors: {faults[0]}")
    network.load_state_dict(state, strict=False)


def fetch(name: str) -> Path:
    """Return the safetensors file of `name` from timm's hub; it is downloaded once.

    Raises:
        ValueError: the hub has no such weights, or cannot be reached.
    """
    import huggingface_hub as hub
    import timm

    config = timm.get_pretrained_cfg(name)
    if config is None or not config.hf_hub_id:
        raise ValueError(f"timm's hub has no weights of '{name}'; set weights to a safetensors file of them")
    try:
        return Path(hub.hf_hub_download(config.hf_hub_id, HUB_FILE, local_files_only=True))
    except OSError:
        pass  # not in the cache
    try:
        # First one request without retries: without an internet connection, a download would retry for minutes.
        hub.get_hf_file_metadata(hub.hf_hub_url(config.hf_hub_id, HUB_FILE), timeout=10)
        return Path(hub.hf_hub_download(config.hf_hub_id, HUB_FILE))
    except Exception as error:  # the hub's HTTP library raises many types
        text = " ".join(str(error).split())
        raise ValueError(
            f"the pretrained weights of '{name}' can't be downloaded from timm's hub ({config.hf_hub_id}: {text}); "
            "without a network set weights to a safetensors file of them"
        ) from error


def _create_with_timm(name: str, choices: tuple[dict[str, Any], ...], **options: Any) -> Any:  # noqa: ANN401
    """Build the network with the first of `choices` that its family accepts."""
    import timm

    for choice in choices[:-1]:
        try:
            return timm.create_model(name, features_only=True, **choice, **options)
        except TypeError:  # this family does not have the option
            continue
    return timm.create_model(name, features_only=True, **choices[-1], **options)


def _without_tag(name: str) -> str:
    """Return a name of timm without the tag of its weights: "resnet18" for "resnet18.a1_in1k"."""
    return name.partition(".")[0]


def _canonical_key(key: str) -> str:
    """Return a form of a key that is the same in the network and in its feature extractor, which flattens names."""
    return key.removeprefix("model.").removeprefix("body.").replace(".", "_")


def _first_word(key: str) -> str:
    """Return the first word of a canonical key, such as "blocks"."""
    return "".join(itertools.takewhile(lambda letter: letter != "_" and not letter.isdigit(), key))
