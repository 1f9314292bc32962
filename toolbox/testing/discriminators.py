"""The checks of a discriminator."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from toolbox.data.batch import Batch
from toolbox.hooks.protocols import Discriminator
from toolbox.models.gradient_checks import second_derivative_fault
from toolbox.testing import examples, networks
from toolbox.testing.checks import Check, ContractError, Note, error_text, require, require_comparable, run_checks
from toolbox.testing.common import check_seeded_weights
from toolbox.testing.network_case import ROUNDING, NetworkCase, depends_on, largest_difference
from toolbox.testing.subject import Subject

SIDES = (64, 128, 256)


def check_discriminator(subject: Subject) -> list[Check]:
    """Run every check of a discriminator; if it takes no picture, no other check is possible."""
    first = run_checks(subject, [check_input_size])
    if first[0].status == "failed":
        return first
    case = NetworkCase(subject=subject, side=_smallest_side(subject), call=call_discriminator, inputs=_inputs)
    own_checks = (
        networks.check_parameters,
        check_map_shapes,
        check_picture_gradient,
        check_second_derivative,
        check_no_final_sigmoid,
        check_batch_independence,
    )
    checks = [*own_checks, *networks.SHARED_CHECKS, check_condition_use]
    return [*first, *run_checks(case, checks), *run_checks(subject, [check_seeded_weights])]


def call_discriminator(network: Discriminator | nn.Module, pairs: Batch) -> dict[str, Tensor]:
    """Call a discriminator on the true pictures and return its maps by number."""
    maps = network(pairs.truth, pairs.image, pairs.mask)
    require(isinstance(maps, list) and maps, f"it returned {type(maps).__name__}, not a list of maps; return [map]")
    return {f"map {index}": value for index, value in enumerate(maps)}


def _inputs(pairs: Batch) -> dict[str, Tensor]:
    return {"picture": pairs.truth, "image": pairs.image, "mask": pairs.mask}


def check_input_size(subject: Subject) -> str:
    """The discriminator takes pictures of 64, 128 or 256 pixels."""
    network = subject.component
    require(isinstance(network, nn.Module), f"build returned {type(network).__name__}, not a Module")
    return f"takes pictures of {_smallest_side(subject)} pixels"


@torch.no_grad()
def _smallest_side(subject: Subject) -> int:
    reason = ""
    for side in SIDES:
        try:
            call_discriminator(subject.component.eval(), examples.batch(side, side))
            return side
        except (RuntimeError, ValueError) as error:
            reason = error_text(error)
    raise ContractError(f"raised an error for pictures of every size, {SIDES[0]} to {SIDES[-1]} pixels: {reason}")


@torch.no_grad()
def check_map_shapes(case: NetworkCase) -> str:
    """Maps are (B, 1, h, w), for one picture and for two; pictures are square in every run."""
    for count in (1, 2):
        maps = case.call(case.eval_network(), examples.batch(case.side, case.side, size=count))
        for name, value in maps.items():
            is_map = value.dim() == 4 and value.shape[:2] == (count, 1)
            require(is_map, f"{name} is {list(value.shape)} for a batch of {count}; it must be (B, 1, h, w)")
    shapes = ["x".join(map(str, value.shape[-2:])) for value in maps.values()]
    return f"{', '.join(shapes)} for {case.side}x{case.side}"


def check_picture_gradient(case: NetworkCase) -> str:
    """Every map has a gradient with respect to every picture; the generator learns from it."""
    pairs = case.pairs()
    picture = pairs.truth.clone().requires_grad_()
    for name, value in case.call(case.noisy_network(), _with_truth(pairs, picture)).items():
        require(value.requires_grad, f"{name} has no gradient; remove detach(), no_grad and numpy")
        (gradient,) = torch.autograd.grad(value.sum(), picture, retain_graph=True, allow_unused=True)
        reaches_all = gradient is not None and all(part.any() for part in gradient)
        require(reaches_all, f"no gradient of {name} reaches the picture, so the generator could not learn from it")
    return "every map has a gradient in every picture"


def check_second_derivative(case: NetworkCase) -> str:
    """Gradient penalties need second derivatives."""
    network, pairs = case.noisy_network(), case.pairs()

    def discriminate(picture: Tensor) -> list[Tensor]:
        return list(case.call(network, _with_truth(pairs, picture)).values())

    fault = second_derivative_fault(discriminate, pairs.truth, is_squared=False)
    if fault:
        return Note(f"it has no second derivative, so no gradient penalty works with it: {fault}")
    picture = pairs.truth.clone().requires_grad_()
    total = torch.stack([value.sum() for value in discriminate(picture)]).sum()
    (gradient,) = torch.autograd.grad(total, picture, create_graph=True)
    if gradient.requires_grad:  # that of a sum of a linear network has none
        gradient.square().sum().backward()
    is_finite = all(weight.grad is None or weight.grad.isfinite().all() for weight in network.parameters())
    require(is_finite, "its second derivative is not finite, so a gradient penalty would end the run")
    return "gradient penalties work with it"


@torch.no_grad()
def check_no_final_sigmoid(case: NetworkCase) -> str:
    """Maps have values outside [0, 1]: adversarial losses apply their own sigmoid."""
    for seed in range(3):
        # With ten times the weights, small values leave [0, 1], while those of a sigmoid never do.
        network = case.noisy_network(seed)
        for weight in network.parameters():
            weight.mul_(10)
        for value in case.call(network, case.pairs()).values():
            require_comparable(value)
            if value.min() < 0 or value.max() > 1:
                return "values outside [0, 1]"
    return Note("all values are in [0, 1]; end without a sigmoid, because adversarial losses apply their own")


@torch.no_grad()
def check_batch_independence(case: NetworkCase) -> str:
    """In eval mode, the score of a picture does not depend on the order of the batch; a note if it does on the rest."""
    by_order = largest_difference(case, [[1, 0]])
    require(
        by_order <= ROUNDING,
        f"the output for a picture changes by {by_order:.1e} with the order of the batch",
    )
    by_rest = largest_difference(case, [[0], [1]])
    if by_rest > ROUNDING:
        return Note("the output depends on the rest of the batch, as with a minibatch standard deviation")
    return f"within {by_rest:.0e} in float64"


def check_condition_use(case: NetworkCase) -> str:
    """Report whether the damaged image and the mask change the result, which is the author's choice."""
    pairs = case.pairs()
    used = [
        name
        for name, changed in (("image", pairs.image.flip(-1)), ("mask", 1 - pairs.mask))
        if depends_on(case, **{name: changed})
    ]
    if not used:
        return Note("the image and the mask are ignored")
    return Note(f"the {' and the '.join(used)} {'change' if len(used) > 1 else 'changes'} the result")


def _with_truth(pairs: Batch, truth: Tensor) -> Batch:
    return Batch(image=pairs.image, mask=pairs.mask, truth=truth, names=pairs.names)
