"""Hooks of the bundle: simulated damage of prints, and the detector of damage."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import model_validator

from toolbox import (
    Degradation,
    DegradationSpec,
    Detector,
    DetectorSpec,
    Field,
    GeneratorSpec,
    Params,
    RecipeSpec,
    Sample,
    hookimpl,
)

from .kinds import KINDS, Kind

if TYPE_CHECKING:
    import numpy as np
    from torch import nn

TOOLBOX_API = 1


class PrintDamageParams(Params):
    """Params of the degradation `print-damage`."""

    low: float = Field(0.05, ge=0, le=1, description="Least contrast of the damage, as a fraction of the range.")
    high: float = Field(1.0, ge=0, le=1, description="Greatest contrast of the damage, as a fraction of the range.")
    sound: float = Field(0.3, ge=0, le=1, description="Share of the photographs that stay undamaged.")
    lookalikes: float = Field(
        0.35,
        ge=0,
        le=1,
        description="Share of the photographs with text, wires, borders and the like, which are sound.",
    )
    aged: float = Field(0.7, ge=0, le=1, description="Share of the photographs that are softer, faded or grainy.")
    worn: float = Field(
        0.0,
        ge=0,
        le=1,
        description="Share of the damaged photographs that have faint creases, long scratches and worn corners too.",
    )
    artefacts: str | None = Field(
        None,
        description="Folder with artefacts/scratches/*.png, hair, dots, spots, stain, …; none: all damage is drawn.",
    )

    @model_validator(mode="after")
    def _check_contrast(self) -> PrintDamageParams:
        if self.low > self.high:
            raise ValueError(f"low = {self.low} is above high = {self.high}")
        return self


class NetworkParams(Params):
    """Params of the network `damage-net`."""

    pretrained: bool = Field(
        False, description="Load timm's published weights into the encoder; they are downloaded once."
    )
    weights: str | None = Field(
        None, description="Load this safetensors file into the encoder; its keys are those of timm's model."
    )

    @model_validator(mode="after")
    def _check_weights(self) -> NetworkParams:
        if self.pretrained and self.weights is not None:
            raise ValueError("pretrained = true and weights exclude each other; set only one of them")
        return self


class DetectorParams(Params):
    """Params of the detector `print-damage`."""

    kinds: Annotated[list[Kind], Field(min_length=1)] = Field(
        list(KINDS), description=f"The kinds of damage that count: {', '.join(KINDS)}."
    )
    sensitivity: float = Field(
        0.5, ge=0, le=1, description="0 marks only what is certain, 1 also what is unlikely to be damage."
    )
    grow: int = Field(1, ge=0, le=50, description="Widen the mask by this many pixels, to cover soft edges.")
    weights: str | None = Field(None, description="Weights of `damage-net`, a file or a run; none: those that ship.")


def check_degradation(params: PrintDamageParams) -> None:
    """Raise ValueError if the folder of artefacts does not exist."""
    if params.artefacts is not None and not (Path(params.artefacts) / "artefacts").is_dir():
        raise ValueError(f"{params.artefacts} has no folder artefacts; set artefacts to the folder that has it")


def build_degradation(params: PrintDamageParams) -> Degradation:
    """Build the simulated damage."""
    import numpy as np

    from toolbox.color import integer_luma

    from .artefacts import read_artefacts
    from .simulate import simulate_print

    artefacts = None if params.artefacts is None else read_artefacts(Path(params.artefacts))

    def degrade(sample: Sample, random: np.random.Generator) -> Sample:
        gray, labels = simulate_print(
            integer_luma(sample.truth),
            random,
            artefacts=artefacts,
            **params.model_dump(exclude={"artefacts"}),
        )
        return Sample(
            image=np.repeat(gray[..., None], 3, axis=2),
            mask=labels > 0,
            truth=sample.truth,
            labels={kind: labels == number for number, kind in enumerate(KINDS, 1)},
        )

    return degrade


def build_network(params: NetworkParams) -> nn.Module:
    """Build the network, as the step `segmentation` trains it."""
    from .generator import DamageGenerator

    return DamageGenerator(**params.model_dump())


NETWORK = GeneratorSpec(
    name="damage-net",
    summary="Light network with a map for no damage and for each kind of damage of prints; for the step segmentation",
    params=NetworkParams,
    build=build_network,
    restores=False,
    initial=("pretrained", "weights"),
    reference="U-Net: Ronneberger et al., MICCAI 2015; line sums: Brady, SIAM J. Comput. 1998",
)


def build_detector(params: DetectorParams) -> Detector:
    """Build the detector; its weights are read when it is built."""
    from toolbox import weights_path

    from .detector import Finder, load_network, load_trained

    if params.weights is None:
        network = load_network(weights_path("print-damage"))
    else:
        network = load_trained(params.weights, NETWORK)
    return Finder(network, kinds=params.kinds, sensitivity=params.sensitivity, grow=params.grow)


@hookimpl
def toolbox_generators() -> list[GeneratorSpec]:
    """Return the network."""
    return [NETWORK]


@hookimpl
def toolbox_recipes() -> list[RecipeSpec]:
    """Return the recipe that trains the network."""
    path = Path(__file__).parent / "recipes" / "damage.toml"
    return [
        RecipeSpec(name="damage", summary="Network that finds the damage of prints, on simulated damage", path=path)
    ]


@hookimpl
def toolbox_degradations() -> list[DegradationSpec]:
    """Return the simulated damage of prints."""
    return [
        DegradationSpec(
            name="print-damage",
            summary="Old print in gray with scratches, folds, dust, stains or torn parts, or with objects "
            "that look like damage",
            params=PrintDamageParams,
            build=build_degradation,
            check=check_degradation,
            kinds=KINDS,
            reference="Real artefacts: Ivanova et al., Simulating Analogue Film Damage, 2023",
        )
    ]


@hookimpl
def toolbox_detectors() -> list[DetectorSpec]:
    """Return the detector of damage."""
    return [
        DetectorSpec(
            name="print-damage",
            summary="Scratches, folds, dust, stains and torn parts of a print, by a network",
            params=DetectorParams,
            build=build_detector,
            kinds=KINDS,
            translucent=("stain",),
            reference="U-Net: Ronneberger et al., MICCAI 2015; line sums: Brady, SIAM J. Comput. 1998",
        )
    ]
