"""Photographs in the memory of a device, and random crops of them."""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from benchmarks.common.batch_random import BatchRandom

LONGEST = 1.8  # longest side over the shortest; of longer panoramas the middle is kept
STRETCH = 0.1  # the largest logarithm of the change of a crop's sides
ANGLE = math.radians(7)


class PhotoStore:
    """All photographs in one tensor of bytes, so that a batch of crops is a few operations on the device."""

    def __init__(self, photos: Sequence[np.ndarray], side: int, device: torch.device, seed: int) -> None:
        """Store photographs, (H, W, 3) uint8 RGB, with a short side of at most `side` pixels."""
        photos = [scaled(photo, side) for photo in photos]
        heights, widths = zip(*(photo.shape[:2] for photo in photos), strict=True)
        self.heights, self.widths = (torch.tensor(sides, device=device) for sides in (heights, widths))
        ends = np.cumsum([photo.size for photo in photos])
        self.starts = torch.tensor([0, *ends[:-1].tolist()], device=device)
        self.bytes = torch.from_numpy(np.concatenate([photo.ravel() for photo in photos])).to(device)
        self.device, self.seed = device, seed

    def __len__(self) -> int:
        """Return the number of photographs."""
        return len(self.heights)

    def indices(self, step: int, count: int) -> Tensor:
        """Return the photographs of a step, (count,): each epoch in an order of its own."""
        positions = np.arange(step * count, (step + 1) * count)
        epochs, places = np.divmod(positions, len(self))
        orders = {epoch: np.random.default_rng([self.seed, epoch]).permutation(len(self)) for epoch in set(epochs)}
        chosen = [orders[epoch][place] for epoch, place in zip(epochs, places, strict=True)]
        return torch.tensor(chosen, device=self.device)

    def crops(self, index: Tensor, size: int, random: BatchRandom, *, zoom: float, turned: float) -> Tensor:
        """Return square crops of the photographs `index`, RGB (B, 3, size, size) float, 0 to 255.

        The side of a crop is the short side of the photograph divided by a random factor between 1 and `zoom`; its
        proportions change a little. A share `turned` is turned by up to 7 degrees. Half of the crops are mirrored.
        """
        numbers = [random.uniform(0, 1).flatten() for _ in range(6)]
        height, width = self.heights[index], self.widths[index]
        side = torch.minimum(height, width) / zoom ** numbers[0]
        stretch = (STRETCH * (2 * numbers[1] - 1)).exp()
        tall, wide = torch.minimum(side * stretch, height), torch.minimum(side / stretch, width)
        middle_y, middle_x = tall / 2 + numbers[2] * (height - tall), wide / 2 + numbers[3] * (width - wide)
        angle = torch.where(numbers[4] < turned, ANGLE * (2 * numbers[4] / max(turned, 1e-9) - 1), 0)
        mirror = torch.where(numbers[5] < 0.5, -1, 1)
        # Sampled at twice the size and averaged, so that a reduced crop has no aliasing.
        line = (torch.arange(2 * size, device=self.device) + 0.5) / (2 * size) - 0.5
        down = line[:, None] * tall[:, None, None]
        across = line * (wide * mirror)[:, None, None]
        cos, sin = angle.cos()[:, None, None], angle.sin()[:, None, None]
        y = middle_y[:, None, None] + cos * down - sin * across
        x = middle_x[:, None, None] + sin * down + cos * across
        return avg_pool2d(self._sampled(index, y - 0.5, x - 0.5), 2)

    def _sampled(self, index: Tensor, y: Tensor, x: Tensor) -> Tensor:
        """Return the photographs at the positions (B, H, W) by bilinear interpolation, (B, 3, H, W)."""
        last_y, last_x = (sides[index][:, None, None] - 1 for sides in (self.heights, self.widths))
        y, x = torch.minimum(y.clamp_min(0), last_y), torch.minimum(x.clamp_min(0), last_x)
        top, left = y.long(), x.long()
        bottom, right = torch.minimum(top + 1, last_y), torch.minimum(left + 1, last_x)
        channels, start = torch.arange(3, device=self.device), self.starts[index][:, None, None]

        def pixels(row: Tensor, column: Tensor) -> Tensor:
            return self.bytes[((row * (last_x + 1) + column) * 3 + start)[..., None] + channels].float()

        part_y, part_x = (y - top)[..., None], (x - left)[..., None]
        upper = torch.lerp(pixels(top, left), pixels(top, right), part_x)
        lower = torch.lerp(pixels(bottom, left), pixels(bottom, right), part_x)
        return torch.lerp(upper, lower, part_y).permute(0, 3, 1, 2)


def scaled(photo: np.ndarray, side: int) -> np.ndarray:
    """Return the photograph with a short side of at most `side` pixels; of a long panorama its middle."""
    short = min(photo.shape[:2])
    if short > side:
        size = round(photo.shape[1] * side / short), round(photo.shape[0] * side / short)
        photo = cv2.resize(photo, size, interpolation=cv2.INTER_AREA)
    longest = int(LONGEST * min(photo.shape[:2]))
    y, x = (max(0, (length - longest) // 2) for length in photo.shape[:2])
    return photo[y : y + longest, x : x + longest]
