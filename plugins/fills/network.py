"""The network of the fill `learned`: it corrects a smooth fill of the luma, with an extrapolation beside it."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

# Sides of the pictures must be multiples of this.
MULTIPLE = 16
WIDTHS = (48, 96, 160)
HEAD_WIDTH = 32
# Dilations at an eighth of the size; attention follows every third of these blocks and the last one.
DILATIONS = (1, 2, 4, 8, 1, 2, 4, 8)
ATTENTION_EVERY = 3
RESIDUAL_SCALE = 0.25


class ChannelNorm(nn.Module):
    """Layer norm over the channels of each pixel, in the precision of its input."""

    def __init__(self, channels: int) -> None:
        """Build the norm, which changes nothing but the scale at first."""
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        """Return x (B, C, H, W) with mean 0 and variance 1 over C, then scaled and shifted."""
        # Autocast would compute the norm in float32, which doubles the memory of a training.
        with torch.autocast(x.device.type, enabled=False):
            weight, bias = self.weight.to(x.dtype), self.bias.to(x.dtype)
            normal = functional.layer_norm(x.permute(0, 2, 3, 1), weight.shape, weight, bias)
        return normal.permute(0, 3, 1, 2)


class Block(nn.Module):
    """A residual block: norm, 3x3 convolution, SiLU, convolution."""

    def __init__(self, channels: int, dilation: int = 1, second: int = 3) -> None:
        """Build the block; `second` is the side of the second convolution's kernel."""
        super().__init__()
        self.norm = ChannelNorm(channels)
        self.first = nn.Conv2d(channels, channels, 3, padding=dilation, dilation=dilation)
        self.second = nn.Conv2d(channels, channels, second, padding=second // 2)
        self.scale = nn.Parameter(torch.full((channels, 1, 1), 0.2))

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, C, H, W) of x (B, C, H, W)."""
        change: Tensor = self.second(functional.silu(self.first(self.norm(x))))
        return x + change * self.scale.to(change.dtype)


class Attention(nn.Module):
    """Residual self-attention over all positions, with rotary encodings of rows and columns.

    It depends on relative positions only, so it takes pictures of any size.
    """

    def __init__(self, channels: int) -> None:
        """Build the layer with heads of `HEAD_WIDTH` channels."""
        super().__init__()
        self.norm = ChannelNorm(channels)
        self.qkv = nn.Conv2d(channels, 3 * channels, 1)
        self.out = nn.Conv2d(channels, channels, 1)
        self.scale = nn.Parameter(torch.full((channels, 1, 1), 0.2))

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, C, H, W) of x (B, C, H, W)."""
        batch, channels, height, width = x.shape
        heads = channels // HEAD_WIDTH
        tokens = self.qkv(self.norm(x)).permute(0, 2, 3, 1).reshape(batch, height * width, 3, heads, HEAD_WIDTH)
        query, key, value = tokens.permute(2, 0, 3, 1, 4)
        cos, sin = rotary_angles(height, width, x.device, query.dtype)
        mixed = functional.scaled_dot_product_attention(rotate(query, cos, sin), rotate(key, cos, sin), value)
        mixed = mixed.permute(0, 2, 1, 3).reshape(batch, height, width, channels).permute(0, 3, 1, 2)
        change: Tensor = self.out(mixed)
        return x + change * self.scale.to(change.dtype)


def rotary_angles(height: int, width: int, device: torch.device, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Return cosines and sines, (height * width, HEAD_WIDTH / 2), of rows in the first half and columns in the second.

    Periods are 4 to 128 positions. Source: Su et al., "RoFormer", 2021.
    """
    count = HEAD_WIDTH // 4
    steps = torch.arange(count, device=device, dtype=torch.float32)
    frequency = math.pi / 2 * (1 / 32) ** (steps / (count - 1))
    rows = torch.arange(height, device=device, dtype=torch.float32)[:, None] * frequency
    columns = torch.arange(width, device=device, dtype=torch.float32)[:, None] * frequency
    grid = rows[:, None].expand(height, width, count), columns[None].expand(height, width, count)
    angles = torch.cat(grid, -1).reshape(height * width, 2 * count)
    return angles.cos().to(dtype), angles.sin().to(dtype)


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Return x (..., N, HEAD_WIDTH) with each pair of channels rotated by its angle (N, HEAD_WIDTH / 2)."""
    first, second = x.chunk(2, -1)
    return torch.cat([first * cos - second * sin, first * sin + second * cos], -1)


class FillNet(nn.Module):
    """A U-Net at a half, a quarter and an eighth of the size, with dilated convolutions and attention at the bottom.

    References: Ronneberger et al., "U-Net", MICCAI 2015; Yu and Koltun, "Multi-Scale Context Aggregation by Dilated
    Convolutions", ICLR 2016.
    """

    def __init__(self, widths: tuple[int, int, int] = WIDTHS) -> None:
        """Build the layers; the last one is zero, so that a new network returns the smooth fill."""
        super().__init__()
        half, quarter, eighth = widths
        self.stem = nn.Conv2d(12, half, 3, padding=1)
        self.half_in = nn.Sequential(Block(half), Block(half))
        self.to_quarter = nn.Conv2d(half, quarter, 2, stride=2)
        self.quarter_in = nn.Sequential(Block(quarter), Block(quarter))
        self.to_eighth = nn.Conv2d(quarter, eighth, 2, stride=2)
        body: list[nn.Module] = []
        for number, dilation in enumerate(DILATIONS, 1):
            body.append(Block(eighth, dilation, second=1))
            if number % ATTENTION_EVERY == 0 or number == len(DILATIONS):
                body.append(Attention(eighth))
        self.body = nn.Sequential(*body)
        self.from_eighth = nn.Conv2d(eighth, 4 * quarter, 1)
        self.quarter_out = nn.Sequential(Block(quarter), Block(quarter))
        self.from_quarter = nn.Conv2d(quarter, 4 * half, 1)
        self.half_out = nn.Sequential(Block(half), Block(half))
        self.head = nn.Conv2d(half, 4, 3, padding=1)
        nn.init.zeros_(self.head.weight)
        if self.head.bias is not None:
            nn.init.zeros_(self.head.bias)

    def forward(self, start: Tensor, mask: Tensor, waves: Tensor) -> Tensor:
        """Return the luma with its lost pixels filled, (B, 1, H, W) float32.

        Args:
            start: the luma, 0 to 1, with lost pixels filled by `toolbox.smooth_fill.fill_tensor`, (B, 1, H, W); H and W
                are multiples of `MULTIPLE`.
            mask: (B, 1, H, W), 1 where the luma is lost.
            waves: the luma, 0 to 1, with lost pixels extrapolated by `frequency.extrapolate`, (B, 1, H, W); or `start`.
        """
        pixels = functional.pixel_unshuffle(torch.cat([(start - 0.5) * 2, mask, (waves - start) * 4], 1), 2)
        half = self.half_in(self.stem(pixels.contiguous(memory_format=torch.channels_last)))
        quarter = self.quarter_in(self.to_quarter(half))
        eighth = self.body(self.to_eighth(quarter))
        quarter = self.quarter_out(quarter + functional.pixel_shuffle(self.from_eighth(eighth), 2))
        half = self.half_out(half + functional.pixel_shuffle(self.from_quarter(quarter), 2))
        return start + mask * RESIDUAL_SCALE * functional.pixel_shuffle(self.head(half), 2).float()
