"""Trained weights by name, file or run folder, to the generator that they belong to."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import nn

from toolbox.config import recipe
from toolbox.config.binding import bind
from toolbox.config.plan import Plan
from toolbox.config.recipe import Recipe
from toolbox.errors import RecipeError, UsageError, WeightsError
from toolbox.hooks import catalog as catalogs
from toolbox.hooks.catalog import Catalog
from toolbox.models import build, published, weight_file
from toolbox.utils import files


@dataclass(frozen=True, kw_only=True)
class Trained:
    """A generator with its weights, float32 in eval mode, and the plan that it was trained by."""

    network: nn.Module
    plan: Plan
    path: Path


def load_trained(weights: str | Path, device: torch.device, catalog: Catalog | None = None) -> Trained:
    """Build the generator that `weights` belong to and load them.

    Args:
        weights: a published name, a safetensors file that a run wrote, or a run folder, whose best are taken.
        device: where to.
        catalog: the components to build it of, all that are installed if None.

    Raises:
        UsageError: there is no such name, file or folder.
        WeightsError: the file is damaged or does not fit, or its recipe needs what is not here.
        PluginError: the generator can't be built.
    """
    catalog = catalog or catalogs.load()
    path = find_weights(weights, catalog)
    plan = _plan(path, catalog)
    network = build.build_generator(plan, device)
    # Stored in half precision or not: they are copied into the network's own float32.
    weight_file.load_weights(path, network)
    return Trained(network=network.eval(), plan=plan, path=path)


def export_weights(weights: str | Path, target: Path, catalog: Catalog, *, half: bool) -> None:
    """Write weights as a file for others: without the training state, and without this machine's paths.

    Args:
        weights: see `load`.
        target: the safetensors file.
        catalog: the components.
        half: whether in half precision, which takes half the space and is loaded as float32 again.

    Raises:
        OutputError: `target` can't be written.
    """
    trained = load_trained(weights, torch.device("cpu"), catalog)
    header = replace(
        weight_file.read_header(trained.path), recipe=recipe.dump(trained.plan.tree(include_initial=False))
    )
    network = trained.network.half() if half else trained.network
    weight_file.write_weights(target, network.state_dict(), header)


def find_weights(weights: str | Path, catalog: Catalog) -> Path:
    """Return the file that `weights` means: a path if it looks like one, else a published name; errors as `load`."""
    path = Path(weights)
    looks = isinstance(weights, Path) or path.suffix == ".safetensors" or len(path.parts) != 1 or weights == os.curdir
    names = {one.spec.name for one in published.list_published(catalog)}
    if not looks and (weights in names or not path.exists()):
        return published.find_published(catalog, str(weights))
    if path.is_dir():
        best = path / weight_file.BEST
        if not best.is_file():
            raise UsageError(
                f"{files.printable(path)} has no {weight_file.BEST}; a run writes it when it first validates."
            )
        return best
    if not path.is_file():
        raise UsageError(f"There is no weight file {files.printable(path)}. Published ones by name: toolbox weights")
    return path


def _plan(path: Path, catalog: Catalog) -> Plan:
    header = weight_file.read_header(path)
    try:
        tree = recipe.parse(header.recipe, "the recipe in its header")
        return bind(Recipe(name=header.recipe_name or path.stem, tree=tree), catalog)
    except RecipeError as error:
        more = f" And {len(error.faults) - 1} more." if len(error.faults) > 1 else ""
        raise WeightsError(f"{files.printable(path)} can't be used here: {error.faults[0]}{more}") from error
    except UsageError as error:
        raise WeightsError(f"{files.printable(path)} can't be used: {error}") from error
