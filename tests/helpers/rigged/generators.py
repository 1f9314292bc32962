"""Generators with one promise broken."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from rigged.sound import Generator, Rig, attributes, changed, generator


def rigged_generator(forward, init=None, **facts):
    return generator(changed(Generator, forward, init), **facts)


def _numpy_weights(module):
    random = np.random.default_rng()
    module.layer.weight.data = torch.from_numpy(random.standard_normal(module.layer.weight.shape).astype(np.float32))


SHARED = torch.ones(1, 3, 1, 1)


def _cool(module, forward, image, mask):
    """Scale the pictures by a temperature that falls in training."""
    if module.training:
        module.temperature *= 0.9
    return forward(image, mask) * module.temperature


GENERATORS = [
    Rig(
        what="another size",
        spec=rigged_generator(lambda s, f, x, m: f(x, m)[..., :-1]),
        check="size multiple",
        words="takes no picture",
    ),
    Rig(
        what="a list",
        spec=rigged_generator(lambda s, f, x, m: [f(x, m)]),
        check="size multiple",
        words="return a tensor",
    ),
    Rig(
        what="no mask",
        spec=generator(lambda: nn.Conv2d(3, 3, 1)),
        check="size multiple",
        words="generator(image, mask)",
    ),
    Rig(what="a function", spec=generator(lambda: lambda x, m: x), check="build", words="not a torch.nn.Module"),
    Rig(
        what="one of the batch",
        spec=rigged_generator(lambda s, f, x, m: f(x, m)[:1]),
        check="output shape",
        words="keep B, H and W",
        also=("batch independence",),
    ),
    Rig(
        what="out of range",
        spec=rigged_generator(lambda s, f, x, m: 1.5 * f(x, m)),
        check="value range",
        words="end in a sigmoid",
    ),
    Rig(
        what="NaN for black",
        spec=rigged_generator(lambda s, f, x, m: f(x, m) * (x.amax() / x.amax())),
        check="finite values",
        words="not finite for black pictures",
        also=("value range",),
    ),
    Rig(
        what="always float32",
        spec=rigged_generator(lambda s, f, x, m: f(x, m).float()),
        check="dtype",
        words="given torch.float64 it returns torch.float32",
    ),
    Rig(
        what="no half precision",
        spec=rigged_generator(
            lambda s, f, x, m: torch.zeros_like(x).index_put((torch.arange(len(x), device=x.device),), f(x, m))
        ),
        check="autocast",
        words="raised RuntimeError",
    ),
    Rig(
        what="a constant left on the CPU",
        spec=rigged_generator(lambda s, f, x, m: f(x, m) * s.scale, attributes(scale=lambda: torch.ones(1, 3, 1, 1))),
        check="device",
        words="register_buffer",
    ),
    Rig(
        what="weights left on the CPU, in a convolution",
        spec=rigged_generator(
            lambda s, f, x, m: torch.conv2d(f(x, m), s.scale.to(x.dtype)),
            attributes(scale=lambda: torch.eye(3).view(3, 3, 1, 1)),
        ),
        check="device",
        words="conv2d is given tensors on",
    ),
    Rig(
        what="an unused layer",
        spec=rigged_generator(lambda s, f, x, m: f(x, m), attributes(spare=lambda: nn.Linear(2, 2))),
        check="gradient flow",
        words="no gradient ever reaches spare.bias, spare.weight",
    ),
    Rig(
        what="rounded to bytes",
        spec=rigged_generator(lambda s, f, x, m: (255 * f(x, m)).round() / 255),
        check="gradient flow",
        words="no gradient ever reaches layer.bias, layer.weight",
    ),
    Rig(
        what="detached",
        spec=rigged_generator(lambda s, f, x, m: f(x, m).detach()),
        check="gradient flow",
        words="remove detach()",
    ),
    Rig(
        what="noise in eval mode",
        spec=rigged_generator(lambda s, f, x, m: 0.9 * f(x, m) + 0.1 * torch.rand_like(x)),
        check="deterministic eval",
        words="differs from call to call in eval mode",
        also=("batch independence",),
    ),
    Rig(
        what="statistics of the batch in eval mode",
        spec=rigged_generator(
            lambda s, f, x, m: torch.sigmoid(s.norm(f(x, m))),
            attributes(norm=lambda: nn.BatchNorm2d(3, track_running_stats=False)),
        ),
        check="batch independence",
        words="with the rest of the batch",
    ),
    Rig(
        what="state beside the state_dict",
        spec=rigged_generator(lambda s, f, x, m: f(x, m) * s.hidden, attributes(hidden=lambda: float(torch.rand(())))),
        check="saved weights",
        words="keep all state in parameters and buffers",
    ),
    Rig(
        what="a number that changes in training",
        spec=rigged_generator(_cool, attributes(temperature=lambda: 1.0)),
        check="saved weights",
        words="the output differs in eval mode; keep all state in parameters and buffers",
    ),
    Rig(
        what="a layer beside the module",
        spec=rigged_generator(
            lambda s, f, x, m: torch.sigmoid(f(x, m) * s.hidden[0]),
            attributes(hidden=lambda: (torch.ones((), requires_grad=True),)),
        ),
        check="own weights",
        words="outside of a torch.nn.Module",
    ),
    Rig(
        what="weights drawn by numpy",
        spec=rigged_generator(lambda s, f, x, m: f(x, m), _numpy_weights),
        check="seeded weights",
        words="layer.weight differ between two builds",
    ),
    Rig(
        what="a buffer shared by all",
        spec=rigged_generator(lambda s, f, x, m: f(x, m) * s.shared, lambda s: s.register_buffer("shared", SHARED)),
        check="independent builds",
        words="share weights or buffers",
    ),
    Rig(
        what="writes into the image",
        spec=rigged_generator(lambda s, f, x, m: f(x.clamp_(0.3, 0.6), m)),
        check="size multiple",
        words="writes into `image`, its input; work on a copy",
    ),
    Rig(
        what="writes into the image in training",
        spec=rigged_generator(lambda s, f, x, m: f(x.clamp_(0.3, 0.6) if s.training else x, m)),
        check="inputs unchanged",
        words="writes into `image`, its input",
    ),
    Rig(
        what="forgets what it declares",
        spec=rigged_generator(lambda s, f, x, m: f(x, m), auxiliary=("gray",)),
        check="auxiliary outputs",
        words="returns no gray",
    ),
    Rig(
        what="does not declare what it gives",
        spec=rigged_generator(lambda s, f, x, m: (f(x, m), {"gray": f(x, m)[:, :1]})),
        check="auxiliary outputs",
        words="its spec does not declare",
    ),
    Rig(
        what="an auxiliary output without its channels",
        spec=rigged_generator(lambda s, f, x, m: (f(x, m), {"gray": f(x, m)[:, 0]}), auxiliary=("gray",)),
        check="auxiliary outputs",
        words="must be (B, C, h, w)",
    ),
    Rig(
        what="an auxiliary output with two channels",
        spec=rigged_generator(lambda s, f, x, m: (f(x, m), {"gray": f(x, m)[:, :2]}), auxiliary=("gray",)),
        check="auxiliary outputs",
        words="gray is [2, 2, 64, 64]; it must be (B, C, h, w), C = 1 or 3",
    ),
    Rig(
        what="a detached auxiliary output",
        spec=rigged_generator(lambda s, f, x, m: (f(x, m), {"gray": f(x, m)[:, :1].detach()}), auxiliary=("gray",)),
        check="auxiliary outputs",
        words="gray has no gradient, so a loss on it would train nothing",
    ),
]
