"""Published weights: those that ship, named in `registry.toml`, and those that plugins bring; verified by sha256."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, cast

from toolbox.errors import UsageError, WeightsError, unknown_name
from toolbox.hooks import registry
from toolbox.hooks.catalog import Catalog, Entry
from toolbox.hooks.file_specs import WeightsSpec
from toolbox.utils import files
from toolbox.utils.versions import DISTRIBUTION, toolbox_version

if TYPE_CHECKING:
    from toolbox.config.plan import Plan


def list_published(catalog: Catalog) -> list[Entry]:
    """Return all published weights, those that ship first."""
    root, version = Path(__file__).parents[1], toolbox_version()
    ours = [
        Entry(
            kind="weights",
            spec=WeightsSpec(
                name=one.name,
                summary=one.summary,
                path=root / one.file,
                sha256=one.sha256,
                licence=one.licence,
                recipe=one.recipe,
            ),
            plugin="toolbox",
            distribution=DISTRIBUTION,
            version=version,
        )
        for one in registry.read().shipped.weights
    ]
    return ours + catalog.entries("weights")


def published_spec(entry: Entry) -> WeightsSpec:
    """Return what is known of published weights."""
    return cast(WeightsSpec, entry.spec)


def find_weight_damage(entry: Entry) -> str | None:
    """Return what is wrong with a published file, or None."""
    path = published_spec(entry).path
    if not path.is_file():
        return f"{path} is missing"
    return None if files.sha256(path) == published_spec(entry).sha256 else f"{path} has changed: its sha256 is another"


def initial_weights(plan: Plan, catalog: Catalog) -> Path | None:
    """Return the verified file that the generator of `plan` starts from, None if its recipe names none; as `find`."""
    name = plan.initial_weights
    return find_published(catalog, name) if name else None


def find_published(catalog: Catalog, name: str) -> Path:
    """Return the verified file of published weights.

    Raises:
        UsageError: the name is not known.
        WeightsError: the file is missing or not the one that was published.
    """
    every = {one.spec.name: one for one in reversed(list_published(catalog))}
    if name not in every:
        raise UsageError(unknown_name("weights", name, every, "toolbox weights"))
    fault = find_weight_damage(every[name])
    if fault is not None:
        raise WeightsError(f"Weights '{name}' of '{every[name].plugin}': {fault}. Reinstall what brings them.")
    return published_spec(every[name]).path
