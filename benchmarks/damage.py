"""Measure the detector of damage and `--repair`: simulated damage, sound photographs, real prints, cost.

    python -m benchmarks damage --set test --lpips FILE.safetensors --json docs/performance/damage.json

- ``simulated``: each photograph, its central square at 512x512, with damage of one group of kinds: precision, recall
  and F1 of the pixels, 2 pixels tolerance, over all pixels of a group. Artefacts are those that were never trained on.
- ``sound``: photographs without damage, and every fifth with a drawn look-alike: what is marked nevertheless.
- ``prints``: real prints, labelled by hand in `print_damage.json`.
- ``repair``: LPIPS of the repaired photographs to the truth, divided by that of the damaged ones, in luma.
- ``cost``: the time of `--repair` over that without it at 2 megapixels, and the memory at 24 megapixels.
"""

from __future__ import annotations

import json
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Any

import click
import cv2
import numpy as np
from toolbox_plugins.damage.artefacts import Artefacts, read_artefacts
from toolbox_plugins.damage.lookalikes import add_lookalike
from toolbox_plugins.damage.simulate import lay_damage

from benchmarks import photo_split
from benchmarks.color import central_square
from benchmarks.common import timing
from benchmarks.common.damage_figures import TOLERANCE, Counts, alarms, compare, draw_labels
from benchmarks.common.restore_command import run_restore
from toolbox.color import integer_luma
from toolbox.data import sample
from toolbox.evaluation.lpips import Lpips
from toolbox.hooks import catalog
from toolbox.imaging import io
from toolbox.imaging.pixels import as_rgb
from toolbox.inference.damage import find_damage, lift_damage
from toolbox.inference.detectors import damage_detector
from toolbox.inference.fillers import find_filler
from toolbox.masks import kinds_of_damage
from toolbox.masks.detectors import LoadedDetector
from toolbox.masks.sources import grow_mask
from toolbox.utils import files

SHARED = Path(__file__).resolve().parents[2] / "shared"
LABELS = Path(__file__).with_name("print_damage.json")
PARTS = ("simulated", "sound", "prints", "repair", "cost")
GROUPS = {"lines": ("scratch", "fold"), "dust": ("dust",), "stain": ("stain",), "tear": ("tear",)}
# Artefacts whose number modulo 10 is one of these; training has 0 to 6.
HELD_OUT = {"development": (7,), "test": (8, 9)}
SIZE = 512


@click.command("damage")
@click.option("--shared", type=click.Path(path_type=Path), default=SHARED, help="Folder with photos/ and damage/.")
@click.option("--set", "name", type=click.Choice(["development", "test"]), default="development", show_default=True)
@click.option(
    "--count",
    type=click.IntRange(1),
    default=300,
    show_default=True,
    help="Number of photographs, spread over the set.",
)
@click.option("--part", "parts", type=click.Choice(PARTS), multiple=True, help="What is measured.  [default: all]")
@click.option("--sensitivity", type=click.FloatRange(0, 1), help="As that of `toolbox mask --damage`.")
@click.option("--lpips", type=click.Path(path_type=Path), help="Weights of VGG16 and the LPIPS 0.1 heads, for repair.")
@click.option("--picture", type=click.Path(path_type=Path), help="Also draw the picture of the README: PATH.jpg.")
@timing.json_option
def command(
    shared: Path,
    name: str,
    count: int,
    parts: tuple[str, ...],
    sensitivity: float | None,
    lpips: Path | None,
    picture: Path | None,
    path: Path | None,
) -> None:
    """Measure how well damage is found and repaired, and what is marked in sound photographs."""
    params = {} if sensitivity is None else {"sensitivity": sensitivity}
    detector = damage_detector(params or True, catalog.load(third_party=False))
    assert detector is not None
    photos = [shared / "photos" / row["file"] for row in photo_split.spread(photo_split.read(part=name), count)]
    artefacts = read_artefacts(shared / "damage", remainders=HELD_OUT[name])
    result: dict[str, Any] = {
        "set": name,
        "photographs": len(photos),
        "sensitivity": "default" if sensitivity is None else sensitivity,
    }
    for part in parts or PARTS:
        if part == "simulated":
            result[part] = measure_simulated(photos, artefacts, detector)
        elif part == "sound":
            result[part] = measure_sound(photos, detector)
        elif part == "prints":
            result[part] = measure_prints(shared / "corpora" / "old-prints", detector)
        elif part == "repair" and lpips is not None:
            result[part] = measure_repair(photos, artefacts, detector, lpips)
        elif part == "cost":
            result[part] = measure_cost(photos[0])
        click.echo(json.dumps({part: result.get(part)}), err=True)
    if picture is not None:
        draw_picture(picture, detector)
    timing.report(result, path)


