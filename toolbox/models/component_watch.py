"""What is known of a component whose calls are checked: its entry in the catalog, and what its calls have shown."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor, nn

from toolbox.hooks.catalog import Entry

# The attribute of a network that has its `WatchedComponent`.
ATTRIBUTE = "_toolbox_watch"


@dataclass(kw_only=True)
class WatchedComponent:
    """The component whose calls are checked.

    Attributes:
        entry: its entry in the catalog; None for a network that no recipe names.
        calls: the number of calls so far.
        modes: how it was called: the method, whether gradients were computed, and whether it was in train mode.
        trains: whether its values should have gradients; False once a warning was given.
        is_resumed: whether it belongs to a run that is continued: it may have trained before.
        trained: the parts of it that have returned a value with a gradient; an adversarial loss has two.
        searched: the parts of it whose first values with a gradient were searched for weights outside of its module.
        outside: by part, what a first search has found and what may be no weights; see `kept_weights`.
        unsaved: the modules inside it, by name, that checkpoints leave out; known from the first call on.
    """

    entry: Entry | None = None
    calls: int = 0
    modes: set[tuple[str, bool, bool]] = field(default_factory=set)
    trains: bool = True
    is_resumed: bool = False
    trained: set[str] = field(default_factory=set)
    searched: set[str] = field(default_factory=set)
    outside: dict[str, list[Tensor]] = field(default_factory=dict)
    unsaved: tuple[tuple[str, nn.Module], ...] = ()

    def __deepcopy__(self, memo: object) -> WatchedComponent:
        """Return the watch itself, so that the copy of a network keeps it."""
        return self


def attach(network: nn.Module, entry: Entry) -> None:
    """Record which component a network is."""
    network.__dict__[ATTRIBUTE] = WatchedComponent(entry=entry)


def share_watch(wrapper: nn.Module, network: nn.Module) -> None:
    """Let errors of a network that wraps another name the component of the wrapped one."""
    if hasattr(network, ATTRIBUTE):
        wrapper.__dict__[ATTRIBUTE] = getattr(network, ATTRIBUTE)


def watch_of(network: object) -> WatchedComponent:
    """Return the watch of a network; an empty one if it has none."""
    watch = getattr(network, ATTRIBUTE, None)
    return watch if isinstance(watch, WatchedComponent) else WatchedComponent()
