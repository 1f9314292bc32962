"""Fill the lost region by a filler, before the network sees the photograph."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from toolbox.config.binding import bind_component
from toolbox.config.plan import BoundComponent, Plan
from toolbox.errors import UsageError, unknown_name
from toolbox.hooks import blame
from toolbox.hooks.catalog import Catalog, Entry
from toolbox.hooks.isolated_call import call_isolated
from toolbox.hooks.protocols import Filler
from toolbox.hooks.specs import DEFAULT_FILL, DEFAULT_WEIGHTS, NETWORK_FILL
from toolbox.inference.photo_view import PhotoView
from toolbox.models.build import build_component


@dataclass(frozen=True, kw_only=True)
class LoadedFiller:
    """A filler that is ready to use; call it as the filler.

    Attributes:
        fill: the filler.
        entry: its entry in the catalog.
    """

    fill: Filler
    entry: Entry | None = None

    def __call__(self, image: np.ndarray, mask: np.ndarray, *, seed: int = 0) -> np.ndarray:
        """Return the image with its lost region filled; known pixels are those of the image, whatever the filler does.

        Raises:
            PluginError: the filler fails, or returns an array of another type or shape.
        """
        # The filler gets copies, because a plugin may write into what it is given.
        with blame.explained():
            filled = call_isolated(self.entry, self.fill, image.copy(), mask.copy(), seed=seed)
        if not isinstance(filled, np.ndarray) or filled.shape != image.shape or filled.dtype != image.dtype:
            raise blame.wrong_result(self.entry, self.fill, f"returned {describe(filled)} for {describe(image)}")
        return np.where(mask if image.ndim == 2 else mask[..., None], filled, image)


def default_fill(weights: object) -> str | None:
    """Return the name of the filler for photographs that people look at; None for weights whose recipe decides."""
    return DEFAULT_FILL if isinstance(weights, str) and weights == DEFAULT_WEIGHTS else None


def find_filler(name: str, catalog: Catalog) -> LoadedFiller | None:
    """Return the filler of that name, with the default params; None for "network". UsageError with the choices."""
    if name == NETWORK_FILL:
        return None
    if name not in catalog.names("filler"):
        known = [*catalog.names("filler"), NETWORK_FILL]
        raise UsageError(unknown_name("filler", name, known, "toolbox list fillers"))
    return _load(bind_component(catalog, "filler", name, {}))


def recipe_filler(plan: Plan) -> LoadedFiller | None:
    """Return the filler that a recipe names; None if the generator fills lost regions itself."""
    bound = next(iter(plan.components["filler"]), None)
    return None if bound is None else _load(bound)


def fill_view(view: PhotoView, filler: LoadedFiller) -> PhotoView:
    """Return the view with its lost region filled, so that nothing is lost. Known pixels are not changed."""
    if not view.mask.any():
        return view
    return PhotoView(image=filler(view.image, view.mask), mask=np.zeros_like(view.mask), fill=view.fill)


def describe(value: object) -> str:
    """Return the type and shape of what a component returned, for messages."""
    return f"{value.dtype} {list(value.shape)}" if isinstance(value, np.ndarray) else type(value).__name__


def _load(bound: BoundComponent) -> LoadedFiller:
    return LoadedFiller(fill=build_component(bound, fresh=False), entry=bound.entry)
