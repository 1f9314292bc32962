"""Prepare a run: bind the recipe, open the photographs, split them, choose the folder. Then train."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from toolbox.config.binding import bind
from toolbox.config.plan import Plan
from toolbox.config.recipe import Recipe, differences
from toolbox.config.settings import Settings
from toolbox.data import broken_files, split_record
from toolbox.data.left_out import describe_left_out
from toolbox.data.sources import open_source, open_validation, reads_sample, sample_line
from toolbox.data.split import DataSplit
from toolbox.distributed import collectives
from toolbox.distributed.accelerator import make_accelerator
from toolbox.errors import DataError, TrainingError, UsageError
from toolbox.evaluation.submission import submission_names
from toolbox.hooks.catalog import Catalog
from toolbox.hooks.source_spec import Item, Source
from toolbox.models.initial import find_initial
from toolbox.models.stored_weights import StoredWeights
from toolbox.reports import run_records
from toolbox.training import run, run_dir
from toolbox.training.lost_files import start_rewriter
from toolbox.training.options import Console, RunOptions, RunResult
from toolbox.training.resume import find_initial_again, new_run_with, recorded_split
from toolbox.utils import files, surface
from toolbox.utils.plural import counted
from toolbox.utils.signals import stop_on_signals


@dataclass(frozen=True, kw_only=True)
class RunRequest:
    """The inputs of a new run, or of a run to continue.

    Attributes:
        catalog: the components.
        recipe: the recipe of a new run; None to continue a run with its own recipe. With `resume`, a recipe replaces
            that of the run.
        data: the data folder; None for the sample photographs, or, with `resume`, for the data of that run.
        out: the folder for a new run, None to choose one.
        resume: the run folder to continue, None for a new run.
        device: the device, None for the best available.
        skip_broken: leave out photographs that can't be used, instead of refusing them.
        observers: observers besides those of the recipe.
    """

    catalog: Catalog
    recipe: Recipe | None = None
    data: Path | None = None
    out: Path | None = None
    resume: Path | None = None
    device: str | None = None
    skip_broken: bool = False
    observers: Sequence[object] = ()


@dataclass(frozen=True, kw_only=True)
class PreparedRun:
    """A run that can start.

    Attributes:
        request: the inputs that it was made from.
        plan: the bound recipe.
        data: the data folder, None for the sample photographs.
        source: the photographs.
        split: which of them are for training and which for validation.
        folder: the run folder; a new one is empty or does not exist yet.
        device: the device and the number of processes, in words.
        initial: the weights that networks of a new run, or of one without a checkpoint, start from.
        changes: the old and the new value of each setting that differs in a run that is continued, by dotted key.
        skipped: the photographs that are left out, with the reasons.
    """

    request: RunRequest
    plan: Plan
    data: Path | None
    source: Source
    split: DataSplit
    folder: Path
    device: str
    initial: Mapping[str, StoredWeights]
    changes: Mapping[str, tuple[Any, Any]] = field(default_factory=dict)
    skipped: Mapping[str, str] = field(default_factory=dict)

    def outline(self) -> Sequence[str]:
        """Return the lines that say what the run is going to do."""
        plan, settings, leak_count = self.plan, self.plan.settings, self.split.leaks
        losses = ", ".join(f"{bound.label} x{getattr(bound.options, 'weight', 1):g}" for bound in plan.losses)
        trains = f"losses {losses}" if plan.step.restores else f"step {plan.step.name}"
        labels = f" Labels: {', '.join(plan.kinds)}." if plan.step.uses_labels else ""
        discriminator = f" against {plan.discriminator.spec.name}" if plan.discriminator else ""
        leaks = "no scene is in both parts."
        if leak_count:
            leaks = f"{leak_count} validation photographs share a scene with a training photograph"
            is_drawn = settings.split.method == "random" and not settings.split.validation_data
            leaks += "; split.method=scene keeps scenes apart." if is_drawn else "."
        return [
            f"Recipe '{plan.name}': {plan.generator.spec.name}{discriminator}; {trains}.{labels}",
            f"{self.source.kind}: {len(self.split.train)} train, {len(self.split.validation)} validate, "
            f"{len(self.source.tests)} test; split {settings.split.method}: {leaks}",
            f"{settings.data.size} pixels, batch {settings.training.batch}, {_limits(settings)}, "
            f"{settings.training.precision} on {self.device}, seed {settings.seed}. Run folder: {self.folder}",
        ]

    @property
    def photo_counts(self) -> dict[str, int]:
        """The numbers of photographs, as run.json has them."""
        parts = {"train": self.split.train, "validation": self.split.validation, "test": self.source.tests}
        return {name: len(photos) for name, photos in parts.items()} | {"leaks": self.split.leaks}

    def start(self, console: Console) -> RunResult:
        """Train, and return the result; SIGINT or SIGTERM stops after a step. See `toolbox.training.run.train`.

        A new run that fails before the record of its first step leaves no folder.
        """
        request = self.request
        with ExitStack() as stack:
            lock = run_dir.lock_run_dir(self.folder, new=request.resume is None)
            collectives.on_main_process(lambda: stack.enter_context(lock))
            collectives.on_main_process(self._write_start)
            notice = getattr(console, "print_notice", console.print_line)  # that of a Python program may lack it
            stopped = stack.enter_context(stop_on_signals("this step, with a checkpoint", notice))
            options = RunOptions(
                source=self.source,
                split=self.split,
                folder=self.folder,
                device=request.device,
                should_stop=lambda: stopped.signal is not None,
                initial=self.initial,
                plan_changed=request.resume is not None and request.recipe is not None,
                changes=self.changes,
                observers=request.observers,
                write_start=start_rewriter(self.folder, self.plan, self.skipped),
            )
            try:
                with broken_files.remedy_for_files():
                    result = run.train(self.plan, options, console)
            except TrainingError:  # its message may tell the user to continue the run, which needs the folder
                raise
            except Exception:
                if request.resume is None and collectives.is_main_process():
                    run_dir.discard_run_dir(self.folder)
                raise
        return replace(result, signal=stopped.signal)

    def _write_start(self) -> None:
        arguments = (self.folder, self.plan, self.data, self.device)
        photos = self.photo_counts
        if self.request.resume is None:
            assert self.request.recipe is not None
            run_dir.start_run_dir(*arguments, recipe=self.request.recipe, photos=photos)
        else:
            run_dir.continue_run_dir(*arguments, photos=photos)
        if self.skipped:
            broken_files.write_skipped(self.folder / run_dir.SKIPPED, self.skipped)


def _limits(settings: Settings) -> str:
    """Return what ends a run, in words."""
    training, patience = settings.training, settings.validation.patience
    limits = [counted(training.epochs, "epoch")]
    limits += [counted(training.steps, "step")] if training.steps is not None else []
    limits += [counted(training.minutes, "minute")] if training.minutes is not None else []
    limits += [f"{counted(patience, 'validation')} without improvement"] if patience else []
    return f"up to {' or '.join(limits)}"


def bind_run(request: RunRequest, console: Console) -> tuple[Plan, Path | None]:
    """Return the plan of a run, and its data folder.

    Args:
        request: the inputs of the run.
        console: gets a warning if run.json is lost.

    Raises:
        UsageError: `resume` is not a run folder, its data folder is not known, or the recipe has faults.
    """
    if request.resume is None:
        assert request.recipe is not None
        return bind_recipe(request.recipe, request.catalog, request.data), request.data
    run_dir.require_run_dir(request.resume)
    info = run_records.read_run_info(request.resume)
    recipe = request.recipe or run_dir.read_recipe(request.resume)
    given = surface.words(command="--data", python="data=DIR")
    if not info.recipe:
        lost = f"{files.printable(request.resume / run_records.RUN_INFO)} is missing or damaged"
        if request.data is None:
            raise UsageError(f"{lost}, so the data folder of the run is not known. Give it with {given}.")
        console.print_line(f"warning: {lost}. It is written again; the record of the earlier commands is lost.")
    data = Path(info.data) if request.data is None and info.data else request.data
    if request.data is None and data is not None and not data.exists():
        name = files.printable(data)
        raise UsageError(
            f"The run's data folder {name} does not exist. If it was moved, give its new place with {given}."
        )
    return bind_recipe(recipe, request.catalog, data), data


def bind_recipe(recipe: Recipe, catalog: Catalog, data: Path | None) -> Plan:
    """Return the plan of a run with these data: the table `sample` has been applied, or is kept for other runs."""
    plan = bind(recipe, catalog)
    if data is not None or not reads_sample(plan):
        return plan.with_absolute_paths()
    return bind(recipe.for_sample(), catalog).with_absolute_paths().without_sample()


def find_changes(request: RunRequest, plan: Plan) -> dict[str, tuple[Any, Any]]:
    """Return the old and the new value of each setting that `plan` changes in a run that is continued, by dotted key.

    Raises:
        UsageError: the split would change, and training photographs would validate.
    """
    if request.resume is None or request.recipe is None:
        return {}
    changes = differences(bind(run_dir.read_recipe(request.resume), request.catalog).tree(), plan.tree())
    # Photographs of a separate folder never train, so that the folder may be moved.
    moved = {"split.validation_data"} if all(changes.get("split.validation_data", ())) else set()
    key = next((key for key in changes if key.startswith("split.") and key not in moved), None)
    if key is not None:
        remedy = new_run_with(request.resume, request.data, f"{key}={changes[key][1]}")
        raise UsageError(f"{key} can't be changed in a run, because training photographs would validate. {remedy}")
    return changes


def require_labels(plan: Plan, items: Sequence[Item]) -> None:
    """Raise DataError if the step trains on labels of damage, and a photograph is damaged already."""
    damaged = next((item.name for item in items if item.input is not None), None)
    if plan.step.uses_labels and damaged is not None:
        raise DataError(
            f"{damaged} has a damaged input without labels of its damage, and the step '{plan.step.name}' trains on "
            "these labels. Give a folder of undamaged photographs."
        )


@broken_files.remedy_for_files()
def prepare_run(request: RunRequest, console: Console, *, create: bool = True) -> PreparedRun:
    """Bind and check the recipe, open the photographs, split them, choose folder and device; print an outline.

    Args:
        request: the inputs of the run.
        console: gets the warnings of the plan, and the outline of the run.
        create: create a folder that is named here, so that no other process chooses it too. Otherwise nothing is
            written.

    Raises:
        ToolboxError: with one message for the user.
    """
    plan, data = bind_run(request, console)
    changed = find_changes(request, plan)
    for line in plan.warnings:
        console.print_line(f"warning: {line}")
    if request.resume is None:
        plan.check()
        initial = find_initial(plan, request.catalog)
    else:
        initial = find_initial_again(request.resume, plan, request.catalog)
    source = open_source(plan, data)
    if plan.source is None and (line := describe_left_out(source)):
        console.print_line(f"{surface.option('data')}: {line}.")
    if source.kind == "sample" and request.resume is None:
        console.print_line(sample_line(len(source.items)))
    accelerator = make_accelerator(request.device, plan.settings.training.precision, distributed=True)
    collectives.require_row_each(plan.settings.training.batch)
    known = {} if request.resume is None else broken_files.read_skipped(request.resume / run_dir.SKIPPED)
    skipped = collectives.on_main_process(
        lambda: broken_files.check_photos(source, skip=request.skip_broken, skipped=known, report=console.print_line)
    )
    source = broken_files.leave_out(source, skipped)
    with collectives.local_main_process_first():  # the other processes read the scenes from the cache
        settings, cached = plan.settings.split, plan.settings.data.cache
        extra = open_validation(plan)
        broken_files.require_usable(extra)
        recorded = None if request.resume is None else recorded_split(request.resume)
        data_split = split_record.open_split(
            source.items, settings, recorded, console.print_line, validation_items=extra, cached=cached
        )
    require_labels(plan, [*data_split.train, *data_split.validation])
    if plan.step.restores:  # the run ends with a submission
        submission_names([Path(item.name) for item in source.tests])
    processes = collectives.world_size()
    device = f"{accelerator.device.type} in {processes} processes" if processes > 1 else str(accelerator.device)
    folder = request.resume or Path(
        collectives.on_main_process(lambda: str(run_dir.choose_run_dir(request.out, plan.name, create=create)))
    )
    prepared = PreparedRun(
        request=request,
        plan=plan,
        data=data,
        source=source,
        split=data_split,
        folder=folder,
        device=device,
        initial=initial,
        changes=changed,
        skipped=skipped,
    )
    for line in prepared.outline():
        console.print_line(line)
    return prepared
