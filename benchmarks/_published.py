"""The published step, operation by operation, written from its description (docs/published.md).

Six passes through the discriminator, two of them for the shape of a label alone; SSIM by scikit-image on the CPU; the
discriminator's own gradients computed in the generator's step and thrown away; the U-Net enlarges, concatenates and
convolves; torch's own memory layout and its AdamW as a script calls it. Weights, seed and batch are those of a recipe.
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
class Published:
    """What the published step moves."""

    generator: nn.Module
    discriminator: nn.Module
    optimizers: tuple[AdamW, AdamW]


class PublishedUNet(nn.Module):
    """The published generator's operations on the layers, and so with the weights, of ours."""

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


def planned(name: str, size: int, batch: int, changes: Sequence[str] = ()) -> Plan:
    """Return the plan of a shipped recipe at a size and a batch, with further changes as ``--set`` takes them."""
    loaded = catalog.load(third_party=False)
    changes = [f"data.size={size}", f"training.batch={batch}", *changes]
    return bind(read(name, lambda known: loaded.recipe(known).path, changes), loaded)


def build_as_run(plan: Plan, accelerator: Accelerator, dtype: torch.dtype = torch.float32) -> state.TrainState:
    """Return the train state of a plan in the memory layout that a run would choose on this device."""
    built = state.build_state(plan, accelerator, dtype)
    return set_memory_format(built, choose_memory_format(plan.settings, built, accelerator).name)


def pictures(size: int, batch: int, device: torch.device, layout: torch.memory_format) -> Batch:
    """Return a batch of random pictures, the same ones each time."""
    draw = torch.Generator().manual_seed(0)
    image, truth = (
        one.to(device).contiguous(memory_format=layout) for one in torch.rand((2, batch, 3, size, size), generator=draw)
    )
    names = tuple(str(index) for index in range(batch))
    return Batch(image=image, mask=torch.zeros_like(image[:, :1]), truth=truth, names=names)


def published(plan: Plan, accelerator: Accelerator) -> Published:
    """Return the parts of the published step, its weights drawn as those of `plan`."""
    built = state.build_state(plan, accelerator)
    assert built.discriminator is not None
    optimizers = []
    for side in built.networks().values():
        side.network.to(memory_format=torch.contiguous_format).train()
        group = side.optimizer.param_groups[0]
        chosen = {name: group[name] for name in ("lr", "betas", "weight_decay")}
        optimizers.append(AdamW(side.network.parameters(), **chosen))
    return Published(
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


def published_step(built: Published, batch: Batch, random: torch.Generator) -> dict[str, float]:
    """Take the published step; the terms that ours has under the same names."""

    def judge(picture: Tensor) -> Tensor:
        return built.discriminator(picture, batch.image, batch.mask)[0]

    of_generator, of_discriminator = built.optimizers
    of_generator.zero_grad()
    fake = built.generator(batch.image, batch.mask)
    valid = torch.ones_like(judge(batch.truth))
    adversarial = F.mse_loss(judge(fake), valid)
    pixels = F.mse_loss(fake, batch.truth)
    total = adversarial + 50 * pixels + 50 * (1 - scikit_ssim(fake, batch.truth))
    total.backward()
    of_generator.step()

    of_discriminator.zero_grad()
    invalid = torch.zeros_like(judge(fake.detach()))
    on_real = F.mse_loss(judge(batch.truth), valid)
    on_fake = F.mse_loss(judge(fake.detach()), invalid)
    alpha = torch.rand((len(fake), 1, 1, 1), generator=random).to(fake.device)
    between = (alpha * batch.truth + (1 - alpha) * fake.detach()).requires_grad_(True)
    (slope,) = torch.autograd.grad(judge(between).sum(), between, create_graph=True)
    penalty = ((slope.flatten(1).norm(2, dim=1) - 1) ** 2).mean()
    (on_real + on_fake + 10 * penalty).backward()
    of_discriminator.step()
    return {"g": total.item(), "d.real": on_real.item(), "d.fake": on_fake.item(), "penalty.gradient": penalty.item()}
