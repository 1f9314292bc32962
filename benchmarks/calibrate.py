"""How weights of `luma-unet` are fitted to the photographs that they are for, which are not those they learned from.

A restorer learns how often each colour comes in what it was trained on, and how sure it may be there. Elsewhere
both are off. The classes' probabilities p are brought to p^(1/T) exp(l . c), c being a class's colour: T is a
temperature (Guo et al., "On Calibration of Modern Neural Networks", 2017), and l corrects for how often colours
come (Saerens et al., "Adjusting the Outputs of a Classifier to New a Priori Probabilities", 2002), so that the mean
colour is that of the photographs they are for. What is less sure is also paler; `saturation` multiplies the
colours.

T and the saturation are chosen on photographs of a source that the network was not trained on: several of each show
what every pair of them gives there.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import cv2
import numpy as np
import torch
from toolbox_plugins.luma.classes import centres
from torch.nn.functional import interpolate

from benchmarks import _measure, quality
from toolbox.color import cbcr, color_differences, integer_luma
from toolbox.config import recipe
from toolbox.evaluation import metrics
from toolbox.imaging import io
from toolbox.imaging.color import exact_luma
from toolbox.models import weight_file, weights

# What those who publish weights for ImageNet state as its mean, RGB.
IMAGENET = "0.485,0.456,0.406"
SIDE = 256


@click.command("calibrate")
@click.argument("run")
@click.option("--data", type=click.Path(path_type=Path), required=True, help="Photographs to fit to.")
@click.option("--skip", default=1, show_default=True, help="Take every so manieth.")
@click.option("--mean", default=IMAGENET, show_default=True, help="Their mean colour, RGB in [0, 1], or 'own'.")
@click.option("--temperature", multiple=True, type=float, default=(1.0,), show_default=True)
@click.option("--saturation", multiple=True, type=float, default=(1.0,), show_default=True)
@click.option("--out", type=click.Path(path_type=Path), help="Write the weights, fitted by the first of each, here.")
@_measure.json_path
def command(
    run: str,
    data: Path,
    skip: int,
    mean: str,
    temperature: tuple[float, ...],
    saturation: tuple[float, ...],
    out: Path | None,
    path: Path | None,
) -> None:
    """Fit the weights of RUN (a run folder or a file) to photographs, and print what every choice gives on them."""
    trained = weights.load_trained(run, torch.device("cpu"))
    photos = [square(file) for file in io.find_images(data)[::skip]]
    logits = told(trained, photos)
    wanted = wished(mean, photos)
    rows = []
    for warmth in temperature:
        slope = solved(logits / warmth, wanted)
        for much in saturation:
            rows.append({"temperature": warmth, "saturation": much} | painted(logits, warmth, slope, much, photos))
    if out is not None:
        slope = solved(logits / temperature[0], wanted)
        write(out, trained, temperature[0], slope, saturation[0])
        rows.append({"temperature": temperature[0], "saturation": saturation[0], "slope": slope.tolist()})
    _measure.report({"photographs": len(photos), "wanted": wanted.tolist(), "rows": rows}, path)


def moved(run: Path, data: Path, out: Path) -> Path:
    """Write the weights of `run` with the mean colour that they give `data` moved to ImageNet's, and return `out`."""
    trained = weights.load_trained(str(run), torch.device("cpu"))
    photos = [square(file) for file in io.find_images(data)]
    write(out, trained, 1.0, solved(told(trained, photos), wished(IMAGENET, photos)), 1.0)
    return out


def told(trained: weights.TrainedGenerator, photos: list[np.ndarray]) -> torch.Tensor:
    """Return the classes' logits of photographs, (B, COUNT, h, w), each seen gray and whole."""
    small = trained.plan.settings.restoring.size or 128
    pictures = torch.cat([gray(photo, small) for photo in photos])
    with torch.inference_mode():
        return torch.cat([trained.network(x, torch.zeros_like(x[:, :1]))[1]["classes"] for x in pictures.split(16)])


