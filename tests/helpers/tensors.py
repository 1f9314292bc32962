"""Random tensors, and photographs as tensors."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def uniform(*shape: int, seed: int = 0) -> Tensor:
    """Return float64 values of U(0, 1), the same for the same shape and seed."""
    return torch.rand(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def to_tensor(*photos: np.ndarray, dtype: torch.dtype = torch.float64) -> Tensor:
    """Return photographs (H, W, 3) uint8 as one tensor (B, 3, H, W) in [0, 1]."""
    return torch.from_numpy(np.stack(photos)).permute(0, 3, 1, 2).to(dtype) / 255


def no_mask(pictures: Tensor) -> Tensor:
    """Return a mask (B, 1, H, W) without a lost pixel."""
    return torch.zeros_like(pictures[:, :1])


def small_mask(pictures: Tensor) -> Tensor:
    """Return a mask (B, 1, H, W) with a hole of 3x3 pixels near the upper left corner."""
    mask = no_mask(pictures)
    mask[..., 2:5, 3:6] = 1
    return mask
