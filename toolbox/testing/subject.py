"""A component under test: bound through the catalog as a recipe would bind it, and built as often as needed."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from toolbox.config.binding import bind_component
from toolbox.config.plan import BoundComponent
from toolbox.config.recipe import dump, parse
from toolbox.hooks.catalog import Catalog, Entry
from toolbox.models.build import build_component
from toolbox.models.weight_file import WeightsHeader, load_weights, write_weights
from toolbox.testing.checks import Noted, demand


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A component under test; see `toolbox.config.plan.BoundComponent`."""

    catalog: Catalog
    bound: BoundComponent

    def build(self, seed: int = 0) -> Any:  # noqa: ANN401 - every kind of component
        """Build the component anew, its weights drawn from `seed`."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return build_component(self.bound)

    @cached_property
    def built(self) -> Any:  # noqa: ANN401
        """The component, built once, for checks that leave it as it is."""
        return self.build()


def with_entry(catalog: Catalog, entry: Entry) -> Catalog:
    """Return the catalog with `entry` in it, in the place of one of the same kind and name."""
    components = {kind: dict(entries) for kind, entries in catalog.components.items()}
    components[entry.kind][entry.spec.name] = entry
    return Catalog(components=components, plugins=catalog.plugins)


def description(subject: Subject) -> str:
    """Every param says what it is for; `toolbox show` prints it."""
    fields = subject.bound.spec.params.model_fields
    bare = [name for name, field in fields.items() if not (field.description or "").strip()]
    demand(not bare, f"params without a description: {', '.join(bare)}; write Field(…, description=…)")
    return f"{len(fields)} params, each with a description" if fields else "no params"


def reference(subject: Subject) -> str:
    """A component says what it follows."""
    return subject.bound.spec.reference or Noted("no reference; name the paper, standard or library that it follows")


def params_through_TOML(subject: Subject) -> str:  # noqa: N802
    """The params written into a run folder's recipe are read back as they were."""
    bound = subject.bound
    raw = bound.params.model_dump(mode="json", exclude_none=True)
    again = bind_component(subject.catalog, bound.entry.kind, bound.spec.name, parse(dump(raw), "the params"))
    changed = [
        name for name in bound.spec.params.model_fields if getattr(again.params, name) != getattr(bound.params, name)
    ]
    demand(not changed, f"{', '.join(changed)} come back from TOML changed; use plain types, and None as default only")
    return "read back as they were"


def own_check(subject: Subject) -> str:
    """The spec's own check accepts these params."""
    if subject.bound.spec.check is None:
        return "it has none"
    subject.bound.spec.check(subject.bound.params)
    return "it accepts these params"


def two_builds(subject: Subject) -> str:
    """Two builds share nothing that training changes."""
    first, second = subject.built, subject.build()
    if not isinstance(first, nn.Module):
        stateful = bool(getattr(first, "__dict__", None))
        demand(first is not second or not stateful, "build gives one object twice; make it anew in build")
        return "independent"
    demand(first is not second, "build gives one module twice; make it anew in build")
    shared = {t.data_ptr() for t in _trained(first)} & {t.data_ptr() for t in _trained(second)}
    demand(not shared, "two builds share weights or buffers; make them in build, not at import")
    return "independent"


def seed(subject: Subject) -> str:
    """The weights come from torch's seed alone, so that a run can be repeated."""
    first, second = subject.built.state_dict(), subject.build().state_dict()
    wrong = [name for name, value in first.items() if not torch.equal(value, second[name])]
    demand(not wrong, f"{named(wrong)} differ between two builds from one seed; draw weights by torch's functions")
    return "one seed, one set of weights"


def named(names: list[str]) -> str:
    """Return the first three names, and how many more there are."""
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more


def carried_over(source: nn.Module, target: nn.Module) -> None:
    """Save the state of `source` as a weight file and load it into `target`, as checkpoints do."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "weights.safetensors")
        write_weights(path, source.state_dict(), WeightsHeader(recipe=""))
        load_weights(path, target)


def _trained(module: nn.Module) -> list[Tensor]:
    trainable = [weight for weight in module.parameters() if weight.requires_grad]
    return [value for value in (*trainable, *module.buffers()) if value.numel()]
