"""Restoring as one graph of tensors, for export: what `toolbox restore --fill network` does with arrays.

Every size is a tensor while the graph is traced, so the graph takes photographs of any size. The functions repeat what
`toolbox.inference.modes` and `toolbox.imaging` do with NumPy and OpenCV; the tests compare both.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from toolbox.inference import onnx_resize as resize
from toolbox.inference.onnx_color import compose, integer_luma, linear_relation, luma_of, most_frequent
from toolbox.inference.onnx_holes import connect, find_runs, hole_table, join, no_regions
from toolbox.inference.onnx_resize import numbers
from toolbox.models.component_calls import call_generator

if TYPE_CHECKING:
    from toolbox.inference.restorer import Restorer


class GraphPart(nn.Module):
    """A part of the graph that restores one photograph; it is traced.

    Attributes:
        network: the generator, in eval mode.
        keep: what of the photograph is not changed: "none", "luma" or "rgb".
        multiple: the sides of what the network takes are multiples of this.
        size: the short side at which colours are predicted, with keep = "luma"; None: the photograph's own.
        fill_side: a larger hole, with its surroundings, is resized to a square of this side; None: `tile`.
        tile: the side of the largest square that is restored at once.
    """

    def __init__(self, restorer: Restorer) -> None:
        """Make the part for a restorer."""
        super().__init__()
        self.network = restorer.network
        self.keep = restorer.keep
        self.multiple = restorer.multiple
        self.size = restorer.size if restorer.keep == "luma" else None
        self.fill_side = restorer.fill_side
        self.tile = restorer.tile

    def run(self, pixels: Tensor, lost: Tensor, fill: Tensor, size: tuple[Tensor, Tensor] | None) -> Tensor:
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


class Prepare(GraphPart):
    """The photograph as tensors."""

    def forward(self, image: Tensor, mask: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the luma or RGB (C, H, W) int32, the lost pixels (1, H, W) float32, and their colour (C,)."""
        lost = (mask != 0).float()[None]
        pixels = image.permute(2, 0, 1).to(torch.int32)
        if self.keep == "luma":
            pixels = integer_luma(pixels)
        return pixels, lost, most_frequent(pixels, lost)


