"""The ways to restore a photograph with a generator: repaint it, fill its lost region, or fill and colour it."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from toolbox.color import integer_luma
from toolbox.imaging.chroma_upsampling import Strips, compose_rgb, red_blue_differences, upsample_differences
from toolbox.inference.guided import Mix
from toolbox.inference.hole_filling import blend_into, fill_holes
from toolbox.inference.photo_view import PhotoView
from toolbox.inference.tiling import TiledNetwork

# The long side of the working size is at most this many times its short side.
MAX_ASPECT = 4


def working_size(size: tuple[int, int], short_side: int | None) -> tuple[int, int]:
    """Return the height and width at which colours are predicted.

    Args:
        size: height and width of the photograph.
        short_side: of the result, whose long side is at most four times that. A smaller photograph keeps its size, and
            with None every photograph does.
    """
    if short_side is None:
        return size
    scale = min(Fraction(1), Fraction(short_side, min(size)), Fraction(MAX_ASPECT * short_side, max(size)))
    height, width = (max(1, round(scale * side)) for side in size)
    return height, width


def repaint(view: PhotoView, network: TiledNetwork) -> np.ndarray:
    """Return the generator's picture, known pixels included, (H, W, 3) of the image's type."""
    rgb = np.empty((*view.size, 3), view.image.dtype)
    highest = np.float32(np.iinfo(rgb.dtype).max)
    for rows, values in network.run_bands(view):
        rgb[rows] = np.rint(values * highest)
    return rgb


def fill(view: PhotoView, network: TiledNetwork, fill_side: int | None) -> np.ndarray:
    """Return the photograph with its holes filled, (H, W, 3) of its type; known pixels are not changed."""
    is_gray = view.image.ndim == 2
    rgb = np.repeat(view.image[..., None], 3, axis=2) if is_gray else view.image.copy()
    if not view.mask.any():
        return rgb
    if _runs_at_once(view, network, fill_side):
        blend_into(rgb, network.run(view), view.mask, view.mask)
    else:
        fill_holes(rgb, view, network, fill_side or network.tile)
    return rgb


def fill_and_colorize(
    view: PhotoView,
    network: TiledNetwork,
    size: int | None,
    fill_side: int | None,
    mix: Mix | None = None,
) -> np.ndarray:
    """Fill the holes of the photograph's luma, predict its colours, and return both composed, (H, W, 3) of its type."""
    luma = view.image.copy() if view.image.ndim == 2 else integer_luma(view.image)
    color_size = working_size(view.size, size)
    strips: Strips
    if color_size == view.size and _runs_at_once(view, network, fill_side):
        rgb = network.run(view)
        blend_into(luma, rgb, view.mask, view.mask)
        strips = [(slice(0, len(rgb)), red_blue_differences(rgb))]
    else:
        fill_holes(luma, view, network, fill_side or network.tile)
        if color_size == view.size:
            strips = ((rows, red_blue_differences(rgb)) for rows, rgb in network.run_bands(view))
        else:
            strips = predict_strips(view.resize(*color_size), network, luma)
    return compose_rgb(luma, strips if mix is None else mix(strips, luma))


def predict_strips(view: PhotoView, network: TiledNetwork, luma: np.ndarray) -> Strips:
    """Return the colours that are predicted for a view, at the size of the luma (H, W), which may be larger."""
    differences = red_blue_differences(network.run(view))
    if view.size == luma.shape:
        return [(slice(0, len(luma)), differences)]
    return upsample_differences(differences, luma)


def _runs_at_once(view: PhotoView, network: TiledNetwork, fill_side: int | None) -> bool:
    """Return whether one call of the generator, on the whole photograph, fills its holes too."""
    height, width = view.size
    return network.fits(view.size) and (fill_side is None or height * width <= fill_side * fill_side)
