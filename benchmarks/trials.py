"""Repeat the experiments of the published work, at a small scale: one row for each `trial-*` recipe.

    python -m benchmarks trials --data PHOTOS --out RUNS --size 32 --epochs 4

The Markdown table has the recipe; what it tries; S, M, C and the score on the validation photographs; the pixel loss
(MSE) after training; the training time in minutes. The last rows are the baselines without a network.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import click

# The recipe, what it tries, and the width of its generator: a quarter of the recipe's own.
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
@click.option(
    "--data", type=click.Path(path_type=Path), help="Photographs to train on.  [default: the sample photographs]"
)
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder for the runs.")
@click.option("--size", type=click.IntRange(1), default=64, show_default=True, help="Side of the pictures in pixels.")
@click.option("--epochs", type=click.IntRange(1), default=8, show_default=True, help="Passes over the photographs.")
@click.option("--lr", default=5e-4, show_default=True, help="Learning rate of generator and discriminator.")
@click.option("--seed", default=42, show_default=True, help="Seed of each run.")
def command(data: Path | None, out: Path, size: int, epochs: int, lr: float, seed: int) -> None:
    """Train every trial at a quarter of its width, and print a Markdown table; existing runs are not repeated."""
    settings = ["discriminator.width=16", f"generator.optimizer.lr={lr}", f"discriminator.optimizer.lr={lr}"]
    click.echo("| recipe | change | S | M | C | score | pixel loss | minutes |\n|---|---|---|---|---|---|---|---|")
    for recipe, description, width in ROWS:
        result_file = out / f"{recipe}-{seed}.json"
        if not result_file.is_file():
            result_file.parent.mkdir(parents=True, exist_ok=True)
            options = ["--size", size, "--epochs", epochs, "--seed", seed, "--out", out / f"{recipe}-{seed}", "--json"]
            options += ["--data", data] if data else []
            for setting in [*settings, f"generator.width={width}"]:
                options += ["--set", setting]
            start = time.monotonic()
            code = "from toolbox.cli import main; main()"
            done = subprocess.run(
                [sys.executable, "-c", code, "run", "--recipe", recipe, *map(str, options)],
                stdout=subprocess.PIPE,
                text=True,
                check=True,
            )
            result = json.loads(done.stdout) | {"minutes": (time.monotonic() - start) / 60}
            result_file.write_text(json.dumps(result), "utf-8")
        result = json.loads(result_file.read_text("utf-8"))
        row = next(score for name, score in result["scores"].items() if name.startswith("this run"))
        figures = " | ".join(f"{row[name]:.3f}" for name in ("S", "M", "C", "score"))
        loss = result["pixel_loss"]["after"]
        click.echo(f"| `{recipe}` | {description} | {figures} | {loss:.4f} | {result['minutes']:.1f} |")
    for name in ("input as it is", "OpenCV Telea in gray"):
        figures = " | ".join(f"{result['scores'][name][key]:.3f}" for key in ("S", "M", "C", "score"))
        click.echo(f"| | {name} | {figures} | | |")
