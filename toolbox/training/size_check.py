"""Whether the networks of a recipe work at its size, before anything is written."""

from __future__ import annotations

import torch

from toolbox.config.plan import Plan
from toolbox.errors import UsageError, one_line
from toolbox.hooks import blame
from toolbox.models.build import build_component
from toolbox.models.component_calls import call_discriminator
from toolbox.models.forward import run_generator
from toolbox.utils.memory import is_out_of_memory


@torch.inference_mode()
def check_size(plan: Plan) -> None:
    """Run the networks of a plan once on a gray picture of its size, on the CPU and with random weights.

    Networks that restore no pictures are not checked.

    Raises:
        UsageError: a network does not work at this size.
        PluginError: a network can't be built.
    """
    if not plan.step.restores:
        return
    size = plan.settings.data.size
    image = torch.full((1, 3, size, size), 0.5)
    mask = torch.zeros_like(image[:, :1])
    try:
        run_generator(build_component(plan.generator, fresh=False).eval(), "none", image, mask)
        if plan.discriminator is not None:
            call_discriminator(build_component(plan.discriminator, fresh=False).eval(), image, image, mask)
    except (RuntimeError, ValueError) as error:
        if is_out_of_memory(error):
            raise
        raise size_fault(plan, error) from error


def size_fault(plan: Plan, error: BaseException) -> UsageError:
    """Return the error for networks that raise `error` at the size of their recipe."""
    size, reason = plan.settings.data.size, one_line(error)
    return UsageError(
        f"The networks of recipe '{plan.name}' don't work at {size} pixels: {reason}{blame.origin(error)}. "
        "Try another --size."
    )
