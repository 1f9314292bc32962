"""`Plan` to what trains: modules, losses, penalties, optimisers and schedules."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, cast

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import CosineAnnealingLR, LRScheduler, StepLR
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from toolbox import processes
from toolbox import settings as s
from toolbox.color import keep
from toolbox.errors import PluginError, ToolboxError
from toolbox.norms import synchronise
from toolbox.plan import Bound, Plan
from toolbox.recompute import recompute
from toolbox.sharding import own, shard, sharded, whole
from toolbox.specs import LossSpec


@dataclass(frozen=True, kw_only=True)
class Loss:
    """A loss in its place: `call` keeps one of the two contracts of `toolbox.contracts`."""

    label: str
    weight: float
    on: str
    adversarial: bool
    sees_real: bool
    call: Any


@dataclass(frozen=True, kw_only=True)
class Penalty:
    """A penalty in its place, used every `every` steps at `every` times its weight."""

    label: str
    weight: float
    every: int
    call: Any


@dataclass(frozen=True, kw_only=True)
class Side:
    """A network with what moves it."""

    network: nn.Module
    optimizer: Optimizer
    schedule: LRScheduler


@dataclass(frozen=True, kw_only=True)
class Parts:
    """Everything that trains.

    Attributes:
        generator: the generator's side.
        discriminator: the discriminator's side, or None.
        losses: the losses in the order of the recipe.
        penalties: the penalties on the discriminator.
        keep: what of the input comes out unchanged; see `toolbox.color.keep`.
        average: the running average of the generator's weights and buffers, or None.
        accumulate: in how many parts a batch goes through the networks.
    """

    generator: Side
    discriminator: Side | None
    losses: tuple[Loss, ...]
    penalties: tuple[Penalty, ...]
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

    def sides(self) -> dict[str, Side]:
        """Return the sides by name."""
        sides = {"generator": self.generator}
        return sides if self.discriminator is None else sides | {"discriminator": self.discriminator}


def component(bound: Bound, *, fresh: bool = True) -> Any:  # noqa: ANN401 - every kind of component
    """Build one component with those among its params; PluginError where its plugin fails.

    With `fresh` False, weights are about to be loaded into it, and the ones it would start from are not fetched.
    """
    children = {key: component(child, fresh=fresh) for key, child in bound.children.items()}
    params = bound.params
    if not fresh:
        fields = type(params).model_fields
        params = params.model_copy(update={name: fields[name].get_default() for name in bound.spec.initial})
    try:
        return bound.spec.build(params, **children)
    except (ToolboxError, torch.OutOfMemoryError, MemoryError):
        raise
    except Exception as error:
        text = " ".join(str(error).split()) or type(error).__name__
        raise PluginError(
            f"{bound.entry.kind.capitalize()} '{bound.spec.name}' of the plugin '{bound.entry.plugin}' "
            f"can't be built: {text}"
        ) from error


def build(plan: Plan, engine: Accelerator, dtype: torch.dtype = torch.float32, *, fresh: bool = True) -> Parts:
    """Build everything that `plan` names, on the engine's device, the weights drawn from the plan's seed.

    With `fresh` False, a checkpoint is about to be loaded; see `component`.
    """
    torch.manual_seed(plan.settings.seed)
    epochs = plan.settings.training.epochs

    def place(built: Any) -> Any:  # noqa: ANN401
        return built.to(device=engine.device, dtype=dtype) if isinstance(built, nn.Module) else built

    def network(bound: Bound) -> nn.Module:
        named = isinstance(bound.place, s.Generator) and bound.place.init != ""
        return cast(nn.Module, component(bound, fresh=fresh and not named))

    def side(bound: Bound, network: nn.Module) -> Side:
        section = cast(s.Network, bound.place)
        optimizer = _optimizer(section.optimizer, [p for p in network.parameters() if p.requires_grad])
        schedule = _schedule(section.schedule, optimizer, epochs)
        return Side(network=network, optimizer=engine.prepare_optimizer(optimizer), schedule=schedule)

    def laid_out(network: nn.Module) -> nn.Module:
        # Convolutions are faster with the channels last, on CPUs as on GPUs (docs/performance.md).
        return cast(nn.Module, place(network)).to(memory_format=torch.channels_last)

    training = plan.settings.training
    spread = training.shard and engine.num_processes > 1
    # What is spread goes to the device in parts, since there may be no room for all of it.
    restoring = network(plan.generator).to(dtype=dtype) if spread else laid_out(network(plan.generator))
    averaged = None if training.average is None else average(restoring, training.average)
    # After the copy for the average, which needs neither.
    if training.recompute:
        recompute(restoring)
    if training.compile:
        restoring.compile()
    if spread:
        for one in (restoring, *([] if averaged is None else [averaged.module])):
            shard(one, engine.device)
    moved = side(plan.generator, restoring)
    against = side(plan.discriminator, laid_out(network(plan.discriminator))) if plan.discriminator else None
    if engine.num_processes > 1:
        for trained in (moved, against):
            if trained is not None:
                synchronise(trained.network)
    return Parts(
        generator=moved,
        average=averaged,
        accumulate=training.accumulate,
        discriminator=against,
        losses=tuple(_loss(bound, place(component(bound))) for bound in plan.losses),
        penalties=tuple(_penalty(bound, place(component(bound))) for bound in plan.penalties),
        keep=plan.settings.keep,
    )


def average(network: nn.Module, decay: float) -> AveragedModel:
    """Return a running average of a network's weights and buffers (BatchNorm's among them).

    The decay grows to `decay` as (1 + n) / (10 + n) over the first steps n, so that a short run's average is not
    held back by the weights it began with.
    """

    def mix(old: Any, new: Any, _: Any) -> None:  # noqa: ANN401 - as torch declares it
        # Its own counter stays on the CPU, so that reading it waits for no device.
        count = int(averaged.n_averaged)
        get_ema_multi_avg_fn(min(decay, (1 + count) / (10 + count)))(own(old), own(new), None)

    averaged = AveragedModel(network, multi_avg_fn=mix, use_buffers=True)
    return averaged.requires_grad_(False)


def generator(plan: Plan, device: torch.device) -> nn.Module:
    """Build the generator alone, for weights to be loaded into it."""
    return cast(nn.Module, component(plan.generator, fresh=False)).to(device)


def ordinary(network: nn.Module, plan: Plan, device: torch.device) -> tuple[nn.Module, torch.device]:
    """Return a generator as the first process can call it alone, and the device that it is on; all of them call this.

    It is the same one, or of one that is spread over them a whole copy on the CPU: a GPU may have no room for that.
    """
    if not sharded(network):
        return network, device
    state = whole(network.state_dict())
    if processes.first():
        alone = generator(plan, torch.device("cpu")).to(next(network.parameters()).dtype)
        alone.load_state_dict(state)
        return alone, torch.device("cpu")
    return network, device


def restore(network: Callable[..., Any], mode: str, image: Tensor, mask: Tensor) -> dict[str, Tensor]:
    """Call a generator and return its outputs by name, with `restored` after `keep`.

    `image` is (B, 3, H, W) in [0, 1], `mask` (B, 1, H, W); the outputs are of `image`'s dtype.
    """
    outcome = network(image, mask)
    restored, auxiliary = outcome if isinstance(outcome, tuple) else (outcome, {})
    outputs = {name: value.to(image.dtype) for name, value in auxiliary.items()}
    outputs["restored"] = keep(mode, restored.to(image.dtype), image, mask)
    return outputs


def _loss(bound: Bound, call: Any) -> Loss:  # noqa: ANN401
    place, spec = cast(s.LossTerm, bound.place), cast(LossSpec, bound.spec)
    return Loss(
        label=bound.label,
        weight=place.weight,
        on=place.on,
        adversarial=spec.role == "adversarial",
        sees_real=spec.sees_real,
        call=call,
    )


def _penalty(bound: Bound, call: Any) -> Penalty:  # noqa: ANN401
    place = cast(s.PenaltyTerm, bound.place)
    return Penalty(label=bound.label, weight=place.weight, every=place.every, call=call)


def _optimizer(section: s.Optimizer, weights: list[nn.Parameter]) -> Optimizer:
    options = section.model_dump(exclude={"name"})
    kinds: dict[str, Any] = {"adamw": torch.optim.AdamW, "adam": torch.optim.Adam, "sgd": torch.optim.SGD}
    # One kernel over all weights instead of several a weight.
    return kinds[section.name](weights, **options, fused=True)


def _schedule(section: s.Schedule, optimizer: Optimizer, epochs: int) -> LRScheduler:
    if isinstance(section, s.Step):
        return StepLR(optimizer, step_size=section.every, gamma=section.factor)
    if isinstance(section, s.Cosine):
        lowest = section.final * optimizer.param_groups[0]["lr"]
        return CosineAnnealingLR(optimizer, T_max=epochs, eta_min=lowest)
    return StepLR(optimizer, step_size=epochs + 1, gamma=1.0)
