"""Adapt weights of `luma-unet` to the colours of other photographs than those of the training.

    python -m benchmarks calibrate RUN --data PHOTOS --temperature 1 --temperature 1.5 --saturation 1 --saturation 1.2
    python -m benchmarks calibrate RUN --data PHOTOS --temperature 1.5 --saturation 1.2 --out FILE.safetensors

During training a network learns how frequent each colour is, and how certain it can be. For other photographs both can
be wrong. The calibration changes the probabilities p of the colour classes to p^(1/T) exp(slope . c), where c is the
colour (Cb, Cr) of a class. T is a temperature (Guo et al., "On Calibration of Modern Neural Networks", 2017). The
slope corrects the frequencies of the colours (Saerens et al., "Adjusting the Outputs of a Classifier to New a Priori
Probabilities", 2002); it is computed so that the mean colour is the wanted one. Less certain predictions are paler, so
`saturation` multiplies the colours.

Choose T and the saturation on photographs that were not used for training. The JSON has one row for each pair of the
given temperatures and saturations, with means over the photographs, restored from gray without a lost region:

- ``C``: the competition's hue term; higher is better.
- ``ab``: mean distance of a* and b* of CIELAB; lower is better.
- ``colourfulness``: colourfulness of the result divided by that of the photograph; 1 is best.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import click
import cv2
import numpy as np
import torch
from toolbox_plugins.luma.classes import centres
from torch.nn.functional import interpolate

from benchmarks import quality
from benchmarks.common import timing
from toolbox.color import cbcr, color_differences, integer_luma
from toolbox.config import recipe
from toolbox.evaluation import metrics
from toolbox.imaging import io
from toolbox.imaging.color import exact_luma
from toolbox.models import weight_file, weights

# The mean colour of ImageNet, RGB, as published with most weights for ImageNet.
IMAGENET = "0.485,0.456,0.406"
SIDE = 256


@click.command("calibrate")
@click.argument("run")
@click.option("--data", type=click.Path(path_type=Path), required=True, help="Photographs to adapt to.")
@click.option("--skip", default=1, show_default=True, help="Use every n-th photograph.")
@click.option("--mean", default=IMAGENET, show_default=True, help="Wanted mean colour, RGB in [0, 1]; or 'own'.")
@click.option("--temperature", multiple=True, type=float, default=(1.0,), show_default=True, help="Temperatures T.")
@click.option("--saturation", multiple=True, type=float, default=(1.0,), show_default=True, help="Saturations.")
@click.option(
    "--out", type=click.Path(path_type=Path), help="Write weights with the first temperature and saturation here."
)
@timing.json_option
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
    """Adapt the weights of RUN (a run folder or a file) to photographs, and print figures for each choice."""
    trained = weights.load_trained(run, torch.device("cpu"))
    photos = [read_square(file) for file in io.find_images(data)[::skip]]
    logits = predict_logits(trained, photos)
    wanted = target_chroma(mean, photos)
    rows = []
    for t in temperature:
        slope = solve_slope(logits / t, wanted)
        for factor in saturation:
            figures = mean_figures(logits / t, slope, factor, photos)
            rows.append({"temperature": t, "saturation": factor} | figures)
    if out is not None:
        slope = solve_slope(logits / temperature[0], wanted)
        write_calibrated(out, trained, temperature[0], slope, saturation[0])
        rows.append({"temperature": temperature[0], "saturation": saturation[0], "slope": slope.tolist()})
    timing.report({"photographs": len(photos), "wanted": wanted.tolist(), "rows": rows}, path)


def calibrate_to_imagenet(run: Path, data: Path, out: Path) -> Path:
    """Write the weights of `run` so that the mean colour of their results on `data` is that of ImageNet."""
    trained = weights.load_trained(str(run), torch.device("cpu"))
    photos = [read_square(file) for file in io.find_images(data)]
    slope = solve_slope(predict_logits(trained, photos), target_chroma(IMAGENET, photos))
    write_calibrated(out, trained, 1.0, slope, 1.0)
    return out


def predict_logits(trained: weights.TrainedGenerator, photos: list[np.ndarray]) -> torch.Tensor:
    """Return the logits of the colour classes, (B, COUNT, h, w), of photographs in gray without a lost region."""
    side = trained.plan.settings.restoring.size or 128
    pictures = torch.cat([to_input(photo, side) for photo in photos])
    with torch.inference_mode():
        return torch.cat([trained.network(x, torch.zeros_like(x[:, :1]))[1]["classes"] for x in pictures.split(16)])


def target_chroma(mean: str, photos: list[np.ndarray]) -> torch.Tensor:
    """Return Cb and Cr, (2,), of a mean colour "R,G,B"; of the photographs' own mean colour for "own"."""
    if mean == "own":
        color = np.mean([photo.mean((0, 1)) for photo in photos], 0) / 255
    else:
        color = [float(value) for value in mean.split(",")]
    return cbcr(torch.tensor(color).float().view(1, 3, 1, 1)).flatten()


