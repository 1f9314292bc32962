"""Discriminators with one promise broken."""

from __future__ import annotations

from torch import nn

from rigged.sound import Judge, Rig, attributes, changed, judge


def rigged_judge(forward, init=None):
    return judge(changed(Judge, forward, init))


DISCRIMINATORS = [
    Rig(
        what="a tuple",
        spec=rigged_judge(lambda s, f, p, x, m: tuple(f(p, x, m))),
        check="input size",
        words="not a list of maps",
    ),
    Rig(
        what="two channels",
        spec=rigged_judge(lambda s, f, p, x, m: [f(p, x, m)[0].expand(-1, 2, -1, -1)]),
        check="map shapes",
        words="must be (B, 1, h, w)",
    ),
    Rig(
        what="detached picture",
        spec=rigged_judge(lambda s, f, p, x, m: f(p.detach(), x, m)),
        check="picture gradient",
        words="could not learn",
    ),
    Rig(
        what="no trained weights",
        spec=rigged_judge(lambda s, f, p, x, m: f(p, x, m), lambda s: s.requires_grad_(False)),
        check="gradient flow",
        words="no trainable parameters, so a run can't train it",
    ),
    Rig(
        what="an unused layer",
        spec=rigged_judge(lambda s, f, p, x, m: f(p, x, m), attributes(spare=lambda: nn.Linear(2, 2))),
        check="gradient flow",
        words="spare",
    ),
    Rig(
        what="a map that follows the order of the batch",
        spec=rigged_judge(lambda s, f, p, x, m: [f(p, x, m)[0].cumsum(0)]),
        check="batch independence",
        words="with the order of the batch",
    ),
    Rig(
        what="NaN for black",
        spec=rigged_judge(lambda s, f, p, x, m: f(p / p.amax((1, 2, 3), keepdim=True), x, m)),
        check="finite values",
        words="not finite for black pictures",
    ),
]
