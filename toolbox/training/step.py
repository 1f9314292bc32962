"""The training loop: take a step on each batch and yield its record.

A batch that does not fit into memory is divided into micro-batches, whose gradients add up. Several processes share
each batch, and their gradients are summed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from toolbox.data.batch import Batch
from toolbox.distributed import collectives, fsdp
from toolbox.distributed.accelerator import Accelerator, step_optimizer, unscale_norm, update_scale
from toolbox.distributed.shards import is_sharded
from toolbox.errors import PluginError, UsageError
from toolbox.hooks import blame
from toolbox.hooks.isolated_call import call_isolated, changes_put_back
from toolbox.hooks.process_settings import seed_torch
from toolbox.models.component_watch import watch_of
from toolbox.models.input_watch import InputWatch
from toolbox.models.module_state import REPLACED, state_change, state_shapes
from toolbox.training.adversarial_step import adversarial_step
from toolbox.training.backward_errors import explain_backward
from toolbox.training.optim import NetworkState
from toolbox.training.state import TrainState
from toolbox.training.step_context import StepContext
from toolbox.training.step_metrics import PendingRecord, StepTerms, Terms, finish_record, start_record

if TYPE_CHECKING:
    from toolbox.hooks.catalog import Entry

# The names of the networks in the names of terms.
SHORT_NAMES = {"generator": "g", "discriminator": "d"}

TrainingStep = Callable[[StepContext, Batch], object]  # what it returns is not used


def take_steps(
    state: TrainState,
    batches: Iterable[Batch],
    accelerator: Accelerator,
    *,
    seed: int,
    first: int,
    should_stop: Callable[[], bool] = lambda: False,
    training_step: TrainingStep | None = None,
) -> Iterator[StepTerms]:
    """Take a step on each batch and yield its record, one step late so that no step waits for the device.

    Args:
        state: everything that trains.
        batches: the batches, on the accelerator's device.
        accelerator: the device, the precision and the process group.
        seed: the run's seed. Each step draws from (seed, step) only, so that a resumed run draws the same numbers.
        first: the number of the first step.
        should_stop: called after every step. If it returns True, the loop ends and every step taken is recorded. Of
            several processes, one True is enough: the other processes read it with the next record, so all take one
            step more.
        training_step: computes the gradients and records the terms; None for that of `state`.

    Raises:
        NonFiniteError: a term is not finite. The state is the one before that step.
    """
    pending: PendingRecord | None = None
    has_failed = torch.zeros((), device=accelerator.device)
    for number, batch in enumerate(batches, start=first):
        terms = take_step(
            state,
            batch,
            accelerator,
            number=number,
            random=seed_step(seed, number),
            has_failed=has_failed,
            training_step=training_step,
        )
        stop_requested = should_stop()
        started = start_record(number, terms, batch, stop_requested)
        # Several processes decide by what all of them read in a record, so that all stop after the same step.
        stopping = stop_requested and collectives.world_size() == 1
        if pending is not None:
            record, stop_read = finish_record(pending)
            stopping = stopping or stop_read
            yield record
        pending = started
        if stopping:
            break
    if pending is not None:
        yield finish_record(pending)[0]


def seed_step(seed: int, number: int) -> torch.Generator:
    """Return the random numbers of step `number`, and seed torch's global ones (dropout) for it.

    The returned numbers are the same in every process; the global ones differ.
    """
    shared = np.random.SeedSequence([seed, number]).generate_state(2, np.uint64)
    own = np.random.SeedSequence([seed, number, *[collectives.rank()] * (collectives.world_size() > 1)])
    seed_torch(int(own.generate_state(1, np.uint64)[0] >> np.uint64(1)))
    return torch.Generator().manual_seed(int(shared[1] >> np.uint64(1)))


def take_step(
    state: TrainState,
    batch: Batch,
    accelerator: Accelerator,
    *,
    number: int,
    random: torch.Generator,
    mark: Callable[[str], None] = lambda part: None,
    has_failed: Tensor | None = None,
    training_step: TrainingStep | None = None,
) -> Terms:
    """Take one step and return its terms, still on the device.

    Args:
        state: everything that trains.
        batch: this process's batch.
        accelerator: the device, the precision and the process group.
        number: the number of the step.
        random: the random numbers of the step.
        mark: called with the name of each part of the step, for measuring.
        has_failed: a scalar on the device that becomes 1 if a term or a gradient is not finite. While it is 1 no step
            changes anything: the host reads that it failed when the next step is already running.
        training_step: computes the gradients and records the terms; None for that of `state`.

    Returns:
        The terms by name; among several processes this process's summands.
    """
    # 1. Compute the gradients.
    buffers_before = [(buffer, buffer.clone()) for buffer in state.buffers()]
    context = StepContext(state=state, accelerator=accelerator, number=number, random=random, mark=mark)
    compute_gradients(context, batch, training_step or state.step or adversarial_step)

    # 2. Sum them over the processes, and learn whether any process has a term or a gradient that is not finite.
    terms = context.terms
    not_finite = (~torch.stack([value.float() for value in terms.values()]).isfinite()).any().float()
    for finish in [*context.gradient_sums.values(), collectives.all_reduce_sum([not_finite])]:
        finish()
    not_finite = clip_gradients(context, not_finite)
    if has_failed is not None:
        not_finite = has_failed.copy_(torch.maximum(has_failed, not_finite))

    # 3. Update the networks, unless something is not finite.
    updated = [state.networks()[name] for name in context.gradient_sums]
    with ExitStack() as stack:
        stack.enter_context(fsdp.fused_steps_on_shards())
        for trained in updated:
            stack.enter_context(trained.warm_up(number))
        _update(accelerator, updated, not_finite)
    for trained in updated:
        trained.end("step")
    for buffer, before in buffers_before:
        buffer.copy_(torch.where(not_finite > 0, before, buffer))
    collectives.all_reduce_mean(state.buffers(), batch.position.weight)
    if state.average is not None:
        state.average.update_parameters(state.generator.network)
    mark("updates")
    return terms


def _update(accelerator: Accelerator, updated: Sequence[NetworkState], not_finite: Tensor) -> None:
    """Step the optimizers; UsageError if one can't update the shards of a network."""
    try:
        for trained in updated:
            call_isolated(trained.watch.entry, step_optimizer, accelerator, trained.optimizer, not_finite)
        update_scale(accelerator)
    except Exception as error:  # what torch raises for an operation that shards don't have is of many types
        if isinstance(error, torch.OutOfMemoryError) or not any(is_sharded(each.network) for each in updated):
            raise
        text = next(iter(str(error).splitlines()), "") or f"it raised {type(error).__name__}."
        raise UsageError(
            f"generator.optimizer can't update the shards of the generator: {text} Set training.shard=false, or use an "
            "optimizer that takes sharded weights, such as adamw."
        ) from error


