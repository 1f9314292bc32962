"""The published training step, operation by operation, written from its description (docs/published.md).

In each step it calls the discriminator six times, two of these only for the shape of a label. It computes SSIM by
scikit-image on the CPU. The generator's backward pass also computes gradients of the discriminator's weights, which
are not used. The U-Net upsamples, concatenates and convolves. torch's default memory format and AdamW with its default
options are used. Weights, seed and batch come from a recipe.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import AdamW

from toolbox.config.binding import bind
from toolbox.config.plan import Plan
from toolbox.config.recipe import read
from toolbox.data.batch import Batch
from toolbox.distributed.accelerator import Accelerator
from toolbox.hooks import catalog
from toolbox.training import state
from toolbox.training.memory_format import choose_memory_format, set_memory_format


@dataclass(frozen=True, kw_only=True)
class PublishedState:
    """The networks and optimizers of the published step; the optimizers are the generator's and the discriminator's."""

    generator: nn.Module
    discriminator: nn.Module
    optimizers: tuple[AdamW, AdamW]


class PublishedUNet(nn.Module):
    """The published generator's operations on the layers, and so with the weights, of our generator."""

    def __init__(self, ours: nn.Module) -> None:
        super().__init__()
        self.down, self.up, self.head = ours.down, ours.up, ours.head

    def forward(self, image: Tensor, mask: Tensor) -> Tensor:
        """Restore `image` (B, 3, H, W), H and W multiples of 16; `mask` is not used."""
        x, skips = image, []
        for layers in self.down:
            x = nn.Sequential.forward(layers, F.max_pool2d(x, 2) if skips else x)
            skips.append(x)
        skips.pop()
        for level in self.up:
            x = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=True)
            x = level.rest(level.join(torch.cat([x, skips.pop()], dim=1)))
        return torch.sigmoid(self.head(x))


def plan_recipe(name: str, size: int, batch: int, overrides: Sequence[str] = ()) -> Plan:
    """Return the plan of a shipped recipe at a size and a batch size, with overrides as ``--set`` takes them."""
    loaded = catalog.load(third_party=False)
    overrides = [f"data.size={size}", f"training.batch={batch}", *overrides]
    return bind(read(name, lambda known: loaded.recipe(known).path, overrides), loaded)


def build_as_run(plan: Plan, accelerator: Accelerator, dtype: torch.dtype = torch.float32) -> state.TrainState:
    """Return the train state of a plan in the memory layout that a run would choose on this device."""
    built = state.build_state(plan, accelerator, dtype)
    return set_memory_format(built, choose_memory_format(plan.settings, built, accelerator).name)


def random_batch(size: int, batch: int, device: torch.device, memory_format: torch.memory_format) -> Batch:
    """Return a batch of random pictures without lost regions, always the same."""
    generator = torch.Generator().manual_seed(0)
    image, truth = (
        pictures.to(device).contiguous(memory_format=memory_format)
        for pictures in torch.rand((2, batch, 3, size, size), generator=generator)
    )
    names = tuple(str(index) for index in range(batch))
    return Batch(image=image, mask=torch.zeros_like(image[:, :1]), truth=truth, names=names)


def build_published(plan: Plan, accelerator: Accelerator) -> PublishedState:
    """Build the networks and optimizers of the published step, with the weights of `plan`."""
    built = state.build_state(plan, accelerator)
    assert built.discriminator is not None
    optimizers = []
    for side in built.networks().values():
        side.network.to(memory_format=torch.contiguous_format).train()
        group = side.optimizer.param_groups[0]
        options = {name: group[name] for name in ("lr", "betas", "weight_decay")}
        optimizers.append(AdamW(side.network.parameters(), **options))
    return PublishedState(
        generator=PublishedUNet(built.generator.network),
        discriminator=built.discriminator.network,
        optimizers=(optimizers[0], optimizers[1]),
    )


def scikit_ssim(restored: Tensor, truth: Tensor) -> float:
    """Return the mean SSIM as the published call computes it: a 3x3x3 volume, detached, on the CPU."""
    from skimage.metrics import structural_similarity

    pairs = zip(restored.detach().cpu().numpy(), truth.cpu().numpy(), strict=True)
    values = [
        structural_similarity(a.transpose(1, 2, 0), b.transpose(1, 2, 0), win_size=3, data_range=1.0) for a, b in pairs
    ]
    return float(sum(values) / len(values))


def published_step(published: PublishedState, batch: Batch, random: torch.Generator) -> dict[str, float]:
    """Take one published step; return the terms under the names that our step uses."""

    def discriminate(picture: Tensor) -> Tensor:
        return published.discriminator(picture, batch.image, batch.mask)[0]

    generator_optimizer, discriminator_optimizer = published.optimizers
    generator_optimizer.zero_grad()
    fake = published.generator(batch.image, batch.mask)
    valid = torch.ones_like(discriminate(batch.truth))
    adversarial = F.mse_loss(discriminate(fake), valid)
    pixels = F.mse_loss(fake, batch.truth)
    total = adversarial + 50 * pixels + 50 * (1 - scikit_ssim(fake, batch.truth))
    total.backward()
    generator_optimizer.step()

    discriminator_optimizer.zero_grad()
    invalid = torch.zeros_like(discriminate(fake.detach()))
    real_term = F.mse_loss(discriminate(batch.truth), valid)
    fake_term = F.mse_loss(discriminate(fake.detach()), invalid)
    alpha = torch.rand((len(fake), 1, 1, 1), generator=random).to(fake.device)
    blend = (alpha * batch.truth + (1 - alpha) * fake.detach()).requires_grad_(True)
    (gradient,) = torch.autograd.grad(discriminate(blend).sum(), blend, create_graph=True)
    penalty = ((gradient.flatten(1).norm(2, dim=1) - 1) ** 2).mean()
    (real_term + fake_term + 10 * penalty).backward()
    discriminator_optimizer.step()
    return {
        "g": total.item(),
        "d.real": real_term.item(),
        "d.fake": fake_term.item(),
        "penalty.gradient": penalty.item(),
    }
