"""Trained weights by name, file or run folder, to the generator that they belong to."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from toolbox import catalog as catalogs
from toolbox import checkpoint, files, parts, published, recipe, runfolder
from toolbox.catalog import Catalog
from toolbox.errors import RecipeError, UsageError, WeightsError
from toolbox.plan import Plan, bind
from toolbox.recipe import Recipe


@dataclass(frozen=True, kw_only=True)
class Trained:
    """A generator with its weights, float32 in eval mode, and the plan that it was trained by."""

    network: nn.Module
    plan: Plan
    path: Path


def load(weights: str | Path, device: torch.device, catalog: Catalog | None = None) -> Trained:
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
    path = locate(weights, catalog)
    plan = _plan(path, catalog)
    network = parts.generator(plan, device)
    # Stored in half precision or not: they are copied into the network's own float32.
    checkpoint.load_weights(path, network)
    return Trained(network=network.eval(), plan=plan, path=path)


def export(weights: str | Path, target: Path, catalog: Catalog, *, half: bool) -> None:
    """Write weights as a file for others: without the training state, and without this machine's paths.

    Args:
        weights: see `load`.
        target: the safetensors file.
        catalog: the components.
        half: whether in half precision, which takes half the space and is loaded as float32 again.

    Raises:
        OutputError: `target` can't be written.
    """
    trained = load(weights, torch.device("cpu"), catalog)
    facts = checkpoint.read_facts(trained.path)
    facts["recipe"] = recipe.dump(trained.plan.tree(initial=False))
    checkpoint.save_weights(target, trained.network.half() if half else trained.network, facts)


def locate(weights: str | Path, catalog: Catalog) -> Path:
    """Return the file that `weights` means: a path if it looks like one, else a published name; errors as `load`."""
    path = Path(weights)
    looks = isinstance(weights, Path) or path.suffix == ".safetensors" or len(path.parts) != 1 or weights == os.curdir
    names = {one.spec.name for one in published.published(catalog)}
    if not looks and (weights in names or not path.exists()):
        return published.find(catalog, str(weights))
    if path.is_dir():
        best = path / runfolder.BEST
        if not best.is_file():
            raise UsageError(f"{files.shown(path)} has no {runfolder.BEST}; a run writes it when it first validates.")
        return best
    if not path.is_file():
        raise UsageError(f"There is no weight file {files.shown(path)}. Published ones by name: toolbox weights")
    return path


def _plan(path: Path, catalog: Catalog) -> Plan:
    facts = checkpoint.read_facts(path)
    text, name = facts["recipe"], facts.get("recipe_name")
    try:
        tree = recipe.parse(str(text), "the recipe in its header")
        return bind(Recipe(name=str(name or path.stem), tree=tree), catalog)
    except RecipeError as error:
        more = f" And {len(error.faults) - 1} more." if len(error.faults) > 1 else ""
        raise WeightsError(f"{files.shown(path)} can't be used here: {error.faults[0]}{more}") from error
    except UsageError as error:
        raise WeightsError(f"{files.shown(path)} can't be used: {error}") from error
