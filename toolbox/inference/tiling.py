"""Run a generator on a picture of any size: at once, or in tiles that are blended into each other.

Tiles start at multiples of what the generator needs. So a generator that treats all positions equally gives the same
result in tiles as at once, as long as its receptive radius fits into the overlap.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from toolbox.color import add_differences, luma
from toolbox.errors import InstallationError
from toolbox.inference.photo_view import PhotoView
from toolbox.models.component_calls import require_finite
from toolbox.models.forward import run_generator
from toolbox.utils import surface
from toolbox.utils.cancelling import check_cancelled
from toolbox.utils.limits import MIN_TILE
from toolbox.utils.memory import is_out_of_memory

# In pixels: the overlap of neighbouring tiles, the smallest tile that is tried, and the margin of the probe.
OVERLAP = 96
PROBE_MARGIN = 32


@dataclass(kw_only=True)
class TiledNetwork:
    """A generator and the sizes that it takes.

    Attributes:
        network: the generator, in eval mode.
        device: the device of its weights.
        multiple: height and width must be multiples of this.
        tile: a picture of more pixels than a square of this side is cut into tiles. It is halved when memory runs out.
        receptive_radius: called when tiles are cut; returns the result of `probe_receptive_radius`.
        warn: called with one line when `tile` is halved.
        saturation: factor of the colours of the result; its luma stays the same.
    """

    network: nn.Module
    device: torch.device
    multiple: int
    tile: int
    receptive_radius: Callable[[], int | None]
    warn: Callable[[str], None]
    saturation: float = 1.0

    def fits(self, size: tuple[int, int]) -> bool:
        """Return whether a picture of this height and width is not cut into tiles."""
        height, width = (_round_up(side, self.multiple) for side in size)
        return height * width <= max(self.tile, self.multiple) ** 2

    def run(self, view: PhotoView) -> np.ndarray:
        """Return the generator's result for a view, (H, W, 3) float32 in [0, 1], before known pixels are put back."""
        bands = [values for _, values in self.run_bands(view)]
        return bands[0] if len(bands) == 1 else np.concatenate(bands)

    def run_bands(self, view: PhotoView) -> Iterator[tuple[slice, np.ndarray]]:
        """Yield the result of `run` from top to bottom: rows, and values (h, W, 3). One row of tiles is in memory."""
        if self.fits(view.size):
            values = self._try_once(view)
            if values is not None:
                yield slice(0, len(values)), values
                return
        yield from self._run_tiles(view)

    def tile_size(self, height: int, width: int) -> tuple[int, int]:
        """Return the height and width of the tiles of a picture: a square, or longer where the picture is narrow."""
        tile = max(self.tile // self.multiple, 1) * self.multiple
        short = min(_round_up(min(height, width), self.multiple), tile)
        longest = tile * tile // short // self.multiple * self.multiple
        long = min(_round_up(max(height, width), self.multiple), longest)
        return (short, long) if height <= width else (long, short)

    def _try_once(self, view: PhotoView) -> np.ndarray | None:
        """Return the result for a view. If memory runs out, halve `tile` and return None.

        Raises:
            InstallationError: memory runs out even for the smallest tile.
        """
        try:
            return self._forward(view)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            height, width = (_round_up(side, self.multiple) for side in view.size)
        half = int(math.sqrt(height * width)) // 2
        if half < max(MIN_TILE, self.multiple):
            remedy = surface.words(
                command="Try another device: --device cpu",
                python="Try another device: device='cpu'",
                page="Close other programs, then restore again.",
            )
            raise InstallationError(f"Memory ran out with tiles of only {width}x{height} pixels. {remedy}")
        self.tile = min(self.tile, half)
        self.warn(f"Memory ran out at {width}x{height} pixels; continuing in tiles of {self.tile}.")
        return None

    @torch.no_grad()
    def _forward(self, view: PhotoView) -> np.ndarray:
        check_cancelled()
        tensors = view.to_tensors(self.multiple, self.device, _dtype(self.network))
        restored = run_generator(self.network, "none", *tensors)["restored"]
        require_finite(self.network, restored)
        restored = restored.clamp(0, 1)
        if self.saturation != 1:
            gray = luma(restored)
            restored = add_differences(gray, self.saturation * (restored - gray)).clamp(0, 1)
        height, width = view.size
        values = restored[0, :, :height, :width].permute(1, 2, 0)
        return np.ascontiguousarray(values.float().cpu().numpy())

    def _run_tiles(self, view: PhotoView) -> Iterator[tuple[slice, np.ndarray]]:
        height, width = view.size
        tile_height, tile_width = self.tile_size(height, width)
        radius = self.receptive_radius()
        rows = cut_into_tiles(height, tile_height, self.multiple, radius)
        columns = cut_into_tiles(width, tile_width, self.multiple, radius)
        # The rows that the next row of tiles overlaps.
        pending = np.zeros((0, width, 3), np.float32)
        for index, (top, row_weights) in enumerate(rows):
            bottom = min(top + len(row_weights), height)
            band = np.zeros((bottom - top, width, 3), np.float32)
            band[: len(pending)] += pending
            for left, column_weights in columns:
                right = min(left + len(column_weights), width)
                values = self.run(view.crop(slice(top, bottom), slice(left, right)))
                weights = row_weights[: bottom - top, None] * column_weights[None, : right - left]
                band[:, left:right] += values * weights[..., None]
            finished = (rows[index + 1][0] if index + 1 < len(rows) else height) - top
            yield slice(top, top + finished), band[:finished]
            pending = band[finished:]


def cut_into_tiles(length: int, tile: int, multiple: int, radius: int | None) -> list[tuple[int, np.ndarray]]:
    """Cut one side of a picture into tiles.

    Args:
        length: the side in pixels.
        tile: the side of a tile in pixels, a multiple of `multiple`.
        multiple: tiles start at multiples of this.
        radius: the receptive radius in pixels, or None if it is unknown.

    Returns:
        The start of each tile and its weights, (tile,) in [0, 1]. Over each pixel the weights sum to 1. Two neighbours
        are blended in the middle of their overlap: at least `radius` from their ends, if the overlap is large enough.
    """
    padded = _round_up(length, multiple)
    if padded <= tile:
        return [(0, np.ones(padded, np.float32))]
    overlap = min(_round_up(OVERLAP, multiple), tile // 2 // multiple * multiple)
    count = math.ceil((padded - tile) / (tile - overlap)) + 1
    starts = [index * (padded - tile) // (count - 1) // multiple * multiple for index in range(count)]
    blend = overlap // 2
    if radius is not None and 2 * radius < overlap:
        blend = min(blend, overlap - 2 * radius)
    pixels = np.arange(padded, dtype=np.float32) + 0.5
    seams = [(after + before + tile) / 2 for before, after in zip(starts[:-1], starts[1:], strict=True)]
    ramps = [_smoothstep((pixels - seam) / max(blend, 1) + 0.5) for seam in seams]
    # Differences of consecutive ramps, so that the weights sum to 1 whatever the ramps are.
    edges = [np.ones(padded, np.float32), *ramps, np.zeros(padded, np.float32)]
    return [(start, (edges[index] - edges[index + 1])[start : start + tile]) for index, start in enumerate(starts)]


@torch.no_grad()
def probe_receptive_radius(network: nn.Module, device: torch.device, multiple: int) -> int | None:
    """Return how far outside a pixel the picture still changes the result there, in pixels.

    It is measured: two pictures are equal inside a window of the usual overlap, and differ around it. The radius is the
    depth in the window to which the two results differ by more than 1e-6; None if they differ in its middle.
    """
    window, margin = _round_up(OVERLAP, multiple), _round_up(PROBE_MARGIN, multiple)
    side = window + 2 * margin
    random = np.random.default_rng(0)
    inside = np.zeros((side, side), bool)
    inside[margin:-margin, margin:-margin] = True
    views: list[PhotoView] = []
    for _ in range(2):
        image = random.integers(0, 256, (side, side, 3), dtype=np.uint8)
        mask = random.random((side, side)) < 0.1
        if views:
            image[inside], mask[inside] = views[0].image[inside], views[0].mask[inside]
        views.append(PhotoView(image=image, mask=mask, fill=np.full(3, 0.5, np.float32)))
    tensors = (view.to_tensors(multiple, device, _dtype(network)) for view in views)
    first, second = (run_generator(network, "none", *pair)["restored"] for pair in tensors)
    differs = ((first - second).abs().amax((0, 1)) > 1e-6).cpu().numpy()[margin:-margin, margin:-margin]
    depth = np.minimum.reduce([grid for half in np.indices(differs.shape) for grid in (half + 1, window - half)])
    radius = int(depth[differs].max(initial=0))
    return None if radius >= window // 2 else radius


def _dtype(network: nn.Module) -> torch.dtype:
    return next((parameter.dtype for parameter in network.parameters()), torch.float32)


def _smoothstep(ramp: np.ndarray) -> np.ndarray:
    ramp = ramp.clip(0, 1)
    return ramp * ramp * (3 - 2 * ramp)


def _round_up(side: int, multiple: int) -> int:
    return math.ceil(side / multiple) * multiple
