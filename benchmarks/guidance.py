"""References, strokes of colour and palettes on simulated pairs.

    python -m benchmarks guidance PHOTOS reference
    python -m benchmarks guidance PHOTOS hints
    python -m benchmarks guidance PHOTOS unrelated
    python -m benchmarks guidance PHOTOS palette
    python -m benchmarks guidance PHOTOS index --set train --count 2000

`reference`: the middle of a photograph, damaged as the competition's, with a reference that is turned by 10 degrees,
with another exposure or moved by half, as JPEG; compared with the same at the known alignment. `hints`: five strokes of
3 px and a twelfth of the short side, at the centres of the five largest regions of the wrong colour, in the truth's
mean colour. `unrelated`: pairs of different photographs, and how many change a pixel. `palette`: the left half of a
photograph as the palette of the right half; and an unrelated photograph as the palette of the whole. `index`: the CPU
time of an index of references, for each photograph, and that of a query in 30,000 entries, these photographs repeated.
"""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path
from typing import Any
from unittest.mock import patch

import click
import cv2
import numpy as np
from toolbox_plugins.default.lost_region import damage

from benchmarks import photo_split
from toolbox.color import integer_luma
from toolbox.evaluation.metrics import score
from toolbox.guidance.alignment import warp
from toolbox.guidance.hints import find_strokes, spread_strokes
from toolbox.guidance.photo_index import PhotoIndex
from toolbox.guidance.provenance import Origin
from toolbox.guidance.reference import Reference, ReferenceResult, apply_reference
from toolbox.imaging import io
from toolbox.imaging.chroma_upsampling import compose_rgb, red_blue_differences
from toolbox.inference.reference_index import ReferenceIndex, build_index

# Degrees, JPEG quality, shift as a fraction of the side, whether the exposure and the white balance differ.
PAIRS: dict[str, tuple[float, int, float, bool]] = {
    "10 degrees, JPEG 90": (10, 90, 0.0, False),
    "10 degrees, JPEG 75": (10, 75, 0.0, False),
    "10 degrees, JPEG 75, other exposure": (10, 75, 0.0, True),
    "10 degrees, JPEG 90, half overlap": (10, 90, 0.5, False),
}
INDEXED = 30_000  # photographs in the large index
WRONG = 8.0  # distance in a*, b* from which a colour counts as wrong


