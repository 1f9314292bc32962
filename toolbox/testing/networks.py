"""The checks that generators and discriminators share."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks

from toolbox.models.component_calls import call_network
from toolbox.testing import examples
from toolbox.testing.checks import ContractError, require, same_values, seed_everything
from toolbox.testing.common import require_own_weights, require_unseeded
from toolbox.testing.devices import run_on_other_device
from toolbox.testing.network_case import ROUNDING, NetworkCase, largest_difference
from toolbox.testing.subject import copy_state, join_names


def check_parameters(case: NetworkCase) -> str:
    """A network is a torch module; anything else can't be trained or saved."""
    network = case.subject.component
    require(isinstance(network, nn.Module), f"build returned {type(network).__name__}, not a torch.nn.Module")
    count = sum(weight.numel() for weight in network.parameters())
    return f"{count:,} parameters"


def check_own_weights(case: NetworkCase) -> str:
    """Weights that the network uses are in its module: others are neither trained nor saved."""
    network = case.noisy_network()
    require_own_weights(network, lambda: case.call(network, case.pairs()).values(), [])
    return "none outside of the module"


def check_inputs_unchanged(case: NetworkCase) -> str:
    """The network leaves its inputs as they are, and calls no backward(): called as in a training step."""
    call_network(case.noisy_network(), case.inputs(case.pairs()))
    return "unchanged"


@torch.no_grad()
def check_dtype(case: NetworkCase) -> str:
    """The outputs have the dtype of the inputs, float32 or float64, because a recipe can use either."""
    for dtype in (torch.float32, torch.float64):
        network = case.subject.build().to(dtype).eval()
        outputs = case.call(network, examples.batch(case.side, case.side, dtype=dtype))
        wrong = sorted({str(value.dtype) for value in outputs.values()} - {str(dtype)})
        require(not wrong, f"given {dtype} it returns {', '.join(wrong)}; make tensors with dtype=x.dtype")
    return "the same for float32 and float64"


def check_autocast(case: NetworkCase) -> str:
    """Mixed precision, here bfloat16 on the CPU, gives finite values and gradients."""
    network = case.noisy_network()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        outputs = case.call(network, case.pairs())
    require(all(value.isfinite().all() for value in outputs.values()), "not finite under autocast in bfloat16")
    total = torch.stack([value.float().mean() for value in outputs.values()]).sum()
    if total.requires_grad:
        total.backward()
    wrong = _without_finite_gradient(network)
    require(not wrong, f"gradients of {join_names(wrong)} are not finite under autocast in bfloat16")
    return "finite in bfloat16"


def check_device(case: NetworkCase) -> str:
    """A module that is moved to a device works there."""

    def prepare(device: torch.device) -> Callable[[], list[Tensor]]:
        network, pairs = case.subject.build().to(device).eval(), examples.to_device(case.pairs(), device)
        return lambda: list(case.call(network, pairs).values())

    return run_on_other_device(prepare)


def check_finite_values(case: NetworkCase) -> str:
    """Flat pictures, empty and full masks give finite values and gradients."""
    network = case.noisy_network()
    for name, pairs in examples.extremes(case.side, case.side).items():
        network.zero_grad()
        outputs = case.call(network, pairs)
        require(all(value.isfinite().all() for value in outputs.values()), f"not finite for {name}")
        total = torch.stack([value.square().mean() for value in outputs.values()]).sum()
        if total.requires_grad:
            total.backward()
        wrong = _without_finite_gradient(network)
        require(not wrong, f"gradients of {join_names(wrong)} are not finite for {name}")
    return "values and gradients, for flat pictures, empty and full masks"


