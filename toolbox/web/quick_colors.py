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
from toolbox.guidance.hints import Strokes, find_strokes, working_size
from toolbox.imaging import io
from toolbox.imaging.encode import encode_png
from toolbox.imaging.pixels import shrink
from toolbox.inference.hint_files import read_hints
from toolbox.inference.photo_view import PhotoView, make_view
from toolbox.inference.reference_files import read_palette, read_references
from toolbox.inference.restorer import Restorer
from toolbox.utils.reuse import Latest, digest
from toolbox.web import guides
from toolbox.web.album import SMALL_SIDE, Album, PhotoEntry


class QuickColors:
    """Colours the last result of a photograph; what was calculated for the photograph that was asked for last is kept.

    The size is that at which strokes are spread for the result too.
    """

    def __init__(self, album: Album, restorer: Restorer, networks: Sequence[nn.Module]) -> None:
        """Colour photographs of `album` by each of `networks`, of which the first gives the expected colours."""
        self._album = album
        self._restorer = replace(restorer, keep="luma", filler=None)
        self._networks = networks
        self._lock = threading.Lock()
        self._result: Latest[PhotoView] = Latest()
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
        return self.picture(photo_id, self._album.entry(photo_id).settings | {"variant": number}, side=SMALL_SIDE)

    def picture(self, photo_id: str, settings: Mapping[str, Any], *, side: int | None = None) -> bytes:
        """Return the last result with the present strokes and second photograph, as PNG.

        Args:
            photo_id: the photograph; KeyError if there is none, or it has no result.
            settings: `variant`, `saturation` and `second`, as for the worker; others are not used.
            side: the longer side is at most this, in pixels.

        Raises:
            DataError: the second photograph can't give its colours.
        """
        with self._lock:
            view = self._view(photo_id)
            guide = self._guided(photo_id, view, settings.get("second", "scene"))
            network = self._networks[settings.get("variant", 1) - 1]
            restorer = replace(self._restorer, network=network, saturation=settings.get("saturation", 1))
            pixels = restorer.restore_prepared(view, guide).pixels
        return encode_png(pixels if side is None else shrink(pixels, side))

    def set_hints(self, photo_id: str, data: bytes) -> PhotoEntry:
        """Replace the strokes of colour, as `guides.set_hints`, and keep them."""
        strokes = find_strokes(guides.set_hints(self._album, photo_id, data))
        with self._lock:
            self._strokes.put(self._strokes_key(photo_id), strokes)
        return self._album.entry(photo_id)

    def _view(self, photo_id: str) -> PhotoView:
        """Return the luma of the last result at the small size."""
        path = self._album.result(photo_id)

        def make() -> PhotoView:
            gray = integer_luma(io.to_rgb8(io.read(path, max_pixels=self._album.max_pixels)))
            view = make_view(gray, np.zeros(gray.shape, bool))
            return view.resize(*working_size(view.size))

        return self._result.get((photo_id, path.stat().st_mtime_ns), make)

    def _guided(self, photo_id: str, view: PhotoView, second: str) -> Guide | None:
        """Return what guides the colours; a second photograph is compared only once."""
        strokes = self._strokes_for(photo_id, view)
        options = self._album.options(photo_id, second=second)
        paths = [*options.references, *filter(None, [options.palette])]
        key = (digest(view.image), second, [(path, path.stat().st_mtime_ns) for path in paths])

        def make() -> Guide | None:
            limit = self._album.max_pixels
            references = read_references(options.references, self._album.job(photo_id).photo, max_pixels=limit)
            palette = None if options.palette is None else read_palette(options.palette, max_pixels=limit)
            reference = references if options.references else None
            return self._restorer.prepare(view.image, view.mask, reference=reference, palette=palette)[1]

        guide = self._guide.get(key, make)
        return guide if strokes is None else replace(guide or make_guide(view.image, view.mask), strokes=strokes)

    def _strokes_for(self, photo_id: str, view: PhotoView) -> Strokes | None:
        """Return the strokes for a view; None if there are none, or the view is of a print that was cut out."""
        entry = self._album.entry(photo_id)
        size = (entry.height, entry.width)
        if not entry.has_hints or working_size(size) != view.size:
            return None

        def make() -> Strokes:
            return find_strokes(read_hints(self._album.hints(photo_id), size, max_pixels=self._album.max_pixels))

        return self._strokes.get(self._strokes_key(photo_id), make)

    def _strokes_key(self, photo_id: str) -> object:
        return photo_id, self._album.hints(photo_id).stat().st_mtime_ns
