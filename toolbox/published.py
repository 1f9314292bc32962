"""Published weights: those that ship, named in `registry.toml`, and those that plugins bring; verified by sha256."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, cast

from toolbox import files, manager, registry
from toolbox.catalog import Catalog, Entry
from toolbox.errors import UsageError, WeightsError, unknown
from toolbox.specs import WeightsSpec

if TYPE_CHECKING:
    from toolbox.plan import Plan


def published(catalog: Catalog) -> list[Entry]:
    """Return all published weights, those that ship first."""
    root, version = Path(__file__).parent, manager.own_version()
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
            distribution=manager.DISTRIBUTION,
            version=version,
        )
        for one in registry.read().shipped.weights
    ]
    return ours + catalog.entries("weights")


def spec(entry: Entry) -> WeightsSpec:
    """Return what is known of published weights."""
    return cast(WeightsSpec, entry.spec)


def verify(entry: Entry) -> str | None:
    """Return what is wrong with a published file, or None."""
    path = spec(entry).path
    if not path.is_file():
        return f"{path} is missing"
    return None if files.sha256(path) == spec(entry).sha256 else f"{path} has changed: its sha256 is another"


def initial(plan: Plan, catalog: Catalog) -> Path | None:
    """Return the verified file that the generator of `plan` starts from, None if its recipe names none; as `find`."""
    from toolbox.settings import Generator  # what lists weights needs no recipes

    section = plan.generator.place
    name = section.init.removeprefix("weights:") if isinstance(section, Generator) else ""
    return find(catalog, name) if name else None


def find(catalog: Catalog, name: str) -> Path:
    """Return the verified file of published weights.

    Raises:
        UsageError: the name is not known.
        WeightsError: the file is missing or not the one that was published.
    """
    every = {one.spec.name: one for one in reversed(published(catalog))}
    if name not in every:
        raise UsageError(unknown("weights", name, every, "toolbox weights"))
    fault = verify(every[name])
    if fault is not None:
        raise WeightsError(f"Weights '{name}' of '{every[name].plugin}': {fault}. Reinstall what brings them.")
    return spec(every[name]).path
