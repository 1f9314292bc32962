"""Hook of the default bundle for training steps. torch is imported only when one is built."""

from __future__ import annotations

from toolbox import Params, StepSpec, TrainingStep, hookimpl


def build_adversarial(params: Params) -> TrainingStep:
    """Return the published step."""
    from toolbox.steps import adversarial_step

    return adversarial_step


def build_supervised(params: Params) -> TrainingStep:
    """Return the step without a discriminator."""
    from .supervised import supervised_step

    return supervised_step


@hookimpl
def toolbox_steps() -> list[StepSpec]:
    """Return the published step, and the one without a discriminator."""
    return [
        StepSpec(
            name="adversarial",
            summary="Published step: the generator first, then the discriminator on the same pictures",
            build=build_adversarial,
            reference="Goodfellow et al., Generative Adversarial Nets, NIPS 2014; as in DACON 2024, competition 236420",
        ),
        StepSpec(
            name="supervised",
            summary="The generator alone, with the reconstruction losses",
            build=build_supervised,
            uses_discriminator=False,
            reference="gradient descent on the weighted sum of the losses",
        ),
    ]
