"""Errors of components: every call into a component goes through `call`, which records the component whose call failed.

The error keeps its type, so that code in between can still handle it. `explain` turns it into one line for the user.
"""

from __future__ import annotations

import inspect
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from toolbox.errors import CancelledError, InstallationError, PluginError, ToolboxError, call_plugin, named
from toolbox.hooks.code_position import built_at, code_of, held_codes, is_of
from toolbox.hooks.plugin_output import calls
from toolbox.utils import surface
from toolbox.utils.memory import is_out_of_memory
from toolbox.utils.versions import DISTRIBUTION

if TYPE_CHECKING:
    from toolbox.hooks.catalog import Entry

P = ParamSpec("P")
R = TypeVar("R")

# The attribute of an error that has the entry of the component which raised it.
ATTRIBUTE = "_toolbox_entry"
# The attribute of an error that has the position of the function which was called.
DEFINITION = "_toolbox_definition"
HINT = "For the traceback add --traceback."
# What a component of a kind, or of a role of a kind, must do.
CONTRACTS = {
    "generator": (
        "generator(image, mask) returns pictures (B, 3, H, W), or a pair of them and a dict of outputs (B, 1, h, w) or "
        "(B, 3, h, w)"
    ),
    "discriminator": "discriminator(picture, image, mask) returns a list of maps (B, 1, h, w)",
    "loss": "loss(restored, truth, mask) returns a finite scalar tensor",
    "loss/adversarial": (
        "loss.generator(fake, real) returns a scalar tensor, and gets None for real unless its spec has "
        "sees_real=True; loss.discriminator(fake, real) returns two"
    ),
    "penalty": "penalty(context) returns a finite scalar tensor",
    "degradation": "degradation(sample, random) returns a new Sample: uint8 image and truth, a bool mask, one size",
    "detector": "detector(image) returns a Detection with a bool mask of the image's size",
    "filler": "filler(image, mask, seed=0) returns a new image of the same shape and dtype",
    "postprocessor": "postprocessor(restored, original, mask) returns a new picture of the shape and dtype of restored",
    "step": "step(context, batch) records terms and leaves gradients in the networks",
    "step/measuring": (
        "step(context, batch) records terms and leaves gradients in the network, validate(network, batch) returns a "
        "dict of tensors (B,), figures(values) a dict of floats with 'loss'"
    ),
    "source": "build(params, location) returns a toolbox.Source",
    "observer": "an observer has methods such as on_step(record)",
    "optimizer": "build(params, weights) returns a torch.optim.Optimizer over all weights; its step() gets no closure",
    "schedule": "build(params, optimizer, horizon) returns an LRScheduler; its step() gets no arguments",
    "command": "load() returns a click.Command",
    "metric": "metric(restored, truth, mask) returns a finite float or None",
}
# The entries of all components that were built in this process, for errors that are raised outside of `call`: in
# backward passes.
_built: dict[tuple[str, str], Entry] = {}


class WrongResultError(PluginError):
    """A component that returned, or wrote, something that its contract does not allow.

    fault: what it did, without the name of the component.
    """

    def __init__(self, message: str, fault: str = "") -> None:
        super().__init__(message)
        self.fault = fault or message


def remember(entry: Entry) -> None:
    """Record that a component was built, so that `explain` can find it by its file."""
    _built[entry.kind, entry.spec.name] = entry


