"""What a plugin hands over: one frozen spec a component.

A spec says what a component is called, what it does, which params it takes and how it is built. It imports
nothing heavy: `build` and `check` import torch inside.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict

NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")

# Keys that the recipe itself reads in a component's table, so that no param may have them.
RESERVED = frozenset({"name", "enabled", "weight", "every", "on", "optimizer", "schedule", "init"})


class Params(BaseModel):
    """Base of every component's params: frozen, and an unknown key is a fault."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Ref(BaseModel):
    """A param that is a component itself: its name and, in the same table, its params."""

    model_config = ConfigDict(extra="allow", frozen=True)
    kind: ClassVar[str]
    name: str


class GeneratorRef(Ref):
    """A generator as a param; `build` is given the built module by the field's name."""

    kind = "generator"


class DiscriminatorRef(Ref):
    """A discriminator as a param."""

    kind = "discriminator"


class LossRef(Ref):
    """A reconstruction loss as a param."""

    kind = "loss"


class PenaltyRef(Ref):
    """A penalty as a param."""

    kind = "penalty"


@dataclass(frozen=True, kw_only=True)
class Spec:
    """What every kind of component has in common.

    Attributes:
        name: what a recipe calls it: lower-case words joined by hyphens.
        summary: one line for `toolbox list`.
        build: called as ``build(params, **built)`` with the typed params and, for every param that is a
            component itself, the built component by the field's name. Returns the component.
        params: the params' class, every field with a description.
        reference: the paper, standard or library that it follows.
        licence: the licence of the code or the weights that it brings, where that is not the plugin's.
        check: what only heavy imports can tell (does this backbone exist?): raises ValueError with one
            line. Run for `toolbox run` and `toolbox recipe validate`, after the recipe is bound.
        warn: what is allowed but should be known: returns one line, or None.
        initial: params that only choose the weights to start from (a file, a hub). Where trained weights are loaded
            afterwards, to restore or to go on, the component is built with these at their defaults.
    """

    kind: ClassVar[str]
    name: str
    summary: str
    build: Callable[..., Any]
    params: type[Params] = Params
    reference: str = ""
    licence: str = ""
    check: Callable[[Any], None] | None = None
    warn: Callable[[Any], str | None] | None = None
    initial: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse a spec that could not be listed, bound or explained; raises ValueError or TypeError."""
        if not NAME.fullmatch(self.name):
            raise ValueError(f"name {self.name!r} is not lower-case words joined by hyphens")
        if not self.summary.strip() or "\n" in self.summary:
            raise ValueError(f"'{self.name}' needs a summary of one line")
        if not (isinstance(self.params, type) and issubclass(self.params, Params)):
            raise TypeError(f"params of '{self.name}' is {self.params!r}, not a subclass of toolbox.Params")
        taken = sorted(RESERVED & set(self.params.model_fields))
        if taken:
            raise ValueError(f"params of '{self.name}' use names that recipes reserve: {', '.join(taken)}")
        absent = sorted(
            name
            for name in self.initial
            if name not in self.params.model_fields or self.params.model_fields[name].is_required()
        )
        if absent:
            raise ValueError(f"initial of '{self.name}' names what is no param with a default: {', '.join(absent)}")
        if not callable(self.build):
            raise TypeError(f"build of '{self.name}' is not callable")


@dataclass(frozen=True, kw_only=True)
class GeneratorSpec(Spec):
    """A generator; see `toolbox.hooks.protocols.Generator`.

    Attributes:
        auxiliary: the names of its auxiliary outputs, which losses reach by ``on = "name"``.
    """

    kind = "generator"
    auxiliary: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class DiscriminatorSpec(Spec):
    """A discriminator; see `toolbox.hooks.protocols.Discriminator`."""

    kind = "discriminator"


@dataclass(frozen=True, kw_only=True)
class LossSpec(Spec):
    """A loss; see `toolbox.hooks.protocols.ReconstructionLoss` and `AdversarialLoss`.

    Attributes:
        role: which of the two contracts it keeps.
        sees_real: whether the generator's side of an adversarial loss needs the maps of the real pictures;
            it costs one more pass through the discriminator.
    """

    kind = "loss"
    role: Literal["reconstruction", "adversarial"] = "reconstruction"
    sees_real: bool = False


@dataclass(frozen=True, kw_only=True)
class PenaltySpec(Spec):
    """A penalty on the discriminator; see `toolbox.hooks.protocols.Penalty`."""

    kind = "penalty"


@dataclass(frozen=True, kw_only=True)
class DegradationSpec(Spec):
    """A degradation; see `toolbox.hooks.protocols.Degradation`.

    Attributes:
        role: "damage" makes a damaged image of an undamaged photograph, in training and validation;
            "augment" varies training samples of every kind, damaged pairs included.
    """

    kind = "degradation"
    role: Literal["damage", "augment"] = "damage"


@dataclass(frozen=True, kw_only=True)
class MetricSpec(Spec):
    """A metric; see `toolbox.hooks.protocols.Metric`.

    Attributes:
        better: whether more or less of it is better.
    """

    kind = "metric"
    better: Literal["higher", "lower"] = "higher"


@dataclass(frozen=True, kw_only=True)
class RecipeSpec:
    """A recipe that a plugin brings.

    Attributes:
        name: what `toolbox run --recipe` calls it.
        summary: one line for `toolbox list`.
        path: its TOML file inside the plugin.
    """

    kind: ClassVar[str] = "recipe"
    name: str
    summary: str
    path: Path

    def __post_init__(self) -> None:
        """Refuse a recipe that could not be found; raises ValueError."""
        if not NAME.fullmatch(self.name):
            raise ValueError(f"name {self.name!r} is not lower-case words joined by hyphens")
        if not self.path.is_file():
            raise ValueError(f"recipe '{self.name}' has no file {self.path}")


@dataclass(frozen=True, kw_only=True)
class WeightsSpec:
    """Trained weights that a plugin publishes.

    Attributes:
        name: what recipes and commands call them.
        summary: one line for `toolbox weights`.
        path: their safetensors file inside the plugin, as `toolbox run` writes it.
        sha256: of that file, in hexadecimal; a file that has another is refused.
        licence: the licence of the weights.
        recipe: the recipe that they were trained by.
    """

    kind: ClassVar[str] = "weights"
    name: str
    summary: str
    path: Path
    sha256: str
    licence: str
    recipe: str

    def __post_init__(self) -> None:
        """Refuse weights that could not be found or verified; raises ValueError."""
        if not NAME.fullmatch(self.name):
            raise ValueError(f"name {self.name!r} is not lower-case words joined by hyphens")
        if self.path.suffix != ".safetensors":
            raise ValueError(f"weights '{self.name}' are in {self.path.name}; only safetensors are read")
        if not re.fullmatch(r"[0-9a-f]{64}", self.sha256):
            raise ValueError(f"sha256 of weights '{self.name}' is not 64 hexadecimal digits")
        if not self.licence.strip():
            raise ValueError(f"weights '{self.name}' state no licence")


AnySpec = Spec | RecipeSpec | WeightsSpec

# Every kind, in the order of the lists, with the hook that supplies it.
KINDS: dict[str, type[Spec] | type[RecipeSpec] | type[WeightsSpec]] = {
    "generator": GeneratorSpec,
    "discriminator": DiscriminatorSpec,
    "loss": LossSpec,
    "penalty": PenaltySpec,
    "degradation": DegradationSpec,
    "metric": MetricSpec,
    "recipe": RecipeSpec,
    "weights": WeightsSpec,
}


def plural(kind: str) -> str:
    """Return the plural of a kind's name ("loss" to "losses"), as hooks and recipe tables use it."""
    return {"loss": "losses", "penalty": "penalties", "weights": "weights"}.get(kind, f"{kind}s")
