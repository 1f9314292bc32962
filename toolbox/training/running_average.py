"""The running average of a generator's weights and buffers."""

from __future__ import annotations

import copy
from typing import Any

from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from toolbox.distributed.fsdp import local_shards
from toolbox.errors import one_line
from toolbox.hooks import blame
from toolbox.hooks.blame import WrongResultError
from toolbox.models.component_watch import watch_of


def running_average(network: nn.Module, decay: float) -> AveragedModel:
    """Return a running average of a network's weights and buffers (BatchNorm's among them).

    The decay of step n is the smaller of `decay` and (1 + n) / (10 + n), so that the initial weights don't dominate
    the average of a short run.

    Raises:
        WrongResultError: the network can't be copied.
    """

    def update(average: Any, current: Any, _: Any) -> None:  # noqa: ANN401 - torch's own signature
        # This counter stays on the CPU, so reading it waits for no device.
        step = int(averaged.n_averaged)
        get_ema_multi_avg_fn(min(decay, (1 + step) / (10 + step)))(local_shards(average), local_shards(current), None)

    # Torch would copy the network in a way that fails for some; see `_copy`.
    averaged = AveragedModel(nn.Identity(), multi_avg_fn=update, use_buffers=True)
    averaged.module = _copy(network)
    return averaged


def _copy(network: nn.Module) -> nn.Module:
    """Return a copy of a network whose weights require no gradients.

    Torch copies no tensor that was computed from weights, such as the weight that the hook of `nn.utils.weight_norm`
    computes before each call. Its value is copied. The copied weights of `torch.jit.script` are the results of an
    operation; they are detached.
    """
    if hook := _tied_hook(network):
        reason = f"the hook {hook} writes into the network that it was registered for, also when the copy runs"
        remedy = "register a method of the module, which is copied with it"
        raise _refusal(network, reason, remedy)
    attributes = (value for module in network.modules() for value in vars(module).values())
    computed = {
        id(value): value.detach().clone() for value in attributes if isinstance(value, Tensor) and not value.is_leaf
    }
    try:
        copied = copy.deepcopy(network, computed)
    except Exception as error:  # a plugin may hold anything
        if blame.is_of_the_machine(error):
            raise
        raise _refusal(network, f"copy.deepcopy raises {type(error).__name__}: {one_line(error)}") from error
    for weight in copied.parameters():
        weight.detach_()
    if _names(copied) != _names(network):
        raise _refusal(network, "its copy has other weights; a part from torch.jit shares some with another part")
    return copied


def _names(network: nn.Module) -> list[str]:
    return [name for name, _ in [*network.named_parameters(), *network.named_buffers()]]


def _tied_hook(network: nn.Module) -> str:
    """Return the name of a hook that holds a module of the network, or its list or dict, in a closure; "" for none.

    Python copies no functions, so that the hook of a copy still holds those of the original.
    """
    modules = list(network.modules())
    held = {id(value) for module in modules for value in vars(module).values() if isinstance(value, list | dict | set)}
    held.update(map(id, modules))
    for module in modules:
        for hook in (*module._forward_hooks.values(), *module._forward_pre_hooks.values()):
            cells = getattr(hook, "__closure__", None) or ()
            if any(id(cell.cell_contents) in held for cell in cells):
                return str(getattr(hook, "__qualname__", hook))
    return ""


def _refusal(network: nn.Module, reason: str, remedy: str = "let copy.deepcopy copy it") -> WrongResultError:
    fault = f"can't be copied for training.average ({reason}); {remedy}, or leave training.average out"
    return blame.wrong_result(watch_of(network).entry, network, fault)
