"""The inputs of a penalty for given pictures and maps."""

from __future__ import annotations

import torch

from toolbox import PenaltyContext


def penalty_context(discriminate, real, fake, *, real_maps=None, fake_maps=None, seed=0):
    """Return the inputs of a penalty; maps that are not given are computed by `discriminate`."""
    return PenaltyContext(
        discriminate=discriminate,
        real=real,
        fake=fake,
        real_maps=discriminate(real) if real_maps is None else real_maps,
        fake_maps=discriminate(fake) if fake_maps is None else fake_maps,
        random=torch.Generator().manual_seed(seed),
    )
