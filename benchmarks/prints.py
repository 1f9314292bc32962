"""Measure corrected prints: fading and casts, sheets on a table, what `--auto` finds and changes, its time and memory.

    OMP_NUM_THREADS=1 python -m benchmarks prints PHOTOS --part development

PHOTOS has the folders of `photo_split.csv`; its part `development` chose every threshold, `test` is for reporting.
``fading`` has the mean distance to the original in L*a*b* of photographs that are simulated as faded and with a cast,
after ``--contrast 1 --cast 1``, over that of the faded ones. ``table`` has the overlap (intersection over union) of the
sheet that is found with the true one; a sheet that is not found counts as 0. ``needs`` has the fraction of simulated
needs that `--auto` finds, and ``sound`` the photographs whose pixels it changes. ``time`` is that of `toolbox restore
--auto` over `toolbox restore`, of a photograph of 2 megapixels, in new processes in turn; ``memory`` the peak of
`toolbox restore --auto` for a print of 24 megapixels on a table.
"""

from __future__ import annotations

import tempfile
import zlib
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
import cv2
import numpy as np

from benchmarks import photo_split
from benchmarks.common import simulated_prints, timing
from benchmarks.common.restore_command import run_restore
from toolbox.color import integer_luma
from toolbox.imaging import io
from toolbox.prints.corrections import Corrections, correct_tones
from toolbox.prints.diagnosis import diagnose, find_certain_sheet
from toolbox.prints.sheet import find_sheet
from toolbox.prints.words import draw_diagnosis

SIDE = 256
# How many pictures are written.
SHEETS = 12
NEEDS = ("faded", "faded gray", "faded with a cast", "on a table")


def photographs(folder: Path, part: str, count: int | None) -> Iterator[tuple[str, np.ndarray, np.random.Generator]]:
    """Yield name, pixels at a short side of `SIDE`, and a random generator of its own for each photograph of a part."""
    for row in photo_split.spread(photo_split.read(part=part), count):
        name = row["file"]
        image = io.read_rgb(folder / name)
        scale = min(1.0, SIDE / min(image.shape[:2]))
        small = image if scale == 1 else cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        yield name, small, np.random.default_rng(zlib.crc32(name.encode()))


def distance(first: np.ndarray, second: np.ndarray) -> float:
    """Return the mean distance in L*a*b* of two (H, W, 3) uint8 pictures."""
    lab = [cv2.cvtColor(each.astype(np.float32) / 255, cv2.COLOR_RGB2LAB) for each in (first, second)]
    return float(np.linalg.norm(lab[0] - lab[1], axis=2).mean())


def measure(folder: Path, part: str, count: int | None, sheets: Path | None) -> dict[str, Any]:
    """Return the figures of simulated prints of `count` photographs; also write pictures into the folder `sheets`."""
    before, after, overlaps = [], [], []
    needs: dict[str, list[bool]] = {name: [] for name in NEEDS}
    for name, image, random in photographs(folder, part, count):
        faded = simulated_prints.fade(image, random)
        aged = simulated_prints.cast(faded, random)
        gray = simulated_prints.fade(integer_luma(image), random)
        table, corners = simulated_prints.on_table(image, random)
        corrected = correct_tones(aged, Corrections(contrast=1, cast=1))
        before.append(distance(aged, image))
        after.append(distance(corrected, image))
        sheet = find_sheet(table)
        overlaps.append(0.0 if sheet is None else simulated_prints.overlap(sheet.corners, corners, table.shape))
        needs["faded"].append(diagnose(faded, may_be_on_table=False).is_faded)
        needs["faded gray"].append(diagnose(np.repeat(gray[..., None], 3, 2), may_be_on_table=False).is_faded)
        needs["faded with a cast"].append(diagnose(aged, may_be_on_table=False).has_cast)
        needs["on a table"].append(find_certain_sheet(table) is not None)
        if sheets is not None and len(before) <= SHEETS:
            io.write_png(sheets / f"aged-{len(before)}.png", np.hstack([aged, corrected, image]))
            io.write_png(sheets / f"table-{len(before)}.png", np.hstack(draw_diagnosis(table, diagnose(table))))
        click.echo(f"{name} {after[-1] / before[-1]:.2f} {overlaps[-1]:.3f}", err=True)
    ratios = np.array(after) / np.array(before)
    return {
        "part": part,
        "photographs": len(before),
        "fading": {
            "ratio": float(np.mean(after) / np.mean(before)),
            "median": float(np.median(ratios)),
            "farther": int((ratios > 1).sum()),
        },
        "table": {"overlap": float(np.mean(overlaps)), "below 0.9": int((np.array(overlaps) < 0.9).sum())},
        "needs": {name: float(np.mean(hits)) for name, hits in needs.items()}
        | {"all": float(np.mean([each for hits in needs.values() for each in hits]))},
    }


def measure_sound(folder: Path, part: str) -> dict[str, Any]:
    """Return the names of the sound photographs of a part that `--auto` would change, and why."""
    changed = {}
    number = 0
    for name, image, _ in photographs(folder, part, None):
        number += 1
        if needed := diagnose(image).corrections:
            changed[name] = asdict(needed)
    return {"sound": {"photographs": number, "changed": changed}}


def measure_costs(rounds: int, large: tuple[int, int]) -> dict[str, Any]:
    """Return the time of `--auto` over that without it at 2 megapixels, and its memory at 24 megapixels."""
    random = np.random.default_rng(0)
    noise = cv2.GaussianBlur(random.normal(0, 1, (300, 400, 3)).astype(np.float32), (0, 0), 5)
    image = np.clip(np.rint(128 + 400 * noise), 0, 255).astype(np.uint8)
    faded = integer_luma(simulated_prints.fade(image, random))
    table, _ = simulated_prints.on_table(image, random)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        # Before anything else: the peak of a child is at least the memory of its parent.
        io.write_png(folder / "large.png", cv2.resize(table, large[::-1], interpolation=cv2.INTER_CUBIC))
        _, peak = run_restore(folder / "large.png", folder / "large", "--auto")
        io.write_png(folder / "photo.png", cv2.resize(faded, (1632, 1224), interpolation=cv2.INTER_CUBIC))
        times: dict[str, list[float]] = {"plain": [], "auto": []}
        for number in range(rounds):
            times["plain"].append(run_restore(folder / "photo.png", folder / f"plain{number}")[0])
            times["auto"].append(run_restore(folder / "photo.png", folder / f"auto{number}", "--auto")[0])
    return {"time": timing.compare(times, "plain"), "memory": {"bytes": peak, "size": large}}


@click.command("prints")
@click.argument("photos", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--part", type=click.Choice(["development", "test"]), default="development", show_default=True)
@click.option(
    "--count",
    type=click.IntRange(1),
    help="Number of photographs to simulate prints of.  [default: all of the part]",
)
@click.option("--rounds", type=click.IntRange(0), default=3, show_default=True, help="Runs for the time; 0: skip.")
@click.option("--sheets", type=click.Path(path_type=Path), help="Folder for pictures: aged, corrected, original.")
@timing.json_option
def command(photos: Path, part: str, count: int | None, rounds: int, sheets: Path | None, path: Path | None) -> None:
    """Measure the corrections and `--auto` on simulated prints and sound photographs, and print JSON."""
    cv2.setNumThreads(1)
    costs = measure_costs(rounds, (4000, 6000)) if rounds else {}
    timing.report(measure(photos, part, count, sheets) | measure_sound(photos, part) | costs, path)
