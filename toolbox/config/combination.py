"""Which components of a recipe work together: faults and warnings for those that are valid only by themselves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import cast

from toolbox.config.component_options import LossOptions
from toolbox.config.plan import BoundComponent
from toolbox.errors import Fault, did_you_mean
from toolbox.hooks.specs import DegradationSpec, GeneratorSpec, LossSpec, StepSpec

Components = Mapping[str, tuple[BoundComponent, ...]]


def check_combination(components: Components, choose_by: str) -> tuple[list[Fault], list[str]]:
    """Return the faults and the warnings of components that do not work together.

    Args:
        components: the bound components by kind.
        choose_by: what chooses the best weights.
    """
    step = cast(StepSpec, components["step"][0].spec)
    if step.restores:
        faults = [*_loss_faults(components), *_step_faults(components, step)]
    else:
        faults = list(_faults_without_restoring(components, step))
    faults += [*_label_faults(components, step), *_choose_by_faults(components, step, choose_by)]
    warnings = []
    if components["discriminator"] and not any(_is_adversarial(loss) for loss in components["loss"]):
        warnings.append("discriminator: no adversarial loss uses it, so it does not train")
    if components["loss"] and all(cast(LossOptions, loss.options).weight == 0 for loss in components["loss"]):
        warnings.append("losses: all weights are 0, so no loss trains the generator")
    return faults, warnings


def _is_adversarial(loss: BoundComponent) -> bool:
    return cast(LossSpec, loss.spec).role == "adversarial"


def _loss_faults(components: Components) -> Iterator[Fault]:
    (generator,) = components["generator"]
    outputs = ("restored", *cast(GeneratorSpec, generator.spec).auxiliary_of(generator.params))
    if not components["loss"]:
        yield Fault(location="losses", message="is empty, so nothing would train; see `toolbox list losses`")
    for loss in components["loss"]:
        location, output = f"losses.{loss.label}", cast(LossOptions, loss.options).on
        if _is_adversarial(loss):
            if not components["discriminator"]:
                yield Fault(location=location, message="is adversarial and needs a [discriminator]")
            if output != "restored":
                yield Fault(location=f"{location}.on", message="must be 'restored' for an adversarial loss")
        elif output not in outputs:
            message = f"'{output}' is not an output of generator '{generator.spec.name}'. Known: {', '.join(outputs)}"
            yield Fault(location=f"{location}.on", message=message)


def _step_faults(components: Components, step: StepSpec) -> Iterator[Fault]:
    if not step.uses_discriminator:
        adversarial = [f"losses.{loss.label}" for loss in components["loss"] if _is_adversarial(loss)]
        for location in [*adversarial, *(f"penalties.{penalty.label}" for penalty in components["penalty"])]:
            message = f"needs a step with a discriminator, and '{step.name}' has none; set {location}.enabled=false"
            yield Fault(location=location, message=message)
    if components["penalty"] and not components["discriminator"]:
        yield Fault(location="penalties", message="need a [discriminator]; add one, or remove the penalties")
    (generator,) = components["generator"]
    if not cast(GeneratorSpec, generator.spec).restores:
        message = f"'{generator.spec.name}' restores no pictures, so it needs a step for that, such as 'segmentation'"
        yield Fault(location="generator", message=message)


def _faults_without_restoring(components: Components, step: StepSpec) -> list[Fault]:
    """Return a fault for every component that works on restored pictures."""
    tables = {"loss": "losses", "metric": "metrics", "penalty": "penalties", "discriminator": ""}
    locations = [
        f"{table}.{bound.label}" if table else bound.label
        for kind, table in tables.items()
        for bound in components[kind]
    ]
    start = f"works on restored pictures, and the step '{step.name}' restores none"
    return [Fault(location=each, message=f"{start}; set {each}.enabled=false") for each in locations]


def _label_faults(components: Components, step: StepSpec) -> Iterator[Fault]:
    kinds = [kind for bound in components["degradation"] for kind in cast(DegradationSpec, bound.spec).kinds]
    if step.uses_labels and not kinds:
        message = f"give no labels, which the step '{step.name}' trains on; add a damage that labels kinds"
        yield Fault(location="degradations", message=message)


def _choose_by_faults(components: Components, step: StepSpec, choose_by: str) -> Iterator[Fault]:
    """Yield a fault if the best weights are chosen by something that is not measured."""
    measured = [metric.label for metric in components["metric"]] if step.restores else step.figures
    known = ["score", "loss", *measured]
    if choose_by not in known:
        owner = "metric of this recipe" if step.restores else f"figure of the step '{step.name}'"
        message = f"is '{choose_by}', which is no {owner}.{did_you_mean(choose_by, known)} Known: {', '.join(known)}"
        yield Fault(location="validation.choose_by", message=message)
