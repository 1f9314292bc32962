"""Replay a training step with values that are not finite: find where they start, and whether the result is the same."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from toolbox.config.plan import Plan
from toolbox.data.batch import Batch
from toolbox.diagnostics.environment import Finding
from toolbox.distributed.accelerator import Accelerator, make_accelerator
from toolbox.training import nonfinite, state, step
from toolbox.training.fingerprint import OLD_MEMORY_FORMAT, differences, fingerprint
from toolbox.training.memory_format import set_memory_format
from toolbox.training.state import TrainState
from toolbox.training.step_metrics import read_terms, start_record
from toolbox.utils import devices

LayerOutputs = list[tuple[str, Tensor]]  # the layer, and whether its output is finite, on the device


def replay_step(folder: Path, plan: Plan, device: str | None) -> list[Finding]:
    """Build what `plan` describes, replay the step of `folder`, and return the findings.

    Raises:
        UsageError: it is not the folder of such a step.
        WeightsError: its state does not fit the plan.
    """
    info = nonfinite.read_step_folder(folder)
    accelerator = make_accelerator(device, plan.settings.training.precision)
    if accelerator.device.type == "cpu":
        torch.set_num_threads(info["conditions"].get("threads", torch.get_num_threads()))
    dtype = devices.weight_dtype(plan.settings.training.precision)
    built = state.build_state(plan, accelerator, dtype, from_checkpoint=True)
    return inspect_step(folder, built, accelerator)


def inspect_step(folder: Path, built: TrainState, accelerator: Accelerator) -> list[Finding]:
    """Replay the step of `folder` with networks that are built, and return the findings.

    They are in the order in which a step computes: the batch, the layers, the terms, the gradients. The last one says
    whether the terms are the recorded ones, to the bit.
    """
    info = nonfinite.read_step_folder(folder)
    recorded_environment = info["conditions"]
    built = set_memory_format(built, recorded_environment.get("memory_format", OLD_MEMORY_FORMAT))
    built = replace(built, average=None)
    batch = nonfinite.load_step_folder(folder, built)
    random = step.seed_step(info["seed"], info["step"])
    with _recorded_outputs(built) as outputs:
        terms = step.take_step(built, batch, accelerator, number=info["step"], random=random)
    current, _ = read_terms(start_record(info["step"], terms, batch, False))
    findings = [*_batch_findings(batch), *_layer_findings(outputs)]
    findings += [Finding(what=name, ok=False, detail=str(current[name])) for name in info["wrong"] if name in current]
    findings += _gradient_findings(built)
    recorded = {name: float(value) for name, value in info["terms"].items()}
    environment = fingerprint(built.device, built.memory_format, built.plugins)
    changes = differences(recorded_environment, environment)
    return [*findings, _comparison(info["step"], recorded, current, changes)]


@contextmanager
def _recorded_outputs(built: TrainState) -> Iterator[LayerOutputs]:
    """Record whether the output of each layer of the networks is finite, in the order of the calls."""
    outputs: LayerOutputs = []
    handles: list[RemovableHandle] = []

    def make_hook(title: str) -> Callable[[nn.Module, object, object], None]:
        def hook(module: nn.Module, inputs: object, output: object) -> None:
            if isinstance(output, Tensor):
                outputs.append((f"{title} ({type(module).__name__})", output.isfinite().all()))

        return hook

    for network_name, trained in built.networks().items():
        for name, module in trained.network.named_modules():
            if not list(module.children()):
                handles.append(module.register_forward_hook(make_hook(f"{network_name}: {name}")))
    try:
        yield outputs
    finally:
        for handle in handles:
            handle.remove()


def _batch_findings(batch: Batch) -> Iterator[Finding]:
    for part, pictures in batch.tensors.items():
        for name, picture in zip(batch.names, pictures, strict=False):
            count = int((~picture.isfinite()).sum())
            if count:
                yield Finding(what=name, ok=False, detail=f"{count} values of the {part} are not finite")


def _layer_findings(outputs: LayerOutputs) -> Iterator[Finding]:
    first = next((title for title, is_finite in outputs if not is_finite), None)
    if first is None:
        yield Finding(what="layers", ok=True, detail=f"the outputs of all {len(outputs)} layer calls are finite")
    else:
        network, _, layer = first.partition(": ")
        yield Finding(what=network, ok=False, detail=f"the first layer with an output that is not finite: {layer}")


def _gradient_findings(built: TrainState) -> Iterator[Finding]:
    for network, trained in built.networks().items():
        gradients = [
            (name, weight.grad) for name, weight in trained.network.named_parameters() if weight.grad is not None
        ]
        not_finite = [name for name, gradient in gradients if not gradient.isfinite().all()]
        if not_finite:
            # Gradients are computed from the last layer to the first.
            first = not_finite[-1]
            detail = f"{len(not_finite)} of {len(gradients)} are not finite; the first one computed: {first}"
            yield Finding(what=f"{network}'s gradients", ok=False, detail=detail)


def _comparison(
    number: int, recorded: dict[str, float], current: dict[str, float], environment_changes: list[str]
) -> Finding:
    changed = [
        f"{name} was {value} and is {current.get(name)}"
        for name, value in recorded.items()
        if not _is_same(value, current.get(name))
    ]
    if not changed:
        detail = f"the same {len(recorded)} terms as recorded, to the bit"
    else:
        reason = f" ({'; '.join(environment_changes)})" if environment_changes else ""
        detail = f"not the same to the bit: {'; '.join(changed)}{reason}"
    return Finding(what=f"step {number}", ok=not changed, detail=detail)


def _is_same(recorded: float, current: float | None) -> bool:
    return recorded == current or (current is not None and recorded != recorded and current != current)
