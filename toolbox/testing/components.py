"""Every check of a component, a recipe, weights or a whole plugin."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from toolbox.config.binding import bind_component
from toolbox.errors import InstallationError, RecipeError, ToolboxError
from toolbox.hooks import catalog as catalogs
from toolbox.hooks.catalog import Catalog, Entry
from toolbox.hooks.command_spec import CommandSpec
from toolbox.hooks.file_specs import RecipeSpec, WeightsSpec
from toolbox.hooks.plugin_output import stdout_to_stderr
from toolbox.hooks.specs import ComponentSpec, Spec
from toolbox.testing import common, plugins
from toolbox.testing.adversarial import check_adversarial_loss
from toolbox.testing.checks import Check, error_text, quiet_plugins, run_checks
from toolbox.testing.commands import check_command
from toolbox.testing.degradations import check_degradation
from toolbox.testing.detectors import check_detector
from toolbox.testing.discriminators import check_discriminator
from toolbox.testing.fillers import check_filler
from toolbox.testing.generators import check_generator
from toolbox.testing.metrics import check_metric
from toolbox.testing.observers import check_observer
from toolbox.testing.optimizers import check_optimizer, optimizer_inputs
from toolbox.testing.penalties import check_penalty
from toolbox.testing.postprocessors import check_postprocessor
from toolbox.testing.recipes import check_recipe
from toolbox.testing.reconstruction import check_reconstruction_loss
from toolbox.testing.schedules import check_schedule, schedule_inputs
from toolbox.testing.sources import check_source
from toolbox.testing.steps import check_step
from toolbox.testing.subject import Subject, with_entry
from toolbox.testing.table import table
from toolbox.testing.weights import check_weights


@dataclass(frozen=True)
class KindChecks:
    """How the components of one kind are checked.

    Attributes:
        run: runs the checks of the kind on a built component.
        is_callable: whether the component itself is called, so that `build` must return a callable.
        is_built: whether the component can be built from its params alone.
        inputs: returns what `build` gets besides the params, new at every call.
    """

    run: Callable[[Subject], list[Check]]
    is_callable: bool = True
    is_built: bool = True
    inputs: Callable[[], tuple[object, ...]] = tuple


# One row per kind; a role of a kind that has checks of its own has a row "kind/role".
KIND_CHECKS = {
    "generator": KindChecks(check_generator),
    "discriminator": KindChecks(check_discriminator),
    "loss": KindChecks(check_reconstruction_loss),
    "loss/adversarial": KindChecks(check_adversarial_loss, is_callable=False),
    "penalty": KindChecks(check_penalty),
    "degradation": KindChecks(check_degradation),
    "metric": KindChecks(check_metric),
    "detector": KindChecks(check_detector),
    "filler": KindChecks(check_filler),
    "postprocessor": KindChecks(check_postprocessor),
    "source": KindChecks(check_source, is_built=False),
    "observer": KindChecks(check_observer, is_callable=False),
    "step": KindChecks(check_step),
    "optimizer": KindChecks(check_optimizer, is_callable=False, inputs=optimizer_inputs),
    "schedule": KindChecks(check_schedule, is_callable=False, inputs=schedule_inputs),
}


@stdout_to_stderr()
def check_component(
    entry: Entry | Spec, params: Mapping[str, Any] | None = None, catalog: Catalog | None = None
) -> list[Check]:
    """Run every check of one component, recipe or published weights.

    Args:
        entry: an entry of a catalog, or a spec as a hook returns it.
        params: the params as a recipe has them, a component among them as a table with its name. Params that are not
            given have their defaults.
        catalog: where components among the params, and those of a recipe, are looked up; None for all that are
            installed.

    Returns:
        The outcomes. If the component can't be built because params are missing, or because this installation lacks
        something (a package, an internet connection), the check "build" is noted.
    """
    if isinstance(entry, Spec):
        entry = Entry(kind=entry.kind, spec=entry, plugin="under test", distribution="", version="")
    spec = entry.spec
    catalog = with_entry(catalog or catalogs.load(), entry)
    if isinstance(spec, RecipeSpec):
        return check_recipe(catalog, spec.path)
    if isinstance(spec, WeightsSpec):
        return check_weights(entry, catalog)
    if isinstance(spec, CommandSpec):
        return check_command(spec)
    assert isinstance(spec, ComponentSpec)
    raw = dict(params or {})
    missing = [name for name, field in spec.params.model_fields.items() if field.is_required() and name not in raw]
    if missing:
        detail = f"needs params: {', '.join(missing)}; check it with assert_conforms(spec, {missing[0]}=…), or with "
        detail += f"toolbox plugin check {entry.kind}/{entry.key} --set {missing[0]}=…"
        return [Check(name="build", status="noted", detail=detail)]
    try:
        bound = bind_component(catalog, entry.kind, spec.name, raw)
        subject = Subject(catalog=catalog, bound=bound, inputs=_kind_checks(spec).inputs)
    except RecipeError as error:
        return [Check(name="params", status="failed", detail=error_text(error))]
    spec_checks = [
        common.check_description,
        common.check_reference,
        common.check_toml_round_trip,
        common.check_spec_check,
    ]
    return [*run_checks(subject, spec_checks), *_check_built(subject)]


def assert_conforms(spec: Spec, /, **params: Any) -> None:  # noqa: ANN401 - any component's params
    """Fail a test with a table of all faults of a component; for pytest, in one line.

    Args:
        spec: the component's spec, as its plugin's hook returns it.
        params: its params as a recipe has them. Those without a default must be given.

    Raises:
        AssertionError: a check failed, or the component can't be built.
    """
    checks = check_component(spec, params)
    is_unbuilt = any(check.name == "build" and check.status == "noted" for check in checks)
    _require_no_failure({f"{spec.kind}/{spec.name}": checks}, is_failure=is_unbuilt)


def check_plugin(plugin: Any) -> dict[str, list[Check]]:  # noqa: ANN401 - a module, an object, a path
    """Run every check of a plugin and of all its components.

    Args:
        plugin: a module or an object with hooks, or the path of a Python file.

    Returns:
        The outcomes for the plugin itself under ``plugin/name``, and for each component under ``kind/name``.
    """
    name = plugin.stem if isinstance(plugin, Path) else getattr(plugin, "__name__", type(plugin).__name__)
    catalog, record = plugins.catalog_with(plugin, name)
    results = {f"plugin/{name}": [plugins.check_loading(record)]}
    source = plugins.source_of(plugin)
    if record.status == "ok" and source is not None:
        results[f"plugin/{name}"].append(plugins.check_light_import(source))
    for kind, component in record.components:
        results[f"{kind}/{component}"] = check_component(catalog.find(kind, component), None, catalog)
    return results


def assert_plugin_conforms(plugin: Any) -> None:  # noqa: ANN401 - a module, an object, a path
    """Fail a test with a table of all faults of a plugin and its components.

    Components that need params, or something that this installation lacks, are not checked; use `assert_conforms`.

    Raises:
        AssertionError: a check failed.
    """
    _require_no_failure(check_plugin(plugin))


def _kind_checks(spec: ComponentSpec) -> KindChecks:
    role = getattr(spec, "role", "")
    return KIND_CHECKS.get(f"{spec.kind}/{role}") or KIND_CHECKS[spec.kind]


def _check_built(subject: Subject) -> list[Check]:
    """Build the component, and run the checks of its kind."""
    if not _kind_checks(subject.spec).is_built:
        return _kind_checks(subject.spec).run(subject)
    try:
        with quiet_plugins():
            component = subject.component
    except InstallationError as error:
        return [Check(name="build", status="noted", detail=f"can't be built here: {error}")]
    except ToolboxError as error:
        return [Check(name="build", status="failed", detail=str(error))]
    kind_checks = _kind_checks(subject.spec)
    if kind_checks.is_callable and not callable(component):
        detail = f"build returned {type(component).__name__}, which can't be called; return the component"
        return [Check(name="build", status="failed", detail=detail)]
    build_checks = [common.check_independent_builds, common.check_process_settings]
    return [*run_checks(subject, build_checks), *kind_checks.run(subject)]


def _require_no_failure(results: Mapping[str, list[Check]], *, is_failure: bool = False) -> None:
    if is_failure or any(check.status == "failed" for checks in results.values() for check in checks):
        raise AssertionError("the conformance kit found faults:\n" + table(results, kept="failed or noted"))
