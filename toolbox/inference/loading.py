"""Load trained weights into a restorer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import inf
from os import PathLike
from typing import TYPE_CHECKING

import torch
from torch import nn

from toolbox.config.python_values import plain_value
from toolbox.config.settings import Restoring
from toolbox.errors import UsageError, WeightsError
from toolbox.hooks import catalog as catalogs
from toolbox.inference.detectors import damage_detector, recipe_detector
from toolbox.inference.fillers import find_filler, recipe_filler
from toolbox.inference.postprocessors import find_postprocessors, recipe_postprocessors
from toolbox.inference.restorer import KEEP_MODES, Restorer
from toolbox.models.forward import probe_multiple
from toolbox.models.weights import load_trained
from toolbox.utils import devices, files
from toolbox.utils.arguments import is_between, is_whole
from toolbox.utils.limits import MAX_SATURATION, MIN_TILE

if TYPE_CHECKING:
    from toolbox.hooks.catalog import Catalog


def load_restorer(
    weights: str | PathLike[str],
    *,
    device: str | None = None,
    keep: str | None = None,
    tile: int | None = None,
    saturation: float = 1.0,
    fill: str | None = None,
    post: str | Sequence[str] | None = None,
    repair: bool | Mapping[str, object] = False,
    catalog: Catalog | None = None,
) -> Restorer:
    """Return a restorer with trained weights.

    Args:
        weights: a published name (`toolbox weights` lists them), a .safetensors file that a run wrote, or a run or its
            folder, of which the best weights are used.
        device: "cpu", "cuda", "cuda:1", "mps"; None: the best one of this machine.
        keep: what of the photograph is not changed: "none", "luma" or "rgb"; None: as the weights were trained.
        tile: the side in pixels of the tiles of large photographs; None: as in the recipe.
        saturation: factor of the predicted colours, from 0 (gray) to 2; see `Restorer`.
        fill: the name of the filler that fills lost regions (`toolbox list fillers` lists them), or "network" for the
            generator; None: as in the recipe.
        post: the name or names of post-processors (`toolbox list postprocessors`), in order; None: as in the recipe.
        repair: whether scratches, folds, dust, stains and torn parts are found and filled if no mask is given; or the
            params of the detector, as ``{"kinds": ["scratch"], "sensitivity": 0.7}``.
        catalog: the installed components; None: load them.

    Raises:
        UsageError: a name, file, device, `keep`, `tile`, `saturation`, `fill` or `post` that is not valid.
        WeightsError: weights that are damaged, do not fit, or need a plugin that is not installed.
        PluginError: the generator fails.
    """
    # A number of NumPy may have too few bits for what is computed with it.
    tile, saturation, repair = map(plain_value, (tile, saturation, repair))
    if keep is not None and keep not in KEEP_MODES:
        raise UsageError(f"keep is '{keep}'; it must be one of {', '.join(KEEP_MODES)}.")
    if tile is not None and not is_whole(tile, MIN_TILE, inf):
        raise UsageError(f"A tile of {tile!r} pixels is not possible; use a whole number of at least {MIN_TILE}.")
    if not is_between(saturation, 0, MAX_SATURATION):
        raise UsageError(f"A saturation of {saturation!r} is not possible; use 0 to {MAX_SATURATION}.")
    torch_device = devices.pick_device(device)
    catalog = catalog or catalogs.load()
    trained = load_trained(weights, torch_device, catalog)
    if not trained.plan.step.restores:
        raise WeightsError(
            f"{files.printable(trained.path)} has a network that restores no photographs (step "
            f"'{trained.plan.step.name}'). A detector can use it: see docs/hooks/detectors.md."
        )
    settings = trained.plan.settings
    restoring = settings.restoring if tile is None else settings.restoring.model_copy(update={"tile": tile})
    return replace(
        make_restorer(trained.network, keep or settings.keep, torch_device, restoring),
        saturation=saturation,
        detector=recipe_detector(trained.plan),
        repair=damage_detector(repair, catalog),
        filler=recipe_filler(trained.plan) if fill is None else find_filler(fill, catalog),
        postprocessors=recipe_postprocessors(trained.plan) if post is None else find_postprocessors(post, catalog),
    )


def make_restorer(network: nn.Module, keep: str, device: torch.device, settings: Restoring) -> Restorer:
    """Put `network` in eval mode, probe which sizes it takes, and return a restorer."""
    network.eval()
    return Restorer(
        network=network,
        keep=keep,
        device=device,
        multiple=probe_multiple(network, device),
        size=settings.size,
        network_fill_size=settings.network_fill_size,
        tile=settings.tile,
    )
