"""Call the observers of a run. One that raises an error is reported once and not called again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace

from toolbox.config import recipe
from toolbox.config.plan import Plan
from toolbox.distributed import collectives
from toolbox.errors import PluginError, ToolboxError, named, one_line
from toolbox.hooks import blame
from toolbox.hooks.catalog import Entry
from toolbox.hooks.isolated_call import call_isolated
from toolbox.hooks.observing import RunEnded, RunStarted, observer_methods
from toolbox.hooks.specs import ObserverSpec
from toolbox.models.build import build_component
from toolbox.reports.report_file import ReportFile
from toolbox.reports.run_records import METRICS, REPORT
from toolbox.training.metric_log import MetricsFile
from toolbox.training.options import RunOptions


@dataclass(frozen=True, kw_only=True)
class NamedObserver:
    """An observer of a run.

    Attributes:
        label: its key in the recipe, or its type for one that `toolbox.train` was given.
        observer: the observer itself.
        entry: its entry in the catalog, or one without a plugin; None for those of toolbox.
        is_required: whether an error of it ends the run, because later commands read what it writes.
    """

    label: str
    observer: object
    entry: Entry | None = None
    is_required: bool = False


@dataclass(kw_only=True)
class Observers:
    """The observers of a run that have not failed.

    Attributes:
        report: prints a line.
        active: these observers.
    """

    report: Callable[[str], None]
    active: list[NamedObserver] = field(default_factory=list)

    def notify(self, method: str, record: object) -> None:
        """Call a method of each observer that has it with a record."""
        for observer in list(self.active):
            function = getattr(observer.observer, method, None)
            if function is None:
                continue
            try:
                call_isolated(observer.entry, function, _own_copy(record))
            except (Exception, SystemExit) as error:  # an observer may raise anything
                if observer.is_required:
                    raise
                self.active.remove(observer)
                self.report(
                    f"warning: observers.{observer.label} is left out from here on. {_reason(observer, error, method)}"
                )


def _own_copy(record: object) -> object:
    """Return a record with dicts of its own: what an observer writes into them does not reach the others."""
    if not is_dataclass(record) or isinstance(record, type):
        return record
    values = {item.name: getattr(record, item.name) for item in fields(record)}
    return replace(record, **{name: dict(value) for name, value in values.items() if isinstance(value, Mapping)})


def make_observers(plan: Plan, options: RunOptions, report: Callable[[str], None]) -> Observers:
    """Return the observers of a run: the metrics file, the report, those of the recipe, and those of the caller.

    One that can't be built is reported and left out. Only the main process has observers.
    """
    observers = Observers(report=report)
    if not collectives.is_main_process():
        return observers
    log = MetricsFile(options.folder)
    observers.active.append(NamedObserver(label=METRICS, observer=log, is_required=True))
    if plan.settings.validation.report:
        observers.active.append(NamedObserver(label=REPORT, observer=ReportFile(options.folder)))
    for bound in plan.components["observer"]:
        try:
            built = build_component(bound)
        except ToolboxError as error:
            report(f"warning: observers.{bound.label} is left out. {error}")
            continue
        observers.active.append(NamedObserver(label=bound.label, observer=built, entry=bound.entry))
    observers.active += [given_observer(given) for given in options.observers]
    return observers


def given_observer(observer: object) -> NamedObserver:
    """Return an observer that `toolbox.train` was given; its calls are watched as those of a plugin."""
    name, first = type(observer).__name__, getattr(observer, observer_methods(observer)[0])
    spec = ObserverSpec(name="given", summary="Given to toolbox.train", build=first)  # its file is that of `first`
    entry = Entry(kind=spec.kind, spec=spec, plugin="", distribution="", version="", module=name)
    return NamedObserver(label=name, observer=observer, entry=entry)


def started(plan: Plan, options: RunOptions, device: object, step: int, steps: int) -> RunStarted:
    """Return the record of a run that starts after `step` steps."""
    return RunStarted(
        folder=options.folder,
        name=plan.name,
        recipe=recipe.dump(plan.tree()),
        device=str(device),
        step=step,
        steps=steps,
        epochs=plan.settings.training.epochs,
    )


def failed(error: BaseException) -> RunEnded:
    """Return the record of a run that an error has ended."""
    text = one_line(error)
    return RunEnded(status="failed", error=text or type(error).__name__)


def _reason(observer: NamedObserver, error: BaseException, method: str) -> str:
    if observer.entry is not None and isinstance(error, Exception):
        blame.blame(error, observer.entry)
        explained = blame.explain(error)
        if explained is not None or isinstance(error, PluginError):
            return str(explained or error)
    return f"Its {method} raised {named(error).rstrip('.')}."
