"""The augmentations `imperfect-fill` and `scan` of the bundle luma for a batch on a device.

They have the same parts and the same ranges as those of the bundle, which take one photograph on the CPU. Lengths in
pixels are those of crops of `SIDE` pixels, in proportion.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, conv2d, interpolate, pad

from benchmarks.common.batch_random import BatchRandom
from benchmarks.common.even_odd import crosses

SIDE = 128
LUMA = (0.299, 0.587, 0.114)
CORNERS = 6
FAR = 30.0  # standard deviation of the blur that fills the centre of large shapes
FAINT = 1e-3
BORDERED = 0.08  # share of the aged photographs with a border
# The luma table of the JPEG standard (ITU-T T.81, table K.1).
QUANTIZATION = (
    *(16, 11, 10, 16, 24, 40, 51, 61),
    *(12, 12, 14, 19, 26, 58, 60, 55),
    *(14, 13, 16, 24, 40, 57, 69, 56),
    *(14, 17, 22, 29, 51, 87, 80, 62),
    *(18, 22, 37, 56, 68, 109, 103, 77),
    *(24, 35, 55, 64, 81, 104, 113, 92),
    *(49, 64, 78, 87, 103, 121, 120, 101),
    *(72, 92, 95, 98, 112, 100, 103, 99),
)


@dataclass(frozen=True, kw_only=True)
class Shares:
    """The share of the photographs that each augmentation changes.

    Attributes:
        fill: a shape is filled as another tool would fill it.
        aged: marks of old prints.
        film: turned gray with other weights of red, green and blue than luma.
    """

    fill: float
    aged: float
    film: float


def degrade(truth: Tensor, shares: Shares, random: BatchRandom) -> tuple[Tensor, Tensor]:
    """Return gray pictures (B, 1, S, S) for truths (B, 3, S, S) and these truths, both in whole levels, 0 to 255.

    S is a multiple of 8. A border changes the truth too.
    """
    truth = truth.round().clamp(0, 255)
    gray = (truth * truth.new_tensor(LUMA).view(1, 3, 1, 1)).sum(1, keepdim=True).round()
    other = (truth * random.weights([2, 3, 2])).sum(1, keepdim=True)
    gray = torch.where(random.chance(shares.film), other, gray)
    gray = torch.where(random.chance(shares.fill) & random_shapes(truth.shape[-1], random), filled(gray, random), gray)
    old = random.chance(shares.aged)
    gray = torch.where(old, aged(gray, random), gray)
    level = torch.where(random.chance(0.7), random.uniform(215, 255), random.uniform(0, 30)).round()
    border = old & random.chance(BORDERED) & borders(truth.shape[-1], random)
    return torch.where(border, level, gray).round().clamp(0, 255), torch.where(border, level, truth)


def aged(gray: Tensor, random: BatchRandom) -> Tensor:
    """Return gray pictures, each with some of the marks of old prints."""
    scale = gray.shape[-1] / SIDE
    faded = (gray - 128) * random.uniform(0.55, 1) + 128 + random.uniform(-25, 25)
    gray = torch.where(random.chance(0.3), faded, gray)
    curved = 255 * (gray / 255).clamp(0, 1) ** random.uniform(-0.35, 0.35).exp()
    gray = torch.where(random.chance(0.25), curved, gray)
    gray = torch.where(random.chance(0.2), blur(gray, random.uniform(0.4, 1.2) * scale, 6), gray)
    grain = blur(random.normal(*gray.shape[-2:]), random.uniform(0, 1), 4)
    grain = grain / grain.std((1, 2, 3), keepdim=True).clamp_min(1e-6)
    gray = torch.where(random.chance(0.3), gray + grain * random.uniform(2, 12), gray)
    gray = torch.where(random.chance(0.2), compressed(gray, random.uniform(30, 85)), gray)
    line = torch.linspace(-1, 1, gray.shape[-1], device=gray.device)
    dark = gray * (1 - random.uniform(0.05, 0.25) * (line[:, None] ** 2 + line**2))
    return torch.where(random.chance(0.15), dark, gray)


def blur(pictures: Tensor, deviation: Tensor, radius: int) -> Tensor:
    """Blur each picture (B, 1, H, W) by a Gaussian with its own `deviation` in pixels, cut off at `radius`."""
    offsets = torch.arange(-radius, radius + 1, device=pictures.device)
    kernel = (-0.5 * (offsets / deviation.view(-1, 1).clamp_min(0.05)) ** 2).exp()
    kernel = kernel / kernel.sum(1, keepdim=True)
    count, rows = len(pictures), pictures.transpose(0, 1)
    rows = conv2d(pad(rows, (radius, radius, 0, 0), mode="replicate"), kernel.view(count, 1, 1, -1), groups=count)
    rows = conv2d(pad(rows, (0, 0, radius, radius), mode="replicate"), kernel.view(count, 1, -1, 1), groups=count)
    return rows.transpose(0, 1)


def filled(gray: Tensor, random: BatchRandom) -> Tensor:
    """Return what a fill could give: the surroundings of a random shape, smoothed, half of the time with detail."""
    size, scale = gray.shape[-1], gray.shape[-1] / SIDE
    known = 1 - random_shapes(size, random).float()
    deviation = random.uniform(2, 8) * scale
    radius = math.ceil(20 * scale)
    near, weight = blur(gray * known, deviation, radius), blur(known, deviation, radius)
    # A large blur hardly changes when it is calculated at an eighth of the size.
    wide = torch.full_like(deviation, FAR * scale / 8)
    few, seen = (blur(avg_pool2d(each, 8), wide, math.ceil(7 * scale)) for each in (gray * known, known))
    far = interpolate(few / seen.clamp_min(1e-4), scale_factor=8.0, mode="bilinear", align_corners=False)
    smooth = (near + FAINT * far) / (weight + FAINT)
    detail = gray - blur(gray, deviation, radius)
    line = torch.arange(size, device=gray.device)
    down = (line.view(1, 1, -1, 1) + random.integers(size // 8, size - size // 8)) % size
    across = (line.view(1, 1, 1, -1) + random.integers(size // 8, size - size // 8)) % size
    moved = detail.gather(2, down.expand_as(detail)).gather(3, across.expand_as(detail))
    return smooth + moved * random.uniform(0.3, 1) * random.chance(0.5)


def random_shapes(size: int, random: BatchRandom) -> Tensor:
    """Draw a rectangle, an ellipse or a polygon of 4 to 6 corners for each picture, (B, 1, size, size) bool."""
    kind = random.integers(0, 3)
    tall, wide = (torch.where(kind == 2, random.uniform(0.35, 0.9), random.uniform(0.08, 0.3)) for _ in range(2))
    line = torch.arange(size, device=random.device) / size
    y = (line.view(1, 1, -1, 1) - random.uniform(0, 1) * (1 - tall)) / tall
    x = (line.view(1, 1, 1, -1) - random.uniform(0, 1) * (1 - wide)) / wide
    rectangle = (y >= 0) & (y < 1) & (x >= 0) & (x < 1)
    ellipse = (y - 0.5) ** 2 + (x - 0.5) ** 2 <= 0.25
    polygon = inside(y, x, random.points(CORNERS), random.integers(4, CORNERS + 1).flatten())
    return torch.where(kind == 0, rectangle, torch.where(kind == 1, ellipse, polygon))


def inside(y: Tensor, x: Tensor, corners: Tensor, counts: Tensor) -> Tensor:
    """Return whether the points (B, 1, H, W) lie in the polygons, by the even-odd rule.

    `corners` (B, N, 2) are (y, x); of each polygon the first `counts` (B,) count.
    """
    result = torch.zeros(torch.broadcast_shapes(y.shape, x.shape), dtype=torch.bool, device=y.device)
    rows = torch.arange(len(corners), device=y.device)
    for number in range(corners.shape[1]):
        following = torch.where(counts <= number + 1, 0, number + 1)
        start = corners[:, number].view(-1, 2, 1, 1, 1).unbind(1)
        end = corners[rows, following.clamp_max(corners.shape[1] - 1)].view(-1, 2, 1, 1, 1).unbind(1)
        result = result ^ (crosses(y, x, start, end) & (counts > number).view(-1, 1, 1, 1))
    return result


def compressed(gray: Tensor, quality: Tensor) -> Tensor:
    """Return gray pictures (B, 1, S, S) with the artifacts of JPEG of a `quality` (B, 1, 1, 1) from 1 to 100."""
    count, size = len(gray), gray.shape[-1]
    factor = torch.where(quality < 50, 5000 / quality, 200 - 2 * quality) / 100
    steps = (gray.new_tensor(QUANTIZATION).view(8, 8) * factor[..., None]).clamp_min(1).round()
    basis = cosines(gray)
    blocks = gray.round().clamp(0, 255) - 128
    blocks = blocks.view(count, size // 8, 8, size // 8, 8).transpose(2, 3)
    coefficients = (basis @ blocks @ basis.T / steps).round() * steps
    return (basis.T @ coefficients @ basis).transpose(2, 3).reshape_as(gray) + 128


def cosines(like: Tensor) -> Tensor:
    """Return the orthonormal matrix (8, 8) of the discrete cosine transform of type II."""
    numbers = torch.arange(8, dtype=like.dtype, device=like.device)
    matrix = (math.pi * (2 * numbers + 1) * numbers[:, None] / 16).cos() / 2
    return torch.cat([matrix[:1] * math.sqrt(0.5), matrix[1:]])


def borders(size: int, random: BatchRandom) -> Tensor:
    """Return a border 2 to 8 % of the side wide, (B, 1, size, size) bool."""
    line = torch.arange(size, device=random.device)
    edge = torch.minimum(line, size - 1 - line)
    return torch.minimum(edge[:, None], edge) < random.uniform(0.02, 0.08) * size
