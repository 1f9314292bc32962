"""Fill the lost region by a filler, before the network sees the photograph."""

from __future__ import annotations

from typing import cast

import numpy as np

from toolbox.config.binding import bind_component
from toolbox.errors import PluginError, ToolboxError, UsageError, unknown_name
from toolbox.hooks.catalog import Catalog
from toolbox.hooks.protocols import Filler
from toolbox.hooks.specs import DEFAULT_FILL, DEFAULT_WEIGHTS, NETWORK_FILL
from toolbox.inference.photo_view import PhotoView
from toolbox.models.build import build_component


def default_fill(weights: object) -> str | None:
    """Return the name of the filler for photographs that people look at; None for weights whose recipe decides."""
    return DEFAULT_FILL if weights == DEFAULT_WEIGHTS else None


def find_filler(name: str, catalog: Catalog) -> Filler | None:
    """Return the filler of that name, with the default params; None for "network". UsageError with the choices."""
    if name == NETWORK_FILL:
        return None
    if name not in catalog.names("filler"):
        known = [*catalog.names("filler"), NETWORK_FILL]
        raise UsageError(unknown_name("filler", name, known, "toolbox list fillers"))
    return cast(Filler, build_component(bind_component(catalog, "filler", name, {})))


def fill_view(view: PhotoView, filler: Filler) -> PhotoView:
    """Return the view with its lost region filled, so that nothing is lost. Known pixels are not changed."""
    if not view.mask.any():
        return view
    try:
        # The filler gets copies, because a plugin may write into what it is given.
        filled = filler(view.image.copy(), view.mask.copy(), seed=0)
    except (ToolboxError, MemoryError):
        raise
    except Exception as error:  # a plugin may raise anything
        raise PluginError(f"The filler failed: {type(error).__name__}: {' '.join(str(error).split())}") from error
    if not isinstance(filled, np.ndarray) or filled.shape != view.image.shape or filled.dtype != view.image.dtype:
        shape, dtype = getattr(filled, "shape", type(filled).__name__), getattr(filled, "dtype", "")
        raise PluginError(f"The filler returned {shape} {dtype} for a photograph {view.image.shape} {view.image.dtype}")
    lost = view.mask if view.image.ndim == 2 else view.mask[..., None]
    image = np.where(lost, filled, view.image)
    return PhotoView(image=image, mask=np.zeros_like(view.mask), fill=view.fill)
