"""Small pictures, masks, photographs and a discriminator to test components with; the same ones at every call.

Letters as in `toolbox.hooks.protocols`: B batch size, C channels, H, W pixels; pictures in [0, 1].
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from toolbox.color import integer_luma, luma
from toolbox.data.batch import Batch
from toolbox.hooks.protocols import Sample


def picture(height: int, width: int, *, batch: int = 2, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    """Return random pictures (B, 3, H, W) with values in [0.02, 0.98]: smooth colours with some grain."""
    random = torch.Generator().manual_seed(seed)
    colors = torch.rand(batch, 3, 4, 4, generator=random, dtype=torch.float64)
    colors = interpolate(colors, (height, width), mode="bilinear")
    grain = torch.rand(batch, 3, height, width, generator=random, dtype=torch.float64)
    return (0.02 + 0.96 * (0.8 * colors + 0.2 * grain)).to(dtype)


def mask(height: int, width: int, *, batch: int = 2, dtype: torch.dtype = torch.float32) -> Tensor:
    """Return masks (B, 1, H, W), 1 in a rectangle with a third to a half of each side; its position varies."""
    masks = torch.zeros(batch, 1, height, width, dtype=dtype)
    for index in range(batch):
        top, left = (1 + index % 2) * height // 4, (1 + (index + 1) % 2) * width // 4
        masks[index, :, top : top + max(1, height // 2), left : left + max(1, width // 3)] = 1
    return masks


def batch(height: int, width: int, *, size: int = 2, seed: int = 0, dtype: torch.dtype = torch.float32) -> Batch:
    """Return `size` pairs: colour truths, and their gray with the lost region in a single level."""
    truth = picture(height, width, batch=size, seed=seed, dtype=dtype)
    lost = mask(height, width, batch=size, dtype=dtype)
    gray = luma(truth).expand(-1, 3, -1, -1)
    image = torch.where(lost > 0, torch.full_like(gray, 0.2), gray)
    return Batch(image=image, mask=lost, truth=truth, names=tuple(f"example-{index}" for index in range(size)))


def to_device(batch: Batch, device: torch.device) -> Batch:
    """Return the batch on another device."""
    return replace(batch, **{name: tensor.to(device) for name, tensor in batch.tensors.items()})  # type: ignore[arg-type]


def select(batch: Batch, pictures: Sequence[int]) -> Batch:
    """Return the batch with some of its pictures, by their numbers, in this order."""
    tensors = {name: tensor[list(pictures)] for name, tensor in batch.tensors.items()}
    return replace(batch, **tensors, names=tuple(batch.names[index] for index in pictures))  # type: ignore[arg-type]


def labelled(batch: Batch) -> Batch:
    """Return the batch with labels of two kinds of damage: the mask, and its left half."""
    left = batch.mask.clone()
    left[..., left.shape[-1] // 2 :] = 0
    return replace(batch, labels=torch.cat([batch.mask, left], 1), kinds=("scratch", "stain"))


def extremes(height: int, width: int) -> dict[str, Batch]:
    """Return batches that cause divisions by zero and similar errors: black, white and equal pictures, empty masks."""
    pairs = batch(height, width)
    black, white = torch.zeros_like(pairs.truth), torch.ones_like(pairs.truth)
    empty, full = torch.zeros_like(pairs.mask), torch.ones_like(pairs.mask)

    def make(image: Tensor, truth: Tensor, lost: Tensor) -> Batch:
        return replace(pairs, image=image, truth=truth, mask=lost)

    return {
        "random pictures": pairs,
        "black pictures": make(black, black, pairs.mask),
        "white pictures": make(white, white, pairs.mask),
        "black pictures and a white truth": make(black, white, pairs.mask),
        "equal pictures": make(pairs.truth, pairs.truth, pairs.mask),
        "an empty mask": make(pairs.image, pairs.truth, empty),
        "a full mask": make(pairs.image, pairs.truth, full),
    }


def photo(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Return a photograph (H, W, 3) uint8."""
    values = picture(height, width, batch=1, seed=seed)[0].permute(1, 2, 0).numpy()
    return np.ascontiguousarray((255 * values).round().astype(np.uint8))


def sample(height: int, width: int, *, damaged: bool, seed: int = 0) -> Sample:
    """Return a sample: undamaged, as a damage gets it, or gray with a lost region, as an augmentation gets it."""
    truth = photo(height, width, seed)
    if not damaged:
        return Sample(image=truth.copy(), mask=np.zeros(truth.shape[:2], bool), truth=truth)
    lost = mask(height, width, batch=1)[0, 0].numpy() > 0
    image = np.repeat(integer_luma(truth)[..., None], 3, axis=-1)
    image[lost] = 50
    return Sample(image=image, mask=lost, truth=truth)


class SmoothDiscriminator(nn.Module):
    """Two 4x4 convolutions with a softplus between them, in float64: smooth, so that it has second derivatives.

    `factor` multiplies its initial weights and biases.
    """

    def __init__(self, seed: int = 0, factor: float = 1) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.layers = nn.Sequential(
                nn.Conv2d(3, 6, 4, 2, 1, dtype=torch.float64),
                nn.Softplus(),
                nn.Conv2d(6, 1, 4, 2, 1, dtype=torch.float64),
            )
        with torch.no_grad():
            for weight in self.parameters():
                weight.mul_(factor)

    def forward(self, picture: Tensor) -> list[Tensor]:
        """Return one map (B, 1, H / 4, W / 4) for (B, 3, H, W)."""
        return [self.layers(picture)]
