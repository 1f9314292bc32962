"""Hooks of the default bundle for the competition's damage: how it is made, and how it is found."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import model_validator

from toolbox import Degradation, DegradationSpec, Detection, Detector, DetectorSpec, Field, Params, Sample, hookimpl

if TYPE_CHECKING:
    import numpy as np


class LostRegionParams(Params):
    """Params of the degradation `lost-region`."""

    low: int = Field(0, ge=0, le=255, description="Darkest gray value of the lost region.")
    high: int = Field(100, ge=0, le=255, description="Brightest gray value of the lost region.")
    rectangle: float = Field(0.5, ge=0, le=1, description="Relative frequency of axis-parallel rectangles.")
    circle: float = Field(0.25, ge=0, le=1, description="Relative frequency of circles.")
    polygon: float = Field(
        0.25, ge=0, le=1, description="Relative frequency of polygons of 4 to 6 random vertices, even-odd filled."
    )

    @model_validator(mode="after")
    def _check_ranges(self) -> LostRegionParams:
        if self.low > self.high:
            raise ValueError(f"low = {self.low} is above high = {self.high}")
        if self.rectangle + self.circle + self.polygon <= 0:
            raise ValueError("rectangle, circle and polygon are all 0; set at least one above 0")
        return self


def build_lost_region(params: LostRegionParams) -> Degradation:
    """Build the competition's damage."""
    import numpy as np

    from .lost_region import damage

    def degrade(sample: Sample, random: np.random.Generator) -> Sample:
        gray, mask = damage(sample.truth, random, **params.model_dump())
        return Sample(image=np.repeat(gray[..., None], 3, axis=-1), mask=mask, truth=sample.truth)

    return degrade


def build_painted_shape(params: Params) -> Detector:
    """Build the detector of painted shapes."""
    from toolbox import find_painted_shape

    return lambda image, /: Detection(mask=find_painted_shape(image))


@hookimpl
def toolbox_degradations() -> list[DegradationSpec]:
    """Return the competition's damage."""
    return [
        DegradationSpec(
            name="lost-region",
            summary="Gray photograph with one flat shape painted over it, as in the competition",
            params=LostRegionParams,
            build=build_lost_region,
            reference="Measured on inputs of DACON 2024, competition 236420",
        )
    ]


@hookimpl
def toolbox_detectors() -> list[DetectorSpec]:
    """Return the detector of the competition's damage."""
    return [
        DetectorSpec(
            name="painted-shape",
            summary="Flat rectangle, circle or polygon painted over a gray or toned photograph",
            build=build_painted_shape,
            gray_only=True,
            reference="Shapes fitted to flat areas, as Pillow's ImageDraw draws them",
        )
    ]
