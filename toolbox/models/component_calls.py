"""Call components and check what they return: type, shape and dtype, and whether they wrote into their inputs.

The checks need no values from the device, so that no call waits for it. The first call of each component in each mode
(training, validation) also compares its inputs before and after, since a write through NumPy or `.data` leaves no other
trace.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from toolbox.hooks import blame
from toolbox.hooks.isolated_call import call_isolated
from toolbox.hooks.protocols import PenaltyContext
from toolbox.models.component_watch import WatchedComponent, watch_of
from toolbox.models.gradient_checks import (
    require_arriving_gradient,
    require_computable_gradient,
    require_gradient,
    require_picture_gradient,
    require_second_derivative,
    require_value_gradient,
    warn_of_outside_weights,
)
from toolbox.models.input_watch import InputWatch, backward_passes, gradient_versions
from toolbox.models.module_state import (
    kept_graph,
    replaced_weight,
    state_change,
    state_shapes,
    unsaved_change,
    unsaved_modules,
    unsaved_versions,
)

# The auxiliary output that has a channel for each class of colours, see docs/hooks/generators.md; the numbers of
# channels of the others.
CLASSES = "classes"
CHANNELS = (1, 3)
Inputs = Mapping[str, Tensor]


def call_generator(network: Callable[..., Any], image: Tensor, mask: Tensor) -> tuple[Tensor, Mapping[str, Tensor]]:
    """Return a generator's pictures (B, 3, H, W), and its auxiliary outputs by name.

    Raises:
        WrongResultError: it returned something else, or wrote into its inputs. Its own errors are raised as they are.
    """
    watch = watch_of(network)
    result = call_network(network, {"image": image, "mask": mask})
    pair = result if isinstance(result, tuple) else (result, {})
    if len(pair) != 2 or not isinstance(pair[1], Mapping):
        raise blame.wrong_result(watch.entry, network, f"returned {describe(result)}; return a tensor, or a pair")
    restored, auxiliary = pair
    if not isinstance(restored, Tensor) or not restored.is_floating_point():
        raise blame.wrong_result(watch.entry, network, f"returned {describe(restored)}; return a tensor of pictures")
    if restored.shape != image.shape:
        fault = f"gives {list(restored.shape)} for {list(image.shape)}; keep the size of the pictures"
        raise blame.wrong_result(watch.entry, network, fault)
    if restored.dtype != image.dtype and not torch.is_autocast_enabled(image.device.type):
        fault = f"gives {restored.dtype} for {image.dtype}; keep the dtype of the pictures"
        raise blame.wrong_result(watch.entry, network, fault)
    for name, value in auxiliary.items():
        if not isinstance(value, Tensor):
            fault = f"returned {describe(value)} as its output '{name}'; return a tensor"
            raise blame.wrong_result(watch.entry, network, fault)
    if not torch.is_grad_enabled():
        # A generator that differentiates inside `forward` may return tensors with gradients here too.
        restored, auxiliary = _detached(restored), {name: _detached(value) for name, value in auxiliary.items()}
    outputs = [restored, *auxiliary.values()]
    require_gradient(watch, network, outputs, "pictures")
    require_computable_gradient(watch, network, outputs, [image, mask])
    warn_of_outside_weights(watch, network, outputs, [image, mask])
    return restored, auxiliary


def call_network(network: Callable[..., Any], inputs: Inputs) -> Any:  # noqa: ANN401
    """Return what a network returns for its inputs, which are in the order of its arguments.

    Raises:
        WrongResultError: it changes what it must not, see `_call`. Its own errors are raised as they are.
    """
    return _call(watch_of(network), network, inputs, *inputs.values())


def output_for_loss(network: object, outputs: Mapping[str, Tensor], name: str, loss: str, count: int) -> Tensor:
    """Return the output of a generator that a loss uses: (B, 1, h, w) or (B, 3, h, w), or its `classes` (B, K, h, w).

    Args:
        network: the generator.
        outputs: its outputs by name.
        name: the name of the output.
        loss: what messages call the loss, such as "losses.mse".
        count: B.

    Raises:
        WrongResultError: the output is missing, or has another shape.
    """
    entry, output = watch_of(network).entry, outputs.get(name)
    if output is None:
        fault = f"returned no output '{name}', which {loss} uses; its outputs: {', '.join(sorted(outputs))}"
        raise blame.wrong_result(entry, network, fault)
    if not is_auxiliary(output, name, count):
        shapes = f"({count}, K, h, w)" if name == CLASSES else f"({count}, 1, h, w) or ({count}, 3, h, w)"
        fault = f"returned {describe(output)} as its output '{name}', which {loss} uses; return {shapes}"
        raise blame.wrong_result(entry, network, fault)
    return output


def is_auxiliary(output: Tensor, name: str, count: int) -> bool:
    """Return whether a tensor has a shape that an output of this name may have for `count` pictures."""
    has_channels = output.dim() == 4 and (name == CLASSES or output.shape[1] in CHANNELS)
    return has_channels and len(output) == count


def require_finite(network: object, pictures: Tensor) -> None:
    """Raise WrongResultError if a generator's pictures are not finite. It waits for the device."""
    if not pictures.isfinite().all():
        entry = watch_of(network).entry
        raise blame.wrong_result(entry, network, "gives values that are not finite for this photograph")


