"""Load trained weights by a published name, a file or a run folder; build the generator that they belong to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path

import torch
from torch import nn

from toolbox.config import recipe
from toolbox.config.binding import bind, bind_component
from toolbox.config.plan import Plan
from toolbox.config.recipe import Recipe
from toolbox.errors import RecipeError, UsageError, WeightsError, one_line
from toolbox.hooks import catalog as catalogs
from toolbox.hooks.catalog import Catalog, Entry
from toolbox.hooks.kinds import KINDS
from toolbox.hooks.params import RESERVED_KEYS
from toolbox.hooks.specs import GeneratorSpec
from toolbox.models import build, weight_file
from toolbox.models.stored_weights import StoredWeights, find_weights
from toolbox.utils import files
from toolbox.utils.devices import pick_device


@dataclass(frozen=True, kw_only=True)
class TrainedGenerator:
    """A generator with its weights.

    Attributes:
        network: the generator, float32 in eval mode.
        plan: the bound recipe that it was trained by, without what only a training needs.
        stored: the weights.
    """

    network: nn.Module
    plan: Plan
    stored: StoredWeights

    @property
    def path(self) -> Path:
        """The file of the weights."""
        return self.stored.path

    def shared_header(self, catalog: Catalog) -> weight_file.WeightsHeader:
        """Return the header for other machines: the recipe without the weights that the run started from.

        Raises:
            WeightsError: the recipe needs something that is not installed.
        """
        tree = read_plan(self.stored, catalog).tree(include_initial=False)
        return replace(self.stored.header(), recipe=recipe.dump(tree))


def load_trained(
    weights: str | PathLike[str], device: torch.device, catalog: Catalog | None = None
) -> TrainedGenerator:
    """Build the generator that weights belong to, and load them.

    Args:
        weights: a published name, a .safetensors file that a run wrote, a run folder, whose best weights are used, or a
            checkpoint in it.
        device: the device of the generator.
        catalog: the installed components; None: load them.

    Raises:
        UsageError: there is no such name, file or folder.
        WeightsError: the file is damaged or does not fit, or needs something for restoring that is not installed.
        PluginError: the generator can't be built.
    """
    catalog = catalog or catalogs.load()
    stored = find_weights(weights, catalog)
    plan = read_plan(stored, catalog, for_restoring=True)
    network = build.build_generator(plan, device)
    # Weights in half precision are copied into the float32 of the network.
    stored.load(network)
    return TrainedGenerator(network=network.eval(), plan=plan, stored=stored)


@dataclass(frozen=True, kw_only=True)
class TrainedNetwork:
    """A network with its weights, for a detector.

    Attributes:
        network: the network, float32 in eval mode.
        kinds: the kinds of damage that it was trained to find, in the order of its maps.
    """

    network: nn.Module
    kinds: tuple[str, ...]


def load_network(
    weights: str | PathLike[str],
    *,
    spec: GeneratorSpec | None = None,
    kinds: Sequence[str] | None = None,
    device: str | torch.device = "cpu",
) -> TrainedNetwork:
    """Build the network of a weight file from its header and load the weights, whether it restores pictures or not.

    Nothing but the table ``[generator]`` of the recipe in the header is used.

    Args:
        weights: a published name, a .safetensors file that a run wrote, a run folder, whose best weights are used, or a
            checkpoint in it.
        spec: the spec of the network, for a plugin that has it at hand; None: look it up among the installed ones.
        kinds: what the network must have been trained to find, in this order; None: anything.
        device: the device of the network.

    Raises:
        UsageError: there is no such name, file, folder or device.
        WeightsError: the file is damaged or does not fit, its network is another one or not installed, or it finds
            other kinds.
        PluginError: the network can't be built.
    """
    catalog = catalogs.load() if spec is None else _catalog_of(spec)
    stored = find_weights(weights, catalog)
    header = stored.header()
    try:
        table = dict(recipe.parse(header.recipe, "its recipe").get("generator", {}))
        params = {key: value for key, value in table.items() if key not in RESERVED_KEYS}
        name = str(table.get("name"))
        if spec is not None and name != spec.name:
            raise UsageError(f"they are weights of '{name}', not of '{spec.name}'; choose others.")
        bound = bind_component(catalog, "generator", name, params)
    except RecipeError as error:
        raise WeightsError(f"{files.printable(stored.path)} can't be used here: {error.faults[0]}") from error
    except (UsageError, TypeError, ValueError) as error:
        raise WeightsError(f"{files.printable(stored.path)} can't be used: {one_line(error)}") from error
    if kinds is not None and header.kinds != tuple(kinds):
        found = ", ".join(header.kinds) or "nothing that its header names"
        raise WeightsError(
            f"{files.printable(stored.path)} can't be used: it was trained to find {found}, not {', '.join(kinds)}; "
            "choose other weights."
        )
    network: nn.Module = build.build_component(bound, fresh=False)
    stored.load(network)
    return TrainedNetwork(network=network.to(pick_device(str(device))).eval(), kinds=header.kinds)


def _catalog_of(spec: GeneratorSpec) -> Catalog:
    entry = Entry(kind="generator", spec=spec, plugin=spec.build.__module__, distribution="", version="")
    return Catalog(components={kind: {} for kind in KINDS} | {"generator": {spec.name: entry}}, plugins=())


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
    network = trained.network.to(torch.float16) if half else trained.network
    weight_file.write_weights(target, weight_file.saved_state(network), trained.shared_header(catalog))


def read_plan(stored: StoredWeights, catalog: Catalog, *, for_restoring: bool = False) -> Plan:
    """Return the bound recipe of stored weights, see `bind`; raise WeightsError if it can't be used."""
    header, path = stored.header(), stored.path
    try:
        tree = recipe.parse(header.recipe, "its recipe")
        read = Recipe(name=header.recipe_name or path.stem, tree=tree)
        return bind(read, catalog, for_restoring=for_restoring)
    except RecipeError as error:
        more = f" And {len(error.faults) - 1} more." if len(error.faults) > 1 else ""
        raise WeightsError(f"{files.printable(path)} can't be used here: {error.faults[0]}{more}") from error
    except UsageError as error:
        raise WeightsError(f"{files.printable(path)} can't be used: {error}") from error
