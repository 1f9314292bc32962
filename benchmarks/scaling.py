"""On paper: what several GPUs give for the published setup, from the length of its messages and the rates of links.

Nothing here runs on a GPU. The time of a step is a parameter, or follows from the operations of a step, which are
counted, at a rate that is assumed. Sums are modelled as rings or trees, inside a machine and then between machines.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import click
import numpy as np
import torch
from toolbox_plugins.default import unet

from benchmarks import _measure, step
from benchmarks._work import Counter
from toolbox.training.step import take_step

# Published rates, one direction, in GB/s: NVLink 4 has 18 links of 25; PCIe x16; a network card by its name.
INSIDE = {"NVLink 4": 450.0, "PCIe 5 x16": 64.0, "PCIe 4 x16": 32.0}
BETWEEN = {"400 Gb/s": 50.0, "200 Gb/s": 25.0, "100 Gb/s": 12.5, "25 GbE": 3.125}
REACHED = 0.8  # of a published rate, assumed
DELAY = {"inside": 5e-6, "between": 15e-6}  # seconds a message and hop, assumed
MACHINE = 8  # GPUs
COUNTED_SIDE = 64


@dataclass(frozen=True, kw_only=True)
class Step:
    """A step of one GPU.

    Attributes:
        seconds: its time.
        behind: the share of it, the discriminator's side, that the generator's sum can run beside.
        generator: the bytes of the generator's gradients.
        discriminator: the bytes of the discriminator's.
        small: how many small sums there are besides.
    """

    seconds: float
    behind: float
    generator: int
    discriminator: int
    small: int


@dataclass(frozen=True, kw_only=True)
class Link:
    """What joins GPUs: GB/s inside a machine and between machines, network cards a machine."""

    inside: float
    between: float
    cards: int


def counted() -> tuple[float, float, int, int]:
    """Return a published step's operations a pixel, the discriminator's share of them, the weights of both sides."""
    built, batch, accelerator = step.build(COUNTED_SIDE, 1, "cpu")
    spent: dict[str, int] = {}
    counter = Counter()
    unet.pays = lambda x: False  # the way that a CPU takes for small pictures

    def mark(part: str) -> None:
        spent[part] = counter.total - sum(spent.values())

    with counter:
        take_step(built, batch, accelerator, number=0, random=torch.Generator(), mark=mark)
    total = sum(spent.values())
    sizes = [sum(weight.numel() for weight in side.network.parameters()) for side in built.networks().values()]
    share = spent["discriminator's losses and gradients"] / total
    return total / COUNTED_SIDE**2, share, sizes[0], sizes[1]


def level(size: float, members: int, rate: float, delay: float) -> float:
    """Return the seconds to sum `size` bytes over `members`, by a ring or, where that is faster, by a tree.

    A ring passes an n-th of the bytes on, 2 (n - 1) times; a tree all of them up and down, log2 n hops each way.
    """
    speed = REACHED * rate * 1e9
    ring = 2 * (members - 1) * (size / members / speed + delay)
    tree = 2 * (size / speed + math.ceil(math.log2(members)) * delay)
    return min(ring, tree)


def summed(size: float, gpus: int, link: Link) -> float:
    """Return the seconds to sum `size` bytes over all GPUs, first inside each machine, then between them."""
    inside, machines = min(gpus, MACHINE), -(-gpus // MACHINE)
    time = level(size, inside, link.inside, DELAY["inside"]) if inside > 1 else 0.0
    # After the sum inside each GPU has its part of the sum, and all parts leave by the machine's cards.
    return time + (level(size, machines, link.between * link.cards, DELAY["between"]) if machines > 1 else 0.0)


def waiting(one: Step, gpus: int, link: Link) -> float:
    """Return the seconds that a step stands still for sums."""
    hidden = one.behind * one.seconds
    late = max(0.0, summed(one.generator, gpus, link) - hidden)
    return late + summed(one.discriminator, gpus, link) + one.small * summed(4096, gpus, link)


def slowest(gpus: int, jitter: float, steps: int = 2000) -> float:
    """Return how much longer the slowest of `gpus` takes than the mean, simulated: all wait for it in every step."""
    draws = np.random.default_rng(0).normal(1.0, jitter, (steps, gpus))
    return float(draws.max(1).mean())


def efficiency(one: Step, gpus: int, link: Link, jitter: float) -> float:
    """Return the pictures a second over `gpus` times those of one GPU."""
    return one.seconds / (one.seconds * slowest(gpus, jitter) + waiting(one, gpus, link))


@click.command("scaling")
@click.option("--step", "seconds", type=float, help="Seconds of a step on one GPU.  [default: from --rate]")
@click.option("--pictures", default=8, show_default=True, help="Pictures a GPU and step.")
@click.option("--size", default=512, show_default=True, help="Side of the pictures in pixels.")
@click.option("--rate", default=100.0, show_default=True, help="Operations a second of one GPU, in 10^12, assumed.")
@click.option("--cards", default=1, show_default=True, help="Network cards a machine of eight GPUs.")
@click.option("--jitter", default=0.01, show_default=True, help="Deviation of a GPU's step time, as a share of it.")
@_measure.quick
@_measure.json_path
def command(
    seconds: float | None,
    pictures: int,
    size: int,
    rate: float,
    cards: int,
    jitter: float,
    quick: bool,
    path: Path | None,
) -> None:
    """Print what 8, 64 and 512 GPUs give for the published setup, on paper; no GPU is measured."""
    each, behind, generator, discriminator = counted()
    work = each * size**2 * pictures
    # The published discriminator's BatchNorms sum 54 times a step (counted in two processes), and these sums queue
    # behind the generator's, which nothing hides then.
    one = Step(
        seconds=seconds or work / (rate * 1e12),
        behind=0.0,
        generator=4 * generator,
        discriminator=4 * discriminator,
        small=54 + 2,
    )
    plain = replace(one, behind=behind, small=2)
    click.echo(
        f"{pictures} pictures of {size} px a GPU: {work / 1e12:.2f}e12 operations, {one.seconds * 1000:.1f} ms a step "
        f"({'given' if seconds else f'assumed, at {rate:g}e12 a second'}), {behind:.1%} of them the discriminator's "
        f"side.\nMessages: {one.generator / 1e6:.1f} MB and {one.discriminator / 1e6:.1f} MB a step.\n"
    )
    rows = []
    for title, what in (("As published", one), ("With a discriminator without BatchNorm", plain)):
        click.echo(f"{title}:\n\n{HEAD}")
        rows += _table(title, what, pictures, cards, jitter)
        click.echo()
    if path is not None:
        path.write_text(json.dumps({**_measure.facts(), "step": asdict(one), "rows": rows}, indent=2) + "\n", "utf-8")


HEAD = (
    "| inside a machine | between machines | 8 GPUs | 64 GPUs | 512 GPUs | waiting at 512, ms "
    "| pictures a GPU for 90 % at 512 |\n|---|---|---|---|---|---|---|"
)


def _table(title: str, one: Step, pictures: int, cards: int, jitter: float) -> list[dict]:
    rows = []
    for inner, outer in [("NVLink 4", name) for name in BETWEEN] + [
        ("PCIe 4 x16", "100 Gb/s"),
        ("PCIe 4 x16", "25 GbE"),
    ]:
        link = Link(inside=INSIDE[inner], between=BETWEEN[outer], cards=cards)
        found = {gpus: efficiency(one, gpus, link, jitter) for gpus in (8, 64, 512)}
        most = waiting(one, 512, link)
        enough = _enough(one, pictures, link, jitter)
        rows.append(
            {"what": title, "inside": inner, "between": outer, "efficiency": found, "waiting": most, "pictures": enough}
        )
        shares = "".join(f" {share:.1%} |" for share in found.values())
        click.echo(f"| {inner} | {outer} x{cards} |{shares} {most * 1000:.1f} | {enough or 'over 1024'} |")
    return rows


def _enough(one: Step, pictures: int, link: Link, jitter: float) -> int | None:
    """Return the least pictures a GPU for which 512 GPUs reach 90 % of what 512 times one would give, jitter aside."""
    for count in range(1, 1025):
        more = replace(one, seconds=one.seconds * count / pictures)
        if more.seconds / (more.seconds + waiting(more, 512, link)) >= 0.9:
            return count
    return None
