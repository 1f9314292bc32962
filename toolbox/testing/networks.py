"""The checks that generators and discriminators share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks

from toolbox.data.batch import Batch
from toolbox.testing import examples
from toolbox.testing.checks import Noted, demand
from toolbox.testing.devices import moved
from toolbox.testing.subject import Subject, carried_over, named

Outputs = dict[str, Tensor]

# Pictures of one batch may be computed by other kernels than pictures alone; both round, here in float64.
ROUNDING = 1e-9


@dataclass(frozen=True, kw_only=True)
class Network:
    """A generator or a discriminator under test.

    Attributes:
        subject: the component.
        side: the side in pixels, a multiple of 64, of the square pictures that it is tried on.
        call: calls the module on a batch; its outputs by name.
        multiple: what sides must be multiples of, probed.
    """

    subject: Subject
    side: int
    call: Callable[[nn.Module, Batch], Outputs]
    multiple: int = 1

    def pairs(self, seed: int = 0) -> Batch:
        """Return two pictures of the size that the network is tried on."""
        return examples.batch(self.side, self.side, seed=seed)

    def resting(self) -> nn.Module:
        """Return the module built once, in eval mode."""
        network: nn.Module = self.subject.built
        return network.eval()

    def restless(self, seed: int = 0) -> nn.Module:
        """Return a new module in train mode with noise on its weights.

        A layer that starts at zero, as good designs have it, hides what comes before it; the noise shows the
        network as it will be after some steps.
        """
        network: nn.Module = self.subject.build(seed)
        random = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for weight in network.parameters():
                if weight.requires_grad and weight.is_floating_point():
                    fan = weight[0].numel() if weight.dim() > 1 else 25
                    weight.add_(0.5 * fan**-0.5 * torch.randn(weight.shape, generator=random))
        return network.train()


def parameters(case: Network) -> str:
    """Networks are Modules, or nothing could train or save them."""
    built = case.subject.built
    demand(isinstance(built, nn.Module), f"build returned {type(built).__name__}, not a torch.nn.Module")
    count = sum(weight.numel() for weight in built.parameters())
    return f"{count:,} parameters"


def inputs_untouched(case: Network) -> str:
    """The pictures and masks that it is given are used again by the losses."""
    pairs, same = case.pairs(), case.pairs()
    case.call(case.restless(), pairs)
    for name in ("image", "mask", "truth"):
        kept = torch.equal(getattr(pairs, name), getattr(same, name))
        demand(kept, f"it writes into the {name} that it is given; work on a copy")
    return "as they were"


@torch.no_grad()
def dtype(case: Network) -> str:
    """Float32 and float64 come out as they went in: a recipe may ask for either."""
    for kind in (torch.float32, torch.float64):
        network = case.subject.build().to(kind).eval()
        outputs = case.call(network, examples.batch(case.side, case.side, dtype=kind))
        wrong = sorted({str(value.dtype) for value in outputs.values()} - {str(kind)})
        demand(not wrong, f"given {kind} it returns {', '.join(wrong)}; make tensors with dtype=x.dtype")
    return "float32 and float64 kept"


def autocast(case: Network) -> str:
    """Mixed precision, here bfloat16 on the CPU, gives finite values and gradients."""
    network = case.restless()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        outputs = case.call(network, case.pairs())
    demand(all(value.isfinite().all() for value in outputs.values()), "not finite under autocast in bfloat16")
    total = torch.stack([value.float().mean() for value in outputs.values()]).sum()
    if total.requires_grad:
        total.backward()
    wrong = [name for name, one in network.named_parameters() if one.grad is not None and not one.grad.isfinite().all()]
    demand(not wrong, f"gradients of {named(wrong)} are not finite under autocast in bfloat16")
    return "finite in bfloat16"


def device(case: Network) -> str:
    """A module moved by `to` works where it has been moved."""

    def prepare(where: torch.device) -> Callable[[], list[Tensor]]:
        network, pairs = case.subject.build().to(where).eval(), examples.on(where, case.pairs())
        return lambda: list(case.call(network, pairs).values())

    return moved(prepare)


def finite(case: Network) -> str:
    """Flat pictures, empty and full masks give finite values and gradients."""
    network = case.restless()
    for name, pairs in examples.extremes(case.side, case.side).items():
        network.zero_grad()
        outputs = case.call(network, pairs)
        demand(all(value.isfinite().all() for value in outputs.values()), f"not finite for {name}")
        total = torch.stack([value.square().mean() for value in outputs.values()]).sum()
        if total.requires_grad:
            total.backward()
        grads = {key: one.grad for key, one in network.named_parameters() if one.grad is not None}
        wrong = [key for key, grad in grads.items() if not grad.isfinite().all()]
        demand(not wrong, f"gradients of {named(wrong)} are not finite for {name}")
    return "values and gradients, for flat pictures, empty and full masks"


def gradient_flow(case: Network) -> str:
    """Every trainable parameter is moved by something in the output.

    One that never is fails: it costs memory and optimiser state, lies in every checkpoint, and what it was
    meant to do isn't done. So that a ReLU which is dead by chance does not fail anyone, a parameter has to be
    still in three draws of the weights, noise on each, over two batches.
    """
    still: set[str] = set()
    for draw in range(3):
        network = case.restless(draw)
        trainable = {name: one for name, one in network.named_parameters() if one.requires_grad}
        if not trainable:
            return Noted("nothing trainable")
        still = set(trainable) if draw == 0 else still
        for number in range(2):
            outputs = case.call(network, case.pairs(seed=10 * draw + number))
            random = torch.Generator().manual_seed(number)
            weighed = [(value * torch.randn(value.shape, generator=random)).sum() for value in outputs.values()]
            total = torch.stack(weighed).sum()
            demand(total.requires_grad, "the output has no gradient; take out detach(), no_grad and numpy")
            total.backward()
        still = {name for name in still if (grad := trainable[name].grad) is None or not grad.any()}
        if not still:
            return f"reaches all {len(trainable)} parameters"
    lost = named(sorted(still))
    demand(False, f"no gradient ever reaches {lost}; use them in forward, freeze them or take them out")
    return ""


@torch.no_grad()
def eval_repeats(case: Network) -> str:
    """In eval mode the same input gives the same output."""
    network, pairs = case.resting(), case.pairs()
    first = {name: value.clone() for name, value in case.call(network, pairs).items()}
    case.call(network, case.pairs(seed=1))
    again = case.call(network, pairs)
    wrong = [name for name in first if not torch.equal(first[name], again[name])]
    demand(not wrong, f"{named(wrong)} differs from call to call in eval mode; draw and remember in train mode only")
    return "same output twice"


@torch.no_grad()
def batch_independence(case: Network) -> str:
    """In eval mode a picture's output does not depend on what else is in the batch."""
    network: nn.Module = case.subject.build().double().eval()
    pairs = examples.batch(case.side, case.side, dtype=torch.float64)
    together = case.call(network, pairs)
    furthest = 0.0
    for index in range(len(pairs.image)):
        only = slice(index, index + 1)
        one = Batch(image=pairs.image[only], mask=pairs.mask[only], truth=pairs.truth[only], names=("one",))
        for name, value in case.call(network, one).items():
            scale = max(1.0, float(together[name].abs().max()))
            furthest = max(furthest, float((value - together[name][only]).abs().max()) / scale)
    demand(furthest <= ROUNDING, f"a picture's output changes by {furthest:.1e} with what else is in the batch")
    return f"within {furthest:.0e} in float64"


