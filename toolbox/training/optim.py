"""A network with its optimizer and the schedule of its learning rate, built from a recipe."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal, cast

from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from toolbox.config.component_options import NetworkOptions, ScheduleOptions
from toolbox.config.plan import BoundComponent
from toolbox.distributed import fsdp
from toolbox.distributed.shards import has_shards
from toolbox.distributed.torch_patches import step_schedule
from toolbox.hooks import blame
from toolbox.hooks.isolated_call import call_isolated
from toolbox.hooks.protocols import Horizon
from toolbox.hooks.specs import ScheduleSpec
from toolbox.models.build import build_component
from toolbox.models.component_watch import WatchedComponent
from toolbox.models.optimizers import check_optimizer, check_schedule, rate_fault

# Added to a norm before dividing by it, as torch.nn.utils.clip_grad_norm_ does.
NORM_EPS = 1e-6


@dataclass(frozen=True, kw_only=True)
class NetworkState:
    """A network, its optimizer and the schedule of its learning rate.

    Attributes:
        network: the network.
        optimizer: the optimizer of all its weights that require gradients.
        schedule: the schedule of the learning rate.
        cadence: whether the schedule is stepped after each epoch or after each training step.
        warmup_steps: the number of training steps in which the learning rate rises to that of the schedule; 0 for none.
        clip_norm: the largest norm of the gradients; None for no limit.
        losses: the losses whose own weights this optimizer trains too, by label.
        built_on: the weights that the optimizer was built on; empty if that is not known.
        watch: the component that the optimizer is.
        schedule_watch: the component that the schedule is.
    """

    network: nn.Module
    optimizer: Optimizer
    schedule: LRScheduler
    cadence: Literal["epoch", "step"] = "epoch"
    warmup_steps: int = 0
    clip_norm: float | None = None
    losses: Mapping[str, nn.Module] = field(default_factory=dict)
    built_on: Sequence[nn.Parameter] = ()
    watch: WatchedComponent = field(default_factory=WatchedComponent)
    schedule_watch: WatchedComponent = field(default_factory=WatchedComponent)

    def weights(self) -> list[nn.Parameter]:
        """Return the weights that the optimizer trains."""
        return _trainable((self.network, *self.losses.values()))

    def new_weight(self) -> tuple[nn.Module, str] | None:
        """Return a module and the name of a weight that requires gradients and is not in `built_on`; None for none."""
        if not self.built_on or has_shards(self.built_on):  # a step may leave whole weights in place of shards
            return None
        known = {id(weight) for weight in self.built_on}
        for module in (self.network, *self.losses.values()):
            for name, weight in module.named_parameters():
                if weight.requires_grad and id(weight) not in known:
                    return module, name
        return None

    def weight_counts(self) -> list[list[Any]]:
        """Return the number of weights that the optimizer trains in each module, with the label of the loss, as JSON.

        The network has the label "". The state of the optimizer depends on the order.
        """
        counts = [[label, len(_trainable([module]))] for label, module in {"": self.network, **self.losses}.items()]
        return [[label, count] for label, count in counts if count]

    def gradients(self) -> list[Tensor]:
        """Return the gradients that the last backward passes have left."""
        modules = (self.network, *self.losses.values())
        return [weight.grad for module in modules for weight in module.parameters() if weight.grad is not None]

    def clip_gradients(self, norm: Tensor) -> None:
        """Scale the gradients, whose norm is `norm`, down to `clip_norm`. The host does not wait for the device."""
        if self.clip_norm is None:
            return
        factor = (self.clip_norm / (norm + NORM_EPS)).clamp(max=1.0)
        for gradient in fsdp.local_shards(self.gradients()):
            gradient.mul_(factor.to(gradient.dtype))

    @contextmanager
    def warm_up(self, number: int) -> Iterator[None]:
        """While in this context, the learning rates are those of the warm-up in training step `number`, from 0."""
        if number + 1 >= self.warmup_steps:
            yield
            return
        # The schedule computes each rate from the last one, so it must not see these.
        scheduled = [group["lr"] for group in self.optimizer.param_groups]
        for group, rate in zip(self.optimizer.param_groups, scheduled, strict=True):
            group["lr"] = rate * (number + 1) / self.warmup_steps
        try:
            yield
        finally:
            for group, rate in zip(self.optimizer.param_groups, scheduled, strict=True):
                group["lr"] = rate

    def end(self, period: Literal["epoch", "step"]) -> None:
        """Step the schedule if its cadence is `period`, which has just ended."""
        if self.cadence == period:
            watch = self.schedule_watch
            call_isolated(watch.entry, step_schedule, self.schedule)
            if fault := rate_fault(self.optimizer):
                raise blame.wrong_result(watch.entry, self.schedule.step, fault)

    def rates(self) -> list[float]:
        """Return the learning rate of each group of weights."""
        return [float(group.get("lr", 0.0)) for group in self.optimizer.param_groups]


def build_network_state(
    bound: BoundComponent, network: nn.Module, horizon: Horizon, losses: Mapping[str, nn.Module] | None = None
) -> NetworkState:
    """Build the optimizer and the schedule that the recipe gives a network.

    Args:
        bound: the network's component.
        network: the network, on its device.
        horizon: the length of the run.
        losses: losses on the same device, by label, whose weights that require gradients are trained too.

    Raises:
        PluginError: there are no weights to train, or the optimizer or the schedule can't be built.
    """
    options = cast(NetworkOptions, bound.options)
    schedule = bound.attached["schedule"]
    losses = dict(losses or {})
    weights = _trainable((network, *losses.values()))
    if not weights:
        fault = "has no weights that require gradients, so a run can't train it"
        raise blame.wrong_result(bound.entry, network, fault)
    optimizer = build_component(bound.attached["optimizer"], weights)
    check_optimizer(optimizer, weights, bound.attached["optimizer"].entry)
    built = build_component(schedule, optimizer, horizon)
    check_schedule(optimizer, built, schedule.entry)
    return NetworkState(
        network=network,
        optimizer=optimizer,
        schedule=built,
        cadence=cast(ScheduleSpec, schedule.spec).cadence,
        warmup_steps=cast(ScheduleOptions, schedule.options).warmup_steps or 0,
        clip_norm=options.clip_norm,
        losses=losses,
        built_on=weights,
        watch=WatchedComponent(entry=bound.attached["optimizer"].entry),
        schedule_watch=WatchedComponent(entry=schedule.entry),
    )


def _trainable(modules: Sequence[nn.Module]) -> list[nn.Parameter]:
    return [weight for module in modules for weight in module.parameters() if weight.requires_grad]
