"""A generator or a discriminator under test, and how its outputs differ between batches."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from toolbox.data.batch import Batch
from toolbox.testing import examples
from toolbox.testing.checks import require_comparable, same_values
from toolbox.testing.subject import Subject

Outputs = dict[str, Tensor]

# A batch and a single picture may be computed by different kernels, which round differently; in float64.
ROUNDING = 1e-9


def generator_inputs(pairs: Batch) -> dict[str, Tensor]:
    """Return the arguments of a generator for a batch."""
    return {"image": pairs.image, "mask": pairs.mask}


@dataclass(frozen=True, kw_only=True)
class NetworkCase:
    """A generator or a discriminator under test.

    Attributes:
        subject: the component.
        side: the side in pixels of the square pictures that it is tested with.
        call: calls the module on a batch and returns its outputs by name.
        inputs: returns the arguments of the module for a batch, by name and in their order.
        multiple: the probed number that the sides of pictures must be multiples of.
    """

    subject: Subject
    side: int
    call: Callable[[nn.Module, Batch], Outputs]
    inputs: Callable[[Batch], dict[str, Tensor]] = generator_inputs
    multiple: int = 1

    def pairs(self, seed: int = 0) -> Batch:
        """Return two pictures of the size that the network is tested with."""
        return examples.batch(self.side, self.side, seed=seed)

    def eval_network(self) -> nn.Module:
        """Return the module, built once, in eval mode."""
        network: nn.Module = self.subject.component
        return network.eval()

    def noisy_network(self, seed: int = 0) -> nn.Module:
        """Return a new module in train mode with noise added to its weights.

        Good designs start some layers at zero, and such a layer hides all layers before it. With the noise, the
        network behaves as after some training steps.
        """
        network: nn.Module = self.subject.build(seed)
        add_noise(network, seed)
        return network.train()


def add_noise(network: nn.Module, seed: int) -> None:
    """Add noise to the trainable weights of a network."""
    random = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in network.parameters():
            if weight.requires_grad and weight.is_floating_point():
                fan_in = weight[0].numel() if weight.dim() > 1 else 25
                weight.add_(0.5 * fan_in**-0.5 * torch.randn(weight.shape, generator=random))


@torch.no_grad()
def largest_difference(case: NetworkCase, orders: Sequence[list[int]]) -> float:
    """Return the largest difference between outputs for a batch and for the same pictures in another one.

    It is relative to the values, in float64 and eval mode.

    Args:
        case: the network.
        orders: the other batches: numbers of pictures of the first one, which has two.

    Raises:
        ContractError: some values are NaN.
    """
    network: nn.Module = case.subject.build().to(torch.float64).eval()
    pairs = examples.batch(case.side, case.side, dtype=torch.float64)
    together = case.call(network, pairs)
    largest = 0.0
    for order in orders:
        for name, value in case.call(network, examples.select(pairs, order)).items():
            require_comparable(value, together[name])
            scale = max(1.0, float(together[name].abs().max()))
            largest = max(largest, float((value - together[name][order]).abs().max()) / scale)
    return largest


@torch.no_grad()
def depends_on(case: NetworkCase, **changes: Tensor) -> bool:
    """Return whether any output changes when these fields of the batch change."""
    network, pairs = case.noisy_network().eval(), case.pairs()
    before, after = case.call(network, pairs), case.call(network, replace(pairs, **changes))  # type: ignore[arg-type]
    return any(not same_values(before[name], after[name]) for name in before)
