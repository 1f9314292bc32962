"""The state of a component that is a module: which of it is trained, and which of it is saved."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping, Set
from types import ModuleType

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from toolbox.distributed.shards import has_shards
from toolbox.hooks import blame
from toolbox.hooks.catalog import Entry
from toolbox.hooks.isolation import PluginWarning
from toolbox.models import component_watch
from toolbox.models.input_watch import version
from toolbox.models.weight_file import saved_state, unsaved_prefixes

# Attributes that a module has besides those of its author: torch's tables, and the watch of its calls.
_OWN_ATTRIBUTES = {*vars(nn.Module()), component_watch.ATTRIBUTE}
UNSAVED = "`checkpoint = False` keeps out of checkpoints"
# What is wrong with a weight that is not the one that the run was built with.
REPLACED = (
    "its optimizer trains the weights that were there when it was built; compute a tensor without storing it as a "
    "weight, or write the values into the weight under torch.no_grad()"
)
# The kinds whose modules a run converts to its precision, changes and saves.
CONVERTED = frozenset(("generator", "discriminator", "loss", "penalty", "step"))


def require_usable_state(module: nn.Module, entry: Entry) -> None:
    """Raise WrongResultError for weights and buffers without values, and for those that a run can't train or save."""
    fault = _fault(module) or (_conversion_fault(module) if entry.kind in CONVERTED else "")
    if fault:
        raise blame.wrong_result(entry, module, fault)


def give_own_memory(module: nn.Module) -> None:
    """Copy the expanded weights and buffers: their elements share memory, so that nothing can write into them."""
    for value in (*module.parameters(), *module.buffers()):
        has_strides = value.layout == torch.strided and not value.is_nested
        if has_strides and any(step == 0 and size > 1 for step, size in zip(value.stride(), value.shape, strict=True)):
            value.data = value.data.contiguous()


def unsaved_modules(module: object) -> tuple[tuple[str, nn.Module], ...]:
    """Return the modules inside a module, by name, whose state is not saved; nothing for what is no module."""
    if not isinstance(module, nn.Module):
        return ()
    prefixes = unsaved_prefixes(module)
    return tuple((name, inner) for name, inner in module.named_modules() if f"{name}.".startswith(prefixes))


def unsaved_versions(modules: tuple[tuple[str, nn.Module], ...]) -> dict[str, int | None]:
    """Return the versions of the weights and buffers that modules have themselves, by name; see `version`."""
    return {
        f"{name}.{key}".lstrip("."): version(value)
        for name, inner in modules
        for key, value in [*inner.named_parameters(recurse=False), *inner.named_buffers(recurse=False)]
    }


def unsaved_change(before: Mapping[str, int | None], after: Mapping[str, int | None]) -> str:
    """Return which of the `unsaved_versions` a call has changed, and what to do; empty if it has changed none."""
    name = next((name for name, value in after.items() if before.get(name) != value), "")
    remedy = "keep that module in eval mode (override train), or remove that line"
    return f"changes {name}, which {UNSAVED}; {remedy}" if name else ""


def unsaved_values(module: nn.Module) -> dict[str, Tensor]:
    """Return the tensors of a module that checkpoints do not have, by name.

    They belong to modules with ``checkpoint = False``, are buffers that are not persistent, or are in other attributes:
    tensors, and tensors and modules in lists, tuples, dicts and plain objects. Without those that `spectral_norm`,
    `weight_norm` and `prune` of torch.nn.utils compute from weights before each call.
    """
    state, saved = module.state_dict(), saved_state(module)
    values = {name: value for name, value in state.items() if name not in saved and isinstance(value, Tensor)}
    values |= {name: value for name, value in module.named_buffers() if name not in state}
    registered = {id(own) for own in (*module.modules(), *module.parameters(), *module.buffers())}
    for name, inner in module.named_modules():
        weights = dict(inner.named_parameters(recurse=False))
        for key, value in vars(inner).items():
            if key in _OWN_ATTRIBUTES or weights.keys() & {f"{key}_orig", f"{key}_g"}:
                continue
            values |= {f"{name}.{key}.{part}".strip("."): held for part, held in _held_tensors(value, registered)}
    # A traced module is held by another one: a second object for the same memory.
    known = {_address(value) for value in saved.values() if isinstance(value, Tensor)} - {0}
    return {name: value for name, value in values.items() if _address(value) not in known}


