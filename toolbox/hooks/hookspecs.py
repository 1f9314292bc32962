"""The hooks: one a kind, without arguments, returning a list of specs.

A plugin is a module (or an object) with functions of these names, each marked with `hookimpl`. It is found
by the entry-point group `toolbox.plugins`, by `registry.toml`, or because the user added it.
"""

from __future__ import annotations

import pluggy

from toolbox.hooks.specs import (
    DegradationSpec,
    DiscriminatorSpec,
    GeneratorSpec,
    LossSpec,
    MetricSpec,
    PenaltySpec,
    RecipeSpec,
    WeightsSpec,
)

PROJECT = "toolbox"

# Raised when a hook or a contract changes so that a plugin written before would break. A plugin states the
# number that it was written for as TOOLBOX_API.
HOOK_API = 1

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def toolbox_generators() -> list[GeneratorSpec]:  # type: ignore[empty-body]
    """Return the generators that this plugin brings."""


@hookspec
def toolbox_discriminators() -> list[DiscriminatorSpec]:  # type: ignore[empty-body]
    """Return the discriminators that this plugin brings."""


@hookspec
def toolbox_losses() -> list[LossSpec]:  # type: ignore[empty-body]
    """Return the losses that this plugin brings, reconstruction and adversarial."""


@hookspec
def toolbox_penalties() -> list[PenaltySpec]:  # type: ignore[empty-body]
    """Return the penalties on the discriminator that this plugin brings."""


@hookspec
def toolbox_degradations() -> list[DegradationSpec]:  # type: ignore[empty-body]
    """Return the degradations that this plugin brings."""


@hookspec
def toolbox_metrics() -> list[MetricSpec]:  # type: ignore[empty-body]
    """Return the metrics that this plugin brings."""


@hookspec
def toolbox_recipes() -> list[RecipeSpec]:  # type: ignore[empty-body]
    """Return the recipes that this plugin brings."""


@hookspec
def toolbox_weights() -> list[WeightsSpec]:  # type: ignore[empty-body]
    """Return the trained weights that this plugin publishes."""
