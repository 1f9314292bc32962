"""The mean colour that weights of `luma-unet` paint, moved to that of the photographs they are for.

A restorer learns how often each colour comes in what it was trained on. Where those photographs are colder or
warmer than the ones that it shall restore, its probabilities p(class | picture) are off by the ratio of the two
frequencies, and are corrected by it (Saerens et al., "Adjusting the Outputs of a Classifier to New a Priori
Probabilities", 2002). The ratio is taken to be exp(l . c) for the colour c of a class, with the l that gives the
wanted mean; its logarithm goes into the bias of the classes.
"""

from __future__ import annotations

from pathlib import Path

import click
import cv2
import numpy as np
import torch
from toolbox_plugins.luma.classes import cbcr, centres

from benchmarks import _measure
from toolbox import checkpoint, images, recipe, weights

# What those who publish weights for ImageNet state as its mean, RGB.
IMAGENET = "0.485,0.456,0.406"


@click.command("prior")
@click.argument("run")
@click.argument("target", type=click.Path(path_type=Path))
@click.option(
    "--data", type=click.Path(path_type=Path), required=True, help="Photographs, of which every SKIPth counts."
)
@click.option("--mean", default=IMAGENET, show_default=True, help="The mean colour to come to, RGB in [0, 1].")
@click.option("--skip", default=3, show_default=True)
@_measure.json_path
def command(run: str, target: Path, data: Path, mean: str, skip: int, path: Path | None) -> None:
    """Write the weights of RUN (a run folder or a file) to TARGET with the classes' bias moved to a mean colour."""
    trained = weights.load(run, torch.device("cpu"))
    side = trained.plan.settings.restoring.size or 128
    pictures = torch.cat([gray(file, side) for file in images.find(data)[::skip]])
    wanted = cbcr(torch.tensor([float(part) for part in mean.split(",")]).view(1, 3, 1, 1)).flatten()
    with torch.inference_mode():
        logits = torch.cat([trained.network(x, torch.zeros_like(x[:, :1]))[1]["classes"] for x in pictures.split(16)])
    slope = solved(logits, wanted)
    with torch.no_grad():
        trained.network.classes.bias += centres() @ slope
    facts = checkpoint.read_facts(trained.path) | {"recipe": recipe.dump(trained.plan.tree())}
    checkpoint.save_weights(target, trained.network, facts)
    before, after = (painted(logits, one).tolist() for one in (torch.zeros(2), slope))
    figures = {"photographs": len(pictures), "cbcr_before": before, "cbcr_after": after, "slope": slope.tolist()}
    _measure.report(figures, path)


def gray(file: Path, side: int) -> torch.Tensor:
    """Return the middle of a photograph as gray, (1, 3, side, side) in [0, 1]."""
    photo = images.read_rgb(file)
    height, width = photo.shape[:2]
    least = min(height, width)
    top, left = (height - least) // 2, (width - least) // 2
    square = photo[top : top + least, left : left + least]
    luma = images.luma(cv2.resize(square, (side, side), interpolation=cv2.INTER_AREA))
    return torch.from_numpy(luma.astype(np.float32) / 255).expand(1, 3, -1, -1)


def painted(logits: torch.Tensor, slope: torch.Tensor) -> torch.Tensor:
    """Return the mean Cb and Cr that the classes' logits give with the bias of `slope`."""
    shares = (logits + (centres() @ slope).view(1, -1, 1, 1)).softmax(1)
    return shares.mean((0, 2, 3)) @ centres()


def solved(logits: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    """Return the slope that gives the wanted mean, by Newton's method."""
    slope = torch.zeros(2)
    for _ in range(20):
        slope = slope + torch.linalg.solve(
            torch.autograd.functional.jacobian(lambda one: painted(logits, one), slope), wanted - painted(logits, slope)
        )
    return slope
