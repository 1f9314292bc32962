"""Penalties with one promise broken."""

from __future__ import annotations

import torch

from rigged.sound import Rig, penalty, r1, slope


def _from_global_numbers(context):
    return r1(context) * torch.rand(()).item()


WEIGHT = torch.ones((), requires_grad=True)


def _weighted(context):
    return WEIGHT * r1(context)


def _root(context):
    gradient = slope(context, context.real.detach().requires_grad_())
    return gradient.square().flatten(1).sum(1).sqrt().mean()


def _one_stream(context):
    real = context.real
    noise = torch.rand(real.shape, generator=context.random).to(real)
    return slope(context, (real + 0.1 * noise).requires_grad_()).square().mean()


class RemembersPenalty:
    """Adds the mean of the real maps of the call before."""

    def __init__(self):
        self.seen = 0.0

    def __call__(self, context):
        value = r1(context) + self.seen
        self.seen = context.real_maps[0].mean().detach()
        return value


def rigged_penalty(call):
    return penalty(lambda: call)


PENALTIES = [
    Rig(
        what="one derivative only",
        spec=rigged_penalty(lambda j: slope(j, j.real.detach().requires_grad_(), False).square().mean()),
        check="gradient flow",
        words="without gradient",
        also=("finite values",),
    ),
    Rig(
        what="zero in every weight",
        spec=rigged_penalty(lambda j: r1(j).detach() + 0 * r1(j)),
        check="gradient flow",
        words="zero in every weight",
    ),
    Rig(what="a root at 0", spec=rigged_penalty(_root), check="finite values", words="a flat discriminator"),
    Rig(
        what="leaves the pictures asking for gradients",
        spec=rigged_penalty(lambda j: slope(j, j.real.requires_grad_()).square().mean()),
        check="inputs unchanged",
        words="detach().requires_grad_()",
    ),
    Rig(
        what="global random numbers",
        spec=rigged_penalty(_from_global_numbers),
        check="random numbers",
        words="context.uniform",
    ),
    Rig(
        what="one stream for all pictures",
        spec=rigged_penalty(_one_stream),
        check="split batch",
        words="context.uniform",
    ),
    Rig(
        what="noise made on the CPU",
        spec=rigged_penalty(lambda j: r1(j) + 0 * (torch.ones(2, 1, 1, 1) * j.real).sum()),
        check="device",
        words="device=x.device",
    ),
    Rig(
        what="a weight in a closure",
        spec=rigged_penalty(_weighted),
        check="own weights",
        words="outside of a torch.nn.Module",
    ),
    Rig(
        what="memory in an attribute",
        spec=penalty(RemembersPenalty),
        check="saved state",
        words="keep what it remembers in buffers",
    ),
]
