"""The score of a hundred photographs, one process: ours against the formula in scikit-image and OpenCV."""

from __future__ import annotations

from pathlib import Path

import click
import cv2
import numpy as np
from toolbox_plugins.default.lost_region import damage

from benchmarks import _measure
from toolbox.data import preprocessing, sample
from toolbox.evaluation import metrics
from toolbox.imaging import io

PHOTOS = Path(__file__).resolve().parents[2] / "shared" / "photos" / "train"
Triple = tuple[np.ndarray, np.ndarray, np.ndarray]


def formula(restored: np.ndarray, truth: np.ndarray, mask: np.ndarray) -> tuple[float, float, float]:
    """Return S, M and C as the competition's description has them (docs/score.md)."""
    from skimage.metrics import structural_similarity

    levels = int(restored.max()) - int(restored.min())
    s = structural_similarity(truth, restored, channel_axis=-1, data_range=levels)
    m = structural_similarity(truth[mask], restored[mask], channel_axis=-1, data_range=levels)
    histograms = []
    for picture in (restored, truth):
        hue = cv2.cvtColor(picture, cv2.COLOR_RGB2HSV)
        counts = cv2.calcHist([hue], [0], None, [180], [0, 180])
        histograms.append(cv2.normalize(counts, counts).flatten())
    return float(s), float(m), float(cv2.compareHist(histograms[0], histograms[1], cv2.HISTCMP_CORREL))


def triples(photos: Path, count: int, size: int) -> list[Triple]:
    """Return restored, truth and mask of `count` photographs; restored are JPEGs of the truth with other colours."""
    found = io.find_images(photos)
    made = []
    for number in range(count):
        random = np.random.default_rng(number)
        truth = preprocessing.crop_square(io.read_rgb(found[number % len(found)]), size, random, zoom=1.25)
        lossy = cv2.imencode(".jpg", truth, [cv2.IMWRITE_JPEG_QUALITY, 20])[1]
        shift = random.integers(-9, 10, 3)
        restored = (cv2.imdecode(lossy, cv2.IMREAD_COLOR).astype(np.int16) + shift).clip(0, 255).astype(np.uint8)
        made.append((restored, truth, damage(truth, random)[1]))
    return made


@click.command("score")
@click.option(
    "--photos", type=click.Path(path_type=Path, file_okay=False, exists=True), help="Photos to cut squares of."
)
@click.option("--count", default=100, show_default=True, help="Photographs.")
@click.option("--size", default=512, show_default=True, help="Side of the photographs in pixels.")
@click.option("--rounds", default=5, show_default=True, help="Times of each, in turn.")
@_measure.quick
@_measure.json_path
def command(photos: Path | None, count: int, size: int, rounds: int, quick: bool, path: Path | None) -> None:
    """Time S, M and C of photographs against scikit-image and OpenCV; print JSON with the largest difference."""
    if quick:
        count, size, rounds = 2, 64, 1
    cv2.setNumThreads(1)
    chosen = triples(photos or (PHOTOS if PHOTOS.is_dir() else sample.folder() / "photos"), count, size)
    figures: dict[str, list] = {}

    def ours() -> None:
        scores = [metrics.score(*one) for one in chosen]
        figures["ours"] = [[score.S, score.M, score.C] for score in scores]

    def theirs() -> None:
        figures["formula"] = [formula(*one) for one in chosen]

    times = _measure.in_turn({"ours": ours, "scikit-image and OpenCV": theirs}, rounds)
    apart = np.abs(np.array(figures["ours"]) - np.array(figures["formula"])).max(axis=0)
    _measure.report(
        {
            "photographs": count,
            "size": size,
            "largest_difference": dict(zip("SMC", apart.tolist(), strict=True)),
            **_measure.summary(times),
        },
        path,
    )
