"""Whether the networks of a recipe work at its size, before anything is written."""

from __future__ import annotations

import torch

from toolbox.config.plan import Plan
from toolbox.errors import ToolboxError, UsageError, one_line
from toolbox.hooks import blame
from toolbox.models.build import build_component
from toolbox.models.component_calls import call_discriminator
from toolbox.models.forward import run_generator
from toolbox.utils.memory import is_out_of_memory

# The sizes that are tried when one does not work; they have the factors that networks usually need.
OTHER_SIZES = (32, 64, 128, 224, 256)


def check_size(plan: Plan) -> None:
    """Run the networks of a plan once on a gray picture of its size, on the CPU and with random weights.

    Networks that restore no pictures are not checked.

    Raises:
        UsageError: a network does not work at this size, and works at another one.
        PluginError: a network can't be built, or works at no size.
    """
    if not plan.step.restores:
        return
    try:
        _run_networks(plan, plan.settings.data.size)
    except (RuntimeError, ValueError) as error:
        if is_out_of_memory(error):
            raise
        raise size_fault(plan, error) from error


def size_fault(plan: Plan, error: Exception) -> ToolboxError:
    """Return the error for networks that raise `error` at the size of their recipe: it names sizes at which they work.

    If they work at none of those that are tried, the size is not the cause.
    """
    size, reason = plan.settings.data.size, one_line(error)
    working = [] if _works(plan, size) else [other for other in OTHER_SIZES if _works(plan, other)]
    if not working:
        explained = blame.explain(error)
        if explained is not None:
            return explained
    remedy = f"They work at {_listed(working)}: change --size" if working else "Try another --size"
    return UsageError(
        f"The networks of recipe '{plan.name}' don't work at {size} pixels: {reason}{blame.origin(error)}. {remedy}."
    )


def _works(plan: Plan, size: int) -> bool:
    try:
        _run_networks(plan, size)
    except Exception:  # a plugin may raise anything
        return False
    return True


@torch.inference_mode()
def _run_networks(plan: Plan, size: int) -> None:
    image = torch.full((1, 3, size, size), 0.5)
    mask = torch.zeros_like(image[:, :1])
    run_generator(build_component(plan.generator, fresh=False).float().eval(), "none", image, mask)
    if plan.discriminator is not None:
        network = build_component(plan.discriminator, fresh=False).float().eval()
        call_discriminator(network, image, image, mask)


def _listed(sizes: list[int]) -> str:
    return f"{', '.join(map(str, sizes[:-1]))} and {sizes[-1]}" if len(sizes) > 1 else str(sizes[0])
