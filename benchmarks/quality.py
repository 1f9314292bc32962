"""Restored photographs against their truth: the competition's score, and what the score does not see."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import click
import cv2
import numpy as np
import torch
from torch.nn import functional as F

from benchmarks import _measure
from toolbox.color import integer_luma
from toolbox.evaluation import metrics
from toolbox.hooks.protocols import Sample
from toolbox.imaging import io
from toolbox.inference.restorer import Restorer, load_restorer
from toolbox.training.validate import inpaint_gray

LAYERS = (2, 2, 3, 3, 3)


@click.command("quality")
@click.option(
    "--pairs", type=click.Path(path_type=Path), required=True, help="A folder with input/, truth/ and masks/, by name."
)
@click.option("--weights", multiple=True, help="Published names, files or runs.  [default: luma]")
@click.option("--lpips", type=click.Path(path_type=Path), help="VGG16 and the LPIPS 0.1 heads, as safetensors.")
@click.option("--sheet", type=click.Path(path_type=Path), help="A JPEG of every third: input, results, truth.")
@_measure.quick
@_measure.json_path
def command(
    pairs: Path, weights: tuple[str, ...], lpips: Path | None, sheet: Path | None, quick: bool, path: Path | None
) -> None:
    """Restore every pair by several weights and by OpenCV, and print a row of means for each."""
    samples = list(load(pairs).values())[: 2 if quick else None]
    distance = None if lpips is None else Lpips(lpips)
    ways: dict[str, Callable[[Sample], np.ndarray]] = {
        "input as it is": lambda sample: sample.image,
        "OpenCV Telea in gray": inpaint_gray,
    }
    for name in weights or ("luma",):
        ways[name] = restoring(load_restorer(name))
    rows, pictures = {}, [[sample.image for sample in samples]]
    for name, way in ways.items():
        started = time.perf_counter()
        results = [way(sample) for sample in samples]
        seconds = (time.perf_counter() - started) / len(samples)
        rows[name] = figures(results, samples, distance) | {"seconds": seconds}
        pictures += [results] if name in (weights or ("luma",)) else []
    pictures.append([sample.truth for sample in samples])
    result = {"pairs": len(samples), "threads": torch.get_num_threads(), "rows": rows} | _measure.facts()
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(result, indent=1), "utf-8")
    if sheet is not None:
        contact(sheet, [each[::3] for each in pictures])
    click.echo(json.dumps(result, indent=1))
    names = list(next(iter(rows.values())))
    click.echo("| what | " + " | ".join(names) + " |\n" + "|---" * (len(names) + 1) + "|", err=True)
    for name, row in rows.items():
        click.echo(f"| {name} | " + " | ".join(f"{value:.3f}" for value in row.values()) + " |", err=True)


def load(folder: Path) -> dict[str, Sample]:
    """Return the pairs of a folder by name."""
    found = {}
    for truth in io.find_images(folder / "truth"):
        gray = io.read_gray(folder / "input" / truth.name)
        found[truth.stem] = Sample(
            image=np.repeat(gray[..., None], 3, axis=2),
            mask=io.read_mask(folder / "masks" / truth.name),
            truth=io.read_rgb(truth),
        )
    return found


def restoring(restorer: Restorer) -> Callable[[Sample], np.ndarray]:
    """Return a way that restores by what is known in use: the gray photograph and its mask."""
    return lambda sample: restorer(np.ascontiguousarray(sample.image[..., 0]), sample.mask)


def figures(results: list[np.ndarray], samples: list[Sample], lpips: Lpips | None) -> dict[str, float]:
    """Return the means over all."""
    scores = metrics.mean([metrics.score(one, s.truth, s.mask) for one, s in zip(results, samples, strict=True)])
    pairs = [(one, sample) for one, sample in zip(results, samples, strict=True)]
    found = {"S": scores.S, "M": scores.M, "C": scores.C, "score": scores.score or 0.0}
    found["psnr"] = mean(cv2.PSNR(one, sample.truth) for one, sample in pairs)
    found["ab"] = mean(colour_distance(one, sample.truth) for one, sample in pairs)
    found["colourfulness"] = mean(colourfulness(one) / colourfulness(sample.truth) for one, sample in pairs)
    found["luma"] = max(
        int(np.abs(integer_luma(one).astype(int) - sample.image[..., 0])[~sample.mask].max()) for one, sample in pairs
    )
    if lpips is not None:
        found["lpips"] = mean(lpips(one, sample.truth) for one, sample in pairs)
    return found


def mean(values) -> float:
    """Return the mean."""
    return float(np.mean(list(values)))


def colour_distance(one: np.ndarray, other: np.ndarray) -> float:
    """Return the mean distance of a* and b* of CIELAB (CIE 15:2004, D65) of two (H, W, 3) uint8 RGB."""
    a, b = (cv2.cvtColor(each.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)[..., 1:] for each in (one, other))
    return float(np.hypot(*np.moveaxis(a - b, -1, 0)).mean())


def colourfulness(picture: np.ndarray) -> float:
    """Return the colourfulness of Hasler and Süsstrunk (2003) of (H, W, 3) uint8 RGB."""
    red, green, blue = np.moveaxis(picture.astype(np.float64), -1, 0)
    rg, yb = red - green, (red + green) / 2 - blue
    return float(np.hypot(rg.std(), yb.std()) + 0.3 * np.hypot(rg.mean(), yb.mean()))


class Lpips:
    """LPIPS 0.1 over VGG16 (Zhang et al., CVPR 2018), from a safetensors file with torchvision's keys."""

    def __init__(self, path: Path) -> None:
        from safetensors.torch import load_file

        tensors = {name: value.float() for name, value in load_file(path).items()}
        self.convs = [
            (tensors[f"features.{i}.weight"], tensors[f"features.{i}.bias"])
            for i in range(29)
            if f"features.{i}.weight" in tensors
        ]
        self.heads = [tensors[f"lpips.lin{i}.model.1.weight"] for i in range(len(LAYERS))]
        self.shift = torch.tensor([-0.030, -0.088, -0.188]).view(1, 3, 1, 1)
        self.scale = torch.tensor([0.458, 0.448, 0.450]).view(1, 3, 1, 1)

    @torch.inference_mode()
    def __call__(self, one: np.ndarray, other: np.ndarray) -> float:
        """Return the distance of two (H, W, 3) uint8 RGB; 0 for equal ones."""
        pictures = torch.from_numpy(np.stack([one, other])).permute(0, 3, 1, 2).float() / 127.5 - 1
        x, total = (pictures - self.shift) / self.scale, 0.0
        convs = iter(self.convs)
        for level, (count, head) in enumerate(zip(LAYERS, self.heads, strict=True)):
            x = F.max_pool2d(x, 2) if level else x
            for _ in range(count):
                weight, bias = next(convs)
                x = F.relu(F.conv2d(x, weight, bias, padding=1))
            unit = x / (x.square().sum(1, keepdim=True).sqrt() + 1e-10)
            total += float(F.conv2d((unit[:1] - unit[1:]).square(), head).mean())
        return total


def contact(path: Path, grid: list[list[np.ndarray]], side: int = 160) -> None:
    """Write the pictures small into one JPEG, row by row as the grid has them."""
    small = [[cv2.resize(one, (side, side), interpolation=cv2.INTER_AREA) for one in row] for row in grid]
    whole = np.vstack([np.hstack(row) for row in small])
    path.parent.mkdir(parents=True, exist_ok=True)
    if not cv2.imwrite(str(path), whole[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 88]):
        raise click.ClickException(f"{path} could not be written.")
