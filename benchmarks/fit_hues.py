"""Fit the map of the post-processor `expected-hues`: from the colours of results to the hue histograms of the truths.

    python -m benchmarks fit-hues luma-score --photos DIR --out expected-hues.safetensors

`DIR` has the photographs that `photo_split.csv` names. The training photographs are restored from gray. Ridge
regression predicts the hue histogram of a truth, divided by its norm, from the mean shares of the colour classes in the
result. Then the correlation of the predicted histograms with the true ones is measured on the development photographs.
"""

from __future__ import annotations

from pathlib import Path

import click
import numpy as np
from safetensors.numpy import save
from toolbox_plugins.luma.classes import COUNT
from toolbox_plugins.luma.expected_hues import BINS, HueMap, class_shares, hues

from benchmarks import photo_split
from benchmarks.color import central_square, shrink
from benchmarks.common import timing
from toolbox.color import integer_luma
from toolbox.imaging import io
from toolbox.inference.loading import load_restorer
from toolbox.inference.restorer import Restorer
from toolbox.utils import files


@click.command("fit-hues")
@click.argument("weights")
@click.option(
    "--photos", type=click.Path(exists=True, path_type=Path), required=True, help="Folder of the split photographs."
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    help="Write the map to this safetensors file.",
)
@click.option("--ridge", default=3.0, show_default=True, help="Penalty of the squared weights.")
@click.option("--every", type=click.IntRange(1), default=1, show_default=True, help="Use every n-th photograph.")
@timing.quick_option
@timing.json_option
def command(weights: str, photos: Path, out: Path, ridge: float, every: int, quick: bool, path: Path | None) -> None:
    """Fit the map to results of WEIGHTS, and measure it on the development photographs."""
    files.ensure_folder(out.parent)
    restorer = load_restorer(weights, device="cpu", post="none")
    rows, histograms = {}, {}
    for part in ("train", "development"):
        chosen = photo_split.read(part=part)[: 3 if quick else None : every]
        rows[part], histograms[part] = measure(restorer, [photos / row["file"] for row in chosen])
    hue_map = fit(rows["train"], histograms["train"], ridge)
    files.write_bytes(out, save(tensors(hue_map)))
    pairs = zip(hue_map.predict(rows["development"]), histograms["development"], strict=True)
    correlation = float(np.mean([np.corrcoef(*pair)[0, 1] for pair in pairs]))
    timing.report({"weights": weights, "photographs": len(rows["train"]), "correlation": correlation}, path)


def measure(restorer: Restorer, paths: list[Path]) -> tuple[np.ndarray, np.ndarray]:
    """Return the class shares of the results, (N, COUNT), and the truths' hue histograms of norm 1, (N, 180)."""
    # Arrays of the final size: small ones that are kept between large temporary ones would fragment the memory.
    shares, histograms = np.empty((len(paths), COUNT)), np.empty((len(paths), BINS))
    for number, path in enumerate(paths):
        truth = central_square(shrink(io.read_rgb(path)))
        gray = integer_luma(truth)
        shares[number] = class_shares(restorer(gray, np.zeros(gray.shape, bool)))
        counts = np.bincount(hues(truth.reshape(-1, 3)), minlength=BINS)
        histograms[number] = counts / np.linalg.norm(counts)
    return shares, histograms


def fit(shares: np.ndarray, histograms: np.ndarray, ridge: float) -> HueMap:
    """Return the map of ridge regression, with a bias that is not penalised."""
    mean, goal = shares.mean(0), histograms.mean(0)
    centred = shares - mean
    gram = centred.T @ centred + ridge * np.eye(centred.shape[1])
    weight = np.linalg.solve(gram, centred.T @ (histograms - goal))
    return HueMap(weight=weight.astype(np.float32), bias=(goal - mean @ weight).astype(np.float32))


def tensors(hue_map: HueMap) -> dict[str, np.ndarray]:
    """Return the tensors of the file, in half precision."""
    return {"weight": hue_map.weight.astype(np.float16), "bias": hue_map.bias.astype(np.float16)}
