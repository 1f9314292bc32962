"""Fill the luma of holes with a trained network, and their chroma by extrapolation."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import torch
from safetensors.torch import load_file
from torch.nn.functional import pad

from toolbox import Filler
from toolbox.smooth_fill import fill_array, fill_tensor, halve

from .frequency import extrapolate, extrapolate_region, fill_luma_and_chroma
from .network import MULTIPLE, FillNet
from .regions import FINE, Region, fill_regions

# A hole with a larger distance from edge to middle is filled at a smaller scale; the network has seen few of them.
MAX_THICKNESS = 96
# Larger crops are filled in windows with this side, which overlap by a quarter.
WINDOW = 512
STRIDE = 384
# The extrapolation that the network gets beside the smooth fill: side of the windows and number of rounds.
QUICK = {"window": 32, "rounds": 24}


def load_network(path: Path) -> FillNet:
    """Return the network with the weights of a safetensors file, for inference only."""
    network = FillNet()
    network.load_state_dict({name: value.float() for name, value in load_file(path).items()})
    return network.eval().to(memory_format=torch.channels_last).requires_grad_(False)


def make_fill(network: FillNet) -> Filler:
    """Return the fill of a network.

    It raises ValueError if the image is not (H, W) or (H, W, 3) uint8 or uint16, or the mask not (H, W) bool.
    """

    def learned(image: np.ndarray, mask: np.ndarray, /, *, seed: int = 0) -> np.ndarray:
        del seed
        return fill_regions(image, mask, partial(fill_region, network), margin=context)

    return learned


def context(thickness: float, side: int) -> int:
    """Return how many pixels around a hole with this thickness are useful. `side` is not used."""
    del side
    return max(64, round(1.5 * thickness))


def fill_region(network: FillNet, values: np.ndarray, lost: np.ndarray, region: Region) -> np.ndarray:
    """Return `values` (h, w, C) float32, 0 to 255, with a region filled. Dust and hairs are extrapolated."""
    if region.thickness <= FINE or lost.all():
        return extrapolate_region(values, lost, region)

    def luma(plane: np.ndarray) -> np.ndarray:
        return fill_luma(network, plane[..., 0], lost, region.target, region.thickness)[..., None]

    def chroma(planes: np.ndarray) -> np.ndarray:
        return extrapolate(planes, lost, target=region.target, **QUICK)

    return fill_luma_and_chroma(values, luma, chroma)


def fill_luma(network: FillNet, luma: np.ndarray, lost: np.ndarray, target: np.ndarray, thickness: float) -> np.ndarray:
    """Return `luma` (h, w) float32, 0 to 255, with the lost pixels filled.

    Args:
        network: the network.
        luma: (h, w) float32; the values of lost pixels are not used.
        lost: (h, w) bool.
        target: (h, w) bool, the lost pixels that must be filled; others may be.
        thickness: the largest distance of a target pixel from a known pixel, in pixels.
    """
    if thickness > MAX_THICKNESS and min(lost.shape) > 1:
        small, known_fraction = halve(luma[..., None], ~lost)
        small_target = cv2.resize(target.astype(np.float32), known_fraction.shape[::-1], interpolation=cv2.INTER_AREA)
        small = fill_luma(network, small[..., 0], known_fraction == 0, small_target > 0, thickness / 2)
        trend = cv2.resize(small, lost.shape[::-1], interpolation=cv2.INTER_CUBIC)
        return np.where(lost, trend + fill_array(luma - trend, ~lost), luma)
    waves = extrapolate(luma[..., None], lost, target=target, **QUICK)[..., 0]
    total, weights = np.zeros_like(luma), np.zeros_like(luma)
    for box in _windows(lost.shape):
        if target[box].any():
            weight = _hat(total[box].shape)
            total[box] += weight * predict(network, luma[box], lost[box], waves[box])
            weights[box] += weight
    return np.where(lost, total / np.maximum(weights, np.float32(1e-6)), luma)


@torch.inference_mode()
def predict(network: FillNet, luma: np.ndarray, lost: np.ndarray, waves: np.ndarray) -> np.ndarray:
    """Return `luma` (h, w) float32, 0 to 255, with the lost pixels filled by the network in one pass.

    Args:
        network: the network.
        luma: (h, w) float32; the values of lost pixels are not used.
        lost: (h, w) bool.
        waves: (h, w) float32, `luma` with the lost pixels extrapolated.
    """
    height, width = lost.shape
    device = network.head.weight.device
    # Pixels beyond the border count as lost.
    beyond = (0, -width % MULTIPLE, 0, -height % MULTIPLE)
    known, extrapolated, holes = (
        torch.from_numpy(plane.astype(np.float32))[None, None].to(device)
        for plane in (np.where(lost, 0, luma) / 255, waves.clip(0, 255) / 255, lost)
    )
    mask = pad(holes, beyond, value=1.0)
    start = fill_tensor(pad(known, beyond), mask)
    beside = start.clone()
    beside[..., :height, :width] = extrapolated
    filled = network(start, mask, beside)[0, 0, :height, :width].clamp(0, 1) * 255
    return np.asarray(filled.cpu().numpy())


def _windows(shape: tuple[int, ...]) -> Iterator[tuple[slice, slice]]:
    rows, columns = (range(0, max(1, side - WINDOW + STRIDE), STRIDE) for side in shape)
    for top, left in itertools.product(rows, columns):
        yield slice(top, min(top + WINDOW, shape[0])), slice(left, min(left + WINDOW, shape[1]))


def _hat(shape: tuple[int, ...]) -> np.ndarray:
    """Return weights (h, w) that fall from the middle to the border."""
    down, across = (np.minimum(np.arange(1, side + 1), np.arange(side, 0, -1)) for side in shape)
    return np.outer(down, across).astype(np.float32)