def _address(value: Tensor) -> int:
    """Return the address of a tensor's memory; 0 for one without memory of its own."""
    has_memory = value.layout == torch.strided and not (value.is_nested or value.is_meta or is_lazy(value))
    return value.data_ptr() if has_memory else 0


def _held_tensors(value: object, registered: Set[int], depth: int = 3) -> Iterator[tuple[str, Tensor]]:
    """Yield the tensors in a value and in what it holds, with the path to each, without the registered ones."""
    if id(value) in registered:
        return
    items: Iterable[tuple[object, object]] = ()
    if isinstance(value, Tensor):
        yield "", value
    elif isinstance(value, nn.Module):
        yield from ((name, tensor) for name, tensor in value.state_dict().items() if isinstance(tensor, Tensor))
    elif isinstance(value, Mapping):
        items = value.items()
    elif isinstance(value, list | tuple):
        items = enumerate(value)
    elif not isinstance(value, type | ModuleType):
        items = getattr(value, "__dict__", {}).items()
    if depth:
        for key, item in list(items):
            for name, tensor in _held_tensors(item, registered, depth - 1):
                yield f"{key}.{name}".rstrip("."), tensor


def differing_value(values: Mapping[str, Tensor], others: Mapping[str, Tensor]) -> str:
    """Return the name of the first tensor that is not the same in both; empty if all of them are."""
    return next((name for name, value in values.items() if not _is_same(value, others.get(name))), "")


def _is_same(value: Tensor, other: Tensor | None) -> bool:
    if other is None or value.shape != other.shape or value.dtype != other.dtype:
        return False
    if value.layout != torch.strided or value.is_nested or value.is_quantized or value.is_meta:
        return True  # such values can't be compared
    return bool(((value == other) | ((value != value) & (other != other))).all())


def state_shapes(module: object) -> dict[str, tuple[int, ...]]:
    """Return the shapes of a module's saved state, by name; nothing for what is no module."""
    if not isinstance(module, nn.Module):
        return {}
    return {name: tuple(value.shape) for name, value in saved_state(module).items()}


def state_change(before: Mapping[str, tuple[int, ...]], after: Mapping[str, tuple[int, ...]]) -> str:
    """Return how the names or shapes of a module's saved state have changed in a call; empty if they have not."""
    remedy = "create it in build, with the shape that it keeps, because it is trained and saved as it was built"
    for name, shape in after.items():
        if name not in before:
            return f"creates {name} in a call; {remedy}"
        if before[name] != shape:
            return f"changes the shape of {name} from {list(before[name])} to {list(shape)} in a call; {remedy}"
    removed = next(iter(before.keys() - after.keys()), "")
    return f"removes {removed} in a call; {remedy}" if removed else ""


def replaced_weight(before: Mapping[str, nn.Parameter], module: object) -> str:
    """Return which weight of a module a call has replaced by another tensor, and what to do; empty for none.

    Args:
        before: the weights before the call, by name.
        module: the module.
    """
    if not isinstance(module, nn.Module) or has_shards(before.values()):
        return ""  # a call may leave the whole weights in the place of shards
    for name, weight in module.named_parameters():
        old = before.get(name, weight)
        if old is not weight and (old.requires_grad or weight.requires_grad):
            return f"replaces the weight {name} in a call, and {REPLACED}"
    return ""


def kept_graph(module: object) -> str:
    """Return which buffer of a module has kept the graph of a call, and what to do; empty for none."""
    if not isinstance(module, nn.Module):
        return ""
    name = next((name for name, value in module.named_buffers() if value.grad_fn is not None), "")
    remedy = "write value.detach() into it, because the next backward pass would go through this call again"
    return f"keeps the graph of a call in its buffer {name}; {remedy}" if name else ""