@torch.no_grad()
def safetensors(case: Network) -> str:
    """Weights saved and loaded give the same output."""
    source, target = case.restless().eval(), case.subject.build(seed=1).eval()
    carried_over(source, target)
    pairs = case.pairs()
    before, after = case.call(source, pairs), case.call(target, pairs)
    wrong = [name for name in before if not torch.equal(before[name], after[name])]
    demand(not wrong, "saved and loaded, the output is another; keep all state in parameters and buffers")
    return "same output after saving and loading"


def memory(case: Network) -> str:
    """What a training step keeps for the way back, without the weights."""
    network = case.subject.build().train()
    weights = {one.untyped_storage().data_ptr() for one in network.parameters()}
    kept: dict[int, int] = {}

    def pack(value: Tensor) -> Tensor:
        storage = value.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage.nbytes()
        return value

    pairs = case.pairs()
    with saved_tensors_hooks(pack, lambda value: value):
        held = case.call(network, pairs)
    pixels = pairs.mask.numel()
    del held
    return f"{sum(kept.values()) / pixels / 1024:.3g} KiB a pixel kept for the way back, in float32"


@torch.no_grad()
def changes(case: Network, **other: Tensor) -> bool:
    """Return whether any output changes when these parts of the batch are others."""
    network, pairs = case.restless().eval(), case.pairs()
    changed = Batch(**({name: getattr(pairs, name) for name in ("image", "mask", "truth", "names")} | other))
    before, after = case.call(network, pairs), case.call(network, changed)
    return any(not torch.equal(before[name], after[name]) for name in before)


SHARED = (
    inputs_untouched,
    dtype,
    autocast,
    device,
    finite,
    gradient_flow,
    eval_repeats,
    batch_independence,
    safetensors,
    memory,
)
