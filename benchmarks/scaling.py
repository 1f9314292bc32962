"""Estimate how training scales to several GPUs, from the sizes of the messages and published rates of links.

    python -m benchmarks scaling --step 0.1

No GPU is measured. The time of a step is an option, or it is computed from the counted operations of a step and an
assumed rate. All-reduce is modelled as a ring or a tree, first inside each machine and then between machines.

There is a table for the published setup, and one for a discriminator without BatchNorm. The columns are: the links
inside a machine; the links between machines; the efficiency with 8, 64 and 512 GPUs, which is the throughput divided
by that of perfect scaling; the time in a step that 512 GPUs wait for messages; the number of pictures on each GPU with
which 512 GPUs reach an efficiency of 90 %, apart from variations of the step time.
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

from benchmarks.common import timing
from benchmarks.common.arithmetic import OperationCounter
from benchmarks.step import build
from toolbox.training.step import take_step

# Published rates in one direction, in GB/s. NVLink 4 has 18 links of 25; network cards are called by their rates.
INSIDE = {"NVLink 4": 450.0, "PCIe 5 x16": 64.0, "PCIe 4 x16": 32.0}
BETWEEN = {"400 Gb/s": 50.0, "200 Gb/s": 25.0, "100 Gb/s": 12.5, "25 GbE": 3.125}
# Assumed fraction of a published rate that is reached.
REACHED = 0.8
# Assumed latency of a message, in seconds for each hop.
LATENCY = {"inside": 5e-6, "between": 15e-6}
# GPUs in a machine.
MACHINE = 8
# Side of the pictures with which the operations are counted, in pixels.
COUNTED_SIDE = 64


@dataclass(frozen=True, kw_only=True)
class Step:
    """A step on one GPU.

    Attributes:
        seconds: its time.
        overlap: fraction of the time, in the discriminator's part, during which the generator's gradients can be sent.
        generator: bytes of the generator's gradients.
        discriminator: bytes of the discriminator's gradients.
        small: number of small all-reduce messages.
    """

    seconds: float
    overlap: float
    generator: int
    discriminator: int
    small: int


@dataclass(frozen=True, kw_only=True)
class Link:
    """The links between GPUs: GB/s inside a machine and between machines, and the network cards of a machine."""

    inside: float
    between: float
    cards: int


def count_step() -> tuple[float, float, int, int]:
    """Count a published step.

    Returns:
        Operations per pixel; the discriminator's share of them; the numbers of weights of generator and discriminator.
    """
    built, batch, accelerator = build(COUNTED_SIDE, 1, "cpu")
    operations: dict[str, int] = {}
    counter = OperationCounter()
    unet.is_faster_before_upsampling = lambda x: False  # only for small pictures on a CPU

    def mark(part: str) -> None:
        operations[part] = counter.total - sum(operations.values())

    with counter:
        take_step(built, batch, accelerator, number=0, random=torch.Generator(), mark=mark)
    total = sum(operations.values())
    sizes = [sum(weight.numel() for weight in side.network.parameters()) for side in built.networks().values()]
    share = operations["discriminator's losses and gradients"] / total
    return total / COUNTED_SIDE**2, share, sizes[0], sizes[1]


def all_reduce_seconds(size: float, members: int, rate: float, latency: float) -> float:
    """Return the seconds to sum `size` bytes over `members` with a ring or a tree, whichever is faster.

    In a ring of n members, each sends an n-th of the bytes 2 (n - 1) times. In a tree, all bytes go up and down, with
    log2 n hops in each direction.
    """
    speed = REACHED * rate * 1e9
    ring = 2 * (members - 1) * (size / members / speed + latency)
    tree = 2 * (size / speed + math.ceil(math.log2(members)) * latency)
    return min(ring, tree)


def total_all_reduce_seconds(size: float, gpus: int, link: Link) -> float:
    """Return the seconds to sum `size` bytes over all GPUs, first inside each machine, then between machines."""
    inside, machines = min(gpus, MACHINE), -(-gpus // MACHINE)
    time = all_reduce_seconds(size, inside, link.inside, LATENCY["inside"]) if inside > 1 else 0.0
    # After the sum inside a machine, each GPU has a part of it. All parts are sent through the machine's cards.
    if machines > 1:
        time += all_reduce_seconds(size, machines, link.between * link.cards, LATENCY["between"])
    return time


def waiting_seconds(step: Step, gpus: int, link: Link) -> float:
    """Return the seconds that a step waits for messages."""
    hidden = step.overlap * step.seconds
    late = max(0.0, total_all_reduce_seconds(step.generator, gpus, link) - hidden)
    return (
        late
        + total_all_reduce_seconds(step.discriminator, gpus, link)
        + step.small * total_all_reduce_seconds(4096, gpus, link)
    )


def slowest_factor(gpus: int, jitter: float, steps: int = 2000) -> float:
    """Return the mean time of the slowest of `gpus` in a step, relative to the mean time, by simulation."""
    draws = np.random.default_rng(0).normal(1.0, jitter, (steps, gpus))
    return float(draws.max(1).mean())


def efficiency(step: Step, gpus: int, link: Link, jitter: float) -> float:
    """Return the throughput of `gpus` GPUs divided by `gpus` times that of one GPU."""
    return step.seconds / (step.seconds * slowest_factor(gpus, jitter) + waiting_seconds(step, gpus, link))


@click.command("scaling")
@click.option("--step", "seconds", type=float, help="Seconds of a step on one GPU.  [default: computed from --rate]")
@click.option(
    "--pictures", type=click.IntRange(1), default=8, show_default=True, help="Pictures on each GPU in a step."
)
@click.option("--size", type=click.IntRange(1), default=512, show_default=True, help="Side of the pictures in pixels.")
@click.option("--rate", default=100.0, show_default=True, help="Assumed operations per second of one GPU, in 10^12.")
@click.option(
    "--cards", type=click.IntRange(1), default=1, show_default=True, help="Network cards of a machine with eight GPUs."
)
@click.option(
    "--jitter", default=0.01, show_default=True, help="Standard deviation of a GPU's step time, as a fraction."
)
@timing.quick_option
@timing.json_option
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
    """Estimate the efficiency of 8, 64 and 512 GPUs for the published setup; no GPU is measured."""
    operations_per_pixel, discriminator_share, generator, discriminator = count_step()
    operations = operations_per_pixel * size**2 * pictures
    # The BatchNorms of the published discriminator send 54 small messages in a step (counted with two processes). They
    # wait for the generator's gradients, so nothing overlaps with sending these.
    published = Step(
        seconds=seconds or operations / (rate * 1e12),
        overlap=0.0,
        generator=4 * generator,
        discriminator=4 * discriminator,
        small=54 + 2,
    )
    without_norm = replace(published, overlap=discriminator_share, small=2)
    source = "given" if seconds else f"assumed, at {rate:g}e12 a second"
    click.echo(
        f"{pictures} pictures of {size} px a GPU: {operations / 1e12:.2f}e12 operations, "
        f"{published.seconds * 1000:.1f} ms a step ({source}), {discriminator_share:.1%} of them the discriminator's.\n"
        f"Messages: {published.generator / 1e6:.1f} MB and {published.discriminator / 1e6:.1f} MB a step.\n"
    )
    rows = []
    for title, step in (("As published", published), ("With a discriminator without BatchNorm", without_norm)):
        click.echo(f"{title}:\n\n{HEADER}")
        rows += print_rows(title, step, pictures, cards, jitter)
        click.echo()
    if path is not None:
        result = {**timing.environment(), "step": asdict(published), "rows": rows}
        path.write_text(json.dumps(result, indent=2) + "\n", "utf-8")


HEADER = (
    "| inside a machine | between machines | 8 GPUs | 64 GPUs | 512 GPUs | waiting at 512, ms "
    "| pictures a GPU for 90 % at 512 |\n|---|---|---|---|---|---|---|"
)


def print_rows(title: str, step: Step, pictures: int, cards: int, jitter: float) -> list[dict]:
    """Print a row for each pair of links, and return the rows for the JSON."""
    rows = []
    links = [("NVLink 4", name) for name in BETWEEN] + [("PCIe 4 x16", "100 Gb/s"), ("PCIe 4 x16", "25 GbE")]
    for inside, between in links:
        link = Link(inside=INSIDE[inside], between=BETWEEN[between], cards=cards)
        efficiencies = {gpus: efficiency(step, gpus, link, jitter) for gpus in (8, 64, 512)}
        waiting = waiting_seconds(step, 512, link)
        enough = pictures_for_90_percent(step, pictures, link)
        rows.append(
            {
                "what": title,
                "inside": inside,
                "between": between,
                "efficiency": efficiencies,
                "waiting": waiting,
                "pictures": enough,
            }
        )
        cells = "".join(f" {value:.1%} |" for value in efficiencies.values())
        click.echo(f"| {inside} | {between} x{cards} |{cells} {waiting * 1000:.1f} | {enough or 'over 1024'} |")
    return rows


def pictures_for_90_percent(step: Step, pictures: int, link: Link) -> int | None:
    """Return the smallest number of pictures on each GPU with which 512 GPUs reach an efficiency of 90 %.

    Variations of the step time are ignored. None if more than 1,024 pictures are needed. `step` has `pictures`.
    """
    for count in range(1, 1025):
        larger = replace(step, seconds=step.seconds * count / pictures)
        if larger.seconds / (larger.seconds + waiting_seconds(larger, 512, link)) >= 0.9:
            return count
    return None
