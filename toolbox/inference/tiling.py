"""A picture of any size through a network of any appetite: whole, or in tiles that are blended into each other.

Tiles begin at multiples of what the network asks of its sides, so that a network which treats every place alike
gives in tiles what it gives on the whole, as long as it looks no further than the overlap allows.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from toolbox.errors import InstallationError
from toolbox.inference.photo_view import View
from toolbox.models.forward import run_generator
from toolbox.utils.memory import is_out_of_memory

OVERLAP = 96
LEAST = 64


@dataclass(kw_only=True)
class Tiles:
    """A network with what it can take at once.

    Attributes:
        network: the generator, in eval mode.
        device: where it is.
        multiple: what height and width must be multiples of.
        side: a picture of more than the square of this many pixels is cut; halved where memory runs out.
        reach: how far the network looks, in pixels, or None if further than half the overlap; see `probe_reach`.
        say: told when the side is halved.
    """

    network: nn.Module
    device: torch.device
    multiple: int
    side: int
    receptive_radius: Callable[[], int | None]
    say: Callable[[str], None]

    def fits(self, size: tuple[int, int]) -> bool:
        """Tell whether a picture of this height and width goes through whole."""
        height, width = (_up(side, self.multiple) for side in size)
        return height * width <= max(self.side, self.multiple) ** 2

    def whole(self, view: View) -> np.ndarray:
        """Return what the network makes of a view, (H, W, 3) float32 in [0, 1], before anything is kept."""
        parts = [values for _, values in self.bands(view)]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def bands(self, view: View) -> Iterator[tuple[slice, np.ndarray]]:
        """Yield the same from top to bottom: rows, and their values (h, W, 3). No more than a row of tiles is held."""
        if self.fits(view.size):
            values = self._at_once(view)
            if values is not None:
                yield slice(0, len(values)), values
                return
        yield from self._cut(view)

    def _at_once(self, view: View) -> np.ndarray | None:
        """Return what the network makes of a view, or None, with the side halved, if memory ran out."""
        try:
            return self._forward(view)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            height, width = (_up(side, self.multiple) for side in view.size)
        side = int(math.sqrt(height * width)) // 2
        if side < max(LEAST, self.multiple):
            raise InstallationError(
                f"Memory ran out with tiles of {width}x{height} pixels already. Try another device: --device cpu"
            )
        self.side = min(self.side, side)
        self.say(f"Memory ran out at {width}x{height} pixels; going on in tiles of {self.side}.")
        return None

    @torch.inference_mode()
    def _forward(self, view: View) -> np.ndarray:
        dtype = next((p.dtype for p in self.network.parameters()), torch.float32)
        restored = run_generator(self.network, "none", *view.tensors(self.multiple, self.device, dtype))["restored"]
        height, width = view.size
        values = restored[0, :, :height, :width].clamp(0, 1).permute(1, 2, 0)
        return np.ascontiguousarray(values.float().cpu().numpy())

    def _cut(self, view: View) -> Iterator[tuple[slice, np.ndarray]]:
        height, width = view.size
        shape = self._shape(height, width)
        reach = self.receptive_radius()
        rows, columns = (cut(side, tile, self.multiple, reach) for side, tile in zip(view.size, shape, strict=True))
        carried = np.zeros((0, width, 3), np.float32)
        for index, (top, down) in enumerate(rows):
            bottom = min(top + len(down), height)
            band = np.zeros((bottom - top, width, 3), np.float32)
            band[: len(carried)] += carried
            for left, across in columns:
                right = min(left + len(across), width)
                values = self.whole(view.part(slice(top, bottom), slice(left, right)))
                window = down[: bottom - top, None] * across[None, : right - left]
                band[:, left:right] += values * window[..., None]
            done = (rows[index + 1][0] if index + 1 < len(rows) else height) - top
            yield slice(top, top + done), band[:done]
            carried = band[done:]

    def _shape(self, height: int, width: int) -> tuple[int, int]:
        """Return height and width of the tiles: squares, or as long as the area allows in a narrow picture."""
        side = (
            _up(self.side, self.multiple) if self.side < self.multiple else self.side // self.multiple * self.multiple
        )
        short = min(_up(min(height, width), self.multiple), side)
        long = min(_up(max(height, width), self.multiple), side * side // short // self.multiple * self.multiple)
        return (short, long) if height <= width else (long, short)


def cut(length: int, tile: int, multiple: int, reach: int | None) -> list[tuple[int, np.ndarray]]:
    """Cut a side into tiles.

    Args:
        length: the side, in pixels.
        tile: the tiles' side, a multiple of `multiple`.
        multiple: where tiles may begin.
        reach: see `Tiles`.

    Returns:
        Where each tile begins, and its weights (tile,); over each pixel they sum to 1. Two neighbours change over
        in the middle of what they share, as far from their ends as `reach` asks, or as is left of a fair share.
    """
    padded = _up(length, multiple)
    if padded <= tile:
        return [(0, np.ones(padded, np.float32))]
    overlap = min(_up(OVERLAP, multiple), tile // 2 // multiple * multiple)
    count = math.ceil((padded - tile) / (tile - overlap)) + 1
    starts = [index * (padded - tile) // (count - 1) // multiple * multiple for index in range(count)]
    ramp = overlap // 2 if reach is None or 2 * reach >= overlap else min(overlap // 2, overlap - 2 * reach)
    pixels = np.arange(padded, dtype=np.float32) + 0.5
    seams = [(after + before + tile) / 2 for before, after in zip(starts[:-1], starts[1:], strict=True)]
    ups = [_smooth((pixels - middle) / max(ramp, 1) + 0.5) for middle in seams]
    # Differences of ramps that follow each other: whatever they are, all weights together are 1.
    edges = [np.ones(padded, np.float32), *ups, np.zeros(padded, np.float32)]
    return [(start, (edges[index] - edges[index + 1])[start : start + tile]) for index, start in enumerate(starts)]


@torch.inference_mode()
def probe_receptive_radius(network: nn.Module, device: torch.device, multiple: int) -> int | None:
    """Return how far into a tile the network can tell what lies beyond it, in pixels.

    It is tried: a picture, and the same one with all changed around a window that begins and ends where tiles may;
    how deep into the window do the two results differ by more than 1e-6? The window's side is the usual overlap;
    None if they differ in its middle.
    """
    window, ring = _up(OVERLAP, multiple), _up(32, multiple)
    side = window + 2 * ring
    random = np.random.default_rng(0)
    inside = np.zeros((side, side), bool)
    inside[ring:-ring, ring:-ring] = True
    shown: list[View] = []
    for _ in range(2):
        image = random.integers(0, 256, (side, side, 3), dtype=np.uint8)
        lost = random.random((side, side)) < 0.1
        if shown:
            image[inside], lost[inside] = shown[0].image[inside], shown[0].mask[inside]
        shown.append(View(image=image, mask=lost, fill=np.full(3, 0.5, np.float32)))
    dtype = next((p.dtype for p in network.parameters()), torch.float32)
    one, other = (run_generator(network, "none", *v.tensors(multiple, device, dtype))["restored"] for v in shown)
    differs = ((one - other).abs().amax((0, 1)) > 1e-6).cpu().numpy()[ring:-ring, ring:-ring]
    depth = np.minimum.reduce([grid for half in np.indices(differs.shape) for grid in (half + 1, window - half)])
    reach = int(depth[differs].max(initial=0))
    return None if reach >= window // 2 else reach


def _smooth(ramp: np.ndarray) -> np.ndarray:
    ramp = ramp.clip(0, 1)
    return ramp * ramp * (3 - 2 * ramp)


def _up(side: int, multiple: int) -> int:
    return math.ceil(side / multiple) * multiple
