"""Before the training: whether networks work at the size of their recipe, and the generator at those of photographs."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from toolbox.config.plan import Plan
from toolbox.errors import ToolboxError, UsageError, one_line
from toolbox.hooks import blame
from toolbox.hooks.blame import WrongResultError
from toolbox.models.build import build_component
from toolbox.models.component_calls import call_discriminator
from toolbox.models.forward import probe_multiple, run_generator
from toolbox.utils import surface
from toolbox.utils.memory import is_out_of_memory

# The sizes that are tried when one does not work; they have the factors that networks usually need.
OTHER_SIZES = (32, 64, 128, 224, 256)


def check_size(plan: Plan, has_tests: bool, print_line: Callable[[str], None]) -> None:
    """Run the networks of a plan once on a gray picture of its size, on the CPU and with random weights.

    Networks that restore no pictures are not checked. The others must restore photographs: see `check_restoring`.

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
    generator = build_component(plan.generator, fresh=False).to(torch.float32)
    check_restoring(generator, torch.device("cpu"), has_tests, print_line)


def check_restoring(
    network: nn.Module, device: torch.device, has_tests: bool, print_line: Callable[[str], None]
) -> None:
    """Check that a generator, which works at the size of the training, can restore photographs of other sizes.

    Args:
        network: the generator; it is in eval mode afterwards.
        device: its device.
        has_tests: whether the run restores test photographs with it.
        print_line: gets a warning if it can't restore photographs and `has_tests` is False.

    Raises:
        WrongResultError: it can't, and `has_tests` is True; see `probe_multiple`.
    """
    try:
        with torch.compiler.set_stance("force_eager"):  # compiling it for each size takes long
            probe_multiple(network.eval(), device)
    except WrongResultError as error:
        if has_tests:
            raise
        print_line(f"warning: toolbox restore can't use the weights of this run. {error}")


def size_fault(plan: Plan, error: Exception) -> ToolboxError:
    """Return the error for networks that raise `error` at the size of their recipe: it names sizes at which they work.

    If they work at none of those that are tried, the size is not the cause.
    """
    size, reason = plan.settings.data.size, one_line(error).rstrip(".")
    working = [] if _works(plan, size) else [other for other in OTHER_SIZES if _works(plan, other)]
    if not working:
        explained = blame.explain(error)
        if explained is not None:
            return explained
    remedy = surface.words(command="Try another --size", python="Try another data.size")
    if working:
        remedy = f"They work at {_listed(working)}: {surface.words(command='change --size', python='change data.size')}"
    return UsageError(
        f"The networks of recipe '{plan.name}' don't work at {size} pixels: {reason}{blame.origin(error)}. {remedy}."
    )


def _works(plan: Plan, size: int) -> bool:
    try:
        _run_networks(plan, size)
    except Exception:  # a plugin may raise anything
        return False
    return True


@torch.no_grad()
def _run_networks(plan: Plan, size: int) -> None:
    image = torch.full((1, 3, size, size), 0.5)
    mask = torch.zeros_like(image[:, :1])
    run_generator(build_component(plan.generator, fresh=False).to(torch.float32).eval(), "none", image, mask)
    if plan.discriminator is not None:
        network = build_component(plan.discriminator, fresh=False).to(torch.float32).eval()
        call_discriminator(network, image, image, mask)


def _listed(sizes: list[int]) -> str:
    return f"{', '.join(map(str, sizes[:-1]))} and {sizes[-1]}" if len(sizes) > 1 else str(sizes[0])