def call(entry: Entry | None, function: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
    """Call a component; an error that it raises carries the component's entry and is otherwise unchanged.

    Raises:
        PluginError: it ends the program, as `sys.exit` does, or raises StopIteration.
        WrongResultError: it is an `async def`.
    """
    calls.depth = getattr(calls, "depth", 0) + 1
    try:
        result = call_plugin(function, *args, **kwargs)
        refuse_coroutine(entry, function, result)
        return result
    except StopIteration as error:  # it would end the generator function that takes the steps
        blame(error, entry, function)
        raise explain(error) or error from error
    except Exception as error:
        blame(error, entry, function)
        raise
    except (KeyboardInterrupt, GeneratorExit):
        raise
    except BaseException as error:
        if entry is None:
            raise
        raise ends_program(error, entry) from error
    finally:
        calls.depth -= 1


def refuse_coroutine(entry: Entry | None, function: object, result: object) -> None:
    """Raise WrongResultError for the result of an `async def`, which nothing awaits. Python's warning is avoided."""
    if inspect.iscoroutine(result):
        result.close()
        raise wrong_result(entry, function, "returned a coroutine; write `def` instead of `async def`")


def ends_program(error: BaseException, entry: Entry) -> PluginError:
    """Return the error for a component that raised SystemExit, or another error that programs should not handle."""
    return PluginError(f"{title(entry)} {ending(error, position(error, entry))}. Expected: {contract(entry)}.{hint()}")


def ending(error: BaseException, position: str = "") -> str:
    """Return what a component did that raised SystemExit, and what to do, as the rest of a sentence."""
    where = f" ({position})" if position else ""
    return f"ends the program ({named(error)}){where}; raise an Exception instead"


def blame(error: Exception, entry: Entry | None, function: object = None) -> None:
    """Attach to an error the entry of the component that raised it and its function's position, unless it has them."""
    if entry is None or is_for_user(error, entry) or hasattr(error, ATTRIBUTE):
        return
    setattr(error, ATTRIBUTE, entry)
    code = code_of(function)
    if code is not None and is_of(entry, code.co_filename):
        setattr(error, DEFINITION, f"{code.co_filename}:{code.co_firstlineno}")


def is_for_user(error: Exception, entry: Entry) -> bool:
    """Return whether an error from a component is one of toolbox that tells the user what to do, and is passed on.

    These are all errors of toolbox from components that ship with it. Of others, it is what toolbox itself says of a
    component (PluginError), of something that is not installed, or of cancelled work. Any other one, such as a
    DataError, would be taken for a fault of the user's photographs or command.
    """
    if not isinstance(error, ToolboxError) or entry.distribution == DISTRIBUTION:
        return isinstance(error, ToolboxError)
    innermost = traceback.extract_tb(error.__traceback__)[-1:]
    is_own = any(is_of(entry, frame.filename) for frame in innermost)
    return isinstance(error, CancelledError | InstallationError) or (isinstance(error, PluginError) and not is_own)


def blamed(error: BaseException) -> Entry | None:
    """Return the entry of the component that raised an error, or None."""
    if is_of_the_machine(error):
        return None
    entry: Entry | None = getattr(error, ATTRIBUTE, None)
    if entry is None and not isinstance(error, ToolboxError):
        frames = reversed(traceback.extract_tb(error.__traceback__))
        owners = next(filter(None, ([own for own in _built.values() if is_of(own, it.filename)] for it in frames)), [])
        entry = owners[0] if len(owners) == 1 else None
    return entry


@contextmanager
def explained() -> Iterator[None]:
    """Raise an error of a component as one line for the user, a PluginError; other errors as they are."""
    try:
        yield
    except Exception as error:
        explained_error = explain(error)
        if explained_error is None:
            raise
        raise explained_error from error


def explain(error: BaseException) -> PluginError | None:
    """Return the error of a component as one line for the user; None if no component raised it.

    The line names the component's kind, name and plugin, the position in its file, and what its contract is.
    """
    entry = blamed(error)
    if entry is None:
        return None
    return PluginError(
        f"{title(entry)} raised {named(error)} ({position(error, entry)}). Expected: {contract(entry)}.{hint()}"
    )


def origin(error: BaseException) -> str:
    """Return the component that raised an error, with the position in its file, in brackets; empty for none."""
    entry = blamed(error)
    return "" if entry is None else f" ({title(entry)}, {position(error, entry)})"


def place(error: BaseException) -> str:
    """Return the component of another author in which an error was raised, of the machine too; empty for none."""
    entry: Entry | None = getattr(error, ATTRIBUTE, None)
    if entry is None or entry.distribution == DISTRIBUTION:
        return ""
    return f"{title(entry)} ({position(error, entry)})"


def wrong_result(entry: Entry | None, function: object, fault: str) -> WrongResultError:
    """Return the error for a component that did not keep its contract.

    Args:
        entry: the component's entry; None for a function without one.
        function: what was called; its position in its file is named, or, as for torch's `LambdaLR`, that of the
            function of the plugin that it calls.
        fault: what it did, such as "returned a dict".
    """
    if entry is None:
        return WrongResultError(f"It {fault}", fault)
    codes = (code for code in held_codes(function) if is_of(entry, code.co_filename))
    own = next(codes, None)
    position = built_at(entry) if own is None else f"{own.co_filename}:{own.co_firstlineno}"
    where = position and f" ({position})"
    return WrongResultError(f"{title(entry)}{where} {fault}. Expected: {contract(entry)}.", fault)


def position(error: BaseException, entry: Entry) -> str:
    """Return file and line in which an error was raised: the innermost ones in the plugin.

    A function of the plugin that can't be called with its arguments was never entered; then it is where it is defined.
    A component whose code is not in the plugin, such as a schedule of torch, is where it is built.
    """
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if is_of(entry, frame.filename)]
    if own:
        return f"{own[-1].filename}:{own[-1].lineno}"
    if hasattr(error, DEFINITION):
        return str(getattr(error, DEFINITION))
    last = f"{frames[-1].filename}:{frames[-1].lineno}" if frames else "no position"
    return built_at(entry) or last


def title(entry: Entry) -> str:
    """Return what a component is called in messages."""
    if not entry.plugin:  # a Python program has given it
        return f"{entry.kind.capitalize()} '{entry.module}'"
    return f"{entry.kind.capitalize()} '{entry.spec.name}' of the plugin '{entry.plugin}'"


def contract(entry: Entry) -> str:
    """Return what a component must do, in one line."""
    role = getattr(entry.spec, "role", "") if getattr(entry.spec, "restores", True) else "measuring"
    return CONTRACTS.get(f"{entry.kind}/{role}") or CONTRACTS.get(
        entry.kind, f"the contract of the protocol for a {entry.kind}, see docs/hooks"
    )


def is_of_the_machine(error: BaseException) -> bool:
    """Return whether memory ran out, or another process of the run has ended."""
    if "torch" not in sys.modules:
        return isinstance(error, MemoryError)
    from toolbox.distributed import collectives

    return is_out_of_memory(error) or collectives.is_lost_peer(error)


def hint() -> str:
    """Return how to see the traceback, as the end of a message; a Python program has it in `__cause__`."""
    return surface.words(command=f" {HINT}", page=" Tell the author of the plugin.", python="")
