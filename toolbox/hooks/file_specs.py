"""Specs of files that plugins bring: recipes and trained weights."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from toolbox.hooks.specs import Spec


@dataclass(frozen=True, kw_only=True)
class RecipeSpec(Spec):
    """A recipe.

    Attributes:
        name: the name for `toolbox run --recipe`.
        summary: one line for `toolbox list`.
        path: its TOML file inside the plugin.
    """

    kind = "recipe"
    path: Path

    def __post_init__(self) -> None:
        """Raise ValueError for an invalid name or a missing file."""
        super().__post_init__()
        if not self.path.is_file():
            raise ValueError(f"recipe '{self.name}' has no file {self.path}")


@dataclass(frozen=True, kw_only=True)
class WeightsSpec(Spec):
    """Trained weights.

    Attributes:
        name: the name that recipes and commands use.
        summary: one line for `toolbox weights`.
        path: the safetensors file inside the plugin; for a recipe, as `toolbox run` writes it.
        sha256: the SHA-256 of that file in hexadecimal; a file with another one is refused.
        licence: the licence of the weights.
        recipe: the recipe that they were trained with, from whose generator they are; empty if a detector or a filler
            loads them.
    """

    kind = "weights"
    path: Path
    sha256: str
    licence: str
    recipe: str = ""

    def __post_init__(self) -> None:
        """Raise ValueError for weights that can't be found or verified."""
        super().__post_init__()
        if self.path.suffix != ".safetensors":
            raise ValueError(f"weights '{self.name}' are in {self.path.name}; only safetensors files are supported")
        if not re.fullmatch(r"[0-9a-fA-F]{64}", self.sha256):
            raise ValueError(f"sha256 of weights '{self.name}' is not 64 hexadecimal digits")
        if not self.licence.strip():
            raise ValueError(f"weights '{self.name}' have no licence")
