"""Everything that trains: networks with their optimizers and schedules, losses, penalties, the running average."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from toolbox.config.component_options import LossOptions, PenaltyOptions
from toolbox.config.plan import BoundComponent, Plan
from toolbox.data.batch import Batch
from toolbox.distributed import collectives
from toolbox.distributed.accelerator import Accelerator
from toolbox.distributed.activation_checkpointing import checkpoint_activations
from toolbox.distributed.fsdp import full_tensors, shard
from toolbox.distributed.shards import is_sharded
from toolbox.distributed.sync_batchnorm import synchronize_batchnorm
from toolbox.hooks.protocols import Horizon
from toolbox.hooks.specs import LossSpec
from toolbox.models.build import build_component, build_generator, build_twice
from toolbox.models.component_watch import WatchedComponent
from toolbox.models.module_state import warn_of_untrained_weights
from toolbox.models.weight_file import saved_state
from toolbox.training.fingerprint import plugin_versions
from toolbox.training.optim import NetworkState, build_network_state
from toolbox.training.running_average import running_average

MEMORY_FORMATS = {"channels-last": torch.channels_last, "contiguous": torch.contiguous_format}


@dataclass(frozen=True, kw_only=True)
class LossTerm:
    """A loss of the recipe.

    Attributes:
        label: its key in the recipe.
        weight: the factor of its value.
        on: the generator's output that it is applied to.
        adversarial: whether it is an `AdversarialLoss` of `toolbox.hooks.protocols`, not a `ReconstructionLoss`.
        sees_real: whether the generator's side of an adversarial loss takes the maps of the true pictures.
        call: the loss itself.
        watch: who is blamed for its errors.
    """

    label: str
    weight: float
    on: str
    adversarial: bool
    sees_real: bool
    call: Any
    watch: WatchedComponent = field(default_factory=WatchedComponent)


@dataclass(frozen=True, kw_only=True)
class PenaltyTerm:
    """A penalty on the discriminator, applied every `every` steps with `every` times its weight."""

    label: str
    weight: float
    every: int
    call: Any
    watch: WatchedComponent = field(default_factory=WatchedComponent)


@dataclass(frozen=True, kw_only=True)
class TrainState:
    """Everything that trains.

    Attributes:
        generator: the generator.
        discriminator: the discriminator, or None.
        losses: the losses in the order of the recipe.
        penalties: the penalties on the discriminator.
        keep: which part of the input stays unchanged; see `toolbox.imaging.color.keep_known`.
        average: the running average of the generator's weights and buffers, or None.
        accumulate: the number of micro-batches that a batch is divided into.
        memory_format: the memory layout of networks and pictures, a key of `MEMORY_FORMATS`.
        plugins: the version of each plugin that the plan uses, see `toolbox.training.fingerprint.plugin_versions`.
        step: the recipe's training step.
        step_watch: who is blamed for the errors of the training step.
        restores: whether the generator restores pictures; see `toolbox.hooks.specs.StepSpec`.
        kinds: the kinds of damage that batches have labels of.
    """

    generator: NetworkState
    discriminator: NetworkState | None
    losses: tuple[LossTerm, ...]
    penalties: tuple[PenaltyTerm, ...]
    keep: str
    average: AveragedModel | None = None
    accumulate: int = 1
    memory_format: str = "channels-last"
    plugins: Mapping[str, str] = field(default_factory=dict)
    step: Callable[[Any, Batch], None] | None = None
    step_watch: WatchedComponent = field(default_factory=WatchedComponent)
    restores: bool = True
    kinds: tuple[str, ...] = ()

    @property
    def eval_generator(self) -> nn.Module:
        """The generator that is validated and saved as weights: the running average if there is one."""
        return self.generator.network if self.average is None else self.average.module

    @property
    def device(self) -> torch.device:
        """The device of the weights."""
        return next(self.generator.network.parameters()).device

    def networks(self) -> dict[str, NetworkState]:
        """Return the networks that train, by name."""
        networks = {"generator": self.generator}
        return networks if self.discriminator is None else networks | {"discriminator": self.discriminator}

    def generators(self) -> tuple[nn.Module, ...]:
        """Return the generator, and its running average if there is one."""
        network = self.generator.network
        return (network,) if self.average is None else (network, self.average.module)

    def modules(self) -> dict[str, nn.Module]:
        """Return every module whose state belongs in a checkpoint, by its name there."""
        modules = {"generator": self.generator.network}
        if self.discriminator is not None:
            modules["discriminator"] = self.discriminator.network
        if self.average is not None:
            modules["average"] = self.average
        if isinstance(self.step, nn.Module) and saved_state(self.step):
            modules["step"] = self.step
        for kind, terms in (("loss", self.losses), ("penalty", self.penalties)):
            for term in terms:
                if isinstance(term.call, nn.Module) and saved_state(term.call):
                    modules[f"{kind}-{term.label}"] = term.call
        return modules

    def buffers(self) -> Iterator[Tensor]:
        """Yield the values that modules update without gradients (running statistics), except in the average."""
        for name, module in self.modules().items():
            if name != "average":
                yield from module.buffers()

    def tensors(self) -> dict[str, list[Tensor]]:
        """Return every tensor that belongs in a checkpoint, by the part of the state that it belongs to."""
        tensors = {name: list(saved_state(module).values()) for name, module in self.modules().items()}
        for name, trained in self.networks().items():
            values = [value for state in trained.optimizer.state.values() for value in state.values()]
            tensors[f"{name}'s optimizer"] = [value for value in values if isinstance(value, Tensor)]
        return tensors


def build_state(
    plan: Plan,
    accelerator: Accelerator,
    dtype: torch.dtype = torch.float32,
    *,
    from_checkpoint: bool = False,
    horizon: Horizon | None = None,
) -> TrainState:
    """Build everything that `plan` names, on the accelerator's device, with weights drawn from the plan's seed.

    The memory layout is channels last; `toolbox.training.memory_format.set_memory_format` changes it.

    Args:
        plan: the bound recipe.
        accelerator: the device and the process group.
        dtype: the dtype of weights and losses.
        from_checkpoint: a checkpoint is loaded next, so pretrained weights are not fetched.
        horizon: the length of the run; None, for a measurement, counts one step per epoch.
    """
    torch.manual_seed(plan.settings.seed)
    training = plan.settings.training
    horizon = horizon or Horizon(epochs=training.epochs, steps_per_epoch=1, steps=training.epochs)
    generator, average = _build_generators(plan, accelerator, dtype, from_checkpoint)
    discriminator_state = None
    if plan.discriminator is not None:
        is_stored = from_checkpoint or "discriminator" in plan.initial
        discriminator = _build_component(plan.discriminator, fresh=not is_stored, is_resumed=from_checkpoint)
        discriminator = _to_device(discriminator, accelerator, dtype)
        discriminator_state = build_network_state(plan.discriminator, discriminator, horizon)
    # In this order, in which they draw their initial weights.
    build = partial(_build_term, accelerator=accelerator, dtype=dtype, is_resumed=from_checkpoint)
    losses = tuple(_loss_term(bound, build(bound), from_checkpoint) for bound in plan.losses)
    penalties = tuple(_penalty_term(bound, build(bound), from_checkpoint) for bound in plan.penalties)
    step = build(plan.components["step"][0])
    warn_of_untrained_weights(step, plan.components["step"][0].entry)
    modules = {loss.label: loss.call for loss in losses if isinstance(loss.call, nn.Module)}
    generator_state = build_network_state(plan.generator, generator, horizon, modules)
    if collectives.world_size() > 1:
        for trained in (generator_state, discriminator_state):
            if trained is not None:
                synchronize_batchnorm(trained.network)
    return TrainState(
        generator=generator_state,
        average=average,
        accumulate=training.accumulate,
        discriminator=discriminator_state,
        losses=losses,
        penalties=penalties,
        keep=plan.settings.keep,
        plugins=plugin_versions(plan),
        step=step,
        step_watch=WatchedComponent(entry=plan.components["step"][0].entry),
        restores=plan.step.restores,
        kinds=plan.kinds,
    )


def unsharded(network: nn.Module, plan: Plan, device: torch.device) -> tuple[nn.Module, torch.device]:
    """Return a generator that the main process can call without the others, and its device. All processes call it.

    It is `network` itself, or, if `network` is sharded, a full copy on the CPU: a GPU may not have room for it.
    """
    if not is_sharded(network):
        return network, device
    state = full_tensors(network.state_dict())
    if collectives.is_main_process():
        copy = build_generator(plan, torch.device("cpu")).to(next(network.parameters()).dtype)
        copy.load_state_dict(state)
        return copy, torch.device("cpu")
    return network, device


def _build_generators(
    plan: Plan, accelerator: Accelerator, dtype: torch.dtype, from_checkpoint: bool
) -> tuple[nn.Module, AveragedModel | None]:
    training = plan.settings.training
    sharded = training.shard and collectives.world_size() > 1
    is_stored = from_checkpoint or "generator" in plan.initial
    network = _build_component(plan.generator, fresh=not is_stored, is_resumed=from_checkpoint)
    # A sharded network moves to the device block by block, since the device may not have room for all of it.
    network = network.to(dtype=dtype) if sharded else _to_device(network, accelerator, dtype)
    average = None if training.average is None else running_average(network, training.average)
    # After the average has been copied, which needs neither.
    if training.recompute:
        checkpoint_activations(network)
    if training.compile:
        network.compile()
    if sharded:
        for module in (network, *([] if average is None else [average.module])):
            shard(module, accelerator.device)
    return network, average


def _build_component(bound: BoundComponent, *, fresh: bool, is_resumed: bool) -> Any:  # noqa: ANN401
    """Build a component; one that gets all of its weights from a file (not `fresh`) does not fetch pretrained ones."""
    return build_component(bound, fresh=fresh) if is_resumed else build_twice(bound, fresh=fresh)


def _to_device(network: nn.Module, accelerator: Accelerator, dtype: torch.dtype) -> nn.Module:
    return network.to(device=accelerator.device, dtype=dtype).to(memory_format=torch.channels_last)


def _build_term(bound: BoundComponent, accelerator: Accelerator, dtype: torch.dtype, is_resumed: bool) -> Any:  # noqa: ANN401
    term = _build_component(bound, fresh=True, is_resumed=is_resumed)
    return term.to(device=accelerator.device, dtype=dtype) if isinstance(term, nn.Module) else term


def _loss_term(bound: BoundComponent, call: Any, is_resumed: bool) -> LossTerm:  # noqa: ANN401
    options, spec = cast(LossOptions, bound.options), cast(LossSpec, bound.spec)
    return LossTerm(
        label=bound.label,
        weight=options.weight,
        on=options.on,
        adversarial=spec.role == "adversarial",
        sees_real=spec.sees_real,
        call=call,
        watch=_term_watch(bound, options.weight, is_resumed),
    )


def _penalty_term(bound: BoundComponent, call: Any, is_resumed: bool) -> PenaltyTerm:  # noqa: ANN401
    options = cast(PenaltyOptions, bound.options)
    warn_of_untrained_weights(call, bound.entry)
    watch = _term_watch(bound, options.weight, is_resumed)
    return PenaltyTerm(label=bound.label, weight=options.weight, every=options.every, call=call, watch=watch)


def _term_watch(bound: BoundComponent, weight: float, is_resumed: bool) -> WatchedComponent:
    return WatchedComponent(entry=bound.entry, trains=weight > 0 and not bound.detach_param, is_resumed=is_resumed)
