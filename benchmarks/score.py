"""Time the competition's score of a hundred photographs against the same formula in scikit-image and OpenCV.

    python -m benchmarks score

Both run in one process. The JSON and the table have the seconds for all photographs, and our speed-up (see
`benchmarks.common.timing`). ``largest_difference`` compares the values of S, M and C.
"""

from __future__ import annotations

from pathlib import Path

import click
import cv2
import numpy as np
from toolbox_plugins.default.lost_region import damage

from benchmarks.common import timing
from toolbox.data import preprocessing, sample
from toolbox.errors import DataError
from toolbox.evaluation import metrics
from toolbox.imaging import io

PHOTOS = Path(__file__).resolve().parents[2] / "shared" / "photos" / "train"
Triple = tuple[np.ndarray, np.ndarray, np.ndarray]


def formula(restored: np.ndarray, truth: np.ndarray, mask: np.ndarray) -> tuple[float, float, float]:
    """Return S, M and C, computed as the competition describes them (docs/score.md)."""
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


def make_triples(photos: Path, count: int, size: int) -> list[Triple]:
    """Return restored, truth and mask of `count` photographs; restored is a JPEG of the truth with shifted colours."""
    files = io.find_images(photos)
    if not files:
        raise DataError(f"{photos} has no photographs that toolbox reads")
    triples = []
    for number in range(count):
        random = np.random.default_rng(number)
        truth = preprocessing.crop_square(io.read_rgb(files[number % len(files)]), size, random, zoom=1.25)
        lossy = cv2.imencode(".jpg", truth, [cv2.IMWRITE_JPEG_QUALITY, 20])[1]
        shift = random.integers(-9, 10, 3)
        restored = (cv2.imdecode(lossy, cv2.IMREAD_COLOR).astype(np.int16) + shift).clip(0, 255).astype(np.uint8)
        triples.append((restored, truth, damage(truth, random)[1]))
    return triples


@click.command("score")
@click.option(
    "--photos", type=click.Path(path_type=Path, file_okay=False, exists=True), help="Folder of photographs to crop."
)
@click.option("--count", type=click.IntRange(1), default=100, show_default=True, help="Number of photographs.")
@click.option(
    "--size", type=click.IntRange(1), default=512, show_default=True, help="Side of the photographs in pixels."
)
@click.option("--rounds", type=click.IntRange(1), default=5, show_default=True, help="Calls of each, alternately.")
@timing.quick_option
@timing.json_option
def command(photos: Path | None, count: int, size: int, rounds: int, quick: bool, path: Path | None) -> None:
    """Time S, M and C against scikit-image and OpenCV; print JSON."""
    if quick:
        count, size, rounds = 2, 64, 1
    cv2.setNumThreads(1)
    triples = make_triples(photos or (PHOTOS if PHOTOS.is_dir() else sample.folder() / "photos"), count, size)
    scores: dict[str, list] = {}

    def ours() -> None:
        results = [metrics.score(*triple) for triple in triples]
        scores["ours"] = [[result.S, result.M, result.C] for result in results]

    def theirs() -> None:
        scores["formula"] = [formula(*triple) for triple in triples]

    times = timing.time_alternately({"ours": ours, "scikit-image and OpenCV": theirs}, rounds)
    difference = np.abs(np.array(scores["ours"]) - np.array(scores["formula"])).max(axis=0)
    timing.report(
        {
            "photographs": count,
            "size": size,
            "largest_difference": dict(zip("SMC", difference.tolist(), strict=True)),
            **timing.compare(times),
        },
        path,
    )
