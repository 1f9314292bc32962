"""One component, or all of a plugin's, through every check of their kind."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from toolbox.config.binding import bind_component
from toolbox.errors import InstallationError, RecipeError, ToolboxError
from toolbox.hooks import catalog as catalogs
from toolbox.hooks.catalog import Catalog, Entry
from toolbox.hooks.file_specs import RecipeSpec, WeightsSpec
from toolbox.hooks.specs import ComponentSpec, LossSpec, Spec
from toolbox.models.published import find_weight_damage
from toolbox.testing import (
    adversarial,
    degradations,
    discriminators,
    generators,
    metrics,
    penalties,
    plugins,
    recipes,
    reconstruction,
)
from toolbox.testing import subject as common
from toolbox.testing.checks import Check, perform, said
from toolbox.testing.subject import Subject, with_entry
from toolbox.testing.table import table

KINDS: dict[str, Callable[[Subject], list[Check]]] = {
    "generator": generators.check,
    "discriminator": discriminators.check,
    "loss": reconstruction.check,
    "penalty": penalties.check,
    "degradation": degradations.check,
    "metric": metrics.check,
}


def check_component(
    entry: Entry | Spec, params: Mapping[str, Any] | None = None, catalog: Catalog | None = None
) -> list[Check]:
    """Put one component through every check of its kind.

    Args:
        entry: an entry of a catalog, or a spec as a hook returns it.
        params: its params as a recipe would give them, a component among them as a table with its name.
            Defaults for the rest.
        catalog: where components among the params, and a recipe's, are found; all installed ones if None.

    Returns:
        A check a line. One that could not be built because params are missing, or because this installation
        lacks what it takes (a package, the network), has a noted check "build".
    """
    if isinstance(entry, Spec):
        entry = Entry(kind=entry.kind, spec=entry, plugin="under test", distribution="", version="")
    catalog = with_entry(catalog or catalogs.load(), entry)
    if isinstance(entry.spec, RecipeSpec):
        return recipes.check(catalog, entry.spec.path)
    if isinstance(entry.spec, WeightsSpec):
        fault = find_weight_damage(entry)
        return [Check(name="sha256", status="failed" if fault else "ok", detail=fault or "the file is whole")]
    assert isinstance(entry.spec, ComponentSpec)
    raw = dict(params or {})
    missing = [
        name for name, field in entry.spec.params.model_fields.items() if field.is_required() and name not in raw
    ]
    if missing:
        detail = f"needs params: {', '.join(missing)}; check it by assert_conforms(spec, {missing[0]}=…)"
        return [Check(name="build", status="noted", detail=detail)]
    try:
        subject = Subject(catalog=catalog, bound=bind_component(catalog, entry.kind, entry.spec.name, raw))
    except RecipeError as error:
        return [Check(name="params", status="failed", detail=said(error))]
    first = [common.description, common.reference, common.params_through_TOML, common.own_check]
    return [*perform(subject, first), *_built(subject)]


def assert_conforms(spec: Spec, /, **params: Any) -> None:  # noqa: ANN401 - any component's params
    """Fail a test with a table of what is wrong with a component, if anything is; for pytest, in one line.

    Args:
        spec: the component's spec, as its plugin's hook returns it.
        params: its params as a recipe would give them; defaults for the rest. One without a default has to be
            given.
    """
    checks = check_component(spec, params)
    untried = [check for check in checks if check.name == "build" and check.status == "noted"]
    _assert({f"{spec.kind}/{spec.name}": checks}, bad=bool(untried))


def check_plugin(plugin: Any) -> dict[str, list[Check]]:  # noqa: ANN401 - a module, an object, a path
    """Put a plugin as a whole, and every component that it brings, through their checks.

    Args:
        plugin: a module or an object with hooks, or the path of a Python file.

    Returns:
        The checks of the plugin itself by its name, and of every component by ``kind/name``.
    """
    name = plugin.stem if isinstance(plugin, Path) else getattr(plugin, "__name__", type(plugin).__name__)
    catalog, record = plugins.catalog_with(plugin, name)
    results = {f"plugin/{name}": [plugins.loads(record)]}
    source = plugins.source_of(plugin)
    if record.status == "ok" and source is not None:
        results[f"plugin/{name}"].append(plugins.light(source))
    for kind, component in record.components:
        results[f"{kind}/{component}"] = check_component(catalog.find(kind, component), None, catalog)
    return results


def assert_plugin_conforms(plugin: Any) -> None:  # noqa: ANN401 - a module, an object, a path
    """Fail a test with a table of what is wrong with a plugin or a component of it, if anything is.

    Components that need params, or what this installation lacks, are passed over: see `assert_conforms`.
    """
    _assert(check_plugin(plugin))


def _built(subject: Subject) -> list[Check]:
    try:
        built = subject.built
    except InstallationError as error:
        return [Check(name="build", status="noted", detail=f"can't be built here: {error}")]
    except ToolboxError as error:
        return [Check(name="build", status="failed", detail=str(error))]
    game = isinstance(subject.bound.spec, LossSpec) and subject.bound.spec.role == "adversarial"
    if not game and not callable(built):
        detail = f"build returned {type(built).__name__}, which can't be called; return the component"
        return [Check(name="build", status="failed", detail=detail)]
    of_its_kind = adversarial.check if game else KINDS[subject.bound.entry.kind]
    return [*perform(subject, [common.two_builds]), *of_its_kind(subject)]


def _assert(results: Mapping[str, list[Check]], *, bad: bool = False) -> None:
    if bad or any(check.status == "failed" for checks in results.values() for check in checks):
        raise AssertionError("the conformance kit found faults:\n" + table(results, kept="failed or noted"))
