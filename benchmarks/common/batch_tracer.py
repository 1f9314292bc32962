"""The tracer of the bundle `damage` for batches of square pictures, in torch: for training on a GPU."""

from __future__ import annotations

import torch
from toolbox_plugins.damage.tracer import LENGTHS
from torch import Tensor
from torch.nn import functional

# As in the tracer: ridges are integers of 16 bits in this unit.
_UNIT = 1 / 120
_MOST = 4.0


@torch.no_grad()
def trace_batch(levels: Tensor) -> Tensor:
    """Return `tracer.trace_half` of each picture, (B, CHANNELS, H / 2, W / 2) float32, but for rounding.

    Args:
        levels: (B, H, W) float32 with whole numbers from 0 to 255; H and W are equal and even.
    """
    half = torch.floor((functional.avg_pool2d(levels[:, None], 2)[:, 0] * 4 + 2) / 4) / 255
    both = torch.cat([half, half.transpose(1, 2)])
    means = _line_means(_ridges(both))
    vertical, horizontal = means.chunk(2)
    return torch.cat([vertical, horizontal.transpose(2, 3)], 1)


def _ridges(image: Tensor) -> Tensor:
    ridges = _smooth_rows(image, 5, 0.8) - _smooth_rows(image, 19, 4.5)
    padded = functional.pad(ridges.abs()[:, None], (15,) * 4, mode="reflect")
    mean = functional.avg_pool2d(functional.avg_pool2d(padded, (31, 1), 1), (1, 31), 1)[:, 0]
    return torch.round((ridges / (mean + 0.004)).clamp(-_MOST, _MOST) / _UNIT).to(torch.int16)


def _smooth_rows(image: Tensor, taps: int, deviation: float) -> Tensor:
    """Return the image with a Gaussian over each row; sums of slices, since convolutions may round to ten bits."""
    offsets = torch.arange(taps, dtype=torch.float64) - taps // 2
    weights = torch.exp(-offsets.square() / (2 * deviation**2))
    weights = weights / weights.sum()
    padded = functional.pad(image[:, None], (taps // 2, taps // 2, 0, 0), mode="reflect")[:, 0]
    width = image.shape[-1]
    result = torch.zeros_like(image)
    for number, weight in enumerate(weights.tolist()):
        result.add_(padded[..., number : number + width], alpha=weight)
    return result


def _mirrored(length: int, margin: int, device: torch.device) -> Tensor:
    """Return the indices of an axis with margins that mirror it, its first and last element included."""
    index = torch.arange(-margin, length + margin, device=device)
    index = torch.where(index < 0, -1 - index, index)
    return torch.where(index >= length, 2 * length - 1 - index, index)


def _line_means(ridges: Tensor) -> Tensor:
    """Return the greatest and the least mean along the lines through each pixel, (B, 2 * lengths, H, W) float32."""
    count, height, width = ridges.shape
    longest = max(LENGTHS)
    margin = longest // 2
    rows_index, columns_index = (_mirrored(length, margin, ridges.device) for length in (height, width))
    padded = ridges[:, rows_index][:, :, columns_index]
    stride = padded.shape[2]
    size = height * stride
    sums: dict[int, Tensor] = {0: padded.reshape(count, -1)}
    rows, means = 1, []
    while rows < longest:
        rows *= 2
        light, dark = (
            torch.full((count, size), value, dtype=torch.int16, device=ridges.device) for value in (-32768, 32767)
        )
        longer: dict[int, Tensor] = {}
        step = 2 if rows == longest else 1
        for k in range(-rows + step, rows, step):
            half = sums[int(k / 2)]
            offset = rows // 2 * stride + k - int(k / 2)
            line = half[:, : half.shape[1] - offset] + half[:, offset:]
            if rows in LENGTHS:
                start = (margin - rows // 2) * stride + margin - k // 2
                here = line[:, start : start + size]
                torch.maximum(light[:, : here.shape[1]], here, out=light[:, : here.shape[1]])
                torch.minimum(dark[:, : here.shape[1]], here, out=dark[:, : here.shape[1]])
            if rows < longest:
                longer[k] = line
        sums = longer
        if rows in LENGTHS:
            means += [(each.view(count, height, stride)[:, :, :width] * (_UNIT / rows)) for each in (light, dark)]
    return torch.stack(means, 1).float()
