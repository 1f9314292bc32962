"""A component under test: bound through the catalog as a recipe would bind it, and built as often as needed."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import nn

from toolbox.config.plan import BoundComponent
from toolbox.hooks.catalog import Catalog, Entry
from toolbox.hooks.specs import ComponentSpec
from toolbox.models.build import build_component
from toolbox.models.component_watch import WatchedComponent
from toolbox.models.weight_file import WeightsHeader, load_weights, saved_state, write_weights

# The seed of a build: one that no component sets itself, so that it is noticed if one does.
SEED = 0x7A31C5


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A component under test.

    Attributes:
        catalog: the catalog that the component and those among its params come from.
        bound: the component with its params.
        inputs: returns what `build` gets besides the params, new at every call.
    """

    catalog: Catalog
    bound: BoundComponent
    inputs: Callable[[], tuple[object, ...]] = tuple

    @property
    def spec(self) -> ComponentSpec:
        """The component's spec."""
        return self.bound.spec

    @property
    def watch(self) -> WatchedComponent:
        """A new watch for a call of the component as in a run; a value without gradient is left to other checks."""
        return WatchedComponent(entry=self.bound.entry, trains=False)

    def build(self, seed: int = SEED) -> Any:  # noqa: ANN401 - every kind of component
        """Build the component anew, its weights drawn from `seed`."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return build_component(self.bound, *self.inputs())

    @cached_property
    def component(self) -> Any:  # noqa: ANN401
        """The component, built once, for checks that do not change it."""
        return self.build()


def with_entry(catalog: Catalog, entry: Entry) -> Catalog:
    """Return the catalog with `entry`, which replaces one of the same kind and name."""
    components = {kind: dict(entries) for kind, entries in catalog.components.items()}
    components[entry.kind][entry.key] = entry
    return Catalog(components=components, plugins=catalog.plugins)


def join_names(names: list[str]) -> str:
    """Return the first three names, and the number of further ones."""
    rest = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + rest


def copy_state(source: nn.Module, target: nn.Module) -> None:
    """Save the state of `source` as a weight file and load it into `target`, as checkpoints do."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "weights.safetensors")
        write_weights(path, saved_state(source), WeightsHeader(recipe=""))
        load_weights(path, target)
