"""Small pictures of the colourings that a person can choose from."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from torch import nn

from toolbox.color import integer_luma
from toolbox.imaging import io
from toolbox.imaging.encode import encode_png
from toolbox.imaging.pixels import shrink
from toolbox.inference.modes import working_size
from toolbox.inference.photo_view import make_view
from toolbox.inference.restorer import Restorer
from toolbox.web.album import SMALL_SIDE, Album


class Variants:
    """Colours the last result of a photograph in other ways; the photograph that was asked for last is remembered."""

    def __init__(self, album: Album, restorer: Restorer, networks: Sequence[nn.Module]) -> None:
        """Colour photographs of `album` by each of `networks`, of which the first gives the ordinary colours."""
        self._album = album
        self._restorer = replace(restorer, keep="luma", filler=None)
        self._networks = networks
        self._lock = threading.Lock()
        self._key: tuple[str, int] | None = None
        self._gray = np.zeros((1, 1), np.uint8)

    @property
    def numbers(self) -> list[int]:
        """The numbers of the colourings, from 1 on; none if there is only one."""
        return list(range(1, len(self._networks) + 1)) if len(self._networks) > 1 else []

    def picture(self, photo_id: str, number: int) -> bytes:
        """Return the result of a photograph in the colours of a variant, without its guides, as a small PNG.

        KeyError: there is no such photograph or variant, or it has no result.
        """
        if number not in self.numbers:
            raise KeyError(number)
        path = self._album.result(photo_id)
        saturation = self._album.entry(photo_id).settings.get("saturation", 1)
        key = (photo_id, path.stat().st_mtime_ns)
        with self._lock:
            if self._key != key:
                # At this size the network finds colours, so these are the colours of the result.
                gray = integer_luma(io.to_rgb8(io.read(path, max_pixels=self._album.max_pixels)))
                view = make_view(gray, np.zeros(gray.shape, bool))
                self._gray = view.resize(*working_size(view.size, self._restorer.size)).image
                self._key = key
            restorer = replace(self._restorer, network=self._networks[number - 1], saturation=saturation)
            return encode_png(shrink(restorer(self._gray, np.zeros(self._gray.shape, bool)), SMALL_SIDE))
