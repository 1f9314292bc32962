"""Check that what components return has a gradient: what has none trains nothing, without an error of torch.

The checks need no values from the device, but for a value without gradient, which may be 0 on purpose.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from toolbox.distributed.shards import is_sharded
from toolbox.errors import brief
from toolbox.hooks import blame
from toolbox.hooks.isolation import PluginWarning
from toolbox.models.autograd_graph import (
    depends_on,
    has_custom_function,
    has_failing_node,
    kept_weights,
    outside_weights,
    weights_of,
)
from toolbox.utils.memory import is_out_of_memory

if TYPE_CHECKING:
    from toolbox.hooks.protocols import PenaltyContext
    from toolbox.models.component_watch import WatchedComponent

# A component whose values are 0 without gradient so many times trains nothing, as far as is known.
ZERO_CALLS = 20
# What to do about a gradient that can't be computed.
DIFFERENTIABLE = (
    "differentiate through no function that is marked with once_differentiable, detaches in `backward`, or has no "
    "second derivative in torch"
)


def require_gradient(watch: WatchedComponent, network: object, outputs: Sequence[Tensor], what: str) -> None:
    """Raise WrongResultError if a network that trains returns only outputs without gradient; `what` names them."""
    if _trains(network) and not any(value.requires_grad for value in outputs):
        fault = f"returned {what} without gradient, so nothing trains it; remove detach(), no_grad and NumPy from it"
        raise blame.wrong_result(watch.entry, network, fault)


def require_picture_gradient(watch: WatchedComponent, network: object, maps: Sequence[Tensor], picture: Tensor) -> None:
    """Raise WrongResultError if no map of a discriminator has a gradient in its picture, though that requires one."""
    if torch.is_grad_enabled() and picture.requires_grad and not any(depends_on(value, [picture]) for value in maps):
        raise no_picture_gradient(watch, network)


def no_picture_gradient(watch: WatchedComponent, network: object) -> blame.WrongResultError:
    """Return the error for a discriminator whose maps have no gradient in its picture."""
    fault = (
        "returned maps without gradient in `picture`, so the generator can't learn from it; remove detach(), no_grad, "
        "NumPy and a `backward` that returns None from it"
    )
    return blame.wrong_result(watch.entry, network, fault)


def require_weight_gradient(watch: WatchedComponent, network: nn.Module) -> None:
    """Raise WrongResultError if the backward passes of its losses have given no weight of a network a gradient."""
    weights = [weight for weight in network.parameters() if weight.requires_grad]
    if weights and all(weight.grad is None for weight in weights):
        fault = (
            "gets no gradient in any weight from its losses, so nothing trains it; remove a `backward` that returns "
            "None from it, or from them"
        )
        raise blame.wrong_result(watch.entry, network, fault)


def require_computable_gradient(
    watch: WatchedComponent, function: object, values: Sequence[Tensor], inputs: Sequence[Tensor], part: str = ""
) -> None:
    """Raise WrongResultError if a gradient inside a component can't be computed: in its first call with gradients.

    A backward pass ends with an error of torch that names nobody, or skips that gradient without an error.
    """
    if watch.entry is None or part in watch.searched or any(has_failing_node(tensor) for tensor in inputs):
        return
    if any(has_failing_node(value) for value in values):
        raise _not_computable(watch, function)


def require_arriving_gradient(
    watch: WatchedComponent, function: object, value: Tensor, inputs: Sequence[Tensor], part: str = ""
) -> None:
    """Raise WrongResultError if the gradient of a value does not reach its inputs: in its first call with gradients.

    Only an autograd function that is written in Python can stop it without an error, by a `backward` that returns None.
    """
    trained = [tensor for tensor in inputs if tensor.requires_grad]
    if watch.entry is None or part in watch.searched or not trained or not depends_on(value, trained):
        return
    if not has_custom_function(value):
        return
    try:
        gradients = torch.autograd.grad(value, trained, retain_graph=True, allow_unused=True)
    except RuntimeError:  # a graph that can be run once only; the training step says what is wrong with others
        return
    if all(gradient is None for gradient in gradients):
        fault = "gives no gradient, so it trains nothing: a `backward` in it returns None; return the gradient there"
        raise blame.wrong_result(watch.entry, function, fault)


def _not_computable(watch: WatchedComponent, function: object) -> blame.WrongResultError:
    fault = f"returned a value whose gradient can't be computed, so a part of it trains nothing; {DIFFERENTIABLE}"
    return blame.wrong_result(watch.entry, function, fault)


def require_output_gradient(watch: WatchedComponent, network: object, output: Tensor, name: str, loss: str) -> None:
    """Raise WrongResultError if a generator that trains returned an output without gradient, which `loss` uses."""
    if _trains(network) and not output.requires_grad:
        fault = (
            f"returned its output '{name}' without gradient, so {loss} trains nothing; remove detach(), no_grad, "
            f"integers and NumPy from it, or set {loss}.weight to 0"
        )
        raise blame.wrong_result(watch.entry, network, fault)


def require_value_gradient(
    watch: WatchedComponent, function: object, values: Sequence[Tensor], inputs: Sequence[Tensor], part: str = ""
) -> None:
    """Raise WrongResultError if no value has a gradient though the inputs have one: the component trains nothing.

    If earlier values had one, it only warns, once. A value of 0 is not judged: a penalty of every
    16th step is 0 in the others. If all values are such for `ZERO_CALLS` calls, it warns too.
    """
    if not watch.trains or watch.entry is None or not torch.is_grad_enabled():
        return
    if not any(tensor.requires_grad for tensor in inputs):
        return
    if watch.entry.kind == "penalty":
        # It may call the discriminator again instead of using its maps; then its value depends on the same weights.
        inputs = weights_of(inputs)
    if any(depends_on(value, inputs) for value in values):
        watch.trained.add(part)
        return
    if not any(bool(value.detach().any()) for value in values):
        if watch.calls == ZERO_CALLS and part not in watch.trained and not watch.is_resumed:
            line = f"{blame.title(watch.entry)} has returned 0 without gradient {ZERO_CALLS} times; it trains nothing"
            warnings.warn(line, PluginWarning, stacklevel=3)
        return
    cause = "remove detach(), no_grad, item(), torch.tensor() and NumPy from it"
    if watch.entry.kind == "penalty":
        cause = f"pass create_graph=True to torch.autograd.grad, and {cause}"
    if not watch.is_resumed and part not in watch.trained:
        fault = (
            f"returned a value without gradient, so it trains nothing; {cause}. If this is on purpose, set its weight "
            "to 0, or give it a param `detach` that is true"
        )
        raise blame.wrong_result(watch.entry, function, fault)
    watch.trains = False
    line = f"{blame.title(watch.entry)} returned a value without gradient, which its earlier values had; {cause}"
    warnings.warn(line, PluginWarning, stacklevel=3)


def require_second_derivative(
    watch: WatchedComponent,
    penalty: object,
    value: Tensor,
    context: PenaltyContext,
    judge: WatchedComponent,
    network: object,
) -> None:
    """Raise WrongResultError if the gradient of a penalty's value can't be computed, or a part of it.

    A backward pass for the weights skips such a part without an error, so that it trains nothing. If the discriminator
    `network`, whose watch is `judge`, has no second derivative, it is blamed, otherwise the penalty. Only values until
    the first good one are tested.
    """
    if watch.trained or not watch.trains or watch.entry is None or not torch.is_grad_enabled():
        return
    weights, is_broken = weights_of(context.real_maps), has_failing_node(value)
    if not weights or not (is_broken or (not depends_on(value, weights) and bool(value.detach().any()))):
        return
    reason = "" if judge.entry is None else second_derivative_fault(context.discriminate, context.real)
    if reason:
        title = blame.title(watch.entry)
        fault = f"has no second derivative, so a part of {title} trains nothing ({reason}); {DIFFERENTIABLE}, or leave "
        raise blame.wrong_result(judge.entry, network, f"{fault}that penalty out of the recipe")
    if is_broken:
        raise _not_computable(watch, penalty)


def second_derivative_fault(
    discriminate: Callable[[Tensor], list[Tensor]], picture: Tensor, *, is_squared: bool = True
) -> str:
    """Return why a discriminator has no second derivative, which gradient penalties need; empty if it has one.

    It is that of the sum of its squared maps; or of its maps, as in most penalties, for which a last layer that is
    linear needs none.
    """
    picture = picture.detach().requires_grad_()
    maps = discriminate(picture)
    total = torch.stack([(values.square() if is_squared else values).sum() for values in maps]).sum()
    try:
        (gradient,) = torch.autograd.grad(total, picture, create_graph=True)
        if not gradient.requires_grad:
            return "its gradient in the picture is detached"
        # For all weights, because a backward pass for some skips the nodes that raise an error.
        torch.autograd.grad(gradient.sum(), weights_of([gradient]), allow_unused=True)
    except RuntimeError as error:
        if is_out_of_memory(error):
            raise
        return brief(error)
    return ""


def warn_of_outside_weights(
    watch: WatchedComponent, function: object, values: Sequence[Tensor], inputs: Sequence[Tensor], part: str = ""
) -> None:
    """Warn of weights outside of a component's module, which nothing trains, in its first calls with gradients.

    An adversarial loss has two parts, each with first calls. The second call tells a weight from a point at which the
    component differentiates. A network with sharded weights is not searched: its
    values have the gathered weights in their graph.
    """
    if watch.entry is None or part in watch.searched or not any(value.requires_grad for value in values):
        return
    if isinstance(function, nn.Module) and is_sharded(function):
        watch.searched.add(part)
        return
    is_second = part in watch.outside
    found = [weight for value in values for weight in outside_weights(function, value, inputs)]
    outside = kept_weights(watch.outside.pop(part, []) or found, found if is_second else [])
    if found and not outside and not is_second:
        watch.outside[part] = found
        return
    watch.searched.add(part)
    if outside:
        warnings.warn(
            f"{blame.title(watch.entry)} has weights outside of a torch.nn.Module (a tensor {list(outside[0].shape)}), "
            "which nothing trains and no checkpoint has; make it a Module that has them, or call requires_grad_(False)",
            PluginWarning,
            stacklevel=3,
        )


def _trains(network: object) -> bool:
    """Return whether a network is called to be trained, and has weights that are."""
    if not isinstance(network, nn.Module) or not network.training or not torch.is_grad_enabled():
        return False
    return any(weight.requires_grad for weight in network.parameters())
