"""Errors of backward passes, where torch runs no code of the component whose fault it is."""

from __future__ import annotations

import traceback

from torch.utils.checkpoint import CheckpointError

from toolbox.errors import PluginError, ToolboxError, named
from toolbox.hooks import blame
from toolbox.hooks.catalog import Entry
from toolbox.models.component_watch import watch_of
from toolbox.training.state import TrainState
from toolbox.utils.versions import DISTRIBUTION

ENGINE = "_engine_run_backward"  # torch's function that runs every backward pass
RECOMPUTE_REMEDY = (
    "set training.recompute = false, or leave out what keeps values between the layers of a call, such as "
    "parametrize.cached(): the values are computed again in the backward pass, and must be the same"
)
REMEDY = (
    "detach() every tensor that is kept from one call to the next, change no weights in forward, and give each input "
    "of an autograd function a gradient of its shape"
)


def explain_backward(error: Exception, state: TrainState, *, is_discriminator: bool) -> PluginError | None:
    """Return the error of a backward pass as one line that names the component, or the few that it can be.

    Args:
        error: what was raised in a training step.
        state: everything that trains.
        is_discriminator: whether the gradients of the generator were complete.

    Returns:
        None if the error was not raised in a backward pass, or if its cause is known: memory, or a component.
    """
    if isinstance(error, ToolboxError) or blame.blamed(error) is not None or blame.is_of_the_machine(error):
        return None
    if all(frame.name != ENGINE for frame in traceback.extract_tb(error.__traceback__)):
        return None
    titles = differentiated(state, is_discriminator=is_discriminator)
    who = titles[0] if len(titles) == 1 else f"One of these: {'; '.join(titles)}:"
    text = named(error).rstrip(".")
    remedy = RECOMPUTE_REMEDY if isinstance(error, CheckpointError) else REMEDY
    return PluginError(f"{who} fails in the backward pass: {text}. What may help: {remedy}.{blame.hint()}")


def differentiated(state: TrainState, *, is_discriminator: bool) -> list[str]:
    """Return the titles of the components in the backward pass of the generator or of the discriminator.

    Components that ship with toolbox are only named if there are no others.
    """
    suspects = _discriminator_components(state) if is_discriminator else _generator_components(state)
    suspects = [entry for entry in suspects if entry.distribution != DISTRIBUTION] or suspects
    return list(dict.fromkeys(blame.title(entry) for entry in suspects))


def _generator_components(state: TrainState) -> list[Entry]:
    watches = [state.step_watch, watch_of(state.generator.network), *[loss.watch for loss in state.losses]]
    return [watch.entry for watch in watches if watch.entry is not None]


def _discriminator_components(state: TrainState) -> list[Entry]:
    watches = [loss.watch for loss in state.losses if loss.adversarial] + [term.watch for term in state.penalties]
    if state.discriminator is not None:
        watches.insert(0, watch_of(state.discriminator.network))
    return [watch.entry for watch in watches if watch.entry is not None]