def wished(mean: str, photos: list[np.ndarray]) -> torch.Tensor:
    """Return the mean Cb and Cr, (2,), of a colour given as text, or of the photographs where it is 'own'."""
    color = np.mean([photo.mean((0, 1)) for photo in photos], 0) / 255 if mean == "own" else numbers(mean)
    return cbcr(torch.tensor(color).float().view(1, 3, 1, 1)).flatten()


def numbers(text: str) -> list[float]:
    """Return the numbers of a list with commas."""
    return [float(part) for part in text.split(",")]


def square(file: Path) -> np.ndarray:
    """Return the middle of a photograph, (SIDE, SIDE, 3) uint8."""
    photo = io.read_rgb(file)
    height, width = photo.shape[:2]
    least = min(height, width)
    top, left = (height - least) // 2, (width - least) // 2
    middle = photo[top : top + least, left : left + least]
    return cv2.resize(middle, (SIDE, SIDE), interpolation=cv2.INTER_AREA)


def gray(photo: np.ndarray, side: int) -> torch.Tensor:
    """Return a photograph as the network sees it, (1, 3, side, side) in [0, 1]."""
    small = cv2.resize(integer_luma(photo), (side, side), interpolation=cv2.INTER_AREA)
    return torch.from_numpy(small.astype(np.float32) / 255).expand(1, 3, -1, -1)


def colors(logits: torch.Tensor, slope: torch.Tensor) -> torch.Tensor:
    """Return Cb and Cr, (B, 2, h, w), of the classes' logits with the bias of `slope`."""
    shares = (logits + (centres() @ slope).view(1, -1, 1, 1)).softmax(1)
    return torch.einsum("bkhw,kc->bchw", shares, centres())


def solved(logits: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    """Return the slope that gives the wanted mean colour, by Newton's method."""

    def mean(slope: torch.Tensor) -> torch.Tensor:
        return colors(logits, slope).mean((0, 2, 3))

    slope = torch.zeros(2)
    for _ in range(15):
        change = torch.stack([mean(slope + step) - mean(slope) for step in 0.2 * torch.eye(2)], 1) / 0.2
        slope = slope + torch.linalg.solve(change, wanted - mean(slope))
    return slope


def painted(
    logits: torch.Tensor, warmth: float, slope: torch.Tensor, much: float, photos: list[np.ndarray]
) -> dict[str, float]:
    """Return C, the distance in a*, b*, and the colourfulness of the photographs painted so, means over them."""
    small = colors(logits / warmth, slope) * much
    chroma = interpolate(small, (SIDE, SIDE), mode="bilinear", align_corners=False).permute(0, 2, 3, 1).numpy() * 255
    found: dict[str, list[float]] = {"C": [], "ab": [], "colourfulness": []}
    nothing = np.zeros((SIDE, SIDE), bool)
    for photo, moved in zip(photos, chroma, strict=True):
        cb, cr = np.moveaxis(moved, -1, 0)
        luma = integer_luma(photo)
        result = exact_luma(luma[..., None] + np.dstack(color_differences(cb, cr)), luma)
        found["C"].append(metrics.score(result, photo, nothing).C)
        found["ab"].append(quality.colour_distance(result, photo))
        found["colourfulness"].append(quality.colourfulness(result) / quality.colourfulness(photo))
    return {name: float(np.mean(values)) for name, values in found.items()}


def write(path: Path, trained: Any, warmth: float, slope: torch.Tensor, much: float) -> None:
    """Write weights that do all this themselves: temperature and slope in the last convolution of the classes."""
    last = trained.network.classes
    with torch.no_grad():
        last.weight /= warmth
        last.bias.copy_(last.bias / warmth + centres() @ slope)
    tree = trained.plan.tree()
    tree["generator"]["saturation"] = much
    header = replace(weight_file.read_header(trained.path), recipe=recipe.dump(tree))
    weight_file.write_weights(path, trained.network.state_dict(), header)
