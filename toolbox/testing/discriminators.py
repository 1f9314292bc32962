"""What a discriminator must do."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from toolbox.data.batch import Batch
from toolbox.hooks.protocols import Discriminator
from toolbox.testing import examples, networks
from toolbox.testing.checks import Broken, Check, Noted, demand, perform, said
from toolbox.testing.networks import Network
from toolbox.testing.subject import Subject, seed

SIDES = (64, 128, 256)


def check(subject: Subject) -> list[Check]:
    """Return every check of a discriminator."""
    first = perform(subject, [sizes_found])
    if first[0].status == "failed":
        return first
    case = Network(subject=subject, side=_side(subject), call=outputs)
    own = (networks.parameters, maps, moves_the_picture, second_derivative, open_ended)
    tests = [*own, *networks.SHARED, uses_the_condition]
    return [*first, *perform(case, tests), *perform(subject, [seed])]


def outputs(network: Discriminator | nn.Module, pairs: Batch) -> dict[str, Tensor]:
    """Call a discriminator on the true pictures; its maps by number."""
    found = network(pairs.truth, pairs.image, pairs.mask)
    demand(isinstance(found, list) and found, f"it returned {type(found).__name__}, not a list of maps; return [map]")
    return {f"map {number}": value for number, value in enumerate(found)}


def sizes_found(subject: Subject) -> str:
    """Pictures of 64, 128 or 256 pixels are judged."""
    demand(isinstance(subject.built, nn.Module), f"build returned {type(subject.built).__name__}, not a Module")
    return f"judges pictures of {_side(subject)} pixels"


@torch.no_grad()
def _side(subject: Subject) -> int:
    reason = ""
    for side in SIDES:
        try:
            outputs(subject.built.eval(), examples.batch(side, side))
            return side
        except (RuntimeError, ValueError) as error:
            reason = said(error)
    raise Broken(f"it judges no picture of up to {SIDES[-1]} pixels: {reason}")


@torch.no_grad()
def maps(case: Network) -> str:
    """Maps are (B, 1, h, w), for square pictures and for others."""
    shapes = []
    for height, width, size in ((case.side, case.side, 2), (case.side + 5, case.side + 16, 1)):
        found = case.call(case.resting(), examples.batch(height, width, size=size))
        for name, value in found.items():
            fits = value.dim() == 4 and value.shape[:2] == (size, 1)
            demand(fits, f"{name} is {list(value.shape)} for {size} pictures; it must be (B, 1, h, w)")
        shapes += ["x".join(map(str, value.shape[-2:])) for value in found.values()] if size == 2 else []
    return f"{', '.join(shapes)} for {case.side}x{case.side}"


def moves_the_picture(case: Network) -> str:
    """The generator learns by the gradient that comes through to the picture."""
    pairs = case.pairs()
    picture = pairs.truth.clone().requires_grad_()
    judged = Batch(image=pairs.image, mask=pairs.mask, truth=picture, names=pairs.names)
    for name, value in case.call(case.restless(), judged).items():
        demand(value.requires_grad, f"{name} has no gradient; take out detach(), no_grad and numpy")
        (gradient,) = torch.autograd.grad(value.sum(), picture, retain_graph=True, allow_unused=True)
        reached = gradient is not None and all(one.any() for one in gradient)
        demand(reached, f"no gradient of {name} reaches the picture, so the generator could not learn from it")
    return "every map reaches every picture"


def second_derivative(case: Network) -> str:
    """Penalties on the gradient need to differentiate twice."""
    network, pairs = case.restless(), case.pairs()
    picture = pairs.truth.clone().requires_grad_()
    judged = Batch(image=pairs.image, mask=pairs.mask, truth=picture, names=pairs.names)
    total = torch.stack([value.sum() for value in case.call(network, judged).values()]).sum()
    try:
        (gradient,) = torch.autograd.grad(total, picture, create_graph=True)
        gradient.square().sum().backward()
    except RuntimeError as error:
        return Noted(f"it can't be differentiated twice, so no gradient penalty works with it: {said(error)}")
    finite = all(one.grad is None or one.grad.isfinite().all() for one in network.parameters())
    demand(finite, "its second derivative is not finite, so a gradient penalty would end the run")
    return "gradient penalties work with it"


@torch.no_grad()
def open_ended(case: Network) -> str:
    """A map has no sigmoid at its end: the losses bring their own."""
    for draw in range(3):
        # Ten times the weights: what is merely small leaves [0, 1] then, a sigmoid never does.
        network = case.restless(draw)
        for weight in network.parameters():
            weight.mul_(10)
        for value in case.call(network, case.pairs()).values():
            if value.min() < 0 or value.max() > 1:
                return "values leave [0, 1]"
    return Noted("all values stay in [0, 1]; a discriminator has no sigmoid at its end, the losses bring their own")


def uses_the_condition(case: Network) -> str:
    """Whether the damaged image and the mask are used is the author's choice."""
    pairs = case.pairs()
    used = [
        name
        for name, other in (("image", pairs.image.flip(-1)), ("mask", 1 - pairs.mask))
        if networks.changes(case, **{name: other})
    ]
    if not used:
        return Noted("the image and the mask are taken and ignored")
    return Noted(f"looks at the {' and the '.join(used)} too")
