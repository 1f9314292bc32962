"""The figures that a run is compared with: the pixel loss before it, methods without training, its best weights.

They are measured once, and again if a resumed run has changed what they depend on.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch

from toolbox.data.batch import Batch
from toolbox.distributed import collectives
from toolbox.errors import UsageError, WeightsError, one_line
from toolbox.hooks import blame
from toolbox.reports import run_records
from toolbox.reports.run_records import RunSummary
from toolbox.training import best_weights, checkpoint, validate
from toolbox.training.checkpoint import Progress
from toolbox.training.context import TrainingRun
from toolbox.training.epoch_end import ranking_figure, write_best
from toolbox.training.fingerprint import code_versions
from toolbox.training.size_check import size_fault
from toolbox.training.step_context import discriminate
from toolbox.utils.memory import is_out_of_memory
from toolbox.utils.run_names import BEST

PHOTOS = run_records.VALIDATION_PHOTOS
# Kinds that are attached to a network and have no part in its pictures.
_OF_TRAINING = ("optimizer", "schedule")


def score_baselines(run: TrainingRun, progress: Progress) -> Progress:
    """Measure what can't be compared with the validations of this run, and return the position with the best figure.

    A new run measures the baselines. A resumed one measures them and its best weights again if other photographs
    validate, or if a setting has changed that their figures depend on.
    """
    conditions = validation_conditions(run)
    folder = run.options.folder
    summary = run_records.read_summary(folder) if collectives.is_main_process() else None
    recorded = collectives.on_main_process(lambda: None if summary is None else dict(summary.measured_on))
    changed = [] if recorded is None else _changed(run, recorded, conditions)
    if progress.step and recorded is None:
        run.console.print_line(f"{run_records.SUMMARY} is missing or damaged. Its figures are measured again.")
    if changed:
        run.console.print_line(
            f"The baselines and the best weights are measured again, because {' and '.join(changed)} changed."
        )
    if recorded is None or changed:
        loss_before = loss_before_training(run, next(run.validation_batches()))
        if not math.isfinite(loss_before):
            fault = "gives values that are not finite in eval mode, before the first step"
            raise blame.wrong_result(run.plan.generator.entry, run.state.generator.network, fault)
        baselines = validate.baseline_scores(run.validation_batches()) if run.state.restores else {}
        if collectives.is_main_process():
            best = None if changed else best_weights.read_figures(folder, progress)
            measured = RunSummary(
                loss_before=loss_before,
                loss_before_step=progress.step,
                baselines=baselines,
                best=best,
                warnings={} if summary is None else summary.warnings,
                measured_on=conditions,
                submission={} if summary is None else summary.submission,
            )
            run_records.write_summary(folder, measured)
    # A run that takes no step writes no checkpoint, so the summary may be of later conditions than the progress.
    is_other = recorded is None or bool(changed) or bool(_changed(run, progress.measured_on, conditions))
    progress = _check_best(run, progress, is_other=is_other)
    return replace(progress, measured_on=conditions)


def validation_conditions(run: TrainingRun) -> dict[str, Any]:
    """Return what the figures of a validation depend on besides the weights, as JSON values by name."""
    tree = run.plan.tree()
    split = run.options.split
    photos = [split.identities.get(item, item.name) for item in split.validation]
    step = {} if run.state.restores else {"step": _digest(tree["step"])}
    return (
        {
            PHOTOS: _digest(photos),
            "data.size": tree["data"]["size"],
            "training.precision": tree["training"]["precision"],
            "the size of the fixed validation batch": min(tree["training"]["batch"], len(photos)),
            "seed": tree["seed"],
            "keep": tree["keep"],
            "degradations": _digest(tree.get("degradations")),
            "losses": _digest(tree.get("losses")),
            "validation.choose_by": tree["validation"]["choose_by"],
        }
        | step
        | _plugin_conditions(run)
    )


def _plugin_conditions(run: TrainingRun) -> dict[str, str]:
    """Return the versions and digests of the plugins that the figures of a validation depend on, as text by name."""
    plan = run.plan
    chosen = [metric for metric in plan.components["metric"] if metric.label == plan.settings.validation.choose_by]
    groups = {
        "the plugins of the generator": (plan.generator,),
        "the plugins of the degradations": plan.degradations,
        "the plugins of the losses": plan.losses,
        "the plugins of validation.choose_by": tuple(chosen),
    }
    return {
        name: json.dumps(
            code_versions(
                part for component in components for part in component.walk() if part.entry.kind not in _OF_TRAINING
            )
        )
        for name, components in groups.items()
    }


def loss_before_training(run: TrainingRun, batch: Batch) -> float:
    """Return the pixel loss before the first step; report networks that can't work at this size in one line."""
    try:
        loss = validate.pixel_loss(run.state, batch)
        if run.state.discriminator is not None:
            network = run.state.discriminator.network.eval()
            with torch.no_grad():
                discriminate(network, batch.truth, batch)
    except (RuntimeError, ValueError) as error:
        if is_out_of_memory(error) or collectives.is_lost_peer(error) or not run.state.restores:
            raise
        fault = size_fault(run.plan, error)
        if "DTensor" in str(error):
            fault = UsageError(
                f"The networks of recipe '{run.plan.name}' read a block's weights outside of that block: "
                f"{one_line(error)} Set training.shard=false."
            )
        raise collectives.same_error_on_every_rank(fault) from error
    return loss


def _changed(run: TrainingRun, recorded: Mapping[str, Any], conditions: Mapping[str, Any]) -> list[str]:
    """Return the conditions that have changed. For those that an earlier version did not record, settings decide."""

    def is_set(name: str) -> bool:
        return any(key == name or key.startswith(f"{name}.") for key in run.options.changes)

    return [
        name for name, value in conditions.items() if (recorded[name] != value if name in recorded else is_set(name))
    ]


def _check_best(run: TrainingRun, progress: Progress, *, is_other: bool) -> Progress:
    """Return the position with a best figure that belongs to the file with the best weights and can be compared.

    `is_other`: the recorded figures are of other conditions, or it is not known of which, so they are measured again.
    """
    if progress.best is None:
        return progress
    path = run.options.folder / BEST
    lost = replace(progress, best=None, best_step=None, stale=0, validated=0)
    fault = collectives.on_main_process(lambda: best_weights.find_fault(run.options.folder, progress))
    if fault is not None:
        run.console.print_line(
            f"warning: the best weights, of step {progress.best_step}, are lost: {fault.rstrip('.')}. {path.name} is "
            "written again after the next validation."
        )
        return lost
    if not is_other:
        return progress
    network = run.state.eval_generator
    current = {name: value.clone() for name, value in network.state_dict().items()}
    try:
        checkpoint.load_network(path, network)
    except WeightsError:
        return lost
    figure = rewrite_best(run, progress)
    network.load_state_dict(current)
    return replace(progress, best=figure, stale=0)


def rewrite_best(run: TrainingRun, progress: Progress) -> float:
    """Validate the best weights, which the evaluated generator has, write them again, and return their figure."""
    result = validate.validate(run.state, run.validation_batches(), run.accelerator, run.metrics)
    figure = ranking_figure(run.plan, result)
    write_best(run, progress.best_step or progress.step, result, figure)
    return figure


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]