def read_square(file: Path) -> np.ndarray:
    """Return the central square of a photograph, (SIDE, SIDE, 3) uint8."""
    photo = io.read_rgb(file)
    height, width = photo.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    square = photo[top : top + side, left : left + side]
    return cv2.resize(square, (SIDE, SIDE), interpolation=cv2.INTER_AREA)


def to_input(photo: np.ndarray, side: int) -> torch.Tensor:
    """Return a photograph in gray as the network's input, (1, 3, side, side) in [0, 1]."""
    small = cv2.resize(integer_luma(photo), (side, side), interpolation=cv2.INTER_AREA)
    return torch.from_numpy(small.astype(np.float32) / 255).expand(1, 3, -1, -1)


def mean_colors(logits: torch.Tensor, slope: torch.Tensor) -> torch.Tensor:
    """Return Cb and Cr, (B, 2, h, w): the mean colour of the classes with the slope added to their logits."""
    probabilities = (logits + (centres() @ slope).view(1, -1, 1, 1)).softmax(1)
    return torch.einsum("bkhw,kc->bchw", probabilities, centres())


def solve_slope(logits: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    """Return the slope, (2,), with which the mean colour is `wanted`, by Newton's method."""

    def mean(slope: torch.Tensor) -> torch.Tensor:
        return mean_colors(logits, slope).mean((0, 2, 3))

    slope = torch.zeros(2)
    for _ in range(15):
        jacobian = torch.stack([mean(slope + step) - mean(slope) for step in 0.2 * torch.eye(2)], 1) / 0.2
        slope = slope + torch.linalg.solve(jacobian, wanted - mean(slope))
    return slope


def mean_figures(
    logits: torch.Tensor, slope: torch.Tensor, saturation: float, photos: list[np.ndarray]
) -> dict[str, float]:
    """Colour the photographs from these logits and return the mean figures of the module docstring."""
    small = mean_colors(logits, slope) * saturation
    chroma = interpolate(small, (SIDE, SIDE), mode="bilinear", align_corners=False).permute(0, 2, 3, 1).numpy() * 255
    figures: dict[str, list[float]] = {"C": [], "ab": [], "colourfulness": []}
    no_mask = np.zeros((SIDE, SIDE), bool)
    for photo, photo_chroma in zip(photos, chroma, strict=True):
        cb, cr = np.moveaxis(photo_chroma, -1, 0)
        luma = integer_luma(photo)
        result = exact_luma(luma[..., None] + np.dstack(color_differences(cb, cr)), luma)
        figures["C"].append(metrics.score(result, photo, no_mask).C)
        figures["ab"].append(quality.colour_distance(result, photo))
        figures["colourfulness"].append(quality.colourfulness(result) / quality.colourfulness(photo))
    return {name: float(np.mean(values)) for name, values in figures.items()}


def write_calibrated(
    path: Path, trained: weights.TrainedGenerator, temperature: float, slope: torch.Tensor, saturation: float
) -> None:
    """Write the calibrated weights: temperature and slope go into the last convolution, saturation into the recipe."""
    layer = trained.network.classes
    with torch.no_grad():
        layer.weight /= temperature
        layer.bias.copy_(layer.bias / temperature + centres() @ slope)
    tree = trained.plan.tree()
    tree["generator"]["saturation"] = saturation
    header = replace(weight_file.read_header(trained.path), recipe=recipe.dump(tree))
    weight_file.write_weights(path, trained.network.state_dict(), header)