def check_gradient_flow(case: NetworkCase) -> str:
    """Every trainable parameter gets a gradient.

    A parameter that never gets one uses memory, optimizer state and space in every checkpoint, and does not do what it
    was meant for. A ReLU can be dead by chance, so a parameter fails only if it gets no gradient for three draws of
    noisy weights with two batches each.
    """
    without_gradient: set[str] = set()
    for draw in range(3):
        network = case.noisy_network(draw)
        trainable = {name: weight for name, weight in network.named_parameters() if weight.requires_grad}
        if not trainable:
            raise ContractError("no trainable parameters, so a run can't train it; remove requires_grad_(False)")
        without_gradient = set(trainable) if draw == 0 else without_gradient
        for index in range(2):
            outputs = case.call(network, case.pairs(seed=10 * draw + index))
            random = torch.Generator().manual_seed(index)
            weighted = [(value * torch.randn(value.shape, generator=random)).sum() for value in outputs.values()]
            total = torch.stack(weighted).sum()
            require(total.requires_grad, "the output has no gradient; remove detach(), no_grad and numpy")
            total.backward()
        without_gradient = {
            name for name in without_gradient if (grad := trainable[name].grad) is None or not grad.any()
        }
        if not without_gradient:
            return f"reaches all {len(trainable)} parameters"
    names = join_names(sorted(without_gradient))
    raise ContractError(f"no gradient ever reaches {names}; use them in forward, freeze them or remove them")


@torch.no_grad()
def check_unseeded_training(case: NetworkCase) -> str:
    """A call in train mode does not seed the global random numbers, and draws only torch's, which a run seeds."""
    network = case.noisy_network()
    require_unseeded(lambda: case.call(network, case.pairs()))
    return "seeds nothing"


@torch.no_grad()
def check_deterministic_eval(case: NetworkCase) -> str:
    """In eval mode the same input gives the same output."""
    network, pairs = case.eval_network(), case.pairs()
    first = {name: value.clone() for name, value in case.call(network, pairs).items()}
    case.call(network, case.pairs(seed=1))
    again = case.call(network, pairs)
    different = [name for name in first if not same_values(first[name], again[name])]
    require(
        not different,
        f"{join_names(different)} differs from call to call in eval mode; use random numbers and state only in "
        "train mode",
    )
    return "the same output twice"


@torch.no_grad()
def check_batch_independence(case: NetworkCase) -> str:
    """In eval mode, the output for a picture does not depend on the other pictures of the batch."""
    largest = largest_difference(case, [[0], [1]])
    require(largest <= ROUNDING, f"the output for a picture changes by {largest:.1e} with the rest of the batch")
    return f"within {largest:.0e} in float64"


@torch.no_grad()
def check_saved_weights(case: NetworkCase) -> str:
    """A network that has trained, saved and loaded, gives the same output, in eval mode and when it trains on."""
    source, target = case.noisy_network(), case.subject.build(seed=1)
    for seed in range(2):
        case.call(source, case.pairs(seed))
    copy_state(source, target)
    for is_training in (False, True):
        outputs = []
        for network in (source, target):
            seed_everything()
            outputs.append(case.call(network.train(is_training), case.pairs()))
        before, after = outputs
        different = [name for name in before if not same_values(before[name], after[name])]
        mode = "train" if is_training else "eval"
        require(
            not different,
            f"after saving and loading, the output differs in {mode} mode; keep all state in parameters and buffers, "
            "and build what is not saved (`checkpoint = False`) the same each time",
        )
    return "the same output after saving and loading"


def check_memory(case: NetworkCase) -> str:
    """Report the memory that a training step keeps for the backward pass, without the weights."""
    network = case.subject.build().train()
    weights = {weight.untyped_storage().data_ptr() for weight in network.parameters()}
    saved_bytes: dict[int, int] = {}

    def pack(value: Tensor) -> Tensor:
        storage = value.untyped_storage()
        if storage.data_ptr() not in weights:
            saved_bytes[storage.data_ptr()] = storage.nbytes()
        return value

    pairs = case.pairs()
    with saved_tensors_hooks(pack, lambda value: value):
        # The outputs stay alive until here, so that no storage address is used twice.
        outputs = case.call(network, pairs)
    pixels = pairs.mask.numel()
    del outputs
    return f"{sum(saved_bytes.values()) / pixels / 1024:.3g} KiB per pixel for the backward pass, in float32"


def _without_finite_gradient(network: nn.Module) -> list[str]:
    """Return the names of the parameters whose gradient is NaN or infinite."""
    return [
        name
        for name, weight in network.named_parameters()
        if weight.grad is not None and not weight.grad.isfinite().all()
    ]


SHARED_CHECKS = (
    check_inputs_unchanged,
    check_dtype,
    check_autocast,
    check_device,
    check_finite_values,
    check_gradient_flow,
    check_deterministic_eval,
    check_unseeded_training,
    check_saved_weights,
    check_own_weights,
    check_memory,
)