def compute_gradients(context: StepContext, batch: Batch, training_step: TrainingStep) -> None:
    """Run a training step, which leaves gradients and terms in `context`.

    Raises:
        PluginError: it leaves none, or its backward pass fails.
    """
    networks = context.state.networks()
    for trained in networks.values():
        trained.network.train()
        call_isolated(trained.watch.entry, trained.optimizer.zero_grad, set_to_none=True)
    entry = None if training_step is adversarial_step else context.state.step_watch.entry
    try:
        if entry is None:
            training_step(context, batch)
        else:
            _call_step(context, batch, training_step, entry)
    except Exception as error:
        explained = explain_backward(error, context.state, is_discriminator="generator" in context.gradient_sums)
        if explained is not None:
            raise explained from error
        # The published step only calls components, which are blamed for their errors themselves.
        if blame.blamed(error) is None:
            blame.blame(error, entry)
        raise
    for name, trained in networks.items():
        _require_no_new_weight(context.state, trained)
        if name not in context.gradient_sums and trained.gradients():
            context.gradients_complete(name)
    if not context.terms or not context.gradient_sums:
        missing = "records no term" if not context.terms else "leaves no gradients"
        entry = context.state.step_watch.entry
        name = "The training step" if entry is None else blame.title(entry)
        raise PluginError(f"{name} {missing}, so nothing can be trained. See docs/hooks/steps.md.")


def _call_step(context: StepContext, batch: Batch, training_step: TrainingStep, entry: Entry) -> None:
    """Call the training step of a plugin; WrongResultError if it writes into the batch."""
    watch = context.state.step_watch
    watch.calls += 1
    module = getattr(training_step, "__self__", training_step)
    shapes = state_shapes(module)
    inputs = InputWatch({f"batch.{name}": value for name, value in batch.tensors.items()}, compare=watch.calls == 1)
    with changes_put_back(entry):
        blame.refuse_coroutine(entry, training_step, training_step(context, batch))
    if fault := inputs.write_fault() or state_change(shapes, state_shapes(module)):
        raise blame.wrong_result(entry, training_step, fault)


def _require_no_new_weight(state: TrainState, trained: NetworkState) -> None:
    """Raise WrongResultError if a network or a loss has a weight that its optimizer does not have."""
    found = trained.new_weight()
    if found is not None:
        module, name = found
        watch = next((loss.watch for loss in state.losses if loss.call is module), watch_of(module))
        fault = f"has the weight {name}, which was replaced or got requires_grad after the start: {REPLACED}"
        raise blame.wrong_result(watch.entry, module, fault)


def clip_gradients(context: StepContext, not_finite: Tensor) -> Tensor:
    """Record the gradient norm of each network, and scale its gradients down to the recipe's limit.

    Returns:
        `not_finite`, or 1 if a norm is not finite.
    """
    for name in context.gradient_sums:
        trained = context.state.networks()[name]
        gradients = trained.gradients()
        if gradients:
            norm = unscale_norm(context.accelerator, fsdp.total_norm(gradients).detach())
            not_finite = torch.maximum(not_finite, (~norm.isfinite()).to(not_finite))
            # Every process has the same norm, and terms are summed over the processes.
            context.terms[f"gradient.{SHORT_NAMES[name]}"] = norm / collectives.world_size()
            trained.clip_gradients(norm)
    return not_finite
