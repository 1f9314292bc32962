"""One training step: ours against the published step's operations, same weights, same batch, in turn.

The published step is written here from its description (docs/published.md): six passes through the
discriminator, two of them for the shape of a label alone; SSIM by scikit-image on the CPU; the
discriminator's own gradients computed in the generator's step and thrown away.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

import click
import torch
from torch import Tensor
from torch.nn.functional import mse_loss

from toolbox import catalog, engine, parts, training
from toolbox.data import Batch
from toolbox.inspection import peak_memory
from toolbox.plan import bind
from toolbox.recipe import read


def build(kind: str, size: int, batch: int, device: str | None) -> tuple[parts.Parts, Batch, engine.Accelerator]:
    """Return the parts of the `published` recipe, drawn from its seed, and a batch of random pictures.

    For `kind` "published" both are in the memory layout that the script left them in.
    """
    loaded = catalog.load(third_party=False)
    plan = bind(read("published", lambda name: loaded.recipe(name).path), loaded)
    power = engine.make(device)
    built = parts.build(plan, power)
    draw = torch.Generator().manual_seed(0)
    pictures = list(torch.rand((2, batch, 3, size, size), generator=draw).to(power.device))
    if kind == "published":  # it leaves weights and pictures in torch's own layout
        for side in built.sides().values():
            side.network.to(memory_format=torch.contiguous_format)
    else:
        pictures = [one.contiguous(memory_format=torch.channels_last) for one in pictures]
    names = tuple(str(index) for index in range(batch))
    return (
        built,
        Batch(image=pictures[0], mask=torch.zeros_like(pictures[0][:, :1]), truth=pictures[1], names=names),
        power,
    )


def scikit_ssim(restored: Tensor, truth: Tensor) -> float:
    """Return the mean SSIM as the published call computes it: a 3x3x3 volume, detached, on the CPU."""
    from skimage.metrics import structural_similarity

    pairs = zip(restored.detach().cpu().numpy(), truth.cpu().numpy(), strict=True)
    values = [
        structural_similarity(a.transpose(1, 2, 0), b.transpose(1, 2, 0), win_size=3, data_range=1.0) for a, b in pairs
    ]
    return float(sum(values) / len(values))


def published_step(built: parts.Parts, batch: Batch, random: torch.Generator) -> dict[str, float]:
    """Take the published step, operation by operation."""
    assert built.discriminator is not None
    generator, discriminator = built.generator.network, built.discriminator.network

    def judge(picture: Tensor) -> Tensor:
        return discriminator(picture, batch.image, batch.mask)[0]

    built.generator.optimizer.zero_grad()
    fake = generator(batch.image, batch.mask)
    valid = torch.ones_like(judge(batch.truth))
    adversarial = mse_loss(judge(fake), valid)
    pixels = mse_loss(fake, batch.truth)
    structure = 1 - scikit_ssim(fake, batch.truth)
    total = adversarial + 50 * pixels + 50 * structure
    total.backward()
    built.generator.optimizer.step()

    built.discriminator.optimizer.zero_grad()
    invalid = torch.zeros_like(judge(fake.detach()))
    on_real = mse_loss(judge(batch.truth), valid)
    on_fake = mse_loss(judge(fake.detach()), invalid)
    alpha = torch.rand((len(fake), 1, 1, 1), generator=random).to(fake.device)
    between = (alpha * batch.truth + (1 - alpha) * fake.detach()).requires_grad_(True)
    (slope,) = torch.autograd.grad(judge(between).sum(), between, create_graph=True)
    penalty = ((slope.flatten(1).norm(2, dim=1) - 1) ** 2).mean()
    (on_real + on_fake + 10 * penalty).backward()
    built.discriminator.optimizer.step()
    return {"g": total.item(), "d.real": on_real.item(), "d.fake": on_fake.item(), "penalty.gradient": penalty.item()}


def our_step(built: parts.Parts, batch: Batch, power: engine.Accelerator, number: int, random: torch.Generator) -> dict:
    """Take our step with the same numerics."""
    terms = training.step(built, batch, power, number=number, random=random)
    return {name: float(value) for name, value in terms.items()}


def convolution_share(step: Callable[[], object]) -> float:
    """Return the share of a step's time that is convolution, forward and backward (CPU time by the profiler)."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        step()
    events = profile.key_averages()
    total = sum(event.self_cpu_time_total for event in events)
    return sum(event.self_cpu_time_total for event in events if "conv" in event.key) / total


@click.command("step")
@click.option("--size", default=128, show_default=True, help="Side of the pictures in pixels.")
@click.option("--batch", default=4, show_default=True, help="Pictures a step.")
@click.option("--pairs", default=5, show_default=True, help="Steps of each kind, in turn.")
@click.option("--device", help="The device; the best there is if not given.")
@click.option("--only", type=click.Choice(["ours", "published"]), help="Two steps of one kind; print the peak memory.")
def command(size: int, batch: int, pairs: int, device: str | None, only: str | None) -> None:
    """Time our training step against the published step's operations; print JSON with ratio and peak memories."""
    if only is not None:
        built, given, power = build(only, size, batch, device)
        for number in range(2):
            random = torch.Generator().manual_seed(number)
            _ = (
                our_step(built, given, power, number, random)
                if only == "ours"
                else published_step(built, given, random)
            )
        cuda = power.device.type == "cuda"
        click.echo(torch.cuda.max_memory_allocated() if cuda else peak_memory())
        return
    ours, given, power = build("ours", size, batch, device)
    theirs, plain, _ = build("published", size, batch, device)
    times: dict[str, list[float]] = {"ours": [], "published": []}
    worst = 0.0
    for number in range(pairs + 1):
        started = time.perf_counter()
        a = our_step(ours, given, power, number, torch.Generator().manual_seed(number))
        middle = time.perf_counter()
        b = published_step(theirs, plain, torch.Generator().manual_seed(number))
        if number == 0:  # warm-up, and the two are compared while rounding has not yet driven them apart
            worst = max(abs(a[name] - b[name]) / abs(b[name]) for name in b)
            continue
        times["ours"].append(middle - started)
        times["published"].append(time.perf_counter() - middle)
    ratios = [theirs / ours for ours, theirs in zip(times["ours"], times["published"], strict=True)]
    share = convolution_share(lambda: our_step(ours, given, power, 99, torch.Generator().manual_seed(99)))
    memory = {kind: _memory(kind, size, batch, device) for kind in times}
    result = {
        "size": size,
        "batch": batch,
        "device": str(power.device),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "seconds": {kind: statistics.median(values) for kind, values in times.items()},
        "ratio": {"median": statistics.median(ratios), "least": min(ratios), "most": max(ratios)},
        "convolution_share_of_our_step": share,
        "peak_bytes": memory,
        "peak_ratio": memory["ours"] / memory["published"],
        "largest_relative_difference_of_the_first_step": worst,
    }
    click.echo(json.dumps(result, indent=2))


def _memory(kind: str, size: int, batch: int, device: str | None) -> int:
    options = ["--only", kind, "--size", str(size), "--batch", str(batch), *(["--device", device] if device else [])]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "step", *options], capture_output=True, text=True, check=True
    )
    return int(done.stdout.split()[-1])
