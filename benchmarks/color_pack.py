"""Pack the photographs of the split into one file of small WebP pictures, for `train-color`.

python -m benchmarks color-pack PHOTOS --out FILE.safetensors --side 256
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import click
import cv2
import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from benchmarks import photo_split
from toolbox.errors import DataError
from toolbox.imaging import io
from toolbox.utils import files

HEADER = "pack"


@dataclass(frozen=True, kw_only=True)
class Pack:
    """Decoded photographs, (H, W, 3) uint8 RGB each, and their categories."""

    photos: tuple[np.ndarray, ...]
    categories: tuple[str, ...]


@click.command("color-pack")
@click.argument("photos", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), required=True, help="The safetensors file to write."
)
@click.option(
    "--side", type=click.IntRange(1), default=256, show_default=True, help="Short side in pixels; 144 fits into 40 MiB."
)
@click.option("--quality", type=click.IntRange(1, 100), default=75, show_default=True, help="Quality of the WebP data.")
@click.option(
    "--limit",
    type=click.IntRange(0),
    default=0,
    show_default=True,
    help="Number of training photographs, chosen at random; 0 is all.",
)
def command(photos: Path, out: Path, side: int, quality: int, limit: int) -> None:
    """Pack the training and development photographs of the folder PHOTOS."""
    rows = photo_split.read()
    rows_by_set = {name: [row for row in rows if row["set"] == name] for name in ("train", "development")}
    if limit:
        order = np.random.default_rng(0).permutation(len(rows_by_set["train"]))[:limit]
        rows_by_set["train"] = [rows_by_set["train"][index] for index in sorted(order)]
    tensors, facts = {}, {}
    for name, photo_rows in rows_by_set.items():
        with click.progressbar(photo_rows, label=name) as bar:
            data = [encode(io.read_rgb(photos / row["file"]), side, quality) for row in bar]
        tensors[f"{name}.ends"] = np.cumsum([len(photo) for photo in data])
        tensors[f"{name}.data"] = np.frombuffer(b"".join(data), np.uint8)
        facts[name] = {
            "files": [row["file"] for row in photo_rows],
            "categories": [row["category"] for row in photo_rows],
        }
    out.parent.mkdir(parents=True, exist_ok=True)
    save_file(tensors, out, metadata={HEADER: json.dumps(facts)})
    click.echo(f"{out.name}: {out.stat().st_size / 2**20:.1f} MiB")


def encode(photo: np.ndarray, side: int, quality: int) -> bytes:
    """Return a photograph (H, W, 3) RGB as WebP, its short side at most `side` pixels."""
    scale = side / min(photo.shape[:2])
    if scale < 1:
        size = round(photo.shape[1] * scale), round(photo.shape[0] * scale)
        photo = cv2.resize(photo, size, interpolation=cv2.INTER_AREA)
    done, data = cv2.imencode(".webp", photo[..., ::-1], [cv2.IMWRITE_WEBP_QUALITY, quality])
    if not done:
        raise click.ClickException("A photograph could not be encoded as WebP.")
    return data.tobytes()


def decode(data: np.ndarray) -> np.ndarray:
    """Return the photograph, (H, W, 3) uint8 RGB, of encoded bytes."""
    return np.ascontiguousarray(cv2.imdecode(data, cv2.IMREAD_COLOR)[..., ::-1])


def read(path: Path) -> Mapping[str, Pack]:
    """Read and decode the packs `train` and `development` of a file; DataError if it is no file of `color-pack`."""
    packs = {}
    try:
        with safe_open(path, framework="numpy") as opened:
            facts = json.loads((opened.metadata() or {})[HEADER])
            for name in ("train", "development"):
                ends, data = opened.get_tensor(f"{name}.ends"), opened.get_tensor(f"{name}.data")
                with ThreadPoolExecutor() as pool:
                    photos = tuple(pool.map(decode, np.split(data, ends[:-1])))
                packs[name] = Pack(photos=photos, categories=tuple(facts[name]["categories"]))
    except (SafetensorError, KeyError, ValueError, TypeError, cv2.error) as error:
        raise DataError(
            f"{files.printable(path)} is no whole file of `color-pack`: {files.printable_line(error)}"
        ) from error
    return packs
