"""A generator and a photograph to a restored photograph, at the photograph's own size."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import numpy as np
import torch
from torch import nn

from toolbox.color import integer_luma
from toolbox.config.settings import Restoring, Settings
from toolbox.errors import UsageError
from toolbox.imaging.chroma_upsampling import compose_rgb, red_blue_differences, upsample_differences
from toolbox.inference import hole_filling
from toolbox.inference.photo_view import View, view
from toolbox.inference.tiling import Tiles, probe_receptive_radius
from toolbox.masks.lost_region import find_lost_region
from toolbox.models.weights import load_trained as load_trained
from toolbox.utils import devices

if TYPE_CHECKING:
    from toolbox.hooks.catalog import Catalog
from toolbox.models.forward import probe_multiple

KEEPS = get_args(Settings.model_fields["keep"].annotation)
MAX_ASPECT = 4


def _warn(line: str) -> None:
    warnings.warn(line, stacklevel=2)


@dataclass(frozen=True, kw_only=True)
class Restorer:
    """What restoring needs; called with a photograph, it restores it.

    Attributes:
        network: the generator, in eval mode.
        keep: what of the input comes out unchanged; see `toolbox.imaging.color.keep_known`.
        device: where the network is.
        multiple: what height and width must be multiples of, probed.
        size: with keep = "luma", the short side in pixels at which colours are found; None is the photograph's own.
        fill: a hole with its surroundings is brought to a square of this side before it is filled, if it is larger;
            None is `size`, and where that is None too, what lies within a tile is filled at full size.
        tile: what has more pixels than a square of this side goes through the network in tiles, or made smaller.
        say: told in one line what is out of the ordinary, as that memory ran out.
    """

    network: nn.Module
    keep: str
    device: torch.device
    multiple: int
    size: int | None = None
    fill: int | None = None
    tile: int = Restoring().tile
    say: Callable[[str], None] = _warn

    @cached_property
    def receptive_radius(self) -> int | None:
        """The receptive radius in pixels; see `tiling.probe_receptive_radius`. Probed on first use."""
        return probe_receptive_radius(self.network, self.device, self.multiple)

    def __call__(self, image: np.ndarray, mask: np.ndarray | None = None) -> np.ndarray:
        """Restore one photograph.

        Args:
            image: (H, W) gray or (H, W, 3) RGB, uint8 or uint16, any size. It is not written to.
            mask: (H, W) bool, True where the photograph is lost. None: use `toolbox.masks.lost_region.find_lost_region`
                on a gray photograph, and nothing on a colour one.

        Returns:
            (H, W, 3) RGB of the same type. With keep = "rgb", known pixels are those of the image; with "luma",
            their `toolbox.color.integer_luma` is the image's.

        Raises:
            ValueError: an array of another type or shape.
            InstallationError: memory runs out even in small tiles.
        """
        given = view(image, lost_region(image) if mask is None else mask)
        tiles = Tiles(
            network=self.network,
            device=self.device,
            multiple=self.multiple,
            side=self.tile,
            receptive_radius=lambda: self.receptive_radius,
            say=self.say,
        )
        if self.keep == "none":
            return _repainted(given, tiles)
        if self.keep == "rgb":
            return _filled(given, tiles, self.fill or self.size)
        return _colored(given, tiles, self.size, self.fill or self.size)


def load_restorer(
    weights: str | Path,
    *,
    device: str | None = None,
    keep: str | None = None,
    tile: int | None = None,
    catalog: Catalog | None = None,
) -> Restorer:
    """Return a restorer of trained weights.

    Args:
        weights: a published name (`toolbox weights`), a .safetensors file that a run wrote, or a run folder, whose best
            weights are taken.
        device: "cpu", "cuda", "cuda:1", "mps"; None is the best there is.
        keep: what of the input comes out unchanged: "none", "luma" or "rgb"; None is as the weights were trained.
        tile: the side in pixels of the tiles that large photographs are cut into; None is the recipe's.
        catalog: the components to build the generator of; None is all that are installed.

    Raises:
        UsageError: a name, file, device, `keep` or `tile` that can't be.
        WeightsError: weights that are damaged, do not fit, or need a plugin that is not here.
        PluginError: a generator that breaks.
    """
    least = next(limit.ge for limit in Restoring.model_fields["tile"].metadata if hasattr(limit, "ge"))
    if keep is not None and keep not in KEEPS:
        raise UsageError(f"keep is '{keep}'; it must be one of {', '.join(KEEPS)}.")
    if tile is not None and tile < least:
        raise UsageError(f"A tile of {tile} pixels is too small; take at least {least}.")
    place = devices.pick_device(device)
    trained = load_trained(weights, place, catalog)
    settings = trained.plan.settings
    chosen = settings.restoring if tile is None else settings.restoring.model_copy(update={"tile": tile})
    return make_restorer(trained.network, keep or settings.keep, place, chosen)


def make_restorer(network: nn.Module, keep: str, device: torch.device, how: Restoring) -> Restorer:
    """Put `network` in eval mode, find out which sizes it takes, and return a restorer."""
    network.eval()
    multiple = probe_multiple(network, device)
    return Restorer(
        network=network, keep=keep, device=device, multiple=multiple, size=how.size, fill=how.fill, tile=how.tile
    )


def lost_region(image: np.ndarray) -> np.ndarray:
    """Return what is lost of a photograph, (H, W) bool: found where it is gray, in one channel or three equal ones."""
    gray = image if image.ndim == 2 else image[..., 0]
    if image.ndim == 3 and any((image[..., index] != gray).any() for index in (1, 2)):
        return np.zeros(gray.shape, bool)
    if gray.dtype == np.uint16:
        gray = (gray >> 8).astype(np.uint8)
    return find_lost_region(np.ascontiguousarray(gray))


def _repainted(given: View, tiles: Tiles) -> np.ndarray:
    result = np.empty((*given.size, 3), given.image.dtype)
    top = np.float32(np.iinfo(result.dtype).max)
    for rows, values in tiles.bands(given):
        result[rows] = np.rint(values * top)
    return result


def _filled(given: View, tiles: Tiles, side: int | None) -> np.ndarray:
    gray = given.image.ndim == 2
    result = np.repeat(given.image[..., None], 3, axis=2) if gray else given.image.copy()
    if not given.mask.any():
        return result
    if _at_once(given, tiles, side):
        hole_filling.blend_into(result, tiles.whole(given), given.mask, given.mask)
    else:
        hole_filling.fill_holes(result, given, tiles, side or tiles.side)
    return result


def _colored(given: View, tiles: Tiles, size: int | None, side: int | None) -> np.ndarray:
    target = given.image.copy() if given.image.ndim == 2 else integer_luma(given.image)
    to = working_size(given.size, size)
    if to == given.size and _at_once(given, tiles, side):
        rgb = tiles.whole(given)
        hole_filling.blend_into(target, rgb, given.mask, given.mask)
        return compose_rgb(target, [(slice(0, len(rgb)), red_blue_differences(rgb))])
    hole_filling.fill_holes(target, given, tiles, side or tiles.side)
    if to == given.size:
        return compose_rgb(target, ((rows, red_blue_differences(rgb)) for rows, rgb in tiles.bands(given)))
    return compose_rgb(target, upsample_differences(red_blue_differences(tiles.whole(given.scaled(*to))), target))


def _at_once(given: View, tiles: Tiles, side: int | None) -> bool:
    height, width = given.size
    return tiles.fits(given.size) and (side is None or height * width <= side * side)


def working_size(size: tuple[int, int], short: int | None) -> tuple[int, int]:
    """Return the height and width at which colours are found.

    Args:
        size: height and width of the photograph.
        short: what the short side is brought to; the long one to four times that at most. A photograph that is
            smaller stays as it is, and so does any if None.
    """
    if short is None:
        return size
    scale = min(1.0, short / min(size), MAX_ASPECT * short / max(size))
    height, width = (max(1, round(scale * side)) for side in size)
    return height, width
