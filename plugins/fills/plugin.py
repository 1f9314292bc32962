"""Hooks of the bundle. numpy and OpenCV are imported only when a fill is built."""

from __future__ import annotations

from typing import TYPE_CHECKING

from toolbox import Field, Filler, FillerSpec, Params, Postprocessor, PostprocessorSpec, hookimpl

if TYPE_CHECKING:
    import numpy as np

TOOLBOX_API = 1


def build_smooth(params: Params) -> Filler:
    """Build the smooth fill."""
    from .smooth import smooth

    return smooth


def build_frequency(params: Params) -> Filler:
    """Build the frequency-selective fill."""
    from .frequency import frequency

    return frequency


def build_texture(params: Params) -> Filler:
    """Build the fill with patches of the image."""
    from .texture import texture

    return texture


def build_average(params: Params) -> Filler:
    """Build the weighted mean of several extrapolations."""
    from .average import average

    return average


def build_auto(params: Params) -> Filler:
    """Build the fill that chooses for each hole."""
    from .auto import auto

    return auto


class GrainParams(Params):
    """Params of `match-grain`."""

    strength: float = Field(1.0, ge=0, le=3, description="Factor of the noise; 1 matches the surroundings.")


def build_match_grain(params: GrainParams) -> Postprocessor:
    """Build the post-processor that adds grain."""
    from .grain import match_grain

    def process(restored: np.ndarray, original: np.ndarray, mask: np.ndarray, /) -> np.ndarray:
        return match_grain(restored, mask, params.strength)

    return process


@hookimpl
def toolbox_postprocessors() -> list[PostprocessorSpec]:
    """Return the post-processor."""
    return [
        PostprocessorSpec(
            name="match-grain",
            summary="Noise in the lost region, as strong as the grain of the photograph around it",
            params=GrainParams,
            build=build_match_grain,
            reference="Median absolute deviation as a robust scale; Rousseeuw and Croux, JASA 1993",
        )
    ]


@hookimpl
def toolbox_fillers() -> list[FillerSpec]:
    """Return the fills."""
    return [
        FillerSpec(
            name="auto",
            summary="Chooses frequency or texture for each hole, by its width and its surroundings",
            build=build_auto,
        ),
        FillerSpec(
            name="texture",
            summary="Copies patches of the image so that large holes look natural; their content is invented",
            build=build_texture,
            reference="He and Sun, Statistics of Patch Offsets for Image Completion, ECCV 2012; "
            "Barnes et al., PatchMatch, SIGGRAPH 2009; Pérez et al., Poisson Image Editing, SIGGRAPH 2003",
        ),
        FillerSpec(
            name="frequency",
            summary="Continues waves, stripes and edges into the hole; fades to smooth in the middle of a large one",
            build=build_frequency,
            reference="Seiler and Kaup, Complex-Valued Frequency Selective Extrapolation, IEEE SPL 2010; "
            "Genser et al., Spectral Constrained Frequency Selective Extrapolation, IWSSIP 2018",
        ),
        FillerSpec(
            name="average",
            summary="Weighted mean of several extrapolations and the smooth fill: nearest to the truth, for scores",
            build=build_average,
            reference="as frequency; SSIM as a loss: Zhao et al., Loss Functions for Image Restoration, IEEE TCI 2017",
        ),
        FillerSpec(
            name="smooth",
            summary="Spreads the values at the border smoothly; invents nothing",
            build=build_smooth,
            reference="Pérez et al., Poisson Image Editing, SIGGRAPH 2003",
        ),
    ]
