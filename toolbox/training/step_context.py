"""What a training step works with: forward passes, micro-batches, recorded terms, gradients to be summed."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from toolbox.color import luma
from toolbox.data.batch import Batch, add_term
from toolbox.distributed import collectives
from toolbox.distributed.accelerator import Accelerator, scale_loss
from toolbox.models.component_calls import call_discriminator, call_loss, output_for_loss
from toolbox.models.component_watch import watch_of
from toolbox.models.forward import run_generator
from toolbox.models.gradient_checks import require_output_gradient
from toolbox.training.state import LossTerm, TrainState
from toolbox.training.step_metrics import Terms


@dataclass(frozen=True, kw_only=True)
class StepContext:
    """The context of one training step.

    A training step runs the networks on a batch, calls `backward` on its losses and records its terms. The loop does
    the rest: it sums gradients and terms over the processes, checks that they are finite, clips them, and updates the
    networks that have gradients.

    Attributes:
        state: everything that trains.
        accelerator: the device and the precision.
        number: the number of the step in the run, from 0.
        random: random numbers of this step, the same in every process.
        mark: called with the name of a part of the step when all of its work has been started, for measuring.
        terms: the terms recorded so far, on the device, weighted by this process's share of the batch.
        gradient_sums: by network, the function that waits for the sum of its gradients over the processes.
    """

    state: TrainState
    accelerator: Accelerator
    number: int
    random: torch.Generator
    mark: Callable[[str], None] = lambda part: None
    terms: Terms = field(default_factory=dict)
    gradient_sums: dict[str, Callable[[], None]] = field(default_factory=dict)

    @property
    def generator(self) -> nn.Module:
        """The generator, in train mode."""
        return self.state.generator.network

    @property
    def losses(self) -> tuple[LossTerm, ...]:
        """The losses of the recipe, in its order."""
        return self.state.losses

    def micro_batches(self, batch: Batch) -> Iterator[Batch]:
        """Yield the batch in up to `state.accumulate` parts of nearly equal size."""
        here = len(batch.image)
        # Counted from the smallest share of any process, so that all call the networks equally often.
        smallest = max(1, batch.position.total // collectives.world_size())
        count = math.ceil(smallest / math.ceil(smallest / self.state.accumulate))
        for start, stop in pairwise(here * part // count for part in range(count + 1)):
            yield batch.part(start, stop)

    def autocast(self) -> AbstractContextManager[object]:
        """Return a context in which networks compute in the recipe's precision."""
        return self.accelerator.autocast()

    def generate(self, batch: Batch) -> Terms:
        """Return the generator's outputs by name, with `restored`, in the recipe's precision."""
        with self.autocast():
            return run_generator(self.state.generator.network, self.state.keep, batch.image, batch.mask)

    def loss_weights(self, *, adversarial: bool) -> list[Tensor]:
        """Return the weights that adversarial or other losses have themselves and that are trained."""
        calls = [loss.call for loss in self.state.losses if loss.adversarial == adversarial]
        modules = [call for call in calls if isinstance(call, nn.Module)]
        return [weight for module in modules for weight in module.parameters() if weight.requires_grad]

    def reconstruction(self, loss: LossTerm, outputs: Terms, batch: Batch) -> Tensor:
        """Return the value of a reconstruction loss, without its weight, on the output that the recipe names."""
        return reconstruction_loss(self.generator, loss, outputs, batch.truth, batch.mask)

    def backward(
        self, loss: Tensor, batch: Batch, *, inputs: list[Tensor] | None = None, retain_graph: bool = False
    ) -> None:
        """Add the gradients of a mean over `batch`, weighted by its share, to `inputs`; None for all weights."""
        self.scaled(loss, batch).backward(inputs=inputs, retain_graph=retain_graph)

    def scaled(self, loss: Tensor, batch: Batch) -> Tensor:
        """Return a mean over `batch` weighted by the batch's share and, in fp16, by the gradient scale."""
        return scale_loss(self.accelerator, loss * batch.position.weight)

    def record(self, name: str, value: Tensor, batch: Batch) -> None:
        """Record a mean over `batch` under `name`; the means over all micro-batches and processes are added up."""
        add_term(self.terms, name, value, batch)

    def gradients_complete(self, name: str) -> None:
        """Start to sum the gradients of a network over the processes during the step. The call is optional."""
        # Sharded gradients have been summed when they were scattered.
        gradients = collectives.replicated(self.state.networks()[name].gradients())
        self.gradient_sums[name] = collectives.all_reduce_sum(gradients)


def discriminate(network: nn.Module, picture: Tensor, batch: Batch) -> list[Tensor]:
    """Return the discriminator's maps of `picture`, in the batch's dtype."""
    maps = call_discriminator(network, picture, batch.image, batch.mask)
    return [values.to(batch.truth.dtype) for values in maps]


def reconstruction_loss(network: nn.Module, loss: LossTerm, outputs: Terms, truth: Tensor, mask: Tensor) -> Tensor:
    """Apply a reconstruction loss to its output of `network`, with the truth in that output's channels and size."""
    output = output_for_loss(network, outputs, loss.on, f"losses.{loss.label}", len(truth))
    if output.shape[1] == 1:
        truth = luma(truth)
    if output.shape[-2:] != truth.shape[-2:]:
        truth = interpolate(truth, output.shape[-2:], mode="area")
        mask = interpolate(mask, output.shape[-2:], mode="area").ceil()
    value = call_loss(loss.watch, loss.call, output, truth, mask)
    if not value.requires_grad:  # a loss may have weights of its own, which it trains
        require_trained_output(network, loss, output)
    return value


def require_trained_output(network: nn.Module, loss: LossTerm, output: Tensor) -> None:
    """Raise WrongResultError if the output of `network` that a loss uses has no gradient, unless it is on purpose."""
    if loss.watch.trains:
        require_output_gradient(watch_of(network), network, output, loss.on, f"losses.{loss.label}")
