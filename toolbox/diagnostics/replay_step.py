"""A step that was not finite, taken again and looked at: is it the same, and where does it begin to go wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from toolbox.config.plan import Plan
from toolbox.data.batch import Batch
from toolbox.diagnostics.environment import Finding
from toolbox.distributed.accelerator import make_accelerator
from toolbox.training import nonfinite, state, step
from toolbox.training.fingerprint import differences, fingerprint
from toolbox.training.state import TrainState
from toolbox.training.step_metrics import measure_step, read_terms
from toolbox.utils import devices

Outputs = list[tuple[str, Tensor]]


def replay_step(folder: Path, plan: Plan, device: str | None) -> list[Finding]:
    """Build what `plan` describes, take the step of `folder` again, and return what is to be said of it.

    Raises:
        UsageError: it is not the folder of such a step.
        WeightsError: its state does not fit the plan.
    """
    facts = nonfinite.read_step_folder(folder)
    accelerator = make_accelerator(device, plan.settings.training.precision)
    if accelerator.device.type == "cpu":
        torch.set_num_threads(facts["conditions"].get("threads", torch.get_num_threads()))
    built = state.build_state(plan, accelerator, devices.weight_dtype(plan.settings.training.precision), fresh=False)
    return look(folder, built, accelerator)


def look(folder: Path, built: TrainState, accelerator: Accelerator) -> list[Finding]:
    """Take the step of `folder` again by parts that are built, and return a line for each thing seen.

    In the order in which a step computes: the batch, the layers, the terms, the gradients; then whether the terms are
    those that were recorded, to the bit.
    """
    facts = nonfinite.read_step_folder(folder)
    built = replace(built, average=None)
    batch = nonfinite.load_step_folder(folder, built)
    with _watched(built) as outputs:
        terms = step.take_step(
            built, batch, accelerator, number=facts["step"], random=step.seed_step(facts["seed"], facts["step"])
        )
    now, _ = read_terms(measure_step(facts["step"], terms, batch, False))
    findings = [*_of_batch(batch), *_of_layers(outputs)]
    findings += [Finding(what=name, ok=False, detail=str(now[name])) for name in facts["wrong"] if name in now]
    findings += _of_gradients(built)
    then = {name: float(value) for name, value in facts["terms"].items()}
    apart = [f"{name} was {then[name]} and is {now.get(name)}" for name in then if not _same(then[name], now.get(name))]
    changed = differences(facts["conditions"], fingerprint(built.device))
    same = f"the same {len(then)} terms as then, to the bit"
    detail = f"not the same to the bit: {'; '.join(apart)}" if apart else same
    why = f" ({'; '.join(changed)})" if apart and changed else ""
    return [*findings, Finding(what=f"step {facts['step']}", ok=not apart, detail=detail + why)]


@contextmanager
def _watched(built: TrainState) -> Iterator[Outputs]:
    """Note whether what each layer of the networks gives is finite, in the order in which they are called."""
    outputs: Outputs = []
    handles: list[RemovableHandle] = []

    def noting(title: str) -> Callable[[nn.Module, object, object], None]:
        def note(module: nn.Module, given: object, output: object) -> None:
            if isinstance(output, Tensor):
                outputs.append((f"{title} ({type(module).__name__})", output.isfinite().all()))

        return note

    for side, one in built.sides().items():
        for name, module in one.network.named_modules():
            if not list(module.children()):
                handles.append(module.register_forward_hook(noting(f"{side}: {name}")))
    try:
        yield outputs
    finally:
        for handle in handles:
            handle.remove()


def _of_batch(batch: Batch) -> Iterator[Finding]:
    for part in nonfinite.PICTURES:
        for name, picture in zip(batch.names, getattr(batch, part), strict=False):
            count = int((~picture.isfinite()).sum())
            if count:
                yield Finding(what=name, ok=False, detail=f"{count} values of the {part} are not finite")


def _of_layers(outputs: Outputs) -> Iterator[Finding]:
    first = next((title for title, finite in outputs if not finite), None)
    if first is None:
        yield Finding(what="layers", ok=True, detail=f"what all {len(outputs)} calls of a layer give is finite")
    else:
        side, _, layer = first.partition(": ")
        yield Finding(what=side, ok=False, detail=f"the first layer that gives a value that is not finite: {layer}")


def _of_gradients(built: TrainState) -> Iterator[Finding]:
    for side, one in built.sides().items():
        weights = [(name, weight.grad) for name, weight in one.network.named_parameters() if weight.grad is not None]
        wrong = [name for name, gradient in weights if not gradient.isfinite().all()]
        if wrong:
            # Gradients come from the end of a network.
            detail = f"{len(wrong)} of {len(weights)} are not finite, the first that was computed: {wrong[-1]}"
            yield Finding(what=f"{side}'s gradients", ok=False, detail=detail)


def _same(then: float, now: float | None) -> bool:
    return then == now or (now is not None and then != then and now != now)
