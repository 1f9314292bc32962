"""The loss hole around several inner losses."""

from __future__ import annotations

import pytest
import torch
from tensors import no_mask, small_mask, uniform

from toolbox.errors import RecipeError


def test_hole_by_hand(build_loss):
    truth = torch.zeros(1, 1, 5, 5)
    restored = torch.zeros(1, 1, 5, 5)
    restored[0, 0, 0, 0], restored[0, 0, 0, 1], restored[0, 0, 1, 1], restored[0, 0, 4, 4] = 0.5, 0.2, 0.4, 1.0
    mask = torch.zeros(1, 1, 5, 5)
    mask[0, 0, 0, 0] = mask[0, 0, 0, 1] = 1
    # Two pixels are lost: (0.25 + 0.04) / 2. The strip of width 1 has six pixels, these two, the one to their right and
    # three below: (0.25 + 0.04 + 0.16) / 6. The error in the far corner is in neither.
    inside, border = 0.145, 0.075
    for weight in (0.0, 1.0, 2.5):
        loss = build_loss("hole", inner={"name": "mse"}, border=weight, width=1)
        assert loss(restored, truth, mask).item() == pytest.approx(inside + weight * border)


def test_the_inner_loss_of_equal_pictures_is_subtracted(build_loss):
    truth, restored, mask = (torch.zeros(1, 1, 5, 5) for _ in range(3))
    restored[0, 0, 0, 0], restored[0, 0, 4, 4], mask[0, 0, 0, 0] = 0.75, 1.0, 1
    charbonnier = build_loss("hole", inner={"name": "charbonnier", "epsilon": 1.0}, border=0)
    # sqrt(0.75^2 + 1) - 1 over the one pixel of the region.
    assert charbonnier(restored, truth, mask).item() == pytest.approx(0.25, abs=1e-5)


@pytest.mark.parametrize("inner", ["mse", "charbonnier", "ms-ssim"])
def test_an_empty_mask_gives_zero_and_a_full_one_the_inner_loss(build_loss, inner):
    loss = build_loss("hole", inner={"name": inner})
    truth, restored = uniform(2, 3, 24, 24), uniform(2, 3, 24, 24, seed=1).requires_grad_()
    value = loss(restored, truth, no_mask(truth))
    assert value.item() == 0
    value.backward()
    assert not restored.grad.any()
    everything = torch.ones_like(truth[:, :1])
    assert build_loss("hole", inner={"name": "mse"})(restored, truth, everything).item() == pytest.approx(
        (restored - truth).square().mean().item()
    )


def test_hole_moves_its_inner_loss_and_rejects_others(build_loss):
    loss = build_loss("hole", inner={"name": "perceptual", "backbone": "test_efficientnet"}).to(torch.float64)
    restored, truth = uniform(1, 3, 32, 32), uniform(1, 3, 32, 32, seed=1)
    assert loss(restored, truth, small_mask(truth)).dtype == torch.float64
    assert not loss.state_dict()
    with pytest.raises(RecipeError, match="'lsgan' is adversarial; use a reconstruction loss"):
        build_loss("hole", inner={"name": "lsgan"})
    with pytest.raises(RecipeError, match="mze"):
        build_loss("hole", inner={"name": "mze"})
