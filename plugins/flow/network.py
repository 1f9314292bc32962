"""The network: the velocity that moves colours from noise to those of a photograph, and colouring along it."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, interpolate, silu

from toolbox.color import add_differences, cbcr, color_differences, luma
from toolbox.smooth_fill import fill_tensor

# Colours are multiplied by this, so that their spread is about that of the noise.
SCALE = 8.0
FREQUENCIES = 16  # of the time embedding, each as sine and cosine
GROUPS = 8


class Block(nn.Module):
    """Two 3x3 convolutions with norm and SiLU; the time scales and shifts the channels between them."""

    def __init__(self, inputs: int, outputs: int) -> None:
        """Make a block of `inputs` to `outputs` channels."""
        super().__init__()
        self.first = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.second = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.norms = nn.ModuleList(nn.GroupNorm(GROUPS, outputs) for _ in range(2))
        self.time = nn.Linear(2 * FREQUENCIES, 2 * outputs)

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        """Return (B, outputs, H, W) for `x` (B, inputs, H, W) and the embedded time (B, 2 FREQUENCIES)."""
        scale, shift = self.time(time)[..., None, None].chunk(2, dim=1)
        x = silu(self.norms[0](self.first(x))) * (1 + scale) + shift
        return silu(self.norms[1](self.second(x)))


class FlowColorizer(nn.Module):
    """A U-Net that predicts the velocity of Cb and Cr, and colours a picture by Euler steps along it.

    The lost region of the luma is filled smoothly. The steps start at 0, the mean of the noise, so the same picture
    gets the same colours, whatever else is in its batch and however it is cut into tiles.

    Reference: Liu et al., "Flow Straight and Fast: Learning to Generate and Transfer Data with Rectified Flow", ICLR
    2023; Lipman et al., "Flow Matching for Generative Modeling", ICLR 2023.
    """

    def __init__(self, width: int, levels: int, steps: int) -> None:
        """Make a network of `levels` levels, from `width` channels on, that colours in `steps` Euler steps."""
        super().__init__()
        self.steps = steps
        widths = [width * 2**level for level in range(levels)]
        self.down = nn.ModuleList(Block(i, o) for i, o in zip([4, *widths], widths, strict=False))
        self.up = nn.ModuleList(Block(b + o, o) for b, o in zip(widths[:0:-1], widths[-2::-1], strict=True))
        self.head = nn.Conv2d(width, 2, 1)

    def forward(self, image: Tensor, mask: Tensor, colors: Tensor | None = None, time: Tensor | None = None) -> Tensor:
        """Restore a picture; with `colors` and `time`, as in training, return their velocity.

        Args:
            image: (B, 3, H, W) in [0, 1], of any H and W.
            mask: (B, 1, H, W), 1 where it is lost.
            colors: scaled Cb and Cr at `time`, between noise and photograph, (B, 2, H, W).
            time: from 0 (noise) to 1 (the photograph), (B,).

        Returns:
            RGB (B, 3, H, W) in [0, 1], or the velocity (B, 2, H, W).
        """
        gray = fill_tensor(luma(image), mask)
        if colors is not None and time is not None:
            return self.velocity(gray, mask, colors, time)
        colors = torch.zeros_like(image[:, :2])
        for number in range(self.steps):
            time = torch.full_like(image[:, 0, 0, 0], number / self.steps)
            colors = colors + self.velocity(gray, mask, colors, time).to(colors.dtype) / self.steps
        return add_differences(gray, torch.stack(color_differences(*(colors / SCALE).unbind(1)), dim=1))

    def velocity(self, gray: Tensor, mask: Tensor, colors: Tensor, time: Tensor) -> Tensor:
        """Return the velocity (B, 2, H, W) of `colors` at `time`, for the luma `gray` (B, 1, H, W)."""
        embedded = embed(time)
        x = torch.cat([gray - 0.5, mask, colors], dim=1)
        skips: list[Tensor] = []
        for level, block in enumerate(self.down):
            x = block(avg_pool2d(x, 2, ceil_mode=True) if level else x, embedded)
            skips.append(x)
        skips.pop()
        for block in self.up:
            skip = skips.pop()
            x = interpolate(x, skip.shape[-2:], mode="bilinear", align_corners=False)
            x = block(torch.cat([x, skip], dim=1), embedded)
        velocity: Tensor = self.head(x)
        return velocity


def embed(time: Tensor) -> Tensor:
    """Return sines and cosines of `time` (B,) in [0, 1]: (B, 2 FREQUENCIES)."""
    frequencies = torch.logspace(0, 2, FREQUENCIES, base=10.0, dtype=time.dtype, device=time.device)
    angles = math.pi * time[:, None] * frequencies
    return torch.cat([angles.sin(), angles.cos()], dim=1)


def scaled_colors(truth: Tensor) -> Tensor:
    """Return the scaled Cb and Cr, (B, 2, H, W), of RGB (B, 3, H, W)."""
    return SCALE * cbcr(truth)
