"""Compare fills: distance to the truth, LPIPS, visibility of the seam, time, memory.

Photographs are damaged by seeds of their own with the competition's shapes, brush strokes and scratches, and filled in
luma. LPIPS is that of the crop around the hole, the rest of it the truth.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import cv2
import numpy as np
from toolbox_plugins.fills.auto import auto
from toolbox_plugins.fills.average import average
from toolbox_plugins.fills.frequency import frequency
from toolbox_plugins.fills.smooth import smooth
from toolbox_plugins.fills.texture import texture

from benchmarks import photo_split
from benchmarks.common import holes, timing
from toolbox.errors import UsageError
from toolbox.evaluation.lpips import Lpips

Fill = Callable[[np.ndarray, np.ndarray], np.ndarray]
FILLS: dict[str, Fill] = {
    "smooth": smooth,
    "frequency": frequency,
    "texture": texture,
    "average": average,
    "auto": auto,
}
SHEETS = 12
SHOWN = ("telea", "network", "frequency", "texture", "auto")


def telea(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Fill by OpenCV's Telea, radius 3."""
    return cv2.inpaint(image, mask.view(np.uint8), 3, cv2.INPAINT_TELEA)


def network(name: str) -> Fill:
    """Return the fill of trained weights: the luma of what they restore."""
    from toolbox.inference.loading import load_restorer

    restorer = load_restorer(name, device="cpu")

    def fill(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
        return np.where(mask, holes.luma(restorer(image, mask)), image)

    return fill


def seed_of(name: str) -> int:
    """Return a number for a name, by which the photographs are ordered; it is also the seed of their holes."""
    return int(hashlib.sha256(name.encode()).hexdigest()[:8], 16)


def choose_photos(photos: Path, split: Path, part: str, count: int, leave: tuple[str, ...]) -> list[Path]:
    """Return `count` photographs of a part of the split, the larger ones first, each kind in the order of its seeds.

    Raises:
        UsageError: the split has no photograph of this part.
    """
    files = [row["file"] for row in photo_split.read(split, part) if Path(row["file"]).name not in leave]
    files.sort(key=lambda name: (name.startswith("free/"), seed_of(Path(name).name)))
    if not files:
        raise UsageError(f"{split} has no photograph of the set {part!r} (columns file and set)")
    return [photos / name for name in files[:count]]


def draw_cases(paths: list[Path], kinds: list[str], most: int) -> Iterator[tuple[str, str, np.ndarray, np.ndarray]]:
    """Yield name, kind, luma and mask of every photograph, the kinds of holes in turn."""
    for number, path in enumerate(paths):
        gray, kind = holes.luma(holes.photo(path, most)), kinds[number % len(kinds)]
        yield path.stem, kind, gray, holes.KINDS[kind](gray.shape, np.random.default_rng(seed_of(path.name + kind)))


def read_cases(folder: Path) -> Iterator[tuple[str, str, np.ndarray, np.ndarray]]:
    """Yield the same for the pairs of a folder with truth/ and masks/."""
    for path in sorted((folder / "truth").iterdir()):
        mask = cv2.imread(str(folder / "masks" / path.name), cv2.IMREAD_GRAYSCALE) > 0
        yield path.stem, "shape", holes.luma(holes.photo(path)), mask


def measure(cases: Iterator[Any], fills: dict[str, Fill], distance: Lpips | None, sheets: Path | None) -> list[Any]:
    """Return a record for every case: the figures of each fill, timed alternately with Telea."""
    records, pictures = [], []
    for name, kind, gray, mask in cases:
        damaged = np.where(mask, 0, gray).astype(np.uint8)
        box, rows, results = holes.around(mask), {}, {}
        truth = None if distance is None else distance.features(_colour(gray[box]))
        for label, fill in fills.items():
            started = time.perf_counter(), time.process_time()
            telea(damaged, mask)
            between = time.perf_counter(), time.process_time()
            results[label] = fill(damaged, mask)
            ended = time.perf_counter(), time.process_time()
            if not np.array_equal(results[label][~mask], gray[~mask]):
                raise click.ClickException(f"{label} changed known pixels of {name}.")
            rows[label] = {
                "M": holes.lost_structure(results[label], gray, mask),
                "seam": holes.seam(results[label], mask),
                "seconds": ended[1] - between[1],
                "times_telea": (ended[0] - between[0]) / max(between[0] - started[0], 1e-9),
            }
            if distance is not None and truth is not None:
                rows[label]["lpips"] = distance.between(distance.features(_colour(results[label][box])), truth)
        rows["truth"] = {"seam": holes.seam(gray, mask)}
        records.append({"name": name, "kind": kind, "lost": float(mask.mean()), "rows": rows})
        if sheets is not None and kind == "shape" and len(pictures) < SHEETS:
            columns = [damaged, *(results[label] for label in SHOWN if label in results), gray]
            pictures.append([each[box] for each in columns])
        click.echo(f"{name} {kind} " + " ".join(f"{k} {r.get('lpips', 0):.3f}" for k, r in rows.items()), err=True)
    for number in range(0, len(pictures), 3):
        holes.contact(sheets / f"fill-{number // 3 + 1}.png", pictures[number : number + 3])  # type: ignore[operator]
    return records


def _colour(gray: np.ndarray) -> np.ndarray:
    return np.repeat(gray[..., None], 3, axis=2)


def summarize(records: list[Any]) -> dict[str, Any]:
    """Return by kind of hole and fill: the means, the median times, and how often LPIPS is below Telea's."""
    summary: dict[str, Any] = {}
    for kind in sorted({record["kind"] for record in records}):
        of_kind = [record["rows"] for record in records if record["kind"] == kind]
        summary[kind] = {"cases": len(of_kind)}
        for label in of_kind[0]:
            rows = [row[label] for row in of_kind]
            means = {
                key: float(np.mean([row[key] for row in rows if row.get(key) is not None]))
                for key in ("lpips", "M", "seam")
                if rows[0].get(key) is not None
            }
            medians = {
                key: float(np.median([row[key] for row in rows]))
                for key in ("seconds", "times_telea")
                if key in rows[0]
            }
            summary[kind][label] = means | medians
            if "lpips" in rows[0] and "telea" in of_kind[0]:
                for other in ("telea", "network"):
                    if other in of_kind[0]:
                        wins = np.mean([row[label]["lpips"] < row[other]["lpips"] for row in of_kind])
                        summary[kind][label][f"share_below_{other}"] = float(wins)
    return summary


LARGE = """
import resource, sys, time
import numpy as np
from benchmarks.fill import FILLS
height, width, side = map(int, sys.argv[2:])
random = np.random.default_rng(0)
image = np.add.outer(np.arange(height), np.arange(width)).astype(np.uint8)
image += random.integers(0, 40, image.shape, dtype=np.uint8)
mask = np.zeros(image.shape, bool)
mask[height // 3 : height // 3 + side, width // 3 : width // 3 + side] = True
started = time.perf_counter()
FILLS[sys.argv[1]](image, mask)
print(time.perf_counter() - started, 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def large(height: int, width: int, side: int) -> dict[str, Any]:
    """Return seconds and peak memory of each fill for a photograph with a square hole, in processes of their own."""
    result: dict[str, Any] = {"size": [height, width], "hole": [side, side]}
    for label in FILLS:
        words = [sys.executable, "-c", LARGE, label, *map(str, (height, width, side))]
        done = subprocess.run(words, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[1])
        seconds, peak = map(float, done.stdout.split())
        result[label] = {"seconds": seconds, "peak": int(peak)}
    return result


@click.command("fill")
@click.option("--photos", type=click.Path(path_type=Path), help="The folder that the split's files lie in.")
@click.option("--split", type=click.Path(path_type=Path), help="A CSV with the columns file and set.")
@click.option("--part", default="test", show_default=True, help="The part of the split to fill.")
@click.option("--count", type=click.IntRange(1), default=100, show_default=True, help="Photographs of it.")
@click.option(
    "--most",
    type=click.IntRange(1),
    default=512,
    show_default=True,
    help="Only their middle is filled, at most this many pixels a side.",
)
@click.option(
    "--leave", multiple=True, help="The name of a photograph to leave out, such as one whose result was seen before."
)
@click.option("--pairs", "folder", type=click.Path(path_type=Path), help="A folder with truth/ and masks/ instead.")
@click.option("--kinds", default="shape,brush,shape,scratch", show_default=True, help="Kinds of holes, in turn.")
@click.option("--fills", "names", default=",".join(FILLS), show_default=True, help="Fills beside OpenCV's Telea.")
@click.option("--weights", default="luma", show_default=True, help="The network to compare with; empty for none.")
@click.option("--lpips", type=click.Path(path_type=Path), help="VGG16 and the LPIPS 0.1 heads, as safetensors.")
@click.option("--sheets", type=click.Path(path_type=Path), help="A folder for pictures of the first twelve shapes.")
@click.option("--large", "with_large", is_flag=True, help="Also fill a square megapixel of 24.")
@timing.quick_option
@timing.json_option
def command(
    photos: Path | None,
    split: Path | None,
    part: str,
    count: int,
    most: int,
    leave: tuple[str, ...],
    folder: Path | None,
    kinds: str,
    names: str,
    weights: str,
    lpips: Path | None,
    sheets: Path | None,
    with_large: bool,
    quick: bool,
    path: Path | None,
) -> None:
    """Fill holes in photographs by every fill, OpenCV's Telea and a network, and print the figures."""
    result: dict[str, Any] = {}
    # This comes first, because the peak of a new process is at least the memory of the process that starts it.
    if with_large:
        result["large"] = large(300, 400, 60) if quick else large(4000, 6000, 1000)
    if folder is not None:
        cases = read_cases(folder)
    elif photos is not None and split is not None:
        cases = draw_cases(choose_photos(photos, split, part, 1 if quick else count, leave), kinds.split(","), most)
    else:
        raise click.UsageError("Give --pairs, or --photos and --split.")
    fills: dict[str, Fill] = {"telea": telea}
    if weights:
        fills["network"] = network(weights)
    fills |= {name: FILLS[name] for name in names.split(",") if name}
    records = measure(cases, fills, None if lpips is None else Lpips(lpips), sheets)
    timing.report(result | {"kinds": summarize(records), "cases": records}, path)


if __name__ == "__main__":
    command()
