"""Restore one photograph, given as an array, with a trained generator, at the photograph's own size."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import get_args

import numpy as np
import torch
from torch import nn

from toolbox.color import integer_luma
from toolbox.config.settings import Restoring, Settings
from toolbox.guidance.guide import Guide, make_guide
from toolbox.hooks import blame
from toolbox.inference.color_classes import ColorPredictor
from toolbox.inference.damage import find_holes
from toolbox.inference.fillers import LoadedFiller, fill_view
from toolbox.inference.guided import Mix, Restoration, check_keep, plain_origin, run_guided
from toolbox.inference.hint_files import as_hints
from toolbox.inference.modes import fill, fill_and_colorize, repaint
from toolbox.inference.palette import palette_layer
from toolbox.inference.photo_arrays import PhotoLike, ReferencesLike, as_mask, as_photo
from toolbox.inference.photo_view import PhotoView, make_view
from toolbox.inference.postprocessors import LoadedPostprocessor
from toolbox.inference.reference_files import as_reference, palette_pixels
from toolbox.inference.tiling import TiledNetwork, probe_receptive_radius
from toolbox.inference.variants import vary
from toolbox.masks.detectors import LoadedDetector
from toolbox.masks.sources import transparent_pixels
from toolbox.utils.arguments import is_between
from toolbox.utils.limits import MAX_SATURATION

KEEP_MODES = get_args(Settings.model_fields["keep"].annotation)


def _warn(line: str) -> None:
    warnings.warn(line, stacklevel=2)


@dataclass(frozen=True, kw_only=True)
class Restorer:
    """Restores photographs; call it with one.

    Attributes:
        network: the generator, in eval mode.
        keep: what of the photograph is not changed; see `toolbox.imaging.color.keep_known`.
        device: the device of the network.
        multiple: height and width of what the network takes must be multiples of this.
        size: with keep = "luma", the short side in pixels at which colours are predicted; None: the photograph's own.
        network_fill_size: if the network fills, a larger hole, with its surroundings, is resized to a square of this
            side in pixels first. None: `size`. If that is None too, what fits into a tile is filled at full size.
        detector: finds the lost region if no mask is given; None: the painted shape of a gray photograph.
        repair: finds damage that is lost too if no mask is given; None: no damage is looked for.
        filler: fills the lost region before the network sees the photograph; None: the network fills it.
        postprocessors: change the result, in this order.
        tile: a picture of more pixels than a square of this side is run in tiles, or at a smaller size.
        saturation: factor of the colours that the network predicts, from 0 (gray) to 2. Luma and known colours stay.
        warn: called with one line on unusual events, such as memory running out.
    """

    network: nn.Module
    keep: str
    device: torch.device
    multiple: int
    size: int | None = None
    network_fill_size: int | None = None
    detector: LoadedDetector | None = None
    repair: LoadedDetector | None = None
    filler: LoadedFiller | None = None
    postprocessors: tuple[LoadedPostprocessor, ...] = ()
    tile: int = Restoring().tile
    saturation: float = 1.0
    warn: Callable[[str], None] = _warn

    def __post_init__(self) -> None:
        """Raise ValueError if the saturation is not valid."""
        if not is_between(self.saturation, 0, MAX_SATURATION):
            raise ValueError(f"a saturation of {self.saturation!r} is not possible; use 0 to {MAX_SATURATION}")

    @cached_property
    def receptive_radius(self) -> int | None:
        """The receptive radius of the network in pixels; see `tiling.probe_receptive_radius`. Probed on first use."""
        return probe_receptive_radius(self.network, self.device, self.multiple)

    @cached_property
    def predicts_classes(self) -> bool:
        """Whether the network predicts classes of colours, as variants and palettes need. Probed on first use."""
        return self.color_predictor(np.full((64, 64), 128, np.uint8)) is not None

    @property
    def color_predictor(self) -> ColorPredictor:
        """What the network predicts for the colours of a photograph."""
        return ColorPredictor(network=self.network, multiple=self.multiple, device=self.device, side=self.size)

    @property
    def tiled_network(self) -> TiledNetwork:
        """The network, which cuts a picture that is larger than `tile` into tiles."""
        return TiledNetwork(
            network=self.network,
            device=self.device,
            multiple=self.multiple,
            tile=self.tile,
            receptive_radius=lambda: self.receptive_radius,
            warn=self.warn,
            saturation=self.saturation,
        )

    @property
    def fill_side(self) -> int | None:
        """The side of the square at which the network fills holes; None: at full size, as far as a tile allows."""
        return self.network_fill_size or self.size

    def __call__(
        self,
        image: PhotoLike,
        mask: PhotoLike | None = None,
        *,
        reference: ReferencesLike | None = None,
        hints: PhotoLike | None = None,
        palette: PhotoLike | None = None,
        saturation: float | None = None,
    ) -> np.ndarray:
        """Restore one photograph.

        Args:
            image: (H, W) or (H, W, 1) gray or (H, W, 3) RGB, uint8 or uint16, of any size; a path, or a PIL image. It
                is not changed.
            mask: of the image's size: (H, W) or (H, W, 1), bool or uint8, True or white where it is lost; a path, or a
                PIL image. None: `default_mask`, and what `repair` finds. Transparent parts of an image that is a path
                or a PIL image are lost too.
            reference: a second photograph of the same scene, as `image`, of any size; or several. Colours and lost
                pixels come from it where its luma agrees with the image's.
            hints: (H, W, 4) RGBA, uint8 or uint16, a path or a PIL image: strokes of colour, transparent elsewhere. A
                stroke colours the pixels of similar tone and texture around it, up to the next edge. Only with keep =
                "luma".
            palette: a photograph of another scene, as `image`, in colour. Similar parts of the image take its colours.
                Only with keep = "luma", and with weights that predict classes of colours, such as "luma".
            saturation: factor of the predicted colours in this call; None: that of the restorer.

        Returns:
            (H, W, 3) RGB of the same type. With keep = "rgb", known pixels are those of the image; with "luma",
            their `toolbox.color.integer_luma` is the image's.

        Raises:
            ValueError: an array of another type or shape; a saturation that is not valid; hints without a stroke; a
                reference with keep = "none"; hints or a palette with keep other than "luma"; a gray palette.
            PluginError: the generator or the filler fails, or returns an array of another type or shape.
            InstallationError: memory runs out even in small tiles.
            DataError: the file of a path can't be read; a mask of another size, or that can be read in several ways.
            TypeError: something else than these.
        """
        restorer = self if saturation is None else replace(self, saturation=saturation)
        return restorer.restore(image, mask, reference=reference, hints=hints, palette=palette).pixels

    def restore(
        self,
        image: PhotoLike,
        mask: PhotoLike | None = None,
        *,
        reference: ReferencesLike | None = None,
        hints: PhotoLike | None = None,
        palette: PhotoLike | None = None,
    ) -> Restoration:
        """Restore one photograph, and record where each pixel comes from; arguments as in `__call__`."""
        return self.restore_prepared(*self.prepare(image, mask, reference, hints, palette))

    def variants(
        self,
        image: PhotoLike,
        mask: PhotoLike | None = None,
        *,
        count: int = 4,
        reference: ReferencesLike | None = None,
        hints: PhotoLike | None = None,
        palette: PhotoLike | None = None,
    ) -> Iterator[Restoration]:
        """Yield several plausible colourings, one at a time; `count` is 2 to 8. The first is what `restore` returns.

        Equal arguments give equal results; see `restore` for them. Holes are filled and references aligned only once.

        Raises:
            ValueError: as `__call__`; another count; keep is not "luma"; the network predicts no classes of colours.
        """
        restorers, prepared = vary(self, count), self.prepare(image, mask, reference, hints, palette)
        return (restorer.restore_prepared(*prepared) for restorer in restorers)

    def prepare(
        self,
        image: PhotoLike,
        mask: PhotoLike | None = None,
        reference: ReferencesLike | None = None,
        hints: PhotoLike | None = None,
        palette: PhotoLike | None = None,
    ) -> tuple[PhotoView, Guide | None]:
        """Return what `restore_prepared` takes: the photograph with its mask, and what guides it; see `restore`."""
        photo = as_photo(image)
        image, transparent = photo.pixels, transparent_pixels(photo)
        reference = as_reference(reference)
        hints = None if hints is None else as_hints(hints, image.shape[:2])
        if mask is None:
            view = make_view(*find_holes(image, transparent, self.detector, self.repair))
        else:
            if self.repair is not None:
                self.warn("repair has no effect with a mask: leave the mask out, or call toolbox.restore for both")
            view = make_view(image, as_mask(mask, image.shape[:2]) | transparent)
        if view.mask.all():
            self.warn("all of the photograph counts as lost, so there is nothing to restore it from")
        if reference is None and hints is None and palette is None:
            return view, None
        check_keep(self.keep, reference=reference is not None, hints=hints is not None, palette=palette is not None)
        luma = view.image if view.image.ndim == 2 else integer_luma(view.image)
        layer = None if palette is None else palette_layer(palette_pixels(as_photo(palette)), self.color_predictor)
        return view, make_guide(luma, view.mask, reference, hints, layer)

    def restore_prepared(self, view: PhotoView, guide: Guide | None) -> Restoration:
        """Restore what `prepare` returns. A guide serves for one photograph at a time: it is changed."""
        if guide is None:
            restoration = Restoration(pixels=self._run(view), origin=plain_origin(view, self.keep))
        else:
            restoration = run_guided(view, guide, self.keep, self._run)
        pixels = restoration.pixels
        for process in self.postprocessors:
            pixels = process(pixels, view.image, view.mask)
        return replace(restoration, pixels=pixels)

    @blame.explained()
    def _run(self, view: PhotoView, mix: Mix | None = None) -> np.ndarray:
        """Return the restored view; with keep = "luma", `mix` may replace its colours."""
        if self.filler is not None:
            view = fill_view(view, self.filler)
        network = self.tiled_network
        if self.keep == "none":
            return repaint(view, network)
        if self.keep == "rgb":
            return fill(view, network, self.fill_side)
        return fill_and_colorize(view, network, self.size, self.fill_side, mix)
