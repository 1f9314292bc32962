"""The checks of a training step, on a small generator, or a small network with two maps, and a discriminator."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn

from toolbox.data.batch import Batch, add_term
from toolbox.distributed.batch_slice import BatchSlice
from toolbox.hooks.specs import StepSpec
from toolbox.models.input_watch import InputWatch
from toolbox.models.module_state import state_change, state_shapes
from toolbox.models.step_values import figures_fault, not_finite, values_fault
from toolbox.testing import examples, gradients
from toolbox.testing.checks import Check, Note, require, require_comparable, run_checks, same_values
from toolbox.testing.common import require_unseeded
from toolbox.testing.examples import SmoothDiscriminator
from toolbox.testing.subject import Subject

SIDE = 16
KINDS = ("scratch", "stain")
ROUNDING = 1e-9  # a sum over two halves of a batch is rounded differently; in float64


@dataclass(kw_only=True)
class ExampleContext:
    """A context like `toolbox.steps.StepContext`, with one squared-error loss and networks of a few weights.

    Attributes:
        generator: the generator.
        discriminator: the discriminator.
        random: the random numbers of the step.
        parts: the number of micro-batches.
        terms: the recorded terms.
        called: the names of those methods that a step must call and that it has called.
    """

    generator: nn.Module
    discriminator: nn.Module
    random: torch.Generator
    parts: int = 1
    number: int = 0
    mark: Callable[[str], None] = lambda part: None
    terms: dict[str, Tensor] = field(default_factory=dict)
    called: set[str] = field(default_factory=set)
    losses: tuple[Any, ...] = (SimpleNamespace(label="mse", weight=1.0, on="restored", adversarial=False),)

    def micro_batches(self, batch: Batch) -> Iterator[Batch]:
        """Yield the batch in equal parts."""
        self.called.add("micro_batches")
        size = len(batch.image) // self.parts
        for start in range(0, len(batch.image), size):
            yield batch.part(start, start + size)

    def autocast(self) -> AbstractContextManager[object]:
        """Return a context that changes nothing."""
        return nullcontext()

    def generate(self, batch: Batch) -> dict[str, Tensor]:
        """Return the generator's output."""
        return {"restored": self.generator(batch.image, batch.mask)}

    def reconstruction(self, loss: Any, outputs: dict[str, Tensor], batch: Batch) -> Tensor:  # noqa: ANN401
        """Return the mean squared error."""
        return (outputs[loss.on] - batch.truth).square().mean()

    def backward(
        self, loss: Tensor, batch: Batch, *, inputs: list[Tensor] | None = None, retain_graph: bool = False
    ) -> None:
        """Add the gradients of a mean over `batch`."""
        self.called.add("backward")
        (loss * batch.position.weight).backward(inputs=inputs, retain_graph=retain_graph)

    def record(self, name: str, value: Tensor, batch: Batch) -> None:
        """Record a mean over `batch`."""
        add_term(self.terms, name, value, batch)


def check_step(subject: Subject) -> list[Check]:
    """Run every check of a training step."""
    spec = _spec(subject)
    if spec.uses_discriminator:
        return run_checks(subject, [check_adversarial_context])
    checks = [check_generator_gradient, check_terms, check_weights_unchanged, check_batch_unchanged]
    checks += [check_random_numbers, check_split_batch]
    return run_checks(subject, checks if spec.restores else [*checks, check_values, check_figures])


class ExampleNetwork(nn.Module):
    """A convolution over image and mask, in float64: a generator, or a network with a map for each kind of damage."""

    def __init__(self, *, restores: bool) -> None:
        super().__init__()
        self.restores = restores
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.layer = nn.Conv2d(4, 3 if restores else len(KINDS), 3, padding=1, dtype=torch.float64)

    def forward(self, image: Tensor, mask: Tensor) -> Tensor:
        """Return pictures (B, 3, H, W), or maps (B, 2, H, W)."""
        maps: Tensor = self.layer(torch.cat([image, mask], 1))
        return maps.sigmoid() if self.restores else maps


def _spec(subject: Subject) -> StepSpec:
    assert isinstance(subject.spec, StepSpec)
    return subject.spec


def _network(subject: Subject) -> nn.Module:
    """Return a small network, the same at every call."""
    spec = _spec(subject)
    if spec.example is None:
        return ExampleNetwork(restores=spec.restores)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = spec.example()
    require(isinstance(network, nn.Module), f"the spec's example returned {type(network).__name__}, not a Module")
    return network.double()  # type: ignore[no-any-return]


def _build_step(subject: Subject) -> Any:  # noqa: ANN401
    """Build the step in float64, as a run with that precision builds it."""
    return gradients.to_float64(subject.build())


def _batch(subject: Subject, seed: int = 0) -> Batch:
    """Return two pictures, with labels if the step trains on them."""
    batch = examples.batch(SIDE, SIDE, size=2, seed=seed, dtype=torch.float64)
    batch = examples.labelled(batch) if _spec(subject).uses_labels else batch
    return replace(batch, batch_slice=BatchSlice(start=0, total=2, weight=1.0))