def simulate(
    photo: np.ndarray, degrees: float, quality: int, shift: float, exposed: bool, random: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the truth, the reference, and the homography from the truth's pixels to the reference's."""
    height, width = photo.shape[:2]
    side = min(384, int(0.68 * min(height, width)))
    across, down = (shift * side / 2, 0.0) if width > height else (0.0, shift * side / 2)
    left, top = (max(0, round(value - side / 2)) for value in (width / 2 - across, height / 2 - down))
    size = side if shift else int(1.25 * side)
    matrix = cv2.getRotationMatrix2D((width / 2 + across, height / 2 + down), degrees, 1.0)
    matrix[:, 2] += size / 2 - np.array([width / 2 + across, height / 2 + down])
    turned = cv2.warpAffine(photo, matrix, (size, size), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)
    if exposed:
        curve = (turned / 255.0) ** np.exp(random.uniform(-0.25, 0.25)) * np.exp(random.uniform(-0.25, 0.2))
        turned = np.rint(255 * (curve * np.exp(random.uniform(-0.1, 0.1, 3))).clip(0, 1)).astype(np.uint8)
    data = cv2.imencode(".jpg", turned[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    reference = np.ascontiguousarray(cv2.imdecode(data, cv2.IMREAD_COLOR)[..., ::-1])
    homography = np.vstack([matrix, [0, 0, 1]]) @ np.array([[1, 0, left], [0, 1, top], [0, 0, 1.0]])
    return photo[top : top + side, left : left + side], reference, homography


def finish(gray: np.ndarray, mask: np.ndarray, result: ReferenceResult) -> np.ndarray:
    """Return the picture of a reference, completed by OpenCV's Telea and by gray."""
    confidence = result.luma_confidence
    telea = cv2.inpaint(gray, mask.view(np.uint8), 3, cv2.INPAINT_TELEA)
    luma = np.rint(np.where(mask, confidence * result.luma + (1 - confidence) * telea, gray)).astype(np.uint8)
    return compose_rgb(luma, [(slice(0, len(luma)), result.confidence[..., None] * result.differences)])


def measure_references(photos: list[np.ndarray]) -> None:
    """Print S, M and C with the found and with the known alignment, each where the reference has pixels."""
    for name, (degrees, quality, shift, exposed) in PAIRS.items():
        rows = []
        for number, photo in enumerate(photos):
            random = np.random.default_rng(number)
            truth, reference, homography = simulate(photo, degrees, quality, shift, exposed, random)
            gray, mask = damage(truth, random)
            warped = warp(reference, homography, np.zeros((*gray.shape, 2), np.float32))
            luma = np.where(mask, integer_luma(np.rint(255 * warped.rgb).astype(np.uint8)), gray)
            known = compose_rgb(luma, [(slice(0, len(luma)), red_blue_differences(warped.rgb))])
            found = finish(gray, mask, apply_reference(gray, mask, [Reference(name="reference", rgb=reference)]))
            covered = mask & warped.valid
            for picture in (found, known):
                picture[~warped.valid] = truth[~warped.valid]
                figures = score(picture, truth, covered if covered.sum() >= 50 else mask)
                rows.append((figures.S, figures.M, figures.C))
        means = np.array(rows).reshape(-1, 2, 3).mean(0)
        found_means, known_means = (" ".join(f"{value:.3f}" for value in row) for row in means)
        click.echo(f"{name}: S M C {found_means}; known alignment {known_means}; {len(photos)} photographs")


def chroma(rgb: np.ndarray) -> np.ndarray:
    """Return a* and b*, (H, W, 2)."""
    return cv2.cvtColor(rgb.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)[..., 1:]


def draw_strokes(truth: np.ndarray, restored: np.ndarray, count: int = 5) -> np.ndarray:
    """Return strokes (H, W, 4) at the centres of the largest regions of similar true colour and similar error."""
    error = cv2.GaussianBlur(chroma(truth) - chroma(restored), (0, 0), 2)
    features = np.dstack([error, cv2.GaussianBlur(chroma(truth), (0, 0), 2)]).reshape(-1, 4).astype(np.float32)
    cv2.setRNGSeed(0)
    stop = (cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_COUNT, 20, 0.5)
    _, _, centers = cv2.kmeans(features[::7], 8, None, stop, 1, cv2.KMEANS_PP_CENTERS)  # type: ignore[call-overload]
    nearest = ((features[:, None] - centers[None]) ** 2).sum(2).argmin(1).reshape(error.shape[:2])
    regions = []
    for kind in range(8):
        wrong = ((nearest == kind) & (np.hypot(error[..., 0], error[..., 1]) > WRONG)).astype(np.uint8)
        total, labels, stats, _ = cv2.connectedComponentsWithStats(wrong)
        regions += [(int(stats[label, cv2.CC_STAT_AREA]), labels == label) for label in range(1, total)]
    hints = np.zeros((*truth.shape[:2], 4), np.uint8)
    for _, region in sorted(regions, key=lambda entry: -entry[0])[:count]:
        distance = cv2.distanceTransform(np.pad(region, 1).astype(np.uint8), cv2.DIST_L2, 5)[1:-1, 1:-1]
        y, x = np.unravel_index(distance.argmax(), distance.shape)
        lines = [_line(region.shape, int(x), int(y), angle) for angle in np.pi * np.arange(4) / 4]
        stroke = max(lines, key=lambda line: int((line & region).sum()))
        hints[stroke] = (*np.rint(truth[stroke].mean(0)), 255)
    return hints


def _line(shape: tuple[int, ...], x: int, y: int, angle: float) -> np.ndarray:
    half = min(shape) / 24
    ends = [(round(x + sign * half * np.cos(angle)), round(y + sign * half * np.sin(angle))) for sign in (-1, 1)]
    return cv2.line(np.zeros(shape, np.uint8), ends[0], ends[1], 1, 3) > 0


def measure_hints(photos: list[np.ndarray], weights: str) -> None:
    """Print the mean distance in a*, b* without and with five strokes."""
    from toolbox import load_restorer

    restorer = load_restorer(weights, device="cpu", keep="luma")
    rows = []
    for truth in photos:
        luma = integer_luma(truth)
        restored = restorer(luma, np.zeros(luma.shape, bool))
        hints = draw_strokes(truth, restored)
        hinted = restored
        if hints.any():
            colors, weight = spread_strokes(luma, find_strokes(hints)).rows(slice(0, len(luma)))
            mixed = colors + (1 - weight) * red_blue_differences(restored.astype(np.float32) / 255)
            hinted = compose_rgb(luma, [(slice(0, len(luma)), mixed)])
        rows.append([np.linalg.norm(chroma(x) - chroma(truth), axis=2).mean() for x in (restored, hinted)])
    before, after = np.array(rows).T
    worse = int((after > before).sum())
    click.echo(
        f"distance in a*, b*: {before.mean():.2f} without, {after.mean():.2f} with five strokes "
        f"({100 * (1 - after.sum() / before.sum()):.1f} % less); farther in {worse} of {len(rows)} photographs"
    )


def measure_palettes(photos: list[np.ndarray], weights: str) -> None:
    """Print the mean distance in a*, b* without and with a palette, and the fraction of the pixels that it colours."""
    from toolbox import load_restorer

    restorer = load_restorer(weights, device="cpu", keep="luma")
    rows = []
    for photo, unrelated in zip(photos, photos[len(photos) // 2 :] + photos[: len(photos) // 2], strict=True):
        middle = photo.shape[1] // 2
        left, right = (np.ascontiguousarray(half) for half in (photo[:, :middle], photo[:, middle:]))
        for truth, palette in ((right, left), (photo, unrelated)):
            luma = integer_luma(truth)
            nothing = np.zeros(luma.shape, bool)
            results = [restorer.restore(luma, nothing, palette=colors) for colors in (None, palette)]
            distances = [np.linalg.norm(chroma(each.pixels) - chroma(truth), axis=2).mean() for each in results]
            rows.append([*distances, (results[1].origin == Origin.COLOUR_FROM_PALETTE).mean()])
    for name, values in (("other half", np.array(rows[::2])), ("unrelated", np.array(rows[1::2]))):
        before, after, covered = values.T
        click.echo(
            f"{name}: distance in a*, b* {before.mean():.2f} without, {after.mean():.2f} with the palette, which gives "
            f"{100 * covered.mean():.0f} % of the colours; farther by more than 1 in "
            f"{(after > before + 1).sum()} of {len(values)}, by {(after - before).max():.1f} at most"
        )


def measure_unrelated(photos: list[np.ndarray]) -> None:
    """Print how many pairs of different photographs change a pixel."""
    changed = pairs = 0
    for first, target in enumerate(photos):
        gray = integer_luma(target)
        others = [Reference(name=str(n), rgb=photo) for n, photo in enumerate(photos) if n != first]
        for other in others:
            pairs += 1
            changed += not apply_reference(gray, np.zeros(gray.shape, bool), [other]).is_empty
    click.echo(f"{changed} of {pairs} pairs of different photographs change a pixel")


def measure_index(paths: list[Path]) -> None:
    """Print the CPU times of building an index in an empty cache, of opening it again, and of a query."""
    with tempfile.TemporaryDirectory() as folder, patch.dict(os.environ, TOOLBOX_CACHE=folder):
        started = time.process_time()
        built = build_index(paths)
        build, started = time.process_time() - started, time.process_time()
        build_index(paths)
        again = time.process_time() - started
    repeated = (built.index.words * (INDEXED // len(paths) + 1))[:INDEXED]
    large = ReferenceIndex(
        paths=tuple(paths * (INDEXED // len(paths) + 1))[:INDEXED],
        index=PhotoIndex(vocabulary=built.index.vocabulary, words=repeated),
    )
    started = time.process_time()
    large.index.prepare()
    prepare = time.process_time() - started
    grays = [integer_luma(io.read_rgb(path)) for path in paths[:: max(1, len(paths) // 20)][:21]]
    seconds = []
    for gray in grays:
        started = time.process_time()
        large.candidates(gray, np.zeros(gray.shape, bool))
        seconds.append(time.process_time() - started)
    each = build / len(paths)
    click.echo(
        f"{len(paths)} photographs: {build:.0f} s of CPU, {1000 * each:.1f} ms each; extrapolated to {INDEXED}: "
        f"{INDEXED * each / 60:.1f} minutes of CPU, {INDEXED * each / 120:.1f} on two cores; again {again:.1f} s; "
        f"{INDEXED} entries: sorted once in {prepare:.2f} s, a query takes {np.median(seconds):.3f} s, "
        f"at most {max(seconds):.3f} s"
    )


@click.command("guidance")
@click.argument("photos", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("figure", type=click.Choice(["reference", "hints", "unrelated", "palette", "index"]))
@click.option(
    "--set", "part", type=click.Choice(["development", "test", "train"]), default="development", show_default=True
)
@click.option("--folder", default="", help="Only photographs of this folder, such as train/.")
@click.option(
    "--count", type=click.IntRange(2), default=45, show_default=True, help="Photographs, spread over the set."
)
@click.option("--weights", default="luma", show_default=True, help="For hints and palettes.")
def command(photos: Path, figure: str, part: str, folder: str, count: int, weights: str) -> None:
    """Measure references, strokes of colour, palettes and the index of references."""
    names = [row["file"] for row in photo_split.read(part=part) if row["file"].startswith(folder)]
    paths = [photos / name for name in photo_split.spread(names, count)]
    if figure == "index":
        measure_index(paths)
        return
    pictures = [io.read_rgb(path) for path in paths]
    colored: dict[str, Any] = {"hints": measure_hints, "palette": measure_palettes}
    others: dict[str, Any] = {"reference": measure_references, "unrelated": measure_unrelated}
    if figure in colored:
        colored[figure](pictures, weights)
    else:
        others[figure](pictures)
