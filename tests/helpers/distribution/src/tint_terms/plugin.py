"""A plugin that is an object rather than a module: its hooks are methods."""

from __future__ import annotations

from toolbox import Field, LossSpec, MetricSpec, Params, hookimpl


class TintParams(Params):
    """Params of the loss `tint-shift`."""

    power: float = Field(2.0, ge=1, le=4, description="Exponent of the distance in each channel.")


def build_loss(params: TintParams):
    """Build the mean over the channels of |mean(restored) - mean(truth)|^power."""

    def shift(restored, truth, mask):
        return (restored - truth).mean((-2, -1)).abs().pow(params.power).mean()

    return shift


def build_metric(params: Params):
    """Build the same distance of two photographs, 0 to 255, with a power of one."""

    def shift(restored, truth, mask):
        return float(abs(restored.mean((0, 1)) - truth.mean((0, 1))).mean())

    return shift


class Tint:
    """The hooks."""

    TOOLBOX_API = 1

    @hookimpl
    def toolbox_losses(self) -> list[LossSpec]:
        """Return the loss."""
        return [
            LossSpec(
                name="tint-shift",
                summary="Distance of the mean colours",
                params=TintParams,
                build=build_loss,
                reference="by hand",
            )
        ]

    @hookimpl
    def toolbox_metrics(self) -> list[MetricSpec]:
        """Return the metric."""
        return [
            MetricSpec(
                name="tint-shift",
                summary="Distance of the mean colours",
                build=build_metric,
                better="lower",
                reference="by hand",
            )
        ]


tint = Tint()