def _take(
    subject: Subject,
    *,
    parts: int = 1,
    seed: int = 0,
    batch: Batch | None = None,
    step: Any = None,  # noqa: ANN401 - any component
) -> ExampleContext:
    """Take a step with new networks, the same at every call."""
    context = ExampleContext(
        generator=_network(subject),
        discriminator=SmoothDiscriminator(),
        random=torch.Generator().manual_seed(seed),
        parts=parts,
    )
    (step or _build_step(subject))(context, batch or _batch(subject))
    return context


def _gradients(context: ExampleContext) -> list[Tensor]:
    return [weight.grad for weight in context.generator.parameters() if weight.grad is not None]


def check_generator_gradient(subject: Subject) -> str:
    """The step leaves gradients in the generator."""
    context = _take(subject)
    gradients = _gradients(context)
    require(gradients, "it leaves no gradient in the generator; call context.backward")
    require(any(gradient.any() for gradient in gradients), "all gradients of the generator are 0")
    require(
        "backward" in context.called,
        "it computes gradients without context.backward, which weights micro-batches and processes; call it",
    )
    return f"{len(gradients)} weights of a small generator have one"


def check_adversarial_context(subject: Subject) -> str:
    """Report whether the kit can take the step."""
    return Note("it needs a discriminator and adversarial losses, which the kit does not have; test it in a short run")


def check_terms(subject: Subject) -> str:
    """The step records finite scalars."""
    terms = _take(subject).terms
    require(terms, "it records no term; call context.record")
    wrong = [name for name, value in terms.items() if value.dim() or not value.isfinite()]
    require(not wrong, f"{', '.join(wrong)}: not a finite scalar")
    return ", ".join(terms)


def check_weights_unchanged(subject: Subject) -> str:
    """The step changes no weight of a network, which the optimizers do, and creates none of its own."""
    step = _build_step(subject)
    shapes = state_shapes(step)
    _take(subject, step=step)
    change = state_change(shapes, state_shapes(step))
    require(not change, f"it {change}")
    after, unchanged = _take(subject).generator, _network(subject)
    same = all(torch.equal(a, b) for a, b in zip(after.parameters(), unchanged.parameters(), strict=True))
    require(same, "it changes weights; only compute gradients, the core steps the optimizers")
    return "unchanged"


def check_batch_unchanged(subject: Subject) -> str:
    """The step writes into no tensor of its batch."""
    batch = _batch(subject)
    watch = InputWatch({f"batch.{name}": value for name, value in batch.tensors.items()}, compare=True)
    _take(subject, batch=batch)
    require(not watch.write_fault(), f"it {watch.write_fault()}")
    return "unchanged"


def check_random_numbers(subject: Subject) -> str:
    """The same random numbers give the same gradients, so that a resumed run is the same; the step seeds nothing."""
    first, second = (_gradients(require_unseeded(partial(_take, subject))) for _ in range(2))
    same = all(same_values(a, b) for a, b in zip(first, second, strict=True))
    require(same, "two steps from the same state differ; draw all random numbers from context.random")
    return "the same gradients twice"


def check_split_batch(subject: Subject) -> str:
    """Two micro-batches give the gradients of the whole batch."""
    context = _take(subject, parts=2)
    whole, split = _gradients(_take(subject)), _gradients(context)
    require(whole and split, "it leaves no gradient in the generator; call context.backward")
    if "micro_batches" not in context.called:
        return Note("it works on the whole batch, so training.accumulate has no effect; use context.micro_batches")
    require_comparable(*whole, *split)
    error = max(float((a - b).abs().max()) for a, b in zip(whole, split, strict=True))
    require(error <= ROUNDING, f"the gradients of two micro-batches differ by {error:.2g} from those of the batch")
    return f"the same gradients, up to {error:.1g}"


@torch.no_grad()
def _validated(subject: Subject) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Return the values of two pictures, computed together and one by one."""
    step, batch = _build_step(subject), _batch(subject)
    network = _network(subject).eval()
    together = step.validate(network, batch)
    fault = values_fault(together, 2)
    require(not fault, f"it {fault}")
    fault = not_finite({name: value.double().numpy() for name, value in together.items()})
    require(not fault, f"it {fault}")
    single = [step.validate(network, replace(batch.part(row, row + 1), batch_slice=None)) for row in range(2)]
    return together, {name: torch.cat([values[name] for values in single]) for name in together}


def check_values(subject: Subject) -> str:
    """`validate` gives a value of each picture that does not depend on the others of the batch."""
    together, single = _validated(subject)
    require_comparable(*single.values())
    error = max(float((together[name].double() - single[name].double()).abs().max()) for name in together)
    require(error <= ROUNDING, f"the values of a picture differ by {error:.2g} if it is alone in the batch")
    return ", ".join(together)


def check_figures(subject: Subject) -> str:
    """`figures` gives the loss and the figures that the spec names."""
    values = {name: value.double().numpy() for name, value in _validated(subject)[0].items()}
    figures = _build_step(subject).figures(values)
    fault = figures_fault(figures, _spec(subject).figures)
    require(not fault, f"it {fault}")
    return ", ".join(figures)
