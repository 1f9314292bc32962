"""`Plan` to what trains: modules, losses, penalties, optimisers and schedules."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from toolbox.config.component_options import LossOptions, NetworkOptions, PenaltyOptions
from toolbox.config.plan import BoundComponent, Plan
from toolbox.distributed import collectives
from toolbox.distributed.activation_checkpointing import checkpoint_activations
from toolbox.distributed.fsdp import full_tensors, is_sharded, local_shards, shard
from toolbox.distributed.sync_batchnorm import synchronize_batchnorm
from toolbox.hooks.specs import LossSpec
from toolbox.models.build import build_component, build_generator
from toolbox.training.optim import build_optimizer, build_schedule


@dataclass(frozen=True, kw_only=True)
class LossTerm:
    """A loss in its place: `call` keeps one of the two contracts of `toolbox.hooks.protocols`."""

    label: str
    weight: float
    on: str
    adversarial: bool
    sees_real: bool
    call: Any


@dataclass(frozen=True, kw_only=True)
class PenaltyTerm:
    """A penalty in its place, used every `every` steps at `every` times its weight."""

    label: str
    weight: float
    every: int
    call: Any


@dataclass(frozen=True, kw_only=True)
class NetworkState:
    """A network with what moves it."""

    network: nn.Module
    optimizer: Optimizer
    schedule: LRScheduler


@dataclass(frozen=True, kw_only=True)
class TrainState:
    """Everything that trains.

    Attributes:
        generator: the generator's side.
        discriminator: the discriminator's side, or None.
        losses: the losses in the order of the recipe.
        penalties: the penalties on the discriminator.
        keep: what of the input comes out unchanged; see `toolbox.imaging.color.keep_known`.
        average: the running average of the generator's weights and buffers, or None.
        accumulate: in how many parts a batch goes through the networks.
    """

    generator: NetworkState
    discriminator: NetworkState | None
    losses: tuple[LossTerm, ...]
    penalties: tuple[PenaltyTerm, ...]
    keep: str
    average: AveragedModel | None = None
    accumulate: int = 1

    @property
    def restorer(self) -> nn.Module:
        """The generator that is validated and handed out: the average where there is one."""
        return self.generator.network if self.average is None else self.average.module

    @property
    def device(self) -> torch.device:
        """Where it trains."""
        return next(self.generator.network.parameters()).device

    def generators(self) -> tuple[nn.Module, ...]:
        """Return the generator, and its average where there is one."""
        network = self.generator.network
        return (network,) if self.average is None else (network, self.average.module)

    def stateful(self) -> dict[str, nn.Module]:
        """Return every module whose state a checkpoint must hold, by a name that is stable."""
        found = {"generator": self.generator.network}
        if self.discriminator is not None:
            found["discriminator"] = self.discriminator.network
        if self.average is not None:
            found["average"] = self.average
        for kind, terms in (("loss", self.losses), ("penalty", self.penalties)):
            for term in terms:
                if isinstance(term.call, nn.Module) and term.call.state_dict():
                    found[f"{kind}-{term.label}"] = term.call
        return found

    def buffers(self) -> Iterator[Tensor]:
        """Yield what the modules learn without gradients (running statistics), the average left out."""
        for name, module in self.stateful().items():
            if name != "average":
                yield from module.buffers()

    def state(self) -> dict[str, list[Tensor]]:
        """Return every tensor that a checkpoint must hold, by the part that it belongs to."""
        found = {name: list(module.state_dict().values()) for name, module in self.stateful().items()}
        for name, side in self.sides().items():
            values = [value for one in side.optimizer.state.values() for value in one.values()]
            found[f"{name}'s optimiser"] = [value for value in values if isinstance(value, Tensor)]
        return found

    def sides(self) -> dict[str, NetworkState]:
        """Return the sides by name."""
        sides = {"generator": self.generator}
        return sides if self.discriminator is None else sides | {"discriminator": self.discriminator}


def build_state(
    plan: Plan, accelerator: Accelerator, dtype: torch.dtype = torch.float32, *, fresh: bool = True
) -> TrainState:
    """Build everything that `plan` names, on the accelerator's device, the weights drawn from the plan's seed.

    With `fresh` False, a checkpoint is about to be loaded; see `component`.
    """
    torch.manual_seed(plan.settings.seed)
    epochs = plan.settings.training.epochs

    def place(built: Any) -> Any:  # noqa: ANN401
        return built.to(device=accelerator.device, dtype=dtype) if isinstance(built, nn.Module) else built

    def network(bound: BoundComponent) -> nn.Module:
        named = bound is plan.generator and plan.initial_weights != ""
        return cast(nn.Module, build_component(bound, fresh=fresh and not named))

    def side(bound: BoundComponent, network: nn.Module) -> NetworkState:
        options = cast(NetworkOptions, bound.options)
        optimizer = build_optimizer(options.optimizer, [p for p in network.parameters() if p.requires_grad])
        schedule = build_schedule(options.schedule, optimizer, epochs)
        return NetworkState(network=network, optimizer=accelerator.prepare_optimizer(optimizer), schedule=schedule)

    def laid_out(network: nn.Module) -> nn.Module:
        # Convolutions are faster with the channels last, on CPUs as on GPUs (docs/performance.md).
        return cast(nn.Module, place(network)).to(memory_format=torch.channels_last)

    training = plan.settings.training
    spread = training.shard and accelerator.num_processes > 1
    # What is spread goes to the device in parts, since there may be no room for all of it.
    restoring = network(plan.generator).to(dtype=dtype) if spread else laid_out(network(plan.generator))
    averaged = None if training.average is None else running_average(restoring, training.average)
    # After the copy for the average, which needs neither.
    if training.recompute:
        checkpoint_activations(restoring)
    if training.compile:
        restoring.compile()
    if spread:
        for one in (restoring, *([] if averaged is None else [averaged.module])):
            shard(one, accelerator.device)
    moved = side(plan.generator, restoring)
    against = side(plan.discriminator, laid_out(network(plan.discriminator))) if plan.discriminator else None
    if accelerator.num_processes > 1:
        for trained in (moved, against):
            if trained is not None:
                synchronize_batchnorm(trained.network)
    return TrainState(
        generator=moved,
        average=averaged,
        accumulate=training.accumulate,
        discriminator=against,
        losses=tuple(_loss(bound, place(build_component(bound))) for bound in plan.losses),
        penalties=tuple(_penalty(bound, place(build_component(bound))) for bound in plan.penalties),
        keep=plan.settings.keep,
    )


def running_average(network: nn.Module, decay: float) -> AveragedModel:
    """Return a running average of a network's weights and buffers (BatchNorm's among them).

    The decay grows to `decay` as (1 + n) / (10 + n) over the first steps n, so that a short run's average is not
    held back by the weights it began with.
    """

    def mix(old: Any, new: Any, _: Any) -> None:  # noqa: ANN401 - as torch declares it
        # Its own counter stays on the CPU, so that reading it waits for no device.
        count = int(averaged.n_averaged)
        get_ema_multi_avg_fn(min(decay, (1 + count) / (10 + count)))(local_shards(old), local_shards(new), None)

    averaged = AveragedModel(network, multi_avg_fn=mix, use_buffers=True)
    return averaged.requires_grad_(False)


def unsharded(network: nn.Module, plan: Plan, device: torch.device) -> tuple[nn.Module, torch.device]:
    """Return a generator as the first process can call it alone, and the device that it is on; all of them call this.

    It is the same one, or of one that is spread over them a whole copy on the CPU: a GPU may have no room for that.
    """
    if not is_sharded(network):
        return network, device
    state = full_tensors(network.state_dict())
    if collectives.is_main_process():
        alone = build_generator(plan, torch.device("cpu")).to(next(network.parameters()).dtype)
        alone.load_state_dict(state)
        return alone, torch.device("cpu")
    return network, device


def _loss(bound: BoundComponent, call: Any) -> LossTerm:  # noqa: ANN401
    options, spec = cast(LossOptions, bound.options), cast(LossSpec, bound.spec)
    return LossTerm(
        label=bound.label,
        weight=options.weight,
        on=options.on,
        adversarial=spec.role == "adversarial",
        sees_real=spec.sees_real,
        call=call,
    )


def _penalty(bound: BoundComponent, call: Any) -> PenaltyTerm:  # noqa: ANN401
    options = cast(PenaltyOptions, bound.options)
    return PenaltyTerm(label=bound.label, weight=options.weight, every=options.every, call=call)
