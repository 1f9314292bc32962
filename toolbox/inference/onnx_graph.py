"""Restoring as one graph of tensors, for export: what `toolbox restore --fill network` does with arrays.

Every size is a tensor while the graph is traced, so the graph takes photographs of any size. The functions repeat what
`toolbox.inference.modes` and `toolbox.imaging` do with NumPy and OpenCV; the tests compare both.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from toolbox.color import INTEGER_LUMA_WEIGHTS
from toolbox.imaging.chroma_upsampling import MIN_VARIANCE
from toolbox.inference import onnx_resize as resize
from toolbox.inference.hole_filling import RING
from toolbox.models.component_calls import call_generator

# Added before integers are divided, and subtracted after it: division rounds towards zero in one runtime and downwards
# in another, and they agree for positive numbers.
_OFFSET = 4096


class RestoringGraph(nn.Module):
    """Restore one photograph: the network with its pre- and post-processing.

    All lost pixels are treated as one hole: the network sees them once, with their surroundings.

    Attributes:
        network: the generator, in eval mode.
        keep: what of the photograph is not changed: "none", "luma" or "rgb".
        multiple: the sides of what the network takes are multiples of this.
        size: the short side at which colours are found, with keep = "luma"; None: the photograph's own.
        fill_side: a larger hole, with its surroundings, is resized to a square of this side; None: `tile`.
        tile: the side of the largest square that is restored at once.
    """

    def __init__(
        self, network: nn.Module, *, keep: str, multiple: int, size: int | None, fill_side: int | None, tile: int
    ) -> None:
        """Make the graph of a generator; see the class for the arguments."""
        super().__init__()
        self.network = network
        self.keep = keep
        self.multiple = multiple
        self.size = size if keep == "luma" else None
        self.fill_side = fill_side
        self.tile = tile

    def forward(self, image: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Restore a photograph.

        Args:
            image: (H, W, 3) uint8 RGB; gray has three equal channels.
            mask: (H, W) uint8, not 0 where the photograph is lost.

        Returns:
            The restored photograph, (H, W, 3) uint8 RGB; and the network's own picture, (h, w, 3) float32 in [0, 1]: of
            the photograph at its working size, or with keep = "rgb" of the hole with its surroundings.
        """
        lost = (mask != 0).float()[None]
        pixels = image.permute(2, 0, 1).to(torch.int32)
        if self.keep == "luma":
            pixels = integer_luma(pixels)
        fill = most_frequent(pixels, lost)
        if self.keep == "none":
            picture = self._call(pixels.float(), lost, fill)
            result = (picture * 255).round()
        elif self.keep == "rgb":
            result, picture = self._fill(pixels, lost, fill)
        else:
            luma, _ = self._fill(pixels, lost, fill)
            picture = self._run(pixels.float(), lost, fill, self._working_size(lost))
            result = compose(luma, self._differences(picture, luma))
        return result.to(torch.uint8).permute(1, 2, 0), picture.permute(1, 2, 0)

    def _working_size(self, lost: Tensor) -> tuple[Tensor, Tensor] | None:
        return None if self.size is None else resize.working_size(*resize.sides_of(lost), self.size)

    def _run(self, pixels: Tensor, lost: Tensor, fill: Tensor, size: tuple[Tensor, Tensor] | None) -> Tensor:
        """Return the network's picture (3, h, w) in [0, 1], for (C, H, W) of 0 to 255 that is resized to `size`."""
        if size is None:
            return self._call(pixels, lost, fill)
        small = resize.shrink_levels(pixels, *size)
        return self._call(small, (resize.shrink(lost, *size) > 0).float(), fill)

    def _call(self, pixels: Tensor, lost: Tensor, fill: Tensor) -> Tensor:
        picture = (pixels * (1 - lost) + fill[:, None, None] * lost) / 255
        height, width = picture.shape[-2:]
        padded = [resize.pad_to_multiple(values, self.multiple)[None] for values in (picture.expand(3, -1, -1), lost)]
        restored = call_generator(self.network, padded[0], padded[1])[0]
        return restored[0].clamp(0, 1)[:, :height, :width]

    def _fill(self, pixels: Tensor, lost: Tensor, fill: Tensor) -> tuple[Tensor, Tensor]:
        """Return the photograph with its lost region filled, and the network's picture of the hole.

        As `hole_filling.fill_holes`: the network's values are shifted smoothly so that they meet the known pixels.
        """
        height, width = resize.sides_of(lost)
        at_once = self._runs_at_once(height, width)
        spans = [resize.lost_span(lost[0].amax(axis)) for axis in (1, 0)]
        side = torch.maximum(spans[0][1] - spans[0][0], spans[1][1] - spans[1][0]) + 1
        context, working_side, is_dust = resize.hole_facts(side, height, width, self.fill_side or self.tile, self.tile)
        outer = [resize.grow_span(span, context, n, at_once) for span, n in zip(spans, (height, width), strict=True)]
        inner = [resize.grow_span(span, RING, n, at_once) for span, n in zip(spans, (height, width), strict=True)]
        seen, seen_lost = (values[:, outer[0]][:, :, outer[1]] for values in (pixels.float(), lost))
        size = resize.context_size(*resize.sides_of(seen_lost), working_side)
        picture = self._run(seen, seen_lost, fill, size)
        values = luma_of(picture) if self.keep == "luma" else picture
        rows, columns = (
            resize.cubic_weights(small, full, inside - outside[0])
            for small, full, inside, outside in zip(size, resize.sides_of(seen), inner, outer, strict=True)
        )
        values = 255 * (rows @ values @ columns.T) * (1 - (is_dust & ~at_once).float())
        known = 1 - lost[:, inner[0]][:, :, inner[1]]
        target = pixels.float()[:, inner[0]][:, :, inner[1]]
        values = values + resize.smooth_fill(target - values, known)
        # Outside the box the indices are those of its border; only lost pixels are used, which are inside.
        below, right = (
            (resize.numbers(length) - indices[0]).clamp(min=0).minimum(indices[-1] - indices[0])
            for length, indices in zip((height, width), inner, strict=True)
        )
        filled = values.round().clamp(0, 255).to(torch.int32)[:, below][:, :, right]
        return torch.where(lost > 0, filled, pixels), picture

    def _runs_at_once(self, height: Tensor, width: Tensor) -> Tensor:
        """Return whether the network sees the whole photograph when it fills the hole, as `modes` decides."""
        rounded = [(side + self.multiple - 1) // self.multiple * self.multiple for side in (height, width)]
        fits = rounded[0] * rounded[1] <= max(self.tile, self.multiple) ** 2
        if self.fill_side is not None:
            fits = fits & (height * width <= self.fill_side**2)
        if self.size is not None:
            small = resize.working_size(height, width, self.size)
            fits = fits & (small[0] == height) & (small[1] == width)
        return fits

    def _differences(self, picture: Tensor, luma: Tensor) -> Tensor:
        """Return R - Y and B - Y, (2, H, W) in [-1, 1], of the picture at the working size, for the luma (1, H, W)."""
        small = picture[0::2] - luma_of(picture)
        if self.size is None:
            return small
        full, size = luma.shape[-2:], resize.sides_of(small)
        relation = linear_relation(small, resize.shrink_levels(luma.float(), *size) / 255)
        enlarged = resize.enlarge(relation, full)
        guided = enlarged[:2] * (luma.float() / 255) + enlarged[2:]
        height, width = resize.sides_of(luma)
        is_same = (size[0] == height) & (size[1] == width)
        return torch.where(is_same, resize.enlarge(small, full), guided)


def integer_luma(rgb: Tensor) -> Tensor:
    """Return the luma (1, ...) of int32 RGB (3, ...), as `toolbox.color.integer_luma`."""
    red, green, blue = (weight * rgb[index : index + 1] for index, weight in enumerate(INTEGER_LUMA_WEIGHTS))
    return (red + green + blue + 32768 + (_OFFSET << 16)) // 65536 - _OFFSET


def luma_of(rgb: Tensor) -> Tensor:
    """Return the luma (1, H, W) of RGB (3, H, W), with the weights of `integer_luma`."""
    red, green, blue = (weight / 65536 * rgb[index : index + 1] for index, weight in enumerate(INTEGER_LUMA_WEIGHTS))
    return red + green + blue


def most_frequent(pixels: Tensor, lost: Tensor) -> Tensor:
    """Return the most frequent value of the lost pixels, (C,) float32, of (C, H, W) 0 to 255; 127 if none is lost."""
    counts = torch.stack(
        [
            torch.zeros(256).scatter_add(0, channel.reshape(-1).to(torch.int64), lost.reshape(-1))
            for channel in pixels.unbind(0)
        ]
    )
    return torch.where(lost.amax() > 0, counts.argmax(1).float(), torch.tensor(127.0))


def linear_relation(small: Tensor, guide: Tensor) -> Tensor:
    """Return slope and offset of values (C, h, w) as functions of the luma (1, h, w), (2 C, h, w).

    As `toolbox.imaging.chroma_upsampling.linear_relation`.
    """
    mean_luma, mean_color = resize.blur(guide), resize.blur(small)
    variance = resize.blur(guide * guide) - mean_luma * mean_luma
    slope = (resize.blur(small * guide) - mean_color * mean_luma) / (variance + MIN_VARIANCE)
    return resize.blur(torch.cat([slope, mean_color - slope * mean_luma]))


def compose(luma: Tensor, differences: Tensor) -> Tensor:
    """Return RGB (3, H, W) int32 with exactly the luma (1, H, W), and with R - Y and B - Y (2, H, W) in [-1, 1].

    As `compose_rgb` and `exact_luma` of `toolbox.imaging`.
    """
    red_weight, green_weight, blue_weight = INTEGER_LUMA_WEIGHTS
    red, blue = differences[0:1] * 255, differences[1:2] * 255
    green = (red_weight * red + blue_weight * blue) / green_weight
    y = luma.float()
    candidate = torch.cat([y + red, y - green, y + blue])
    rounded = candidate.round().to(torch.int32)
    shifted = rounded + luma - integer_luma(rounded)
    outside = ((shifted.amin(0) < 0) | (shifted.amax(0) > 255)).reshape(-1)
    where = outside.nonzero()[:, 0]
    colors = candidate.reshape(3, -1)[:, where].to(torch.float64)
    inside = desaturate(colors, luma.reshape(1, -1)[:, where].to(torch.float64))
    flat = shifted.reshape(3, -1)
    flat = flat.scatter(1, where[None].expand(3, -1), inside.to(torch.int32))
    return flat.reshape(shifted.shape)


def desaturate(rgb: Tensor, target: Tensor) -> Tensor:
    """Return float64 colours (3, N) at the luma `target` (1, N), less saturated so that they are within 0 and 255."""
    difference = rgb - luma_of(rgb)
    most, least = difference.amax(0).clamp(min=1e-9), (-difference.amin(0)).clamp(min=1e-9)
    saturation = torch.minimum((255 - target) / most, target / least).clamp(max=1)
    return (target + saturation * difference - (0.5 + 1e-6)).ceil().clamp(0, 255)
