"""Load trained weights by a published name, a file or a run folder; build the generator that they belong to."""

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
class TrainedGenerator:
    """A generator with its weights.

    Attributes:
        network: the generator, float32 in eval mode.
        plan: the bound recipe that it was trained by.
        path: the file of the weights.
    """

    network: nn.Module
    plan: Plan
    path: Path


def load_trained(weights: str | Path, device: torch.device, catalog: Catalog | None = None) -> TrainedGenerator:
    """Build the generator that weights belong to, and load them.

    Args:
        weights: a published name, a .safetensors file that a run wrote, or a run folder, whose best weights are used.
        device: the device of the generator.
        catalog: the installed components; None: load them.

    Raises:
        UsageError: there is no such name, file or folder.
        WeightsError: the file is damaged or does not fit, or its recipe needs something that is not installed.
        PluginError: the generator can't be built.
    """
    catalog = catalog or catalogs.load()
    path = find_weights(weights, catalog)
    plan = read_plan(path, catalog)
    network = build.build_generator(plan, device)
    # Weights in half precision are copied into the float32 of the network.
    weight_file.load_weights(path, network)
    return TrainedGenerator(network=network.eval(), plan=plan, path=path)


def export_weights(weights: str | Path, target: Path, catalog: Catalog, *, half: bool) -> None:
    """Write weights to a file for others, without the paths of this machine.

    Args:
        weights: as in `load_trained`.
        target: the .safetensors file to write.
        catalog: the installed components.
        half: whether to write half precision: half the size, loaded as float32 again.

    Raises:
        OutputError: `target` can't be written. Other errors as `load_trained`.
    """
    trained = load_trained(weights, torch.device("cpu"), catalog)
    header = replace(
        weight_file.read_header(trained.path), recipe=recipe.dump(trained.plan.tree(include_initial=False))
    )
    network = trained.network.half() if half else trained.network
    weight_file.write_weights(target, network.state_dict(), header)


def find_weights(weights: str | Path, catalog: Catalog) -> Path:
    """Return the file that `weights` stands for: of a path if it looks like one, else of a published name.

    Raises:
        UsageError: there is no such name, file or folder.
        WeightsError: published weights are damaged.
    """
    path = Path(weights)
    looks_like_path = (
        isinstance(weights, Path) or path.suffix == ".safetensors" or len(path.parts) != 1 or weights == os.curdir
    )
    names = {entry.spec.name for entry in published.list_published(catalog)}
    if not looks_like_path and (weights in names or not path.exists()):
        return published.find_published(catalog, str(weights))
    if path.is_dir():
        best = path / weight_file.BEST
        if not best.is_file():
            raise UsageError(
                f"{files.printable(path)} has no {weight_file.BEST}; a run writes it after its first validation."
            )
        return best
    if not path.is_file():
        raise UsageError(f"There is no weight file {files.printable(path)}. For published weights: toolbox weights")
    return path


def read_plan(path: Path, catalog: Catalog) -> Plan:
    """Return the bound recipe in the header of a weight file; raise WeightsError if it can't be used."""
    header = weight_file.read_header(path)
    try:
        tree = recipe.parse(header.recipe, "the recipe in its header")
        return bind(Recipe(name=header.recipe_name or path.stem, tree=tree), catalog)
    except RecipeError as error:
        more = f" And {len(error.faults) - 1} more." if len(error.faults) > 1 else ""
        raise WeightsError(f"{files.printable(path)} can't be used here: {error.faults[0]}{more}") from error
    except UsageError as error:
        raise WeightsError(f"{files.printable(path)} can't be used: {error}") from error
