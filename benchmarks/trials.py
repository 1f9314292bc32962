"""What the published work tried and set aside, run again at a small scale: one row a recipe."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import click

# Recipe, what it tries, and its generator's width: a quarter of the full one.
ROWS = (
    ("default", "the published setup", 16),
    ("trial-no-penalty", "no gradient penalty", 16),
    ("trial-ssim-weight", "a larger SSIM weight", 16),
    ("trial-residual", "residual blocks", 16),
    ("trial-gated", "gated convolutions", 12),
    ("trial-flip", "flips", 16),
    ("trial-rotate", "rotations", 16),
    ("trial-erase", "partial erasing", 16),
)


@click.command("trials")
@click.option("--data", type=click.Path(path_type=Path), help="Photographs to train on; the sample if not given.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="A folder for the runs.")
@click.option("--size", default=64, show_default=True, help="Side of the pictures in pixels.")
@click.option("--epochs", default=8, show_default=True, help="Passes over the photographs.")
@click.option("--lr", default=5e-4, show_default=True, help="Learning rate of both sides.")
@click.option("--seed", default=42, show_default=True, help="Seed of each run.")
def command(data: Path | None, out: Path, size: int, epochs: int, lr: float, seed: int) -> None:
    """Run every trial at a quarter of the width and print a Markdown table; a run that is there is not repeated."""
    settings = ["discriminator.width=16", f"generator.optimizer.lr={lr}", f"discriminator.optimizer.lr={lr}"]
    click.echo("| recipe | what | S | M | C | score | pixel loss | minutes |\n|---|---|---|---|---|---|---|---|")
    for recipe, what, width in ROWS:
        kept = out / f"{recipe}-{seed}.json"
        if not kept.is_file():
            kept.parent.mkdir(parents=True, exist_ok=True)
            options = ["--size", size, "--epochs", epochs, "--seed", seed, "--out", out / f"{recipe}-{seed}", "--json"]
            options += ["--data", data] if data else []
            for setting in [*settings, f"generator.width={width}"]:
                options += ["--set", setting]
            started = time.monotonic()
            code = "from toolbox.cli import main; main()"
            done = subprocess.run(
                [sys.executable, "-c", code, "run", "--recipe", recipe, *map(str, options)],
                stdout=subprocess.PIPE,
                text=True,
                check=True,
            )
            found = json.loads(done.stdout) | {"minutes": (time.monotonic() - started) / 60}
            kept.write_text(json.dumps(found), "utf-8")
        found = json.loads(kept.read_text("utf-8"))
        row = next(score for name, score in found["scores"].items() if name.startswith("this run"))
        figures = " | ".join(f"{row[name]:.3f}" for name in ("S", "M", "C", "score"))
        loss = found["pixel_loss"]["after"]
        click.echo(f"| `{recipe}` | {what} | {figures} | {loss:.4f} | {found['minutes']:.1f} |")
    for name in ("input as it is", "OpenCV Telea in gray"):
        figures = " | ".join(f"{found['scores'][name][key]:.3f}" for key in ("S", "M", "C", "score"))
        click.echo(f"| | {name} | {figures} | | |")
