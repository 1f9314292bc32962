"""What a generator must do."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from toolbox.data.batch import Batch
from toolbox.hooks.protocols import Generator
from toolbox.hooks.specs import GeneratorSpec
from toolbox.inference.restorer import Restorer
from toolbox.models.forward import probe_multiple
from toolbox.testing import examples, networks
from toolbox.testing.checks import Broken, Check, Noted, demand, perform, said
from toolbox.testing.networks import Network
from toolbox.testing.subject import Subject, named, seed

# One rounding of float32 beyond [0, 1], as blending with the input may leave it.
ROUNDING = 1e-6


def check(subject: Subject) -> list[Check]:
    """Return every check of a generator."""
    first = perform(subject, [sizes_found])
    if first[0].status == "failed":
        return first
    multiple = _multiple(subject)
    # Two multiples, so that the deepest level has more than the one pixel that no norm can work on.
    case = Network(subject=subject, side=max(64, 2 * multiple), call=outputs, multiple=multiple)
    own = (networks.parameters, shapes, tiny_photographs, value_range, auxiliary_outputs)
    tests = [*own, *networks.SHARED, uses_the_mask]
    return [*first, *perform(case, tests), *perform(subject, [seed])]


def outputs(network: Generator | nn.Module, pairs: Batch) -> dict[str, Tensor]:
    """Call a generator; what it restored and its auxiliary outputs by name."""
    outcome = network(pairs.image, pairs.mask)
    if not isinstance(outcome, tuple):
        outcome = (outcome, {})
    two = len(outcome) == 2 and hasattr(outcome[1], "items")
    demand(two, "return a tensor, or a tensor and a dict of named outputs")
    restored, more = outcome
    demand(isinstance(restored, Tensor), f"it returned {type(restored).__name__}, not a tensor")
    return {"restored": restored, **more}


def sizes_found(subject: Subject) -> str:
    """The true size multiple is probed, as restoring does it."""
    try:
        multiple = _multiple(subject)
    except (AttributeError, TypeError) as error:
        raise Broken(f"it can't be called as generator(image, mask): {said(error)}; return a tensor") from error
    return "any size" if multiple == 1 else f"sides that are multiples of {multiple}"


def _multiple(subject: Subject) -> int:
    network = subject.built
    demand(isinstance(network, nn.Module), f"build returned {type(network).__name__}, not a torch.nn.Module")
    return probe_multiple(network.eval(), torch.device("cpu"))


@torch.no_grad()
def shapes(case: Network) -> str:
    """The picture comes back at its own size: oblong, odd where the multiple allows, one or three in a batch."""
    multiple = case.multiple
    odd = 1 if multiple == 1 else 0
    wanted = [(case.side + odd, case.side + multiple), (case.side + 3 * multiple, case.side)]
    network = case.resting()
    for size, (height, width) in zip((1, 3), wanted, strict=True):
        pairs = examples.batch(height, width, size=size)
        found = case.call(network, pairs)["restored"].shape
        demand(found == pairs.image.shape, f"{list(pairs.image.shape)} comes back as {list(found)}; keep B, H and W")
    photograph = examples.sample(case.side - 3, case.side + 7, damaged=True)
    result = _restorer(case)(photograph.image, photograph.mask)
    demand(result.shape == photograph.image.shape, "a photograph of odd sides comes back at another size")
    return ", ".join(f"{height}x{width}" for height, width in [*wanted, photograph.image.shape[:2]])


def _restorer(case: Network) -> Restorer:
    return Restorer(network=case.resting(), keep="none", device=torch.device("cpu"), multiple=case.multiple)


def tiny_photographs(case: Network) -> str:
    """A photograph of one pixel can be restored."""
    photograph = examples.sample(1, 1, damaged=False)
    try:
        _restorer(case)(photograph.image, photograph.mask)
    except (RuntimeError, ValueError) as error:
        return Noted(f"it can't restore a photograph of 1x1: {said(error)}")
    return "down to 1x1"


@torch.no_grad()
def value_range(case: Network) -> str:
    """Restored pictures lie in [0, 1], with fresh weights and with others."""
    for network in (case.resting(), case.restless(), case.restless(1).eval()):
        for name, pairs in examples.extremes(case.side, case.side).items():
            restored = case.call(network, pairs)["restored"]
            least, most = float(restored.min()), float(restored.max())
            within = least >= -ROUNDING and most <= 1 + ROUNDING
            demand(within, f"values from {least:.3g} to {most:.3g} for {name}; end in a sigmoid or a clamp to [0, 1]")
    return "within [0, 1]"


@torch.no_grad()
def auxiliary_outputs(case: Network) -> str:
    """The named outputs are those that the spec declares."""
    spec = case.subject.bound.spec
    assert isinstance(spec, GeneratorSpec)
    for network in (case.restless(), case.restless().eval()):
        mode = "train" if network.training else "eval"
        found = case.call(network, case.pairs())
        del found["restored"]
        missing, more = sorted(set(spec.auxiliary) - set(found)), sorted(set(found) - set(spec.auxiliary))
        demand(not missing, f"in {mode} mode it gives no {named(missing)}, which its spec's auxiliary declares")
        demand(not more, f"it gives {named(more)}, which its spec does not declare; add auxiliary = (…) there")
        for name, value in found.items():
            if value.dim() != 4 or len(value) != len(case.pairs().image):
                raise Broken(f"{name} is {list(value.shape)}; it must be (B, C, h, w)")
    return ", ".join(spec.auxiliary) or "none"


def uses_the_mask(case: Network) -> str:
    """Whether the mask is used is the author's choice."""
    pairs = case.pairs()
    used = networks.changes(case, mask=1 - pairs.mask)
    return Noted("the mask changes the result" if used else "the mask is taken and ignored")
