"""Find damage with the network, at a limited size."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from safetensors.torch import load_file
from torch import nn
from torch.nn import functional

import toolbox
from toolbox import Detection, GeneratorSpec
from toolbox.color import integer_luma

from .kinds import KINDS
from .network import MULTIPLE, DamageNet, fold_norms
from .selection import select
from .tracer import trace_half

# A larger photograph is made smaller first: the network was trained on photographs of this size, and damage that
# matters is wider than a pixel there. docs/damage.md says how much this loses.
MAX_PIXELS = 600_000


def load_network(path: Path) -> DamageNet:
    """Return the network with the weights of a safetensors file, for inference only."""
    return _for_inference({name: value.float() for name, value in load_file(path).items()})


def load_trained(weights: str, spec: GeneratorSpec) -> DamageNet:
    """Return the network with the weights of a run, or of a file that one wrote or `toolbox weights export`.

    Raises:
        WeightsError: as `toolbox.load_network`, with the spec of the network and its kinds.
    """
    return _for_inference(toolbox.load_network(weights, spec=spec, kinds=KINDS).network.state_dict())


def _for_inference(tensors: Mapping[str, torch.Tensor]) -> DamageNet:
    network = DamageNet().eval()
    network.load_state_dict(tensors)
    fold_norms(network)
    return network.to(memory_format=torch.channels_last).requires_grad_(False)


def probabilities(network: Callable[..., torch.Tensor], gray: np.ndarray) -> np.ndarray:
    """Return the probability of each of `KINDS` for each pixel of (H, W) uint8, (kinds, H, W) float32.

    It is the mean of those in the photograph and in its mirror image. Most of what is taken for damage in a sound
    photograph is so in one of the two only.
    """
    mirrored = _probabilities(network, np.ascontiguousarray(gray[:, ::-1]))[:, :, ::-1]
    return np.asarray((_probabilities(network, gray) + mirrored) / 2)


@torch.inference_mode()
def _probabilities(network: Callable[..., torch.Tensor], gray: np.ndarray) -> np.ndarray:
    height, width = gray.shape
    down, right = -height % MULTIPLE, -width % MULTIPLE
    padded = cv2.copyMakeBorder(gray, 0, down, 0, right, cv2.BORDER_REFLECT)
    picture = (torch.from_numpy(padded)[None, None].float() / 255).contiguous(memory_format=torch.channels_last)
    logits = network(picture, torch.from_numpy(trace_half(padded))[None].contiguous(memory_format=torch.channels_last))
    whole = functional.interpolate(logits.softmax(1)[:, 1:], scale_factor=2.0, mode="bilinear", align_corners=False)
    found: np.ndarray = whole[0, :, :height, :width].numpy()
    return found


def shrink(gray: np.ndarray) -> np.ndarray:
    """Return a photograph (H, W) uint8 with at most about `MAX_PIXELS` pixels."""
    scale = math.sqrt(MAX_PIXELS / gray.size)
    if scale >= 1:
        return gray
    return cv2.resize(gray, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)


def luma_of(image: np.ndarray) -> np.ndarray:
    """Return the luma (H, W) uint8 of an image (H, W) or (H, W, 3) uint8."""
    return image if image.ndim == 2 else integer_luma(image)


class Maps(Mapping[str, np.ndarray]):
    """Probabilities by kind, (H, W) float32, each enlarged when it is asked for.

    All five of a photograph of 24 million pixels at once would take half a gigabyte.
    """

    def __init__(self, maps: Mapping[str, np.ndarray | None], size: tuple[int, ...]) -> None:
        """Store the small maps, None for one that is zero, and the size (H, W) of the photograph."""
        self._maps, self._size = maps, size

    def __getitem__(self, kind: str) -> np.ndarray:
        """Return the map of a kind."""
        small = self._maps[kind]
        if small is None:
            return np.zeros(self._size, np.float32)
        if small.shape == self._size:
            return small
        return np.asarray(cv2.resize(small, self._size[::-1], interpolation=cv2.INTER_LINEAR))

    def __iter__(self) -> Iterator[str]:
        """Return the kinds, in the order of the spec."""
        return iter(self._maps)

    def __len__(self) -> int:
        """Return the number of kinds."""
        return len(self._maps)


class Finder:
    """The detector: call it with a photograph."""

    def __init__(self, network: nn.Module, *, kinds: Sequence[str], sensitivity: float, grow: int) -> None:
        """Store the options.

        Args:
            network: as `load_network` returns it.
            kinds: the kinds that count for the mask.
            sensitivity: 0 to 1; see `selection.select`.
            grow: pixels by which the mask is widened.
        """
        self._network, self._kinds, self._grow = network, tuple(kinds), grow
        self._sensitivity = sensitivity

    def __call__(self, image: np.ndarray, /) -> Detection:
        """Return the damage of a photograph (H, W) or (H, W, 3) uint8; other kinds have the probability 0."""
        gray = luma_of(image)
        small = shrink(gray)
        found = probabilities(self._network, small)
        mask: np.ndarray = select(found, self._kinds, self._sensitivity).astype(np.uint8)
        if self._grow:
            mask = cv2.dilate(mask, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * self._grow + 1,) * 2))
        size = gray.shape[::-1]
        if small is not gray:
            # Half of the range is the outline, so that it has no steps.
            mask = cv2.resize(255 * mask, size, interpolation=cv2.INTER_LINEAR) // 128
        maps = Maps({kind: found[KINDS.index(kind)] if kind in self._kinds else None for kind in KINDS}, gray.shape)
        return Detection(mask=mask > 0, probabilities=maps)
