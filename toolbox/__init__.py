"""toolbox restores photographs and trains the restorers that do it.

This is the public face: everything that a plugin author needs comes from here.

    from toolbox import Field, LossSpec, Params, hookimpl

Nothing heavy is imported; torch is loaded by the parts that need it.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field

from toolbox.contracts import (
    AdversarialLoss,
    Degradation,
    Discriminator,
    Generator,
    Judgement,
    Metric,
    Penalty,
    ReconstructionLoss,
    Sample,
)
from toolbox.hookspecs import HOOK_API, hookimpl
from toolbox.specs import (
    DegradationSpec,
    DiscriminatorRef,
    DiscriminatorSpec,
    GeneratorRef,
    GeneratorSpec,
    LossRef,
    LossSpec,
    MetricSpec,
    Params,
    PenaltyRef,
    PenaltySpec,
    RecipeSpec,
    WeightsSpec,
)

if TYPE_CHECKING:
    from toolbox.restore import Restorer

__version__ = "0.1.0"

__all__ = [
    "HOOK_API",
    "AdversarialLoss",
    "Degradation",
    "DegradationSpec",
    "Discriminator",
    "DiscriminatorRef",
    "DiscriminatorSpec",
    "Field",
    "Generator",
    "GeneratorRef",
    "GeneratorSpec",
    "Judgement",
    "LossRef",
    "LossSpec",
    "Metric",
    "MetricSpec",
    "Params",
    "Penalty",
    "PenaltyRef",
    "PenaltySpec",
    "RecipeSpec",
    "ReconstructionLoss",
    "Sample",
    "WeightsSpec",
    "hookimpl",
    "load_restorer",
]


def load_restorer(
    name_or_path: str | Path, *, device: str | None = None, keep: str | None = None, tile: int | None = None
) -> Restorer:
    """Return a function that restores photographs: `load_restorer("NAME")(image)`; see `toolbox.restore.load`."""
    from toolbox.restore import load

    return load(name_or_path, device=device, keep=keep, tile=tile)