def call_discriminator(network: Callable[..., Any], picture: Tensor, image: Tensor, mask: Tensor) -> list[Tensor]:
    """Return a discriminator's maps (B, 1, h, w); errors as `call_generator`."""
    watch = watch_of(network)
    inputs = {"picture": picture, "image": image, "mask": mask}
    maps = call_network(network, inputs)
    if not isinstance(maps, list | tuple) or not maps:
        raise blame.wrong_result(watch.entry, network, f"returned {describe(maps)}; return [map]")
    for value in maps:
        is_map = isinstance(value, Tensor) and value.is_floating_point() and value.dim() == 4
        if not is_map or value.shape[:2] != (len(picture), 1):
            fault = f"returned {describe(value)} as a map of {len(picture)} pictures"
            raise blame.wrong_result(watch.entry, network, fault)
    require_gradient(watch, network, maps, "maps")
    require_computable_gradient(watch, network, maps, list(inputs.values()))
    require_picture_gradient(watch, network, maps, picture)
    warn_of_outside_weights(watch, network, maps, list(inputs.values()))
    return list(maps)


def call_loss(
    watch: WatchedComponent, loss: Callable[..., Any], restored: Tensor, truth: Tensor, mask: Tensor
) -> Tensor:
    """Return the value of a reconstruction loss, a scalar; errors as `call_generator`."""
    inputs = {"restored": restored, "truth": truth, "mask": mask}
    value = _scalar(watch, loss, _call(watch, loss, inputs, restored, truth, mask))
    require_computable_gradient(watch, loss, [value], [restored])
    require_value_gradient(watch, loss, [value], [restored])
    require_arriving_gradient(watch, loss, value, [restored])
    warn_of_outside_weights(watch, loss, [value], [restored])
    return value


def call_adversarial_generator(
    watch: WatchedComponent,
    loss: Any,  # noqa: ANN401
    fake: list[Tensor],
    real: list[Tensor] | None,
) -> Tensor:
    """Return the generator's part of an adversarial loss, a scalar; errors as `call_generator`."""
    function = blame.call(watch.entry, getattr, loss, "generator")
    inputs = _named(fake=fake, real=real or [])
    value = _scalar(watch, function, _call_on_maps(watch, function, fake, real))
    require_computable_gradient(watch, function, [value], list(inputs.values()), "generator")
    require_value_gradient(watch, function, [value], fake, "generator")
    require_arriving_gradient(watch, function, value, fake, "generator")
    warn_of_outside_weights(watch, function, [value], list(inputs.values()), "generator")
    return value


def call_adversarial_discriminator(
    watch: WatchedComponent,
    loss: Any,  # noqa: ANN401
    fake: list[Tensor],
    real: list[Tensor],
) -> tuple[Tensor, Tensor]:
    """Return the discriminator's part of an adversarial loss, two scalars; errors as `call_generator`."""
    function = blame.call(watch.entry, getattr, loss, "discriminator")
    pair = _call_on_maps(watch, function, fake, real)
    if not isinstance(pair, tuple | list) or len(pair) != 2:
        raise blame.wrong_result(watch.entry, function, f"returned {describe(pair)}; return two scalars")
    on_fake, on_real = (_scalar(watch, function, value) for value in pair)
    require_computable_gradient(watch, function, [on_fake, on_real], [*fake, *real], "discriminator")
    require_value_gradient(watch, function, [on_fake, on_real], [*fake, *real], "discriminator")
    warn_of_outside_weights(watch, function, [on_fake, on_real], [*fake, *real], "discriminator")
    return on_fake, on_real


