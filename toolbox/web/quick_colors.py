"""The last result of a photograph with other colours, at a small size, so that a person sees a change at once."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from torch import nn

from toolbox.color import integer_luma
from toolbox.guidance.guide import Guide, make_guide
from toolbox.guidance.hints import Strokes, find_soft_strokes, find_strokes, working_size
from toolbox.imaging import io
from toolbox.imaging.chroma_upsampling import compose_rgb
from toolbox.imaging.encode import encode_png
from toolbox.imaging.pixels import shrink
from toolbox.inference import modes
from toolbox.inference.hint_files import layer_of_strokes, read_hints
from toolbox.inference.photo_view import PhotoView, make_view
from toolbox.inference.reference_files import read_palette, read_references
from toolbox.inference.restorer import Restorer
from toolbox.utils.reuse import Latest, digest
from toolbox.web.album import MASK, SMALL_SIDE, Album, reference_files
from toolbox.web.damage import REPAIRED

# Of a small layer of strokes that the page sends.
MAX_LAYER_PIXELS = 200_000
# The settings of a restoration that change colours alone.
COLOR_SETTINGS = ("saturation", "variant")


class QuickColors:
    """Colours the last result of a photograph; what was calculated for the photograph that was asked for last is kept.

    Strokes are spread at the same size as for the full result, because how far they reach depends on it. The network
    gets the same input, so that a network that remembers its outputs calculates nothing.
    """

    def __init__(self, album: Album, restorer: Restorer, networks: Sequence[nn.Module]) -> None:
        """Colour photographs of `album` by each of `networks`, of which the first gives the expected colours."""
        self._album = album
        self._restorer = replace(restorer, keep="luma")
        self._networks = networks
        self._lock = threading.Lock()
        self._result: Latest[tuple[PhotoView, PhotoView]] = Latest()
        self._guide: Latest[Guide | None] = Latest()
        self._strokes: Latest[Strokes] = Latest()

    @property
    def numbers(self) -> list[int]:
        """The numbers of the colourings, from 1 on; none if there is only one."""
        return list(range(1, len(self._networks) + 1)) if len(self._networks) > 1 else []

    def variant(self, photo_id: str, number: int) -> bytes:
        """Return the last result in the colours of a variant, as a small PNG; errors as `picture`."""
        if number not in self.numbers:
            raise KeyError(number)
        settings = self._album.entry(photo_id).settings | {"variant": number}
        with self._lock:
            pixels = self._color(photo_id, settings, self._saved_strokes(photo_id))
        return encode_png(shrink(pixels, SMALL_SIDE))

    def picture(self, photo_id: str, layer: bytes, settings: Mapping[str, Any]) -> bytes:
        """Return the last result with other strokes and with the present second photograph, as PNG.

        Args:
            photo_id: the photograph; KeyError if there is none, or it has no result.
            layer: strokes of colour at the size at which they are spread, see `hints.working_size`, whose alpha is the
                fraction of a pixel that they cover. Empty if there are none.
            settings: `variant`, `saturation` and `second`, as for the worker; others are not used.

        Raises:
            DataError: the layer can't be read, or is nowhere transparent; the second photograph can't give its colours.
        """
        name = "The layer of strokes"
        photo = io.decode(layer, name, max_pixels=MAX_LAYER_PIXELS) if layer else None
        strokes = None if photo is None else find_soft_strokes(layer_of_strokes(photo, name))
        with self._lock:
            pixels = self._color(photo_id, settings, strokes)
        return encode_png(pixels)

    def _color(self, photo_id: str, settings: Mapping[str, Any], strokes: Strokes | None) -> np.ndarray:
        """Return the last result, (h, w, 3) uint8."""
        view, small = self._views(photo_id)
        guide = self._guided(photo_id, view, settings.get("second", "scene"))
        # Strokes belong to the whole photograph, not to a print that was cut out of it.
        if strokes is not None and strokes.coverage.shape == view.size:
            guide = replace(guide or make_guide(view.image, view.mask), strokes=strokes)
        network = self._networks[settings.get("variant", 1) - 1]
        restorer = replace(self._restorer, network=network, saturation=settings.get("saturation", 1))
        strips = modes.predict_strips(small, restorer.tiled_network, view.image)
        return compose_rgb(view.image, strips if guide is None else guide.mix(strips, view.image))

    def _views(self, photo_id: str) -> tuple[PhotoView, PhotoView]:
        """Return the luma of the last result: at the size at which strokes are spread, and as the network gets it."""
        path = self._album.result(photo_id)
        entry = self._album.entry(photo_id)

        def make() -> tuple[PhotoView, PhotoView]:
            gray = integer_luma(io.to_rgb8(io.read(path, max_pixels=self._album.max_pixels)))
            whole = make_view(gray, np.zeros(gray.shape, bool))
            view = whole.resize(*working_size(whole.size))
            size = modes.working_size(whole.size, self._restorer.size)
            return view, min(view, whole.resize(*size), key=lambda one: one.mask.size)

        # A result of an earlier version of this program has no `luma`.
        return self._result.get((photo_id, entry.luma or path.stat().st_mtime_ns), make)

    def _guided(self, photo_id: str, view: PhotoView, second: str) -> Guide | None:
        """Return what guides the colours beside strokes; a second photograph is compared only once."""
        options = self._album.options(photo_id, second=second)
        paths = [*options.references, *filter(None, [options.palette])]
        key = (digest(view.image), second, [(path, path.stat().st_mtime_ns) for path in paths])

        def make() -> Guide | None:
            limit = self._album.max_pixels
            references = read_references(options.references, self._album.job(photo_id).photo, [], max_pixels=limit)
            palette = None if options.palette is None else read_palette(options.palette, max_pixels=limit)
            reference = references if options.references else None
            return self._restorer.prepare(view.image, view.mask, reference=reference, palette=palette)[1]

        return self._guide.get(key, make)

    def _saved_strokes(self, photo_id: str) -> Strokes | None:
        """Return the strokes that the server has; None if there are none."""
        entry = self._album.entry(photo_id)
        if not entry.has_hints:
            return None
        path = self._album.hints(photo_id)

        def make() -> Strokes:
            return find_strokes(read_hints(path, (entry.height, entry.width), max_pixels=self._album.max_pixels))

        return self._strokes.get((photo_id, path.stat().st_mtime_ns), make)


def luma_key(album: Album, photo_id: str, settings: Mapping[str, Any]) -> str:
    """Return what decides the luma of a result; equal for results that differ in their colours alone.

    Args:
        album: the open photographs.
        photo_id: the photograph.
        settings: of its restoration.
    """
    folder = album.path(photo_id, "")
    paths = [folder / MASK, folder / REPAIRED, *reference_files(folder)]
    times = [path.stat().st_mtime_ns if path.is_file() else 0 for path in paths]
    others = {name: value for name, value in settings.items() if name not in COLOR_SETTINGS}
    return digest(repr((times, album.entry(photo_id).is_edited, sorted(others.items()))))
