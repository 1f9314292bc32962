"""Published weights: those that ship, which `registry.toml` lists, and those of plugins. Each is verified by sha256."""

from __future__ import annotations

from pathlib import Path
from typing import cast

from toolbox.errors import UsageError, WeightsError, unknown_name
from toolbox.hooks import catalog as catalogs
from toolbox.hooks import registry
from toolbox.hooks.catalog import Catalog, Entry
from toolbox.hooks.file_specs import WeightsSpec
from toolbox.utils import files
from toolbox.utils.versions import DISTRIBUTION, toolbox_version


def list_published(catalog: Catalog) -> list[Entry]:
    """Return all published weights, those that ship first."""
    return _shipped() + catalog.entries("weights")


def _shipped() -> list[Entry]:
    root, version = Path(__file__).parents[1], toolbox_version()
    return [
        Entry(
            kind="weights",
            spec=WeightsSpec(
                name=weights.name,
                summary=weights.summary,
                path=root / weights.file,
                sha256=weights.sha256,
                licence=weights.licence,
                recipe=weights.recipe,
            ),
            plugin="toolbox",
            distribution=DISTRIBUTION,
            version=version,
        )
        for weights in registry.read().shipped.weights
    ]


def published_spec(entry: Entry) -> WeightsSpec:
    """Return the spec of published weights."""
    return cast(WeightsSpec, entry.spec)


def find_weight_damage(entry: Entry) -> str | None:
    """Return what is wrong with the file of published weights, or None."""
    path = published_spec(entry).path
    if not path.is_file():
        return f"{path} is missing"
    if files.sha256(path) != published_spec(entry).sha256.lower():
        return f"{path} has changed: its sha256 is not the published one"
    return None


def find_published(catalog: Catalog, name: str) -> Path:
    """Return the verified file of published weights; errors as in `verified_spec`."""
    return verified_spec(catalog, name).path


def verified_spec(catalog: Catalog, name: str) -> WeightsSpec:
    """Return the spec of published weights, whose file is verified.

    Raises:
        UsageError: there are no weights of that name.
        WeightsError: the file is missing, or it is not the one that was published.
    """
    entries = {entry.spec.name: entry for entry in reversed(list_published(catalog))}
    if name not in entries:
        raise UsageError(unknown_name("weights", name, entries, "toolbox weights"))
    return _verified(entries[name])


def weights_path(name: str) -> Path:
    """Return the verified file of published weights, for a detector or a filler that loads its own.

    Errors as in `find_published`.
    """
    # The plugins are not loaded for weights that ship, because a component that is being built may ask for them.
    shipped = next((entry for entry in _shipped() if entry.spec.name == name), None)
    return find_published(catalogs.load(), name) if shipped is None else _verified(shipped).path


def _verified(entry: Entry) -> WeightsSpec:
    damage = find_weight_damage(entry)
    if damage is not None:
        raise WeightsError(
            f"Weights '{entry.spec.name}' of '{entry.plugin}': {damage}. Reinstall the package that brings them."
        )
    return published_spec(entry)