def call_penalty(
    watch: WatchedComponent, penalty: Callable[..., Any], context: PenaltyContext, network: object = None
) -> Tensor:
    """Return the value of a penalty on the discriminator `network`, a scalar; errors as `call_generator`."""
    maps = _named(**{"context.real_maps": context.real_maps, "context.fake_maps": context.fake_maps})
    inputs = {"context.real": context.real, "context.fake": context.fake, **maps}
    value = _scalar(watch, penalty, _call(watch, penalty, inputs, context))
    require_second_derivative(watch, penalty, value, context, watch_of(network), network)
    require_value_gradient(watch, penalty, [value], context.real_maps)
    return value


def describe(value: object) -> str:
    """Return what a value is, for messages: its type, and the shape and dtype of a tensor."""
    if isinstance(value, Tensor):
        kind = "" if value.is_floating_point() else f"{value.dtype} "
        kind += "meta " if value.is_meta else "sparse " if value.layout != torch.strided else ""
        return f"a {kind}tensor {list(value.shape)}"
    if isinstance(value, list | tuple):
        return f"a {type(value).__name__} of {len(value)}"
    return "None" if value is None else f"a {type(value).__name__}"


def _call(watch: WatchedComponent, function: Callable[..., Any], inputs: Inputs, /, *arguments: object) -> Any:  # noqa: ANN401
    """Call a component; WrongResultError if it changes what it must not.

    That is one of `inputs`, by their names, the gradients of weights, the state that checkpoints leave out, and the
    names and shapes of the state that they hold.
    """
    watch.calls += 1
    module = getattr(function, "__self__", function)
    part = "" if module is function else str(getattr(function, "__name__", ""))
    mode = (part, torch.is_grad_enabled(), bool(getattr(module, "training", True)))
    is_first = watch.entry is not None and mode not in watch.modes
    watch.modes.add(mode)
    shapes = state_shapes(module) if is_first else {}
    if is_first:
        watch.unsaved = unsaved_modules(module)
    unsaved = unsaved_versions(watch.unsaved)
    weights = dict(module.named_parameters()) if is_first and isinstance(module, nn.Module) else {}
    gradients = gradient_versions(weights.values())
    input_watch = InputWatch(inputs, compare=is_first)
    with backward_passes(inputs.values() if is_first else ()) as changed:
        result = call_isolated(watch.entry, function, *arguments)
    if changed or gradients != gradient_versions(weights.values()):
        fault = "changes the gradients of the networks, as backward() does; return the value only"
        raise blame.wrong_result(watch.entry, function, fault)
    if is_first:
        change = state_change(shapes, state_shapes(module)) or replaced_weight(weights, module) or kept_graph(module)
        if change:
            raise blame.wrong_result(watch.entry, function, change)
    if fault := input_watch.fault():
        raise blame.wrong_result(watch.entry, function, fault)
    if fault := unsaved_change(unsaved, unsaved_versions(watch.unsaved)):
        raise blame.wrong_result(watch.entry, function, fault)
    return result


def _call_on_maps(
    watch: WatchedComponent, function: Callable[..., Any], fake: list[Tensor], real: list[Tensor] | None
) -> Any:  # noqa: ANN401
    """Call a part of an adversarial loss as `_call` does; WrongResultError if it changes the lists of maps, too."""
    own_fake, own_real = list(fake), None if real is None else list(real)
    result = _call(watch, function, _named(fake=fake, real=real or []), own_fake, own_real)
    for name, given, own in (("fake", fake, own_fake), ("real", real or [], own_real or [])):
        if [id(value) for value in given] != [id(value) for value in own]:
            raise blame.wrong_result(watch.entry, function, f"changes the list `{name}`, its input; work on a copy")
    return result


def _detached(value: Tensor) -> Tensor:
    return value.detach() if value.requires_grad else value


def _scalar(watch: WatchedComponent, function: object, value: Any) -> Tensor:  # noqa: ANN401 - whatever was returned
    has_values = isinstance(value, Tensor) and value.layout == torch.strided and not value.is_meta
    if has_values and value.dim() == 0 and value.is_floating_point():
        return cast(Tensor, value)
    remedy = "; take the mean" if isinstance(value, Tensor) and value.dim() else ""
    raise blame.wrong_result(watch.entry, function, f"returned {describe(value)}, not a scalar tensor{remedy}")


def _named(**maps: Sequence[Tensor]) -> dict[str, Tensor]:
    return {f"{name}[{index}]": value for name, values in maps.items() for index, value in enumerate(values)}