def square(path: Path, size: int = SIZE) -> np.ndarray:
    """Return the luma of the central square of a photograph, (size, size) uint8."""
    middle = central_square(integer_luma(io.read_rgb(path)))
    method = cv2.INTER_AREA if len(middle) > size else cv2.INTER_CUBIC
    return cv2.resize(middle, (size, size), interpolation=method)


def damaged(path: Path, group: str, number: int, artefacts: Artefacts) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return a square, the same with damage of a group of kinds, and where it is damaged; the number is the seed."""
    gray, random = square(path), np.random.default_rng([512, number])
    kinds = [str(random.choice(GROUPS[group]))]
    image, labels = lay_damage(gray, random, kinds=kinds, artefacts=artefacts if random.random() < 0.5 else None)
    return gray, image, labels > 0


def measure_simulated(photos: list[Path], artefacts: Artefacts, detector: LoadedDetector) -> dict[str, Any]:
    """Return the figures of each group of kinds, the groups in turn over the photographs."""
    counts: dict[str, Counts] = defaultdict(Counts)
    for number, path in enumerate(photos):
        group = list(GROUPS)[number % len(GROUPS)]
        _, image, labels = damaged(path, group, number, artefacts)
        counts[group] += compare(detector(image).mask, labels)
    return {group: count.figures() for group, count in counts.items()}


def measure_sound(photos: list[Path], detector: LoadedDetector) -> dict[str, Any]:
    """Return what is marked in the photographs at their own size, and in every fifth with a look-alike."""
    plain, drawn, worst = [], [], []
    for number, path in enumerate(photos):
        gray = integer_luma(io.read_rgb(path))
        plain.append(float(detector(gray).mask.mean()))
        worst.append((plain[-1], path.name))
        if number % 5 == 0:
            image = add_lookalike(gray, np.random.default_rng([5, number]))
            drawn.append(float(detector(image).mask.mean()))
    names = [f"{name} {100 * fraction:.2f} %" for fraction, name in sorted(worst, reverse=True)[:5]]
    return {"photographs": alarms(plain), "with_lookalikes": alarms(drawn), "most": names}


def measure_prints(folder: Path, detector: LoadedDetector) -> dict[str, Any]:
    """Return the figures of the prints that are labelled by hand: of lines, of all kinds, and of each print."""
    result: dict[str, Any] = {}
    lines, everything = Counts(), Counts()
    for name, labels in json.loads(LABELS.read_text("utf-8"))["prints"].items():
        gray = integer_luma(io.read_rgb(folder / name))
        masks = draw_labels(gray.shape, labels)
        empty = np.zeros(gray.shape, bool)
        there = np.logical_or.reduce([empty, *(mask for kind, mask in masks.items() if kind != "unsure")])
        unsure = masks.get("unsure", empty) & ~grow_mask(there, TOLERANCE)
        detection = detector(gray)
        counts = compare(detection.mask, there, unsure)
        is_line = masks.get("scratch", empty) | masks.get("fold", empty)
        found = detection.mask & (detection.probabilities["scratch"] + detection.probabilities["fold"] >= 0.5)
        # Damage of another kind is not a wrong line.
        lines += compare(found, is_line, unsure | (there & ~is_line))
        everything += counts
        result[name] = counts.figures()
    return {"lines": lines.figures(), "all": everything.figures()} | result


def measure_repair(photos: list[Path], artefacts: Artefacts, detector: LoadedDetector, lpips: Path) -> dict[str, Any]:
    """Return LPIPS to the truth, damaged and repaired, and their ratio, for each group; all in luma."""
    distance, fill = Lpips(lpips), find_filler("auto", catalog.load(third_party=False))
    before: dict[str, list[float]] = defaultdict(list)
    after: dict[str, list[float]] = defaultdict(list)
    for number, path in enumerate(photos):
        group = list(GROUPS)[number % len(GROUPS)]
        gray, image, _ = damaged(path, group, number, artefacts)
        damage = find_damage(image, detector, np.zeros(image.shape, bool))
        repaired = image if damage is None else fill(*lift_damage(image, damage))
        truth = distance.features(as_rgb(gray))
        before[group].append(distance.between(distance.features(as_rgb(image)), truth))
        after[group].append(distance.between(distance.features(as_rgb(repaired)), truth))
    before["all"], after["all"] = (sum(each.values(), []) for each in (before, after))
    return {
        group: {
            "damaged": round(float(np.mean(before[group])), 4),
            "repaired": round(float(np.mean(after[group])), 4),
            "ratio": round(float(np.mean(after[group]) / np.mean(before[group])), 3),
        }
        for group in before
    }


def draw_picture(path: Path, detector: LoadedDetector) -> None:
    """Write a sample photograph with simulated damage; what is found; and the repaired photograph in colour."""
    from toolbox import load_restorer

    gray = integer_luma(io.read_rgb(sample.folder() / "test" / "colosseum.jpg"))
    kinds = ("scratch", "fold", "dust", "tear")
    image, _ = lay_damage(gray, np.random.default_rng(1), kinds=kinds, low=0.3)
    detection = detector(image)
    rows = [as_rgb(image), kinds_of_damage.paint(as_rgb(image), detection)]
    rows.append(load_restorer("luma", fill="auto")(image, detection.mask))
    files.write_bytes(path, io.encode(np.vstack(rows), "JPEG")[0])


def measure_cost(photo: Path, rounds: int = 3) -> dict[str, Any]:
    """Return the times of `--repair` and without it at 2 megapixels, and the memory of `--repair` at 24 megapixels.

    ``command`` has the seconds of `toolbox restore` in new processes, with their start; ``in_this_process`` those of
    the restoration alone.
    """
    from toolbox import load_restorer

    gray = integer_luma(io.read_rgb(photo))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        small = cv2.resize(gray, (1632, 1225), interpolation=cv2.INTER_CUBIC)
        image, _ = lay_damage(small, np.random.default_rng(2), kinds=("scratch", "dust", "stain"))
        io.write_png(folder / "large.png", cv2.resize(image, (6000, 4000), interpolation=cv2.INTER_CUBIC))
        # Before anything else: the peak of a child is at least the memory of its parent.
        _, peak = run_restore(folder / "large.png", folder / "large", "--repair")
        io.write_png(folder / "photo.png", image)
        variants = {name: tuple(word for word in [name] if word != "plain") for name in ("plain", "--repair")}
        commands = timing.time_alternately(
            {
                name: lambda options=options: run_restore(folder / "photo.png", folder / "out", "--overwrite", *options)
                for name, options in variants.items()
            },
            rounds,
        )
    plain, repairing = load_restorer("luma", fill="auto"), load_restorer("luma", fill="auto", repair=True)
    wall, cpu = timing.time_with_both_clocks(
        {"plain": lambda: plain(image), "--repair": lambda: repairing(image)}, rounds
    )
    return {
        "command": timing.compare(commands, "plain"),
        "in_this_process": timing.compare(wall, "plain"),
        "in_this_process_by_the_processors_time": timing.compare(cpu, "plain"),
        "bytes_at_24_megapixels": peak,
    }