def warn_of_untrained_weights(component: object, entry: Entry) -> None:
    """Warn of weights that require gradients in a component whose weights no optimizer gets.

    They are parameters, or other tensors in its attributes.
    """
    if not isinstance(component, nn.Module):
        return
    if next(_trained_weights([component]), None) is not None or next(_held_weights(component), None) is not None:
        warnings.warn(
            f"{blame.title(entry)} has weights that require gradients, and nothing trains them: besides networks, only "
            "losses have trained weights; call requires_grad_(False) on them",
            PluginWarning,
            stacklevel=2,
        )


def _fault(module: nn.Module) -> str:
    if not hasattr(module, "_parameters"):
        return f"is a {type(module).__name__} whose __init__ does not call super().__init__(); call it first"
    hidden = _unregistered_weights(module)
    if hidden:
        return (
            f"has weights in {hidden}, a plain list, tuple or dict, which nothing trains and no checkpoint has; make "
            "it a torch.nn.ModuleList, ModuleDict, ParameterList or ParameterDict, or, if each build gives it the same "
            "values, call requires_grad_(False)"
        )
    for name, value in [*module.named_parameters(), *module.named_buffers(), *unsaved_values(module).items()]:
        if is_lazy(value):
            return f"has {name} without a shape, from a lazy module; write the numbers of channels in build"
        if value.is_meta:
            return f"has {name} without values, on the device 'meta'; create it on the CPU"
    for name, value in saved_state(module).items():
        if not isinstance(value, Tensor):
            return (
                f"saves {name} as a {type(value).__name__} (get_extra_state), and checkpoints hold tensors only; keep "
                "it in a buffer"
            )
    prefixes = unsaved_prefixes(module)
    for name, weight in module.named_parameters():
        if weight.requires_grad and name.startswith(prefixes):
            return f"trains {name}, which {UNSAVED}; call requires_grad_(False) on that module, or remove that line"
    return ""


def _conversion_fault(module: nn.Module) -> str:
    for name, value in [*module.named_parameters(), *module.named_buffers()]:
        if value.is_complex():
            return (
                f"has {name}, which is complex, and a run converts it to real numbers; keep the real and the imaginary "
                "part, and join them with torch.complex where they are used"
            )
        if value.layout != torch.strided or value.is_nested or value.is_quantized:
            return f"has {name}, which is sparse, nested or quantized and can't be saved; make it an ordinary tensor"
        if value.is_inference() and not torch.is_inference_mode_enabled():
            return f"has {name} from torch.inference_mode, which can't be changed; create it in torch.no_grad instead"
    for name, value in module.named_buffers():
        if value.requires_grad:
            return f"has the buffer {name} with a gradient, which nothing trains; make it a Parameter, or detach() it"
    return ""


def _unregistered_weights(module: nn.Module) -> str:
    """Return the name of a list, tuple or dict with trained weights that the module does not have itself, or ""."""
    own = {id(weight) for weight in module.parameters()}
    held = _held_weights(module)
    return next((name for name, weight in held if isinstance(weight, nn.Parameter) and id(weight) not in own), "")


def _held_weights(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Yield the weights that require gradients in attributes (tensors, lists, tuples, dicts), with the name of each."""
    for name, inner in module.named_modules():
        for key, value in vars(inner).items():
            values: Iterable[object] = ()
            if isinstance(value, Tensor):
                values = (value,)
            elif not key.startswith("_"):  # torch's own tables of parameters, modules and hooks begin with "_"
                values = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()
            for weight in _trained_weights(values):
                yield f"{name}.{key}".lstrip("."), weight


def _trained_weights(values: Iterable[object]) -> Iterator[Tensor]:
    """Yield the weights that require gradients among `values`, and those of the modules among them."""
    for value in list(values):
        found = value.parameters() if isinstance(value, nn.Module) else (value,)
        tensors = (weight for weight in found if isinstance(weight, Tensor))
        yield from (tensor for tensor in tensors if tensor.requires_grad and tensor.is_leaf)