class Repaint(GraphPart):
    """With keep = "none": the network's picture."""

    def forward(self, image: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Return the restored photograph and the network's picture; see `make_graph`."""
        lost = (mask != 0).float()[None]
        pixels = image.permute(2, 0, 1).to(torch.int32)
        picture = self.run(pixels.float(), lost, most_frequent(pixels, lost), None)
        return (picture * 255).round().to(torch.uint8).permute(1, 2, 0), picture.permute(1, 2, 0)


class Function(nn.Module):
    """A function of tensors as a part of the graph."""

    def __init__(self, function: Callable[..., tuple[Tensor, ...]]) -> None:
        """Make the part."""
        super().__init__()
        self.function = function

    def forward(self, *arguments: Tensor) -> tuple[Tensor, ...]:
        """Call the function."""
        return self.function(*arguments)


class FindRegions(GraphPart):
    """The regions in which holes are filled."""

    def forward(self, lost: Tensor, run: Tensor, starts: Tensor, ends: Tensor, groups: Tensor) -> tuple[Tensor, Tensor]:
        """Return the region of each pixel and the table of the regions; see `hole_table`."""
        at_once = self._runs_at_once(*resize.sides_of(lost))
        return hole_table(lost, (run, starts, ends), groups, at_once, self.fill_side or self.tile, self.tile)

    def _runs_at_once(self, height: Tensor, width: Tensor) -> Tensor:
        """Return whether the network sees the whole photograph when it fills the holes, as `modes` decides."""
        rounded = [(side + self.multiple - 1) // self.multiple * self.multiple for side in (height, width)]
        fits = rounded[0] * rounded[1] <= max(self.tile, self.multiple) ** 2
        if self.fill_side is not None:
            fits = fits & (height * width <= self.fill_side**2)
        if self.size is not None:
            small = resize.working_size(height, width, self.size)
            fits = fits & (small[0] == height) & (small[1] == width)
        return fits


class FillRegion(GraphPart):
    """The fill of one region, as `hole_filling.fill_holes` does it."""

    def forward(
        self, pixels: Tensor, lost: Tensor, fill: Tensor, regions: Tensor, row: Tensor, target: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return `target` (C, H, W) int32 with the holes of a region filled, and the network's picture of the region.

        `regions` and `row` are of `hole_table`. The network's values are shifted smoothly so that they meet the known
        pixels.
        """
        number, working_side = row[0], row[9]
        outer = numbers(row[1], row[2]), numbers(row[3], row[4])
        inner = numbers(row[5], row[6]), numbers(row[7], row[8])
        seen, seen_lost = (values[:, outer[0]][:, :, outer[1]] for values in (pixels.float(), lost))
        size = resize.context_size(*resize.sides_of(seen_lost), working_side)
        picture = self.run(seen, seen_lost, fill, size)
        values = luma_of(picture) if self.keep == "luma" else picture
        rows, columns = (
            resize.cubic_weights(small, full, inside - outside[0])
            for small, full, inside, outside in zip(size, resize.sides_of(seen), inner, outer, strict=True)
        )
        # Dust is filled smoothly, without the network.
        values = 255 * (rows @ values @ columns.T) * (working_side > 0).float()
        known = 1 - lost[:, inner[0]][:, :, inner[1]]
        original = pixels.float()[:, inner[0]][:, :, inner[1]]
        values = values + resize.smooth_fill(original - values, known)
        is_hole = (regions[inner[0]][:, inner[1]] == number).reshape(-1)
        where = is_hole.nonzero()[:, 0]
        _, width = resize.sides_of(lost)
        indices = (inner[0][:, None] * width + inner[1][None]).reshape(-1)[where]
        filled = values.round().clamp(0, 255).to(torch.int32).flatten(1)[:, where]
        flat = target.flatten(1)
        return flat.scatter(1, indices[None].expand_as(filled), filled).reshape(target.shape), picture


class Finish(GraphPart):
    """The result: RGB, or the colours of the filled luma."""

    def forward(
        self, pixels: Tensor, lost: Tensor, fill: Tensor, filled: Tensor, picture: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return the restored photograph and the network's picture; `picture` is that of the last region."""
        if self.keep == "luma":
            size = None if self.size is None else resize.working_size(*resize.sides_of(lost), self.size)
            picture = self.run(pixels.float(), lost, fill, size)
            filled = compose(filled, self._differences(picture, filled))
        return filled.to(torch.uint8).permute(1, 2, 0), picture.permute(1, 2, 0)

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


class RegionLoop(nn.Module):
    """The graph of keep = "luma" and "rgb", with its loops. It is scripted, and its parts are traced."""

    def __init__(self, parts: Mapping[str, nn.Module]) -> None:
        """Join the traced parts, by name."""
        super().__init__()
        self.prepare, self.find_runs, self.join = parts["prepare"], parts["find_runs"], parts["join"]
        self.no_regions = parts["no_regions"]
        self.find, self.fill_region, self.finish = parts["find"], parts["fill_region"], parts["finish"]

    def forward(self, image: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Return the restored photograph and the network's picture; see `make_graph`."""
        pixels, lost, fill = self.prepare(image, mask)
        if bool(lost.amax() > 0):
            run, starts, ends, groups, first, second = self.find_runs(lost)
            new = 1
            while new > 0:  # as `onnx_holes.connect`
                groups, count = self.join(groups, first, second)
                new = int(count)
            regions, table = self.find(lost, run, starts, ends, groups)
        else:
            regions, table = self.no_regions(lost)
        # onnxruntime arranges the weights of a loop less well, and most photographs have one region.
        filled, picture = self.fill_region(pixels, lost, fill, regions, table[0], pixels)
        for number in range(1, table.size(0)):
            filled, picture = self.fill_region(pixels, lost, fill, regions, table[number], filled)
        return self.finish(pixels, lost, fill, filled, picture)


def make_graph(restorer: Restorer, image: Tensor, mask: Tensor) -> nn.Module:
    """Return the module that restores one photograph.

    Args:
        restorer: what it repeats.
        image: (H, W, 3) uint8 RGB, with which its parts are traced; gray has three equal channels.
        mask: (H, W) uint8, not 0 where the photograph is lost; at least one pixel is.

    Returns:
        A module that takes both and returns the restored photograph, (H, W, 3) uint8 RGB, and the network's own
        picture, (h, w, 3) float32 in [0, 1]: of the photograph at its working size, or with keep = "rgb" of the last
        region with its surroundings, and of one pixel if nothing is lost.
    """
    if restorer.keep == "none":
        return Repaint(restorer).eval()
    prepare, find, fill_region, finish = (part(restorer).eval() for part in (Prepare, FindRegions, FillRegion, Finish))
    pixels, lost, fill = prepare(image, mask)
    *runs, own, first, second = find_runs(lost)
    groups = connect(own, first, second)
    regions, table = find(lost, *runs, groups)
    parts = {
        "prepare": (prepare, (image, mask)),
        "find_runs": (Function(find_runs), (lost,)),
        "no_regions": (Function(no_regions), (lost,)),
        "join": (Function(join), (own, first, second)),
        "find": (find, (lost, *runs, groups)),
        "fill_region": (fill_region, (pixels, lost, fill, regions, table[0], pixels)),
        "finish": (finish, (pixels, lost, fill, pixels, torch.zeros(3, 1, 1))),
    }
    with torch.no_grad():
        traced = {name: torch.jit.trace(*part, check_trace=False) for name, part in parts.items()}
    return torch.jit.script(RegionLoop(traced)).eval()
