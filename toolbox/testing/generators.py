"""The checks of a generator."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from toolbox.data.batch import Batch
from toolbox.errors import PluginError
from toolbox.hooks.protocols import Generator
from toolbox.hooks.specs import GeneratorSpec
from toolbox.inference.restorer import Restorer
from toolbox.models.component_calls import CLASSES, is_auxiliary
from toolbox.models.forward import probe_multiple
from toolbox.testing import examples, networks
from toolbox.testing.checks import Check, ContractError, Note, error_text, require, require_comparable, run_checks
from toolbox.testing.common import check_seeded_weights
from toolbox.testing.network_case import NetworkCase, add_noise, depends_on
from toolbox.testing.subject import Subject, join_names

# Blending with the input may round to a value just outside [0, 1] in float32.
ROUNDING = 1e-6


def check_generator(subject: Subject) -> list[Check]:
    """Run every check of a generator; after a failed size probe no other check is possible."""
    spec = subject.spec
    assert isinstance(spec, GeneratorSpec)
    checks_of_both = (*networks.SHARED_CHECKS, networks.check_batch_independence)
    if not spec.restores:
        other = NetworkCase(subject=subject, side=64, call=call_network)
        checks = [networks.check_parameters, check_maps, *checks_of_both, check_mask_use]
        return [*run_checks(other, checks), *run_checks(subject, [check_seeded_weights])]
    first = run_checks(subject, [check_size_multiple])
    if first[0].status == "failed":
        return first
    multiple = _probe_multiple(subject)
    # Norm layers fail on a single pixel. With a side of two multiples, the deepest level has more.
    case = NetworkCase(subject=subject, side=max(64, 2 * multiple), call=call_generator, multiple=multiple)
    own_checks = (
        networks.check_parameters,
        check_output_shape,
        check_tiny_photographs,
        check_value_range,
        check_auxiliary_outputs,
    )
    checks = [*own_checks, *checks_of_both, check_mask_use]
    return [*first, *run_checks(case, checks), *run_checks(subject, [check_seeded_weights])]


def call_generator(network: Generator | nn.Module, pairs: Batch) -> dict[str, Tensor]:
    """Call a generator and return the restored pictures as "restored", and its auxiliary outputs by name."""
    result = network(pairs.image, pairs.mask)
    if not isinstance(result, tuple):
        result = (result, {})
    is_pair = len(result) == 2 and hasattr(result[1], "items")
    require(is_pair, "return a tensor, or a tensor and a dict of named outputs")
    restored, auxiliary = result
    require(isinstance(restored, Tensor), f"it returned {type(restored).__name__}, not a tensor")
    return {"restored": restored, **auxiliary}


def call_network(network: nn.Module, pairs: Batch) -> dict[str, Tensor]:
    """Call a network that restores no pictures, and return its maps."""
    maps = network(pairs.image, pairs.mask)
    is_tensor = isinstance(maps, Tensor) and maps.dim() == 4 and len(maps) == len(pairs.image)
    require(is_tensor, "network(image, mask) must return a tensor (B, C, h, w)")
    return {"maps": maps}


@torch.no_grad()
def check_maps(case: NetworkCase) -> str:
    """A network that restores no pictures gives maps (B, C, h, w) of pictures whose sides are multiples of 64."""
    shapes = [
        list(case.call(case.eval_network(), examples.batch(*size))["maps"].shape) for size in ((64, 64), (64, 128))
    ]
    require(shapes[0][1] == shapes[1][1], f"the number of maps changes with the size: {shapes[0][1]}, {shapes[1][1]}")
    return f"{shapes[0][1]} of 64x64 pictures, {shapes[0][2]}x{shapes[0][3]}"


def check_size_multiple(subject: Subject) -> str:
    """The generator takes pictures whose sides are multiples of some number; restoring probes it in the same way."""
    try:
        multiple = _probe_multiple(subject)
    except (AttributeError, TypeError) as error:
        raise ContractError(f"generator(image, mask) raised {error_text(error)}") from error
    return "any size" if multiple == 1 else f"sides that are multiples of {multiple}"


def _probe_multiple(subject: Subject) -> int:
    network = subject.component
    require(isinstance(network, nn.Module), f"build returned {type(network).__name__}, not a torch.nn.Module")
    return probe_multiple(network.eval(), torch.device("cpu"))


@torch.no_grad()
def check_output_shape(case: NetworkCase) -> str:
    """The output has the size of the input: oblong, with odd sides if they are allowed, one or three in a batch."""
    multiple = case.multiple
    odd = 1 if multiple == 1 else 0
    sizes = [(case.side + odd, case.side + multiple), (case.side + 3 * multiple, case.side)]
    network = case.eval_network()
    for count, (height, width) in zip((1, 3), sizes, strict=True):
        pairs = examples.batch(height, width, size=count)
        shape = case.call(network, pairs)["restored"].shape
        require(shape == pairs.image.shape, f"{list(pairs.image.shape)} comes back as {list(shape)}; keep B, H and W")
    photograph = examples.sample(case.side - 3, case.side + 7, damaged=True)
    restored = _restorer(case)(photograph.image, photograph.mask)
    require(restored.shape == photograph.image.shape, "a photograph with odd sides comes back with another size")
    return ", ".join(f"{height}x{width}" for height, width in [*sizes, photograph.image.shape[:2]])


def _restorer(case: NetworkCase) -> Restorer:
    return Restorer(network=case.eval_network(), keep="none", device=torch.device("cpu"), multiple=case.multiple)


def check_tiny_photographs(case: NetworkCase) -> str:
    """A photograph of one pixel can be restored."""
    photograph = examples.sample(1, 1, damaged=False)
    try:
        _restorer(case)(photograph.image, photograph.mask)
    except PluginError as error:
        return Note(f"it can't restore a photograph of 1x1: {error_text(error.__cause__ or error)}")
    return "down to 1x1"


@torch.no_grad()
def check_value_range(case: NetworkCase) -> str:
    """Restored pictures have values in [0, 1], with initial weights and with others."""
    for network in (case.eval_network(), case.noisy_network(), case.noisy_network(1).eval()):
        for name, pairs in examples.extremes(case.side, case.side).items():
            restored = case.call(network, pairs)["restored"]
            require_comparable(restored)
            lowest, highest = float(restored.min()), float(restored.max())
            is_in_range = lowest >= -ROUNDING and highest <= 1 + ROUNDING
            require(
                is_in_range,
                f"values from {lowest:.3g} to {highest:.3g} for {name}; end in a sigmoid or a clamp to [0, 1]",
            )
    return "within [0, 1]"


def check_auxiliary_outputs(case: NetworkCase) -> str:
    """The named outputs are those that the spec declares, a loss can use their shapes, and they train the network."""
    spec = case.subject.spec
    assert isinstance(spec, GeneratorSpec)
    declared = spec.auxiliary_of(case.subject.bound.params)
    for network in (case.noisy_network(), case.noisy_network().eval()):
        mode = "train" if network.training else "eval"
        outputs = case.call(network, case.pairs())
        del outputs["restored"]
        missing = sorted(set(declared) - set(outputs))
        undeclared = sorted(set(outputs) - set(declared))
        require(not missing, f"in {mode} mode it returns no {join_names(missing)}, which its spec declares")
        require(
            not undeclared,
            f"it returns {join_names(undeclared)}, which its spec does not declare; add auxiliary = (…) there",
        )
        for name, value in outputs.items():
            channels = "K" if name == CLASSES else "1 or 3"
            is_usable = is_auxiliary(value, name, len(case.pairs().image))
            require(is_usable, f"{name} is {list(value.shape)}; it must be (B, C, h, w), C = {channels}")
            require(
                value.requires_grad or not network.training or not _depends_on_weights(case, name),
                f"{name} has no gradient, so a loss on it would train nothing; remove detach(), no_grad and numpy",
            )
    return ", ".join(declared) or "none"


@torch.no_grad()
def _depends_on_weights(case: NetworkCase, name: str) -> bool:
    """Return whether an auxiliary output changes with the weights that are trained: one of frozen weights may not."""
    network = case.noisy_network().eval()
    before = case.call(network, case.pairs())[name].clone()
    add_noise(network, seed=1)
    return not torch.equal(before, case.call(network, case.pairs())[name])


def check_mask_use(case: NetworkCase) -> str:
    """Report whether the mask changes the result, which is the author's choice."""
    pairs = case.pairs()
    is_used = depends_on(case, mask=1 - pairs.mask)
    return Note("the mask changes the result" if is_used else "the mask is ignored")
